"""Codecs: what a network's numbers mean as colours, in both directions.

A codec turns photos into a network's input and target, and a network's output into chroma. It is saved within the
model's file, so that the file alone is enough to colour a photo.
"""

import functools

import keras
import numpy as np
from keras import ops

from rainbownet import color

_COLORS = 1 << 24
_L_STEPS = 65535 / 100  # 16-bit steps of L in the table: half a step is 8e-4 of L


@keras.saving.register_keras_serializable("rainbownet")
class BucketCodec:
    """Colours as probabilities over buckets of the ab plane.

    Args:
        buckets: the `Buckets`.
        neighbors: how many buckets share a pixel's colour in the target: 1 gives hard targets, 5 is Zhang et al.'s.
        sigma: width of the Gaussian for soft targets, in Lab units.
        temperature: the temperature of `decode` when none is given.
    """

    color_space = "lab"

    def __init__(self, buckets, neighbors=1, sigma=5.0, temperature=0.38):
        if not 1 <= neighbors <= len(buckets):
            raise ValueError(f"`neighbors` must be in 1..{len(buckets)}; received {neighbors}.")
        self.buckets = buckets
        self.neighbors = neighbors
        self.sigma = sigma
        self.temperature = temperature

    @property
    def outputs(self):
        """Channels that the network needs."""
        return len(self.buckets)

    def get_config(self):
        return {
            "buckets": keras.saving.serialize_keras_object(self.buckets),
            "neighbors": self.neighbors,
            "sigma": self.sigma,
            "temperature": self.temperature,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["buckets"] = keras.saving.deserialize_keras_object(config["buckets"])
        return cls(**config)

    def encode(self, rgb):
        """Turns photos into input and target.

        uint8 photos with hard targets go through a table of all 2^24 colours: an order of magnitude faster than the
        formulas. It is computed on first use, which must be outside of a compiled function: `prepare` does it.

        Args:
            rgb: (batch, height, width, 3) uint8 in 0..255 or float in 0..1.

        Returns:
            Pair of L, (batch, height, width, 1) float32 in 0..100, and the target: (batch, height, width) int32
            buckets, or for soft targets (batch, height, width, neighbours, 2) float32 with bucket and share.
        """
        rgb = ops.convert_to_tensor(rgb)
        if self.neighbors == 1 and "uint8" in str(rgb.dtype):
            return self._look_up(rgb)
        lab = color.rgb_to_lab(rgb)
        l, ab = lab[..., :1], lab[..., 1:]
        if self.neighbors == 1:
            return l, self.buckets.assign(ab)
        indices, shares = self.buckets.soft_assign(ab, self.neighbors, self.sigma)
        return l, ops.stack([ops.cast(indices, "float32"), shares], axis=-1)

    def prepare(self):
        """Computes what `encode` looks up, so that `encode` can be traced into a compiled function afterwards."""
        if self.neighbors == 1:
            _ = self._table
        else:
            self.buckets.soft_assign(np.zeros((1, 2), "float32"), self.neighbors)
        return self

    def input_from_l(self, l):
        """Gives what the network sees of a photo of which only L is known: L itself."""
        return ops.cast(l, "float32")

    def decode(self, logits, temperature=None, l=None):
        """Turns a network's output into chroma: the annealed mean (Zhang et al. 2016, section 2.3, equation 5).

        Args:
            logits: (batch, height, width, outputs) float.
            temperature: 1 gives the mean of the distribution, 0 the most likely bucket, in between the distribution is
                sharpened first; `None` takes the codec's own.
            l: ignored; ab does not depend on the luminance.

        Returns:
            (batch, height, width, 2) float32, ab in Lab units.

        Raises:
            ValueError: the temperature is negative.
        """
        temperature = self.temperature if temperature is None else temperature
        if temperature < 0:
            raise ValueError(f"`temperature` must be 0 or more; received {temperature}.")
        centers = ops.convert_to_tensor(self.buckets.centers)
        logits = ops.cast(logits, "float32")
        if temperature == 0:
            return ops.take(centers, ops.argmax(logits, axis=-1), axis=0)
        return ops.matmul(ops.softmax(logits / temperature, axis=-1), centers)

    @functools.cached_property
    def _table(self):
        """For each 24-bit colour, L in 16 bits and the bucket in 16 bits, as one uint32 seen as int32."""
        table = np.empty(_COLORS, "uint32")
        plane = np.arange(256, dtype="uint8")
        step = 1 << 18
        green_blue = np.stack(np.meshgrid(plane, plane, indexing="ij"), -1).reshape(-1, 2)
        for start in range(0, _COLORS, step):
            reds = np.arange(start >> 16, (start + step) >> 16, dtype="uint8")
            rgb = np.concatenate([np.repeat(reds, 1 << 16)[:, None], np.tile(green_blue, (len(reds), 1))], axis=1)
            lab = ops.convert_to_numpy(color.rgb_to_lab(rgb))
            bucket = ops.convert_to_numpy(self.buckets.assign(lab[:, 1:])).astype("uint32")
            l = np.clip(np.round(lab[:, 0] * _L_STEPS), 0, 65535).astype("uint32")
            table[start : start + step] = l << 16 | bucket
        # A tensor made here is passed into compiled functions; an array would become a constant inside each of them.
        return ops.convert_to_tensor(table.view("int32"))

    def _look_up(self, rgb):
        rgb = ops.cast(rgb, "int32")
        packed = ops.take(self._table, (rgb[..., 0] * 256 + rgb[..., 1]) * 256 + rgb[..., 2])
        l = ops.bitwise_and(ops.right_shift(packed, 16), 0xFFFF)
        return ops.cast(l, "float32")[..., None] / _L_STEPS, ops.bitwise_and(packed, 0xFFFF)


@keras.saving.register_keras_serializable("rainbownet")
class RegressionCodec:
    """Colours as two numbers for each pixel.

    Args:
        scale: Lab units for 1 of the network's output.
    """

    color_space = "lab"
    outputs = 2

    def __init__(self, scale=128.0):
        self.scale = scale

    def get_config(self):
        return {"scale": self.scale}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def encode(self, rgb):
        """Turns photos into input and target.

        Args:
            rgb: (batch, height, width, 3) uint8 in 0..255 or float in 0..1.

        Returns:
            Pair of L, (batch, height, width, 1) float32 in 0..100, and (batch, height, width, 2) float32, ab over
            `scale`.
        """
        lab = color.rgb_to_lab(rgb)
        return lab[..., :1], lab[..., 1:] / self.scale

    def prepare(self):
        """Does nothing: there is no table to compute."""
        return self

    def input_from_l(self, l):
        """Gives what the network sees of a photo of which only L is known: L itself."""
        return ops.cast(l, "float32")

    def decode(self, output, temperature=None, l=None):
        """Turns a network's output into chroma.

        Args:
            output: (batch, height, width, 2) float.
            temperature: ignored; a regression predicts no distribution.
            l: ignored; ab does not depend on the luminance.

        Returns:
            (batch, height, width, 2) float32, ab in Lab units.
        """
        return ops.cast(output, "float32") * self.scale

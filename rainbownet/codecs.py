"""Codecs: what a network's numbers mean as colours, in both directions.

A codec turns photos into a network's input and target, and a network's output into chroma: ab in Lab units, in whatever
colour space it works itself. It is saved within the model's file, so that the file alone is enough to colour a photo.

`FrequentUV` and `ClusteredRGB` are codecs still to be fitted: to the colours of the photos that a network is to be
trained on.
"""

import dataclasses
import functools
import math

import keras
import numpy as np
from keras import ops

from rainbownet import color
from rainbownet.buckets import ColorClusters, FrequentCells

_COLORS = 1 << 24
_STEPS = 65535  # of the input in the table of all colours: half a step is 8e-4 of L

# The reach of V, the longer axis of YUV.
_V_REACH = float(color.YUV_FROM_RGB[2, 0])

# By how many degrees `calm` turns each hue of the Lab plane: magenta and rose, which are next to never true, to red.
_TURN = np.interp(np.arange(361), (0, 30, 40, 300, 315, 360), (23, 2, 0, 0, 60, 23))

# For each degree of the turned hue, how far a distribution's colours must agree for `calm` to leave their mean; where
# they agree by `_UNSURE` less, it becomes gray. Brown to green is always left. Why these: docs/coloring.md.
_SURE = np.interp(np.arange(361), (0, 30, 45, 150, 180, 300, 315, 360), (0.45, 0.45, 0, 0, 0.6, 0.6, 0.45, 0.45))
_UNSURE = 0.3

# For each degree of the turned hue, by how many degrees `calm` turns it on towards brown, which most reds and oranges
# that the network is unsure of are: none where the distribution's colours agree by `_RED_SURE`, all of it where they
# agree by `_UNSURE` less.
_BROWNED = np.interp(np.arange(361), (0, 40, 90, 300, 315, 360), (20, 20, 0, 0, 20, 20))
_RED_SURE = 0.7

# For each degree of the turned hue, the chroma in Lab units beyond which `calm` takes a share, and that share: of
# violet and red, of which the truth has half of what is predicted, or less, however sure the network is.
_LOUD = np.interp(np.arange(361), (0, 15, 30, 300, 315, 360), (15, 15, 25, 25, 15, 15))
_TAKEN = np.interp(np.arange(361), (0, 15, 30, 45, 285, 300, 315, 360), (0.8, 0.8, 0.5, 0, 0, 0.5, 0.8, 0.8))

# Gray of R, G and B: the formula of the Dropout CNN's document, whose coefficients sum to 0.937, and that of BT.601.
GRAY_WEIGHTS = {"document": (0.21, 0.72, 0.007), "rec601": (0.299, 0.587, 0.114)}


@keras.saving.register_keras_serializable("rainbownet")
class BucketCodec:
    """Colours as probabilities over buckets of the ab plane; subclasses have buckets in other colour spaces.

    Args:
        buckets: the `Buckets`.
        neighbors: how many buckets share a pixel's colour in the target: 1 gives hard targets, 5 is Zhang et al.'s.
        sigma: width of the Gaussian for soft targets, in Lab units.
        temperature: the temperature of `decode` when none is given.
    """

    color_space = "lab"
    _highest_input = 100.0

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
            Pair of the network's input, (batch, height, width, 1) float32 (here L in 0..100), and the target: (batch,
            height, width) int32 buckets, or for soft targets (batch, height, width, neighbours, 2) float32 with bucket
            and share.
        """
        rgb = ops.convert_to_tensor(rgb)
        if self.neighbors == 1 and "uint8" in str(rgb.dtype):
            return self._look_up(rgb)
        x, colors = self._split(rgb)
        if self.neighbors == 1:
            return x, self.buckets.assign(colors)
        indices, shares = self.buckets.soft_assign(colors, self.neighbors, self.sigma)
        return x, ops.stack([ops.cast(indices, "float32"), shares], axis=-1)

    def prepare(self):
        """Computes what `encode` looks up, so that `encode` can be traced into a compiled function afterwards."""
        if self.neighbors == 1:
            _ = self._table
        else:
            self.buckets.soft_assign(np.zeros((1, 2), "float32"), self.neighbors)
        return self

    def classify(self, rgb):
        """Finds the bucket of each pixel's colour.

        Args:
            rgb: (..., 3) uint8 in 0..255 or float in 0..1.

        Returns:
            (...) int32 in 0..n-1.
        """
        return self.buckets.assign(self._split(rgb)[1])

    def input_from_l(self, l):
        """Gives what the network sees of a photo of which only L is known, as `encode` gives it of a gray photo.

        Args:
            l: (...) float in 0..100.

        Returns:
            (...) float32: here L itself.
        """
        return ops.cast(l, "float32")

    def decode(self, logits, temperature=None, l=None, calm=0.0):
        """Turns a network's output into chroma.

        Args:
            logits: (batch, height, width, outputs) float.
            temperature: see `colors`.
            l: (batch, H, W, 1) float, L in 0..100 at the size of the network's input; needed where the colour space
                leaves ab to depend on it.
            calm: how far it goes, 0 to 1, with colours that are seldom right. Magenta and rose (hues from 300 over 360
                to 40 degrees in the Lab plane) are turned to red. Where the distribution's colours disagree, that is
                where the mean's chroma is small against the mean of their chroma, reds and oranges are turned towards
                brown, and cool colours and the reds that are most doubtful become gray: a mean of red and blue is
                purple, which neither of them is. And strong violet and red become quieter: of what they have beyond
                a chroma of 25 the half is taken, of the reds that were magenta or rose more. The figures behind it:
                docs/coloring.md.

        Returns:
            (batch, height, width, 2) float32, ab in Lab units.

        Raises:
            ValueError: the temperature is negative, or `l` is missing.
        """
        shares = self._shares(logits, temperature)
        ab = self._ab(self._mean(shares), l)
        if not calm:
            return ab
        vectors = self._vectors
        length = ops.norm(ops.matmul(shares, vectors), axis=-1, keepdims=True)
        lengths = ops.matmul(shares, ops.norm(vectors, axis=-1, keepdims=True))
        agreement = length / ops.maximum(lengths, 1e-6)
        chroma = ops.norm(ab, axis=-1, keepdims=True)
        hue = ops.arctan2(ab[..., 1:], ab[..., :1]) * (180 / math.pi)
        hue = hue + calm * _of_hue(hue, _TURN)
        sure, loud, taken, browned = ops.split(_of_hue(hue, _SURE, _LOUD, _TAKEN, _BROWNED), 4, axis=-1)
        chroma = chroma * (1 - calm * ops.clip((sure - agreement) / _UNSURE, 0, 1))
        chroma = chroma * (1 - calm * taken * (1 - loud / ops.maximum(chroma, loud)))
        angle = (hue + calm * browned * ops.clip((_RED_SURE - agreement) / _UNSURE, 0, 1)) * (math.pi / 180)
        return chroma * ops.concatenate([ops.cos(angle), ops.sin(angle)], axis=-1)

    def colors(self, logits, temperature=None):
        """Turns a network's output into colours of the buckets' own space.

        They are the annealed mean of the buckets (Zhang, Isola & Efros, ECCV 2016, section 2.3, equation 5).

        Args:
            logits: (batch, height, width, outputs) float.
            temperature: 1 gives the mean of the distribution, 0 the most likely bucket, in between the distribution is
                sharpened first; `None` takes the codec's own.

        Returns:
            (batch, height, width, channels) float32.

        Raises:
            ValueError: the temperature is negative.
        """
        return self._mean(self._shares(logits, temperature))

    def _shares(self, logits, temperature):
        """The distribution at a temperature, (batch, height, width, n)."""
        temperature = self.temperature if temperature is None else temperature
        if temperature < 0:
            raise ValueError(f"`temperature` must be 0 or more; received {temperature}.")
        logits = ops.cast(logits, "float32")
        if temperature == 0:
            return ops.one_hot(ops.argmax(logits, axis=-1), len(self.buckets))
        return ops.softmax(logits / temperature, axis=-1)

    def _mean(self, shares):
        return ops.matmul(shares, ops.convert_to_tensor(self.buckets.centers))

    @property
    def _vectors(self):
        """(n, 2) float32, the buckets as vectors from gray."""
        return ops.convert_to_tensor(self.buckets.centers)

    def _split(self, rgb):
        """The network's input, (..., 1), and what the buckets lie in, (..., channels)."""
        lab = color.rgb_to_lab(rgb)
        return lab[..., :1], lab[..., 1:]

    def _ab(self, colors, l):
        return colors

    @functools.cached_property
    def _table(self):
        """For each 24-bit colour, the input in 16 bits and the bucket in 16 bits, as one uint32 seen as int32."""
        table = np.empty(_COLORS, "uint32")
        plane = np.arange(256, dtype="uint8")
        step = 1 << 18
        green_blue = np.stack(np.meshgrid(plane, plane, indexing="ij"), -1).reshape(-1, 2)
        for start in range(0, _COLORS, step):
            reds = np.arange(start >> 16, (start + step) >> 16, dtype="uint8")
            rgb = np.concatenate([np.repeat(reds, 1 << 16)[:, None], np.tile(green_blue, (len(reds), 1))], axis=1)
            x, colors = self._split(rgb)
            bucket = ops.convert_to_numpy(self.buckets.assign(colors)).astype("uint32")
            x = ops.convert_to_numpy(x)[:, 0] * (_STEPS / self._highest_input)
            table[start : start + step] = np.clip(np.round(x), 0, _STEPS).astype("uint32") << 16 | bucket
        # A tensor made here is passed into compiled functions; an array would become a constant inside each of them.
        return ops.convert_to_tensor(table.view("int32"))

    def _look_up(self, rgb):
        rgb = ops.cast(rgb, "int32")
        packed = ops.take(self._table, (rgb[..., 0] * 256 + rgb[..., 1]) * 256 + rgb[..., 2])
        x = ops.cast(ops.bitwise_and(ops.right_shift(packed, 16), 0xFFFF), "float32")[..., None]
        return x / (_STEPS / self._highest_input), ops.bitwise_and(packed, 0xFFFF)


def _of_hue(hue, *tables):
    """Reads tables by degree at hues (..., 1) in degrees: (..., tables) float32.

    Between two degrees in proportion: a hue that rounding errors move must not jump from one to the next.
    """
    hue = hue % 360
    degree = ops.minimum(ops.floor(hue), 359)
    table = ops.convert_to_tensor(np.stack(tables, axis=-1), "float32")
    row, next_row = (ops.take(table, ops.cast(degree[..., 0], "int32") + side, axis=0) for side in (0, 1))
    return row + (next_row - row) * (hue - degree)


@keras.saving.register_keras_serializable("rainbownet")
class UVCodec(BucketCodec):
    """Colours as probabilities over bins of the UV plane; the network sees Y in 0..1 (ColorUNet).

    Of a gray photo Y is the gray itself. A photo in colour has another Y than the gray photo of its L, by up to 0.2
    for saturated blue: training sees the first, colouring the second.

    Args:
        buckets: the `Palette` of bins, U and V.
        temperature: the temperature of `decode` when none is given.
    """

    color_space = "yuv"
    _highest_input = 1.0

    def __init__(self, buckets, temperature=0.38):
        super().__init__(buckets, temperature=temperature)

    def get_config(self):
        config = super().get_config()
        return {key: config[key] for key in ("buckets", "temperature")}

    def input_from_l(self, l):
        return color.gray_of_luminance(l)

    def _split(self, rgb):
        yuv = color.rgb_to_yuv(rgb)
        return yuv[..., :1], yuv[..., 1:]

    def _ab(self, colors, l):
        if l is None:
            raise ValueError("What ab a UV has depends on the luminance; give `l` to decode.")
        rgb = color.yuv_to_rgb(ops.concatenate([self.input_from_l(_as_small_as(l, colors)), colors], axis=-1))
        return color.rgb_to_lab(rgb)[..., 1:]


@keras.saving.register_keras_serializable("rainbownet")
class PaletteCodec(BucketCodec):
    """Colours as probabilities over a palette in RGB; the network sees gray in 0..1 (the Dropout CNN).

    A palette colour has its own lightness; of it, only ab goes into a photo that keeps its luminance. `colors` gives
    the palette's colours themselves, as the document shows them.

    Args:
        buckets: the `Palette`, RGB in 0..1.
        weights: how gray is made of R, G and B, a key of `GRAY_WEIGHTS`: "document" or "rec601".
        ordinal: whether the network gives one number a pixel, and the palette's int((n - 1) sigmoid(number))-th colour
            is meant, as the document had it at first; else logits.
        temperature: the temperature of `decode` when none is given; 0 takes colours from the palette only.
    """

    color_space = "rgb"
    _highest_input = 1.0

    def __init__(self, buckets, weights="document", ordinal=False, temperature=0.0):
        super().__init__(buckets, temperature=temperature)
        self.weights = weights
        self.ordinal = ordinal

    @property
    def outputs(self):
        """Channels that the network needs."""
        return 1 if self.ordinal else len(self.buckets)

    def get_config(self):
        config = super().get_config()
        return {key: config[key] for key in ("buckets", "temperature")} | {
            "weights": self.weights,
            "ordinal": self.ordinal,
        }

    def input_from_l(self, l):
        return color.gray_of_luminance(l) * sum(GRAY_WEIGHTS[self.weights])

    def _shares(self, logits, temperature):
        if not self.ordinal:
            return super()._shares(logits, temperature)
        place = (len(self.buckets) - 1) * ops.sigmoid(ops.cast(logits[..., 0], "float32"))
        return ops.one_hot(ops.cast(place, "int32"), len(self.buckets))

    @property
    def _vectors(self):
        return self._ab(ops.convert_to_tensor(self.buckets.centers), None)

    def _split(self, rgb):
        rgb = ops.convert_to_tensor(rgb)
        rgb = ops.cast(rgb, "float32") / (255 if "uint8" in str(rgb.dtype) else 1)
        weights = np.array(GRAY_WEIGHTS[self.weights], "float32")
        return ops.sum(rgb * weights, axis=-1, keepdims=True), rgb

    def _ab(self, colors, l):
        return color.rgb_to_lab(colors)[..., 1:]


@keras.saving.register_keras_serializable("rainbownet")
class RegressionCodec:
    """Colours as two numbers for each pixel.

    Args:
        scale: Lab units for 1 of the network's output.
        offset: Lab units for 0 of it.
    """

    color_space = "lab"
    outputs = 2

    def __init__(self, scale=128.0, offset=0.0):
        self.scale = scale
        self.offset = offset

    def get_config(self):
        return {"scale": self.scale, "offset": self.offset}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def encode(self, rgb):
        """Turns photos into input and target.

        Args:
            rgb: (batch, height, width, 3) uint8 in 0..255 or float in 0..1.

        Returns:
            Pair of L, (batch, height, width, 1) float32 in 0..100, and (batch, height, width, 2) float32, ab less
            `offset` over `scale`.
        """
        lab = color.rgb_to_lab(rgb)
        return lab[..., :1], (lab[..., 1:] - self.offset) / self.scale

    def prepare(self):
        """Does nothing: there is no table to compute."""
        return self

    def input_from_l(self, l):
        """Gives what the network sees of a photo of which only L is known: L itself."""
        return ops.cast(l, "float32")

    def decode(self, output, temperature=None, l=None, calm=0.0):
        """Turns a network's output into chroma.

        Args:
            output: (batch, height, width, 2) float.
            temperature: ignored; a regression predicts no distribution.
            l: ignored; ab does not depend on the luminance.
            calm: ignored, as the temperature.

        Returns:
            (batch, height, width, 2) float32, ab in Lab units.
        """
        return ops.cast(output, "float32") * self.scale + self.offset


@dataclasses.dataclass(frozen=True)
class FrequentUV:
    """A `UVCodec` to be fitted: its bins are the most frequent cells of the UV plane (ColorUNet).

    Args:
        outputs: number of bins.
        cells: cells on each axis, over the range of V; the document does not say how fine, 64 is a reading of ours.
        temperature: the temperature of decoding.
    """

    outputs: int = 32
    cells: int = 64
    temperature: float = 0.38

    def fit(self, photos):
        """Fits the bins.

        Args:
            photos: iterable of (batch, height, width, 3) uint8.

        Returns:
            A `UVCodec`.
        """
        cells = FrequentCells(_V_REACH, self.cells)
        for rgb in photos:
            cells.update(ops.convert_to_numpy(color.rgb_to_yuv(rgb))[..., 1:])
        return UVCodec(cells.palette(self.outputs), self.temperature)


@dataclasses.dataclass(frozen=True)
class ClusteredRGB:
    """A `PaletteCodec` to be fitted: its colours are the means of clusters in RGB (the Dropout CNN).

    Args:
        colors: size of the palette.
        weights: see `PaletteCodec`.
        ordinal: see `PaletteCodec`.
        temperature: the temperature of decoding.
        seed: of the clustering.
    """

    colors: int = 32
    weights: str = "document"
    ordinal: bool = False
    temperature: float = 0.0
    seed: int = 0

    def __post_init__(self):
        if self.weights not in GRAY_WEIGHTS:
            raise ValueError(f"`weights` must be one of {', '.join(GRAY_WEIGHTS)}; received {self.weights!r}.")

    @property
    def outputs(self):
        """Channels that the network needs."""
        return 1 if self.ordinal else self.colors

    def fit(self, photos):
        """Fits the palette.

        Args:
            photos: iterable of (batch, height, width, 3) uint8.

        Returns:
            A `PaletteCodec`.
        """
        clusters = ColorClusters(self.seed)
        for rgb in photos:
            clusters.update(rgb.astype("float32") / 255)
        return PaletteCodec(clusters.palette(self.colors), self.weights, self.ordinal, self.temperature)


def _as_small_as(plane, output):
    """A plane, (batch, H, W, 1), averaged to the size of a network's output, which may be a whole factor smaller."""
    (outer_height, outer_width), (height, width) = ops.shape(plane)[1:3], ops.shape(output)[1:3]
    # In fields, and not by pooling: in a graph the factor may be known only when it runs.
    fields = ops.reshape(plane, (-1, height, outer_height // height, width, outer_width // width, 1))
    return ops.mean(fields, axis=(2, 4))

"""A network together with the codec that says what its numbers mean: all that colouring a photo needs, in one file."""

import functools
from pathlib import Path

import keras
import numpy as np
from keras import ops

# A file is restored from what its import has registered with Keras, all of which may stand in a model.
from rainbownet import buckets, codecs, losses, priors  # noqa: F401
from rainbownet import embedding as _embedders  # noqa: F401

# Compiling costs as much time as three or four photos uncompiled, and once more for a second size, which serves all.
_UNCOMPILED_CALLS = 4


@keras.saving.register_keras_serializable("rainbownet")
class ColorModel(keras.Model):
    """A network and its codec; `compile`, `fit` and `save` as any Keras model.

    Args:
        network: functional `keras.Model` from "l", and for fusion "embedding", to what the codec decodes.
        codec: the codec; the network must have as many output channels as it wants.
        size: (height, width) in pixels of the crops that the network was, or is to be, trained on.
        stride: heights and widths must be divisible by it.
        prior: `ColorPrior` of the training photos, or `None`.
        embedder: the `Embedder` that makes the network's second input, or its serialized form, or `None`.
        defaults: dict of how photos are coloured where nothing else is asked for, see `colorizer.Settings`.

    Raises:
        ValueError: network and codec disagree.
    """

    def __init__(self, network, codec, size, stride, prior=None, embedder=None, defaults=None, **kwargs):
        super().__init__(**kwargs)
        outputs = _color(network.output).shape[-1]
        if outputs != codec.outputs:
            raise ValueError(
                f"The network gives {outputs} numbers a pixel, but its codec decodes {codec.outputs}; "
                "build the network with `outputs=codec.outputs`."
            )
        self.network = network
        self.codec = codec
        self.size = tuple(size)
        self.stride = stride
        self.prior = prior
        self.defaults = defaults or {}
        # Kept serialized: an embedder can be a large network, which only its use should cost.
        self._embedder = embedder if embedder is None or isinstance(embedder, dict) else _serialize(embedder)
        self._calls = 0
        # The network comes with its weights, so there is nothing left to build.
        self.built = True

    @property
    def fixed_size(self):
        """Whether the network takes photos of exactly `size` only."""
        return next(tensor.shape[1] for tensor in self.network.inputs if tensor.name == "l") is not None

    @property
    def needs_embedding(self):
        """Whether the network takes an embedding beside the luminance."""
        return any(tensor.name == "embedding" for tensor in self.network.inputs)

    @functools.cached_property
    def embedder(self):
        """The `Embedder` of the network's second input, or `None`; loaded on first use."""
        return None if self._embedder is None else keras.saving.deserialize_keras_object(self._embedder)

    @property
    def default_temperature(self):
        """The temperature of decoding where none is given; `None` where the codec has none."""
        return getattr(self.codec, "temperature", None)

    def call(self, inputs, training=None):
        return self.network(inputs, training=training)

    def predict_chroma(self, l, embedding=None, temperature=None, calm=0.0):
        """Predicts colours from luminance.

        The network is compiled once it has been called a few times, as it is for a folder of photos or a film; for one
        photo compiling would take longer than it saves.

        Args:
            l: (batch, height, width, 1) float, L in 0..100; sides divisible by `stride`.
            embedding: (batch, n) float, where the network needs it.
            temperature: see `BucketCodec.decode`; `None` takes the codec's own.
            calm: see `BucketCodec.decode`.

        Returns:
            (batch, h, w, 2) float32, ab in Lab units, at the size of the network's output.

        Raises:
            ValueError: a size that the network cannot take, or an embedding missing.
        """
        height, width = l.shape[1:3]
        # In a graph sizes may be known only when it runs; whoever builds it pads to the stride.
        known = height is not None and width is not None
        if known and (height % self.stride or width % self.stride):
            raise ValueError(f"Sides must be divisible by {self.stride}; received {height}x{width}.")
        if known and self.fixed_size and (height, width) != self.size:
            raise ValueError(f"This network takes {self.size[0]}x{self.size[1]} only; received {height}x{width}.")
        if self.needs_embedding and embedding is None:
            raise ValueError("This network was trained with an embedding of the photo beside its luminance; give one.")
        inputs = self.codec.input_from_l(l)
        if self.needs_embedding:
            inputs = {"l": inputs, "embedding": ops.cast(embedding, "float32")}
        concrete = _is_concrete(l)
        self._calls += concrete
        compiled = concrete and self._calls > _UNCOMPILED_CALLS
        output = self.network.predict_on_batch(inputs) if compiled else self.network(inputs, training=False)
        return self.codec.decode(_color(output), temperature, ops.cast(l, "float32"), calm)

    def get_config(self):
        return {
            "network": _serialize(self.network),
            "codec": _serialize(self.codec),
            "size": self.size,
            "stride": self.stride,
            "prior": None if self.prior is None else _serialize(self.prior),
            "embedder": self._embedder,
            "defaults": dict(self.defaults),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for key in ("network", "codec", "prior"):
            if config[key] is not None:
                config[key] = keras.saving.deserialize_keras_object(config[key])
        return cls(**config)


def load(path):
    """Loads a model from a `.keras` file, for use and not for further training.

    Args:
        path: the file.

    Returns:
        The `ColorModel`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no model of this package, or is damaged.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"{path} does not exist; give the `.keras` file of a model.")
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:
        # Keras raises half a dozen kinds here, down to zipfile's and h5py's own.
        raise ValueError(f"{path} cannot be read as a model: {(str(error) or repr(error)).splitlines()[0]}") from error
    if not isinstance(model, ColorModel):
        raise ValueError(f"{path} holds a {type(model).__name__}, not a model of rainbownet (a `ColorModel`).")
    return model


def in_float32(model):
    """Copies a model that was trained in mixed precision into one that computes in float32.

    A file keeps the precision that its layers were built with, so this is done before saving for use.

    Args:
        model: a `ColorModel`.

    Returns:
        A `ColorModel` of the same weights.
    """
    config = model.get_config()
    config["network"] = _without_dtype(config["network"])
    copy = ColorModel.from_config(config)
    copy.set_weights([np.asarray(w) for w in model.get_weights()])
    return copy


def _color(output):
    """The output that means colours; what else a network says, such as the kind of photo, is for its training."""
    return output["color"] if isinstance(output, dict) else output


def _is_concrete(x):
    """Whether an array has values, and is not a place in a graph that is being built."""
    return isinstance(x, np.ndarray) or hasattr(x, "numpy")


def _serialize(value):
    return keras.saving.serialize_keras_object(value)


def _without_dtype(config):
    """Removes the precision from a serialized network, so that it is built anew in float32."""
    if isinstance(config, dict):
        return {key: "float32" if key == "dtype" else _without_dtype(value) for key, value in config.items()}
    if isinstance(config, list):
        return [_without_dtype(value) for value in config]
    return config

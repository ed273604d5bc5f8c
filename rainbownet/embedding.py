"""Embeddings: what is in the photo, as one vector of numbers, for networks that take it beside the luminance.

An embedder takes the luminance of photos and gives a vector each. It is frozen: a photo's vector never changes, so that
`EmbeddingCache` computes it once and keeps it on disk.

From L to the pixels that an image network expects: the L plane is shrunk to the network's size by antialiased bilinear
interpolation, the whole photo without cropping (proportions change), and each L becomes the gray of sRGB that has this
lightness, three times the same number.
"""

import functools
import hashlib
import os
import zlib
from pathlib import Path

import keras
import numpy as np
from PIL import Image
from rich.progress import track

from rainbownet import color
from rainbownet.models import efficientnet_lite

# Part of every embedder's identity: change it when `gray_photo` gives other numbers, and old caches are left alone.
_PREPARATION = "whole photo, bilinear L, sRGB gray"

_INCEPTION_FILE = "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels.h5"
_INCEPTION_MD5 = "e693bd0210a403b3192acc6073ad2e96"


def gray_photo(l, size):
    """Turns a photo's luminance into the gray photo that an image network expects.

    Args:
        l: (height, width) float, L in 0..100.
        size: (height, width) of the result in pixels.

    Returns:
        (*size, 3) float32 in 0..1, sRGB, with the three channels equal.
    """
    # Pillow widens the filter when it shrinks, so that no detail aliases; mode "F" keeps float32.
    small = Image.fromarray(np.asarray(l, "float32")).resize(size[::-1], Image.Resampling.BILINEAR)
    lab = np.zeros((*size, 3), "float32")
    lab[..., 0] = np.clip(small, 0, 100)
    green = keras.ops.convert_to_numpy(color.lab_to_rgb(lab))[..., 1:2]
    return np.repeat(green, 3, axis=-1)


class Embedder:
    """Base of all embedders: L in, one vector a photo out.

    A subclass sets `size` ((height, width) in pixels) and `outputs` (numbers in a vector), defines `embed`,
    `weights_hash` and `get_config` (the arguments it was made with), and is registered with Keras, so that a model's
    file tells which embedder it needs.
    """

    def __call__(self, l):
        """Computes the embeddings of photos.

        Photos are run one at a time: a vector then never depends on the photos beside it (a batch of another size
        rounds otherwise), and on a CPU large image networks gain nothing from batches.

        Args:
            l: (batch, height, width, 1) float, L in 0..100; any height and width.

        Returns:
            (batch, outputs) float32 NumPy array.

        Raises:
            ValueError: `l` has another shape.
        """
        l = keras.ops.convert_to_numpy(l)
        if l.ndim != 4 or l.shape[-1] != 1:
            raise ValueError(f"`l` must have shape (batch, height, width, 1); received {l.shape}.")
        vectors = [self.embed(gray_photo(plane[..., 0], self.size)[None]) for plane in l]
        return np.concatenate(vectors) if vectors else np.empty((0, self.outputs), "float32")

    @functools.cached_property
    def identity(self):
        """Says in 16 hexadecimal digits which numbers this embedder computes: its kind, its weights, its settings.

        Two embedders with the same identity give the same vectors, wherever their weights were loaded from.
        """
        parts = (type(self).__name__, _PREPARATION, self.size, self.outputs, self.weights_hash())
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable("rainbownet")
class InceptionResNetV2Embedder(Embedder):
    """InceptionResNetV2 with its classifier: 1000 numbers, one for each class of ImageNet.

    Frozen, and computed in float32 whatever the dtype policy is. Source: Szegedy et al., "Inception-v4,
    Inception-ResNet and the Impact of Residual Connections on Learning", AAAI 2017, as in `keras.applications`;
    55,873,736 parameters.

    Args:
        weights: `"imagenet"` (from Keras' cache, downloaded once where it is not there), the path of a weights file, or
            `None` for random numbers, which is for tests.
        activation: `"softmax"` for probabilities, `None` for logits.

    Raises:
        FileNotFoundError: `weights` is a path where no file is, or the ImageNet weights cannot be downloaded.
        ValueError: the file does not hold the weights of this network.
    """

    size = (299, 299)
    outputs = 1000

    def __init__(self, weights="imagenet", activation="softmax"):
        self.weights = weights if weights in ("imagenet", None) else os.fspath(weights)
        self.activation = activation
        if self.weights not in ("imagenet", None) and not Path(self.weights).is_file():
            raise FileNotFoundError(
                f"{self.weights} is no file: `weights` must be 'imagenet', the path of a weights file of "
                "InceptionResNetV2, or None."
            )
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy("float32")  # keras.applications knows no dtype argument
        try:
            self.network = self._build()
        finally:
            keras.config.set_dtype_policy(policy)
        self.network.trainable = False

    def _build(self):
        try:
            return keras.applications.InceptionResNetV2(weights=self.weights, classifier_activation=self.activation)
        except Exception as error:  # Keras raises a bare Exception where a download fails
            if self.weights == "imagenet" and not (_keras_models() / _INCEPTION_FILE).is_file():
                raise FileNotFoundError(
                    f"The ImageNet weights of InceptionResNetV2 could not be downloaded ({error}): put the file "
                    f"{_INCEPTION_FILE} (md5 {_INCEPTION_MD5}) into the folder {_keras_models()}, or give its path as "
                    "`weights`."
                ) from error
            if self.weights not in ("imagenet", None):
                raise ValueError(
                    f"{self.weights} does not hold the weights of InceptionResNetV2 with its classifier of 1000 "
                    f"classes ({' '.join(str(error).split())}); give a file that `save_weights` of that network wrote, "
                    f"or {_INCEPTION_FILE}."
                ) from error
            raise

    def embed(self, images):
        """Runs the network.

        Args:
            images: (batch, 299, 299, 3) float32 in 0..1.

        Returns:
            (batch, 1000) float32 NumPy array.
        """
        pixels = keras.applications.inception_resnet_v2.preprocess_input(images * 255)
        return self.network.predict_on_batch(pixels)

    def weights_hash(self):
        digest = hashlib.sha256(repr(self.activation).encode())
        for variable in self.network.variables:
            digest.update(keras.ops.convert_to_numpy(variable))
        return digest.hexdigest()

    def get_config(self):
        return {"weights": self.weights, "activation": self.activation}


@keras.saving.register_keras_serializable("rainbownet")
class EfficientNetLite0Embedder(Embedder):
    """EfficientNet-Lite0 with its classifier: 1000 probabilities, one for each class of ImageNet.

    Its weights ship with the package, so that it needs no download, and it takes a sixth of InceptionResNetV2's time.
    Frozen, and computed in float32 whatever the dtype policy is. See `rainbownet.models.efficientnet_lite`.

    Args:
        weights: .npz of its weights; `None` for the file that ships.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file does not hold the weights of this network.
    """

    size = (224, 224)
    outputs = 1000

    def __init__(self, weights=None):
        self.weights = None if weights is None else os.fspath(weights)
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy("float32")
        try:
            self.network = efficientnet_lite.efficientnet_lite0((*self.size, 1))
        finally:
            keras.config.set_dtype_policy(policy)
        efficientnet_lite.load_imagenet_weights(self.network, self.weights)
        self.network.trainable = False

    def embed(self, images):
        """Runs the network.

        Args:
            images: (batch, 224, 224, 3) float32 in 0..1, gray.

        Returns:
            (batch, 1000) float32 NumPy array.
        """
        # The network was trained on sRGB's levels; of its input it takes 100 for white.
        logits = self.network.predict_on_batch(100 * images[..., :1])
        return keras.ops.convert_to_numpy(keras.ops.softmax(logits))

    def weights_hash(self):
        digest = hashlib.sha256()
        for variable in self.network.variables:
            digest.update(keras.ops.convert_to_numpy(variable))
        return digest.hexdigest()

    def get_config(self):
        return {"weights": self.weights}


@keras.saving.register_keras_serializable("rainbownet")
class HubEmbedder(Embedder):
    """Any image module of TensorFlow Hub, or any SavedModel that takes images and gives a vector each.

    The module gets images in the form that all image modules of TensorFlow Hub take: (1, height, width, 3) float32 in
    0..1. Needs TensorFlow, with whatever backend Keras runs.

    Args:
        handle: folder of a SavedModel, or a handle that `tensorflow_hub.resolve` understands; a module from elsewhere
            is downloaded once, into the cache of tensorflow_hub.
        size: (height, width) of the images in pixels; `None` asks the module and takes 299x299 where it takes any.

    Raises:
        FileNotFoundError: there is no such folder, or the module cannot be downloaded.
        ValueError: the SavedModel takes something else than images or gives something else than a vector each.
    """

    def __init__(self, handle, size=None):
        import tensorflow as tf

        self.handle = os.fspath(handle)
        self.folder = _resolve(self.handle)
        try:
            self.module = tf.saved_model.load(self.folder)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{self.handle} cannot be loaded as a SavedModel ({' '.join(str(error).split())}); expected a folder "
                "with saved_model.pb and variables/."
            ) from error
        signatures = self.module.signatures
        self._signature = signatures.get("serving_default") or signatures.get("default")
        self.size = tuple(size or self._own_size() or (299, 299))
        vector = self.embed(np.zeros((1, *self.size, 3), "float32"))
        if vector.ndim != 2 or len(vector) != 1:
            raise ValueError(
                f"{self.handle} must give a vector for each image, shape (1, n) for one; it gives {vector.shape}."
            )
        self.outputs = vector.shape[1]

    def _own_size(self):
        """The (height, width) in the module's signature, or `None` where it names none."""
        if self._signature is None:
            return None
        inputs = list(self._signature.structured_input_signature[1].values())
        if len(inputs) != 1 or inputs[0].shape.rank not in (4, None):
            raise ValueError(
                f"{self.handle} must take one input, images of shape (batch, height, width, 3); it takes "
                f"{', '.join(str(spec) for spec in inputs)}."
            )
        size = tuple(inputs[0].shape[1:3]) if inputs[0].shape.rank else (None, None)
        return None if None in size else size

    def embed(self, images):
        """Runs the module.

        Args:
            images: (batch, *size, 3) float32 in 0..1.

        Returns:
            (batch, outputs) float32 NumPy array.
        """
        import tensorflow as tf

        images = tf.constant(images)
        if self._signature is None:
            vectors = self.module(images)
        else:
            (name,) = self._signature.structured_input_signature[1]
            vectors = self._signature(**{name: images})
        if isinstance(vectors, dict):
            # Old modules give their layers too; "default" is the vector by convention.
            vectors = vectors["default"] if "default" in vectors else next(iter(vectors.values()))
        return tf.cast(vectors, tf.float32).numpy()

    def weights_hash(self):
        digest = hashlib.sha256()
        for path in sorted(Path(self.folder).rglob("*")):
            if path.is_file():
                digest.update(path.relative_to(self.folder).as_posix().encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()

    def get_config(self):
        return {"handle": self.handle, "size": self.size}


def get(name):
    """Finds an embedder by what a command line can say.

    Args:
        name: "efficientnet_lite0", whose weights ship; "imagenet" or "random" for InceptionResNetV2 with these weights
            (random ones are for tests), the path of a weights file of it, or the folder or handle of a TensorFlow Hub
            image module.

    Returns:
        An `Embedder`.

    Raises:
        FileNotFoundError: there is no such file, folder or module.
        ValueError: it is none of these.
    """
    if name == "efficientnet_lite0":
        return EfficientNetLite0Embedder()
    if name in ("imagenet", "random"):
        return InceptionResNetV2Embedder("imagenet" if name == "imagenet" else None)
    return InceptionResNetV2Embedder(name) if Path(name).is_file() else HubEmbedder(name)


class EmbeddingCache:
    """Embeddings of photos on disk: each photo's vector is computed once, by the content of its file.

    All vectors of one embedder lie in one file of float32 records, so cached and fresh numbers are the same. Records
    are appended as they are computed: an interrupted pass keeps them, and a record that a crash cut short or garbled is
    noticed by its checksum and computed again. A photo that is renamed or moved keeps its vector, one that is changed
    gets a new one, and another embedder (other weights, other settings) has a file of its own.

    Args:
        folder: where the file lies, made when first written to; best beside the photos.
        embedder: the `Embedder`.
    """

    def __init__(self, folder, embedder):
        self.embedder = embedder
        self.path = Path(folder) / f"{type(embedder).__name__}-{embedder.identity}.vectors"
        self._record = np.dtype([("photo", "V32"), ("vector", "<f4", (embedder.outputs,)), ("checksum", "<u4")])
        self._vectors = self._read()

    def __len__(self):
        return len(self._vectors)

    def embed(self, photos, luminance, progress=True):
        """Gives the embeddings of photos, computing those that are not on disk.

        Args:
            photos: sequence of `rainbownet.data.PhotoFile` (anything with `read() -> bytes`).
            luminance: function from a photo's bytes to its (height, width, 1) float L in 0..100. It must always be the
                same one for a folder: a photo is known by its bytes alone.
            progress: whether to show a progress bar.

        Returns:
            (len(photos), outputs) float32 NumPy array, in the order of `photos`.

        Raises:
            ValueError: the folder cannot be written to.
        """
        vectors = np.empty((len(photos), self.embedder.outputs), "float32")
        for index, photo in enumerate(track(photos, "embedding photos", disable=not progress)):
            data = photo.read()
            key = hashlib.sha256(data).digest()
            if key not in self._vectors:
                self._append(key, self.embedder(luminance(data)[None])[0])
            vectors[index] = self._vectors[key]
        return vectors

    def _read(self):
        try:
            # Whole records only: a last one that was cut short is not read.
            records = np.fromfile(self.path, self._record)
        except FileNotFoundError:
            return {}
        return {
            record["photo"].tobytes(): record["vector"].copy()
            for record in records
            if record["checksum"] == _checksum(record["photo"].tobytes(), record["vector"])
        }

    def _append(self, key, vector):
        record = np.array((key, vector, _checksum(key, vector)), self._record)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab") as file:
                # A record cut short by a crash: go back to its beginning, or all after it would be out of step.
                file.truncate(file.tell() // self._record.itemsize * self._record.itemsize)
                file.write(record.tobytes())
        except OSError as error:
            raise ValueError(
                f"The embeddings cannot be kept in {self.path} ({error.strerror}); choose a folder that can be written "
                "to."
            ) from error
        self._vectors[key] = vector


def _checksum(key, vector):
    return zlib.crc32(np.ascontiguousarray(vector, "<f4"), zlib.crc32(key))


def _keras_models():
    """Where Keras looks for weights."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"


def _resolve(handle):
    """Gives the folder of a SavedModel, downloading it where the handle is not a folder of this machine."""
    if Path(handle).is_dir():
        return handle
    if "://" not in handle or Path(handle).is_file():
        raise FileNotFoundError(
            f"{handle} is no folder: a handle must be the folder of a SavedModel (unpack it where it is an archive) or "
            "the address of a TensorFlow Hub module."
        )
    import tensorflow_hub

    try:
        return tensorflow_hub.resolve(handle)
    except (OSError, ValueError, RuntimeError) as error:
        raise FileNotFoundError(
            f"The TensorFlow Hub module {handle} could not be downloaded ({error}): download it elsewhere and give the "
            "folder it unpacks to."
        ) from error

"""From photos to batches that a network trains on.

On the host photos are only decoded, shrunk, cropped and flipped. Colour conversion and bucketing run batch-wise as
one compiled function, on the GPU where there is one; the same code runs on the CPU where there is none.
"""

import functools
import math

import numpy as np
import tensorflow as tf
from PIL import Image

from rainbownet.data.photos import decode_rgb


def training_batches(
    photos, codec, size, batch, seed=0, start=0, embeddings=None, workers=2, shrink=1, frame="crop",
    labels=None,
):  # fmt: skip
    """Makes the endless stream of training batches.

    What stands at a place of the stream follows from the seed and the place alone: each pass over the photos is a new
    permutation, each crop and flip is drawn for itself. A stream that starts at a step is therefore the same as one
    that was read up to there, which is what resuming needs.

    Args:
        photos: list of `PhotoFile`.
        codec: the codec that makes input and target.
        size: side in pixels of the squares.
        batch: photos a batch.
        seed: of permutations, crops and flips.
        start: number of the first batch.
        embeddings: (photos, n) float32, the second input, or `None`.
        workers: photos decoded at the same time.
        shrink: how many times smaller than its input the network's output is.
        frame: how photos become squares, a key of `FRAMES`; what "crop" cuts out is drawn anew each time.
        labels: (photos,) int, the kind of each photo for a network that learns it too, or `None`.

    Returns:
        `tf.data.Dataset` of (input, target), where input is (batch, size, size, 1) of what the codec's networks see, or
        a dict of "l" with that and "embedding"; and target is the codec's, or a dict of "color" with that and "class".
    """
    count = len(photos)

    @functools.lru_cache(maxsize=2)
    def order(epoch):
        return np.random.default_rng((seed, epoch)).permutation(count)

    def load(place):
        epoch, position = divmod(int(place), count)
        index = order(epoch)[position]
        draw = np.random.default_rng((seed, epoch, position))
        data = photos[index].read()
        if frame == "crop":
            rgb = decode_rgb(data, size)
            top, left = draw.integers(0, np.array(rgb.shape[:2]) - size + 1)
            rgb = rgb[top : top + size, left : left + size]
        else:
            rgb = FRAMES[frame](data, size)
        return np.ascontiguousarray(rgb[:, ::-1] if draw.random() < 0.5 else rgb), np.int64(index)

    places = tf.data.Dataset.range(start * batch, np.iinfo(np.int64).max)
    data = _batches(places, load, codec, size, batch, embeddings, workers, shrink, labels)
    return data.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))


def validation_batches(
    photos, codec, size, batch, embeddings=None, workers=2, shrink=1, frame="crop",
    labels=None,
):  # fmt: skip
    """Makes one pass over photos in their order, cut to their middle square.

    Args:
        photos: list of `PhotoFile`.
        codec: the codec that makes input and target.
        size: side in pixels of the squares.
        batch: photos a batch; the last one may be smaller.
        embeddings: (photos, n) float32, the second input, or `None`.
        workers: photos decoded at the same time.
        shrink: how many times smaller than its input the network's output is.
        frame: how photos become squares, a key of `FRAMES`.
        labels: (photos,) int, the kind of each photo for a network that learns it too, or `None`.

    Returns:
        `tf.data.Dataset` as `training_batches` gives, but finite.
    """

    def load(place):
        return FRAMES[frame](photos[int(place)].read(), size), np.int64(place)

    data = _batches(tf.data.Dataset.range(len(photos)), load, codec, size, batch, embeddings, workers, shrink, labels)
    return data.apply(tf.data.experimental.assert_cardinality(math.ceil(len(photos) / batch)))


def middle_square(data, size):
    """Decodes a photo, shrinks (or enlarges) it to a short side of `size` and cuts out its middle square.

    Args:
        data: the photo's bytes.
        size: side in pixels.

    Returns:
        (size, size, 3) uint8.
    """
    rgb = decode_rgb(data, size)
    top, left = (np.array(rgb.shape[:2]) - size) // 2
    return np.ascontiguousarray(rgb[top : top + size, left : left + size])


def padded_square(data, size):
    """Decodes a photo, shrinks (or enlarges) it to a long side of `size` and fills it up to a square with white.

    Args:
        data: the photo's bytes.
        size: side in pixels.

    Returns:
        (size, size, 3) uint8, the photo in its middle.
    """
    rgb = decode_rgb(data, size)
    height, width = (max(1, round(side * size / max(rgb.shape[:2]))) for side in rgb.shape[:2])
    small = Image.fromarray(rgb).resize((width, height), Image.Resampling.HAMMING)
    square = np.full((size, size, 3), 255, "uint8")
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = small
    return square


FRAMES = {"crop": middle_square, "pad": padded_square}


def squares(photos, size, frame="crop", batch=64):
    """Reads photos one after the other, for what is counted over all of them.

    Args:
        photos: list of `PhotoFile`.
        size: side in pixels.
        frame: how photos become squares, a key of `FRAMES`.
        batch: photos at a time.

    Yields:
        (batch, size, size, 3) uint8; the last one may be smaller.
    """
    for start in range(0, len(photos), batch):
        yield np.stack([FRAMES[frame](photo.read(), size) for photo in photos[start : start + batch]])


def _averaged(rgb, factor):
    """Photos made smaller by a whole factor, still of uint8: the codec's fast path."""
    means = tf.nn.avg_pool2d(tf.cast(rgb, tf.float32), factor, factor, "VALID")
    return tf.cast(tf.round(means), tf.uint8)


def _batches(places, load, codec, size, batch, embeddings, workers, shrink, labels):
    codec.prepare()
    if embeddings is not None:
        embeddings = tf.constant(embeddings, tf.float32)
    if labels is not None:
        labels = tf.constant(labels, tf.int32)

    def load_shaped(place):
        rgb, index = tf.numpy_function(load, [place], (tf.uint8, tf.int64))
        return tf.ensure_shape(rgb, (size, size, 3)), tf.ensure_shape(index, ())

    @tf.function(jit_compile=True)
    def encode(rgb):
        l, target = codec.encode(rgb)
        return l, target if shrink == 1 else codec.encode(_averaged(rgb, shrink))[1]

    def encode_batch(rgb, index):
        l, target = encode(rgb)
        if embeddings is not None:
            l = {"l": l, "embedding": tf.gather(embeddings, index)}
        if labels is not None:
            target = {"color": target, "class": tf.gather(labels, index)}
        return l, target

    device = "/gpu:0" if tf.config.list_physical_devices("GPU") else "/cpu:0"
    # The next photos are decoded while a batch is encoded.
    data = places.map(load_shaped, num_parallel_calls=workers, deterministic=True).batch(batch).prefetch(1)
    data = data.apply(tf.data.experimental.copy_to_device(device))
    with tf.device(device):
        data = data.map(encode_batch).prefetch(2)
    # Autotuning makes an iterator that is not read to its end wait, for as long as it has lived, before it goes.
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)

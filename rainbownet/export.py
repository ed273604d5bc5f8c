"""Export: a model as a SavedModel that colours photos where this package is not installed.

What the colorizer does around the network, with the model's own settings, is in the graph too, in the same steps and
with the formulas of `color`.
"""

import functools
import os
import secrets
import shutil
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from rainbownet import color, upsampling
from rainbownet.colorizer import (
    HIGHEST_ENLARGEMENT,
    LARGEST_AREA,
    Colorizer,
    predict,
    stretched,
    tables,
    toned,
    tones,
)
from rainbownet.embedding import InceptionResNetV2Embedder

_STRIP = 1 << 18  # pixels that are converted at a time, which bounds the memory for large photos


def export(model, out, overwrite=False):
    """Writes a model as a SavedModel and measures how far it is from the `Colorizer`.

    It has two signatures, both for photos of any size, gray or in colour (they are made gray first):

    - `serving_default`: `image_bytes`, (batch,) strings, each a photo as JPEG, PNG, GIF, BMP or WebP, to
      `colorized_image_bytes`, (batch,) strings, each an 8-bit PNG of the same size. Of the file only the pixels are
      read: a photo that its EXIF orientation turns is coloured lying as it is stored.
    - `colorize`: `images`, (batch, height, width, 1 or 3) uint8, to `colorized`, (batch, height, width, 3) uint8.

    TensorFlow Serving looks for versions in the folder of a model: give it the folder above an `out` that is named by
    a number, such as `rainbownet/1`.

    Args:
        model: a `ColorModel`.
        out: folder of the SavedModel.
        overwrite: whether to replace a SavedModel that is there.

    Returns:
        Dict with the "largest" and the "mean" difference to the `Colorizer` on made-up photos, in 8-bit levels.

    Raises:
        FileExistsError: there is something at `out` already.
        ValueError: the model needs an embedding that the graph cannot compute, or `out` cannot be written to.
    """
    out = Path(out)
    replaces = out.exists() and not (out.is_dir() and not any(out.iterdir()))
    if replaces and not overwrite:
        raise FileExistsError(f"{out} exists already; choose another folder, or ask for it to be overwritten.")
    if replaces and not (out / "saved_model.pb").is_file():
        raise FileExistsError(f"{out} exists and is no SavedModel, so it is not overwritten; choose another folder.")
    temporary, old = (out.absolute().parent / f".{out.name}.{secrets.token_hex(6)}" for _ in range(2))
    archive = keras.export.ExportArchive()
    graph = _Graph(model)
    for network in graph.networks:
        archive.track(network)
    specs = {
        "serving_default": (graph.color_bytes, tf.TensorSpec([None], tf.string, "image_bytes")),
        "colorize": (graph.color_images, tf.TensorSpec([None, None, None, None], tf.uint8, "images")),
    }
    for name, (function, spec) in specs.items():
        archive.add_endpoint(name, function, [spec])
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        archive.write_out(str(temporary), verbose=False)
        difference = _difference(model, temporary)
        if replaces:
            os.replace(out, old)
        os.replace(temporary, out)
    except (OSError, tf.errors.OpError) as error:
        raise ValueError(f"{out} cannot be written ({error}); choose a folder that can be written to.") from error
    finally:
        if old.exists() and not out.exists():
            os.replace(old, out)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return difference


class _Graph:
    """The functions that are traced into the SavedModel."""

    def __init__(self, model):
        self.model = model
        self.settings = Colorizer(model).settings
        # As the colorizer: a photo that has its new points is not stretched once more for the network.
        self.seen = self.settings.but(stretch="none") if self.settings.stretch == "photo" else self.settings
        self.enlarge = upsampling.JointBilateralUpsampling(dtype="float32")
        self.networks = [model.network]
        self.table = tables(np.dtype("uint8"))
        if model.needs_embedding:
            if not isinstance(model.embedder, InceptionResNetV2Embedder):
                raise ValueError(
                    f"This model takes an embedding by {type(model.embedder).__name__}, which cannot be exported with "
                    "it; models without an embedding, or with InceptionResNetV2's, can."
                )
            self.networks.append(model.embedder.network)

    def color_bytes(self, image_bytes):
        def one(data):
            # Without `channels`, an animated WebP corrupts memory; with it, such a file is refused.
            image = tf.io.decode_image(data, channels=3, expand_animations=False)
            image.set_shape([None, None, 3])
            return tf.io.encode_png(self._color(image[None])[0])

        return {"colorized_image_bytes": tf.map_fn(one, image_bytes, fn_output_signature=tf.string)}

    def color_images(self, images):
        # One channel becomes three; any other number is an error here.
        rgb = tf.broadcast_to(images, tf.concat([tf.shape(images)[:3], [3]], 0))
        return {"colorized": self._color(tf.ensure_shape(rgb, [None, None, None, 3]))}

    def _color(self, images):
        """(batch, height, width, 3) uint8 to the same in colour."""

        def luminance(image):
            return _in_strips(lambda rows: self._luminance(tf.gather(image, rows)), image, 1, tf.float32)

        l = tf.map_fn(luminance, images, fn_output_signature=tf.TensorSpec([None, None, 1], tf.float32))
        if self.settings.stretch == "photo":
            black, white = tones(self._see(l, *self._frame(tf.shape(l)[1:3])))
            l = tf.map_fn(self._restored, (l, black[..., 0], white[..., 0]), fn_output_signature=l.dtype)
            l = tf.ensure_shape(l, [None, None, None, 1])
        outer = tf.shape(l)[1:3]
        ab, low, ratios = self._predict(l, outer)

        def join(planes):
            l, ab, low = planes
            columns = upsampling.places(outer[1], ratios[1], tf.shape(ab)[1])
            places = upsampling.places(outer[0], ratios[0], tf.shape(ab)[0])

            def strip(rows):
                some = tf.gather(l, rows)
                chroma = self.enlarge(
                    ab[None], low[None], some[None], [tf.gather(place, rows) for place in places], columns
                )
                return _rgb(tf.concat([some, chroma[0]], axis=-1))

            return _in_strips(strip, l, 3, tf.uint8)

        return tf.map_fn(join, (l, ab, low), fn_output_signature=tf.TensorSpec([None, None, 3], tf.uint8))

    def _luminance(self, rgb):
        """L of the gray copy of a photo, as the colorizer's `gray_copy`: (rows, width, 3) uint8 to (rows, width, 1)."""
        weights = color.XYZ_FROM_RGB[1][:, None].astype("float32")
        return self._rounded(tf.minimum(tf.matmul(tf.gather(self.table.y, tf.cast(rgb, tf.int32)), weights), 1))

    def _rounded(self, y):
        """L of the 8-bit gray nearest to linear light of 0..1."""
        gray = tf.gather(self.table.levels, tf.cast(y * 65535 + 0.5, tf.int32))
        return tf.gather(self.table.l, tf.cast(gray, tf.int32))

    def _restored(self, planes):
        """L of a photo, (height, width, 1), with a new black and white point, as the colorizer's."""
        l, black, white = planes

        def strip(rows):
            new = stretched(tf.gather(l, rows), black, white)
            return self._rounded(tf.clip_by_value(color.lab_to_linear_rgb(tf.pad(new, [[0, 0], [0, 0], [0, 2]])), 0, 1))

        return _in_strips(lambda rows: strip(rows)[..., 1:2], l, 1, tf.float32)

    def _frame(self, outer, scale=1.0):
        """`Frame.of` in the graph: (height, width) of the photo in the network's input, and of that input."""
        sides = tf.cast(outer, tf.float64)
        ratios = tf.constant(self.model.size, tf.float64) / sides
        if self.model.fixed_size:
            scale = tf.reduce_min(ratios)
        else:
            covering = tf.minimum(tf.reduce_max(ratios), tf.sqrt(LARGEST_AREA * tf.reduce_prod(ratios)))
            larger = scale * covering
            if scale > 1:
                larger = tf.maximum(covering, tf.minimum(larger, 1.0))
            scale = tf.minimum(larger, HIGHEST_ENLARGEMENT)
        inner = tf.maximum(tf.round(sides * scale), 1)
        steps = tf.constant(self.model.size if self.model.fixed_size else self.model.stride, tf.float64)
        return inner, tf.math.ceil(inner / steps) * steps

    def _predict(self, l, outer):
        """Chroma, L at its size, and how many of its pixels lie in one of the photo; as the colorizer's `_combined`."""
        first, *larger = sorted(set(self.settings.scales))
        views, seen, count = self._view(l, outer, first), self._frame(outer, first)[0], tf.constant(1.0)
        for scale in [] if self.model.fixed_size else larger:
            inner = self._frame(outer, scale)[0]
            differs = tf.reduce_any(inner != seen)
            add = functools.partial(self._mean, count, views, l, outer, scale)
            views = tf.cond(differs, add, functools.partial(tuple, views))
            seen, count = inner, count + tf.cast(differs, tf.float32)
        ab, low, ratios = views
        return toned(ab, self.settings), low, ratios

    def _mean(self, count, views, l, outer, scale):
        """Takes what the network says at one more scale into the mean."""
        mean, low, ratios = views
        ab, next_low, next_ratios = self._view(l, outer, scale)
        small, large = tf.shape(mean)[1:3], tf.shape(ab)[1:3]
        places = [upsampling.places(large[i], ratios[i] / next_ratios[i], small[i]) for i in (0, 1)]
        return (count * self.enlarge(mean, low, next_low, *places) + ab) / (count + 1), next_low, next_ratios

    def _view(self, l, outer, scale):
        """What the network says at one scale."""
        inner, padded = self._frame(outer, scale)
        small = self._see(l, inner, padded)
        ab = predict(self.model, small, self.seen, self._embed(l) if self.model.needs_embedding else None)
        low = tf.image.resize(small, tf.shape(ab)[1:3], "area")
        return ab, low, inner / tf.cast(outer, tf.float64) * (tf.cast(tf.shape(ab)[1:3], tf.float64) / padded)

    def _see(self, l, inner, padded):
        """The network's input, as the colorizer's `Frame.shrink`."""
        size, padded = tf.cast(inner, tf.int32), tf.cast(padded, tf.int32)
        small = tf.cond(
            tf.reduce_all(size <= tf.shape(l)[1:3]),
            lambda: tf.image.resize(l, size, "area"),
            lambda: tf.image.resize(l, size, "bilinear"),
        )
        for axis in (1, 2):
            place = tf.range(padded[axis - 1]) % (2 * size[axis - 1])
            small = tf.gather(small, tf.minimum(place, 2 * size[axis - 1] - 1 - place), axis=axis)
        sides = self.model.size if self.model.fixed_size else (None, None)
        return tf.ensure_shape(small, [None, *sides, 1])

    def _embed(self, l):
        """What the embedder does, without Pillow."""
        embedder = self.model.embedder
        small = tf.clip_by_value(tf.image.resize(l, embedder.size, antialias=True), 0, 100)
        green = color.lab_to_rgb(tf.pad(small, [[0, 0], [0, 0], [0, 0], [0, 2]]))[..., 1:2]
        pixels = keras.applications.inception_resnet_v2.preprocess_input(tf.repeat(green, 3, axis=-1) * 255)
        return embedder.network(pixels, training=False)


def _rgb(lab):
    """Lab to uint8. Only what sRGB cannot show is fitted to it, as that takes ten times as long as all the rest."""
    beyond = tf.logical_not(color.in_gamut(lab))
    lab = tf.tensor_scatter_nd_update(lab, tf.where(beyond), color.fit_to_gamut(tf.boolean_mask(lab, beyond)))
    linear = tf.clip_by_value(color.lab_to_linear_rgb(lab), 0, 1)
    return tf.cast(tf.round(color.linear_to_rgb(linear) * 255), tf.uint8)


def _in_strips(function, plane, channels, dtype):
    """Calls `function` with the indices of some rows of `plane` after the other, and joins what it gives.

    Args:
        function: from row indices, (n,), to (n, width, channels).
        plane: (height, width, ...).
        channels: of the result.
        dtype: of the result.

    Returns:
        (height, width, channels) of `dtype`.
    """
    height, width = tf.shape(plane)[0], tf.shape(plane)[1]
    n = tf.clip_by_value(_STRIP // width, 1, height)
    starts = tf.range(0, height, n)
    # The last strip is filled up with the last row: strips of one size can be stacked.
    strips = tf.map_fn(
        lambda start: function(tf.minimum(tf.range(start, start + n), height - 1)),
        starts,
        fn_output_signature=tf.TensorSpec([None, None, channels], dtype),
        parallel_iterations=2,
    )
    return tf.reshape(strips, [-1, width, channels])[:height]


def _difference(model, folder):
    """Colors made-up photos with the SavedModel and with the `Colorizer`; gives "largest" and "mean", in levels."""
    served, colorizer = tf.saved_model.load(str(folder)), Colorizer(model)
    random = np.random.default_rng(0)
    differences = []
    for height, width, channels in ((150, 100, 1), (96, 301, 3), (9, 12, 3)):
        coarse = random.integers(0, 256, (1, 4, 6, channels)).astype("float32")
        photo = tf.cast(tf.image.resize(coarse, (height, width)), tf.uint8).numpy()[0]
        expected = colorizer(photo).astype("float32")
        image = served.signatures["colorize"](images=photo[None])["colorized"][0]
        data = served.signatures["serving_default"](image_bytes=tf.io.encode_png(photo)[None])
        from_bytes = tf.io.decode_png(data["colorized_image_bytes"][0], channels=3)
        differences += [np.abs(np.asarray(result) - expected).ravel() for result in (image, from_bytes)]
    differences = np.concatenate(differences)
    return {"largest": float(differences.max()), "mean": float(differences.mean())}

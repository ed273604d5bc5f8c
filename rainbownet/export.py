"""Export: a model as a SavedModel that colours photos where this package is not installed.

What the colorizer does around the network is in the graph too, in the same steps and with the formulas of `color`.
"""

import os
import secrets
import shutil
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from rainbownet import color
from rainbownet.colorizer import LARGEST_AREA, Colorizer, tables
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
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return difference


class _Graph:
    """The functions that are traced into the SavedModel."""

    def __init__(self, model):
        self.model = model
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
        outer = tf.shape(l)[1:3]
        inner, padded = self._frame(outer)
        ab = self._predict(l, inner, padded)
        reach = tf.cast(tf.shape(ab)[1:3], tf.float64) * (inner / padded)

        def join(planes):
            l, ab = planes
            columns = _places(outer[1], reach[1], tf.shape(ab)[1])
            ab = tf.transpose(_between(tf.transpose(ab, [1, 0, 2]), tf.range(outer[1]), columns), [1, 0, 2])
            places = _places(outer[0], reach[0], tf.shape(ab)[0])

            def strip(rows):
                return _rgb(tf.concat([tf.gather(l, rows), _between(ab, rows, places)], axis=-1))

            return _in_strips(strip, l, 3, tf.uint8)

        return tf.map_fn(join, (l, ab), fn_output_signature=tf.TensorSpec([None, None, 3], tf.uint8))

    def _luminance(self, rgb):
        """L of the gray copy of a photo, as the colorizer's `gray_copy`: (rows, width, 3) uint8 to (rows, width, 1)."""
        weights = color.XYZ_FROM_RGB[1][:, None].astype("float32")
        y = tf.minimum(tf.matmul(tf.gather(self.table.y, tf.cast(rgb, tf.int32)), weights), 1)
        gray = tf.gather(self.table.levels, tf.cast(y * 65535 + 0.5, tf.int32))
        return tf.gather(self.table.l, tf.cast(gray, tf.int32))

    def _frame(self, outer):
        """`Frame.of` in the graph: (height, width) of the photo in the network's input, and of that input."""
        sides = tf.cast(outer, tf.float64)
        ratios = tf.constant(self.model.size, tf.float64) / sides
        if self.model.fixed_size:
            scale = tf.reduce_min(ratios)
        else:
            scale = tf.minimum(tf.reduce_max(ratios), tf.sqrt(LARGEST_AREA * tf.reduce_prod(ratios)))
        inner = tf.maximum(tf.round(sides * scale), 1)
        steps = tf.constant(self.model.size if self.model.fixed_size else self.model.stride, tf.float64)
        return inner, tf.math.ceil(inner / steps) * steps

    def _predict(self, l, inner, padded):
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
        small = tf.ensure_shape(small, [None, *sides, 1])
        return self.model.predict_chroma(small, self._embed(l) if self.model.needs_embedding else None)

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


def _places(outer, reach, output):
    """`_places` of the colorizer in the graph; `reach` is how much of `output` the photo covers."""
    place = (tf.range(tf.cast(outer, tf.float64)) + 0.5) * (reach / tf.cast(outer, tf.float64)) - 0.5
    before = tf.floor(place)
    share = tf.cast(place - before, tf.float32)
    before = tf.cast(before, tf.int32)
    return tf.maximum(before, 0), tf.minimum(before + 1, output - 1), share


def _between(plane, rows, places):
    """Rows of a plane enlarged by linear interpolation."""
    before, after, share = (tf.gather(place, rows) for place in places)
    share = share[:, None, None]
    return tf.gather(plane, before) * (1 - share) + tf.gather(plane, after) * share


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

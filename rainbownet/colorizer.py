"""The colorizer: a photo in, a colour photo out.

The photo keeps its own luminance at its own size; only chroma is predicted, at the network's size, and enlarged. What
is done for each pixel of the full-size photo is NumPy on strips of rows, in threads: memory stays bounded and a strip
stays in the processor's cache. Its formulas are those of `color`, looked up in tables or written for single planes,
because `keras.ops` takes five to ten times as long for them on a processor (the tests hold the two together).
"""

import dataclasses
import functools
import math
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from keras import ops
from PIL import Image, ImageOps

from rainbownet import color, presets
from rainbownet.data import photos

_STRIP = 1 << 17  # pixels: a dozen float planes of a strip still fit the caches
LARGEST_AREA = 3  # how many times the area of the training size a long photo may take in the network
_BATCH = 16  # photos in one call of the network
# As in `color`: how far linear RGB may leave 0..1, and bisections of the chroma (here to 1/256 of it).
_BELOW, _ABOVE = np.float32(-1e-4), np.float32(1 + 1e-3)
_GAMUT_STEPS = 8


class Colorizer:
    """Colours photos with a model.

    ```python
    colorizer = Colorizer.load("rainbownet_plain")
    picture = colorizer("grandmother.jpg")  # (height, width, 3) uint8
    ```

    Args:
        model: a `ColorModel`.
        name: what the model is called where a photo tells how it was coloured; default, the model's own name.
    """

    def __init__(self, model, name=None):
        self.model = model
        self.name = name or model.name

    @classmethod
    def load(cls, path_or_preset=presets.DEFAULT):
        """Loads a model by the name of a preset or by path.

        Args:
            path_or_preset: name of a preset, folder of a preset, `.keras` file or folder of a training run.

        Returns:
            A `Colorizer`.

        Raises:
            FileNotFoundError: there is nothing of that name.
            ValueError: it is no model that colours photos.
        """
        path = presets.resolve(path_or_preset)
        # A training run calls all its models alike: what tells them apart is the folder.
        name = path.name if path.is_dir() else f"{path.absolute().parent.name}/{path.name}"
        return cls(presets.load(path), name)

    @classmethod
    def from_preset(cls, name):
        """Loads a model that ships with the package.

        Args:
            name: one of `presets.names()`.

        Returns:
            A `Colorizer`.

        Raises:
            FileNotFoundError: no preset has that name.
        """
        return cls(presets.load_preset(presets.path(name)), name)

    def __call__(self, photo, temperature=None, saturation=1.0):
        """Colors a photo, or a list of photos of any sizes.

        A photo that has colours already, sepia tones included, is made gray first.

        Args:
            photo: a path, a PIL image or an array: (height, width), (height, width, 1) or (height, width, 3), uint8,
                uint16 or float in 0..1. A list of these, or an array (batch, height, width, 1 or 3), is a batch.
            temperature: 0 takes the most likely colour of each place, 1 the mean of all, which is paler; `None` takes
                the model's own.
            saturation: factor on the chroma: 0 gives the gray photo.

        Returns:
            For a path or an array, (height, width, 3) sRGB, uint16 for 16-bit photos and uint8 for all others; for a
            PIL image a PIL image, with the transparency of the original; for a list a list, for a batch a batch.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the photo cannot be read or is none, or a dial is out of range.
            MemoryError: the photo, or the network's work on it, does not fit into memory.
        """
        _check_dials(temperature=temperature, saturation=saturation)
        if isinstance(photo, (list, tuple)):
            return self._color(photo, temperature, saturation)
        if getattr(photo, "ndim", None) == 4:
            return np.stack(self._color(list(photo), temperature, saturation))
        return self._color([photo], temperature, saturation)[0]

    def chroma(self, l, temperature=None):
        """Predicts the chroma of photos from their luminance, as it is joined with it in a colour photo.

        What is measured is then what is seen, but for colours that sRGB cannot show: these are moved toward gray last.

        Args:
            l: list of (height, width) float, L in 0..100, of any sizes.
            temperature: see `__call__`.

        Returns:
            List of (height, width, 2) float32, ab in Lab units, at the sizes of `l`.

        Raises:
            ValueError: the temperature is out of range.
            MemoryError: the network's work does not fit into memory.
        """
        _check_dials(temperature=temperature)
        planes = [np.asarray(plane, "float32") for plane in l]
        results = []
        for plane, (ab, frame) in zip(planes, self._predict_all(planes, temperature), strict=True):
            result = np.empty((*plane.shape, 2), "float32")
            rows = _enlarged(ab, frame)

            def work(start, stop, result=result, rows=rows):
                result[start:stop] = np.moveaxis(rows(start, stop), 0, -1)

            _in_strips(work, *plane.shape)
            results.append(result)
        return results

    def _color(self, batch, temperature, saturation):
        opened = [_open(photo) for photo in batch]
        predicted = self._predict_all([gray for gray, _ in opened], temperature)
        return [
            _answer(*source, ab * np.float32(saturation), frame)
            for source, (ab, frame) in zip(opened, predicted, strict=True)
        ]

    def _predict_all(self, planes, temperature):
        """Gives for each plane, gray levels or float L, the network's chroma, (h, w, 2), and the `Frame`."""
        frames = [Frame.of(self.model, *plane.shape) for plane in planes]
        groups = {}
        for index, frame in enumerate(frames):
            groups.setdefault(frame.padded, []).append(index)
        chroma = [None] * len(planes)
        for members in groups.values():
            for start in range(0, len(members), _BATCH):
                part = members[start : start + _BATCH]
                predicted = self._predict([planes[i] for i in part], [frames[i] for i in part], temperature)
                for index, ab in zip(part, predicted, strict=True):
                    chroma[index] = ab
        return list(zip(chroma, frames, strict=True))

    def _predict(self, planes, frames, temperature):
        """Gives (batch, h, w, 2), ab in Lab units, at the size of the network's output."""
        try:
            l = np.stack([frame.shrink(plane) for plane, frame in zip(planes, frames, strict=True)])
            embedding = None
            if self.model.needs_embedding:
                whole = (plane if (table := _l_table(plane)) is None else table[plane] for plane in planes)
                embedding = np.concatenate([self.model.embedder(plane[None, ..., None]) for plane in whole])
            return ops.convert_to_numpy(self.model.predict_chroma(l, embedding, temperature))
        except Exception as error:
            # ResourceExhaustedError in TensorFlow, RESOURCE_EXHAUSTED in JAX; the colorizer imports neither.
            said = f"{type(error).__name__} {error}"[:99].replace("_", "").lower()
            if not isinstance(error, MemoryError) and "resourceexhausted" not in said:
                raise
            height, width = frames[0].padded
            raise MemoryError(
                f"Memory ran out in the network, on {len(planes)} photo(s) at {width} x {height} pixels; close other "
                "programs or color fewer photos at once."
            ) from error


@dataclasses.dataclass(frozen=True)
class Frame:
    """How a photo lies in the network's input: shrunk (or, where it is small, enlarged) to `inner`, at the top left.

    Args:
        outer: (height, width) of the photo.
        inner: (height, width) of the photo in the network's input.
        padded: (height, width) of the network's input; beyond `inner` the photo goes on as in a mirror.
    """

    outer: tuple[int, int]
    inner: tuple[int, int]
    padded: tuple[int, int]

    @classmethod
    def of(cls, model, height, width):
        """Chooses the sizes for a photo: it just covers the crops that the model was trained on.

        Photos longer than 3 to 1 are made smaller, to three times the area that the model was trained at, so that a
        panorama needs no more memory than others. A network of fixed size gets the whole photo with the padding.

        Args:
            model: the `ColorModel`.
            height: of the photo, in pixels.
            width: of the photo, in pixels.

        Returns:
            A `Frame`.
        """
        ratios = [side / outer for side, outer in zip(model.size, (height, width), strict=True)]
        covering = min(max(ratios), math.sqrt(LARGEST_AREA * math.prod(ratios)))
        scale = min(ratios) if model.fixed_size else covering
        inner = tuple(max(1, round(side * scale)) for side in (height, width))
        steps = model.size if model.fixed_size else (model.stride, model.stride)
        padded = tuple(math.ceil(side / step) * step for side, step in zip(inner, steps, strict=True))
        return cls((height, width), inner, padded)

    def shrink(self, plane):
        """Makes the network's input.

        Args:
            plane: (height, width), gray levels as uint8 or uint16, or L in 0..100 as float.

        Returns:
            (*padded, 1) float32, L in 0..100.
        """
        l = _resize_rows(plane, self.inner[0], _l_table(plane))
        l = _resize_rows(l.T, self.inner[1]).T
        rows, columns = (_mirror(*sides) for sides in zip(self.inner, self.padded, strict=True))
        return l[rows][:, columns][..., None]


@dataclasses.dataclass(frozen=True)
class Tables:
    """What `color` gives for every level of gray of one depth.

    Args:
        l: (levels,) float32, L in 0..100.
        y: (levels,) float32 in 0..1, linear light.
        levels: (65536,) uint8, the level for each step of linear light from 0 to 1; `None` for 16 bits.
    """

    l: np.ndarray
    y: np.ndarray
    levels: np.ndarray | None

    def encode(self, linear):
        """Gives the levels for linear light, float32 in 0..1."""
        if self.levels is None:
            return np.round(65535 * ops.convert_to_numpy(color.linear_to_rgb(linear))).astype("uint16")
        return self.levels.take((linear * np.float32(65535) + np.float32(0.5)).astype("intp"))


@functools.cache
def tables(dtype):
    """Computes the `Tables` of a depth.

    Args:
        dtype: NumPy's type uint8 or uint16.
    """
    top = np.iinfo(dtype).max
    gray = np.repeat(np.linspace(0, 1, top + 1, dtype="float32")[:, None], 3, axis=1)
    l = ops.convert_to_numpy(color.luminance(gray))[:, 0]
    levels = None
    if top == 255:
        # 20 steps of linear light to an 8-bit level where the levels are closest.
        linear = np.linspace(0, 1, 65536, dtype="float32")
        levels = np.round(255 * ops.convert_to_numpy(color.linear_to_rgb(linear))).astype("uint8")
    return Tables(l, _f_inverse((l + 16) / 116), levels)


def _l_table(plane):
    """What to look L up in by the values of a plane: `None` where they are L already."""
    return None if plane.dtype.kind == "f" else tables(plane.dtype).l


def _check_dials(**dials):
    for name, value in dials.items():
        if value is not None and not 0 <= value < math.inf:
            raise ValueError(f"`{name}` must be a number from 0 up; received {value}.")


def _open(photo):
    """Gives the gray plane of a photo, and a function that makes the answer's kind of an (h, w, 3) array."""
    if isinstance(photo, (str, os.PathLike)):
        return gray_copy(photos.read_photo(photo).rgb), lambda rgb: rgb
    if isinstance(photo, Image.Image):
        photo = ImageOps.exif_transpose(photo)
        alpha = photo.convert("RGBA").getchannel("A") if photo.has_transparency_data else None
        pixels = np.asarray(photo if photo.mode.startswith("I;16") else photo.convert("RGB"))
        return gray_copy(pixels), lambda rgb: _image(rgb, alpha)
    pixels = np.asarray(photo)
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    if 0 in pixels.shape or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[-1] == 3)):
        raise ValueError(
            "A photo has the shape (height, width), (height, width, 1) or (height, width, 3); received an array of "
            f"shape {pixels.shape}."
        )
    if pixels.dtype.kind == "f":
        # "not" and "all" in this way, so that NaN is refused too.
        if not np.all((pixels >= 0) & (pixels <= 1)):
            raise ValueError("A float photo has values in 0..1; received others: divide by 255, or pass uint8.")
        return gray_copy(np.round(pixels * 65535).astype("uint16")), lambda rgb: np.round(rgb / 257).astype("uint8")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"A photo is uint8, uint16 or float in 0..1; received {pixels.dtype}.")
    return gray_copy(pixels), lambda rgb: rgb


def _image(rgb, alpha):
    """An (h, w, 3) array as a PIL image, which has no 16-bit colours."""
    image = Image.fromarray(rgb if rgb.dtype == np.uint8 else np.round(rgb / 257).astype("uint8"))
    if alpha is not None:
        image.putalpha(alpha)
    return image


def gray_copy(pixels):
    """The black-and-white copy of a photo, at its own depth: each pixel's L becomes the gray of this L."""
    if pixels.ndim == 2:
        return pixels
    table = tables(pixels.dtype)
    weights = color.XYZ_FROM_RGB[1].astype("float32")
    gray = np.empty(pixels.shape[:2], pixels.dtype)

    def work(start, stop):
        r, g, b = (np.ascontiguousarray(pixels[start:stop, :, i]) for i in range(3))
        if np.array_equal(r, g) and np.array_equal(g, b):
            gray[start:stop] = r
        else:
            y = weights[0] * table.y.take(r) + weights[1] * table.y.take(g) + weights[2] * table.y.take(b)
            gray[start:stop] = table.encode(np.minimum(y, 1, out=y))

    _in_strips(work, *gray.shape)
    return gray


def _answer(gray, kind, ab, frame):
    try:
        return kind(_join(gray, ab, frame))
    except MemoryError as error:
        raise MemoryError(
            f"Memory ran out on a photo of {gray.shape[1]} x {gray.shape[0]} pixels; close other programs or color a "
            "smaller copy of it."
        ) from error


def _join(gray, ab, frame):
    """Joins a photo's luminance and its chroma.

    Args:
        gray: (height, width) uint8 or uint16.
        ab: (h, w, 2) float32, Lab units, over all of `frame.padded`.
        frame: the `Frame`.

    Returns:
        (height, width, 3), sRGB, of the type of `gray`.
    """
    rgb = np.empty((*gray.shape, 3), gray.dtype)
    if not ab.any():
        rgb[:] = gray[..., None]
        return rgb
    table = tables(gray.dtype)
    chroma = _enlarged(ab, frame)

    def work(start, stop):
        a, b = chroma(start, stop)
        levels = gray[start:stop].ravel().astype("intp")  # what `take` would convert it to, each time
        lab = (table.l.take(levels), a.ravel(), b.ravel(), table.y.take(levels))
        linear = _linear_from_lab(*lab)
        beyond = np.flatnonzero(_beyond_gamut(linear))
        if len(beyond):
            fitted = _linear_from_lab(*_fit_to_gamut(*(plane.take(beyond) for plane in lab)))
            for channel, values in zip(linear, fitted, strict=True):
                channel[beyond] = values
        pixels = rgb[start:stop].reshape(-1, 3)
        for i, channel in enumerate(linear):
            pixels[:, i] = table.encode(np.clip(channel, 0, 1, out=channel))

    _in_strips(work, *gray.shape)
    return rgb


def _enlarged(ab, frame):
    """Enlarges the network's chroma to the photo's size by linear interpolation.

    Args:
        ab: (h, w, 2) float32, over all of `frame.padded`.
        frame: the `Frame`.

    Returns:
        A function from the first row and the last, exclusive, to (2, rows, width) float32.
    """
    above, below, share = _places(frame.outer[1], frame.inner[1], frame.padded[1], ab.shape[1])
    # (2, h, width): chroma is enlarged along the rows once, and down the columns strip by strip.
    left, right = (np.moveaxis(ab, -1, 0).take(columns, axis=-1) for columns in (above, below))
    ab = left + (right - left) * share
    above, below, share = _places(frame.outer[0], frame.inner[0], frame.padded[0], ab.shape[1])

    def rows(start, stop):
        upper, lower = (ab.take(places[start:stop], axis=1) for places in (above, below))
        return upper + (lower - upper) * share[start:stop, None]

    return rows


def _linear_from_lab(l, a, b, y):
    """`color.lab_to_linear_rgb` on planes, `y` being the linear light of `l`; gives the three planes of linear RGB."""
    fy = (l + np.float32(16)) * np.float32(1 / 116)
    x = _f_inverse(fy + a * np.float32(1 / 500))
    z = _f_inverse(fy - b * np.float32(1 / 200))
    matrix = (color.RGB_FROM_XYZ * color.WHITE_D65).astype("float32")
    return [row[0] * x + row[1] * y + row[2] * z for row in matrix]


def _f_inverse(t):
    """The third power, and below 6/29 its tangent there (CIE 15:2004): the same as `color`'s, without a branch."""
    bright = np.maximum(t, np.float32(6 / 29))
    return bright * bright * bright + np.minimum(t - np.float32(6 / 29), 0) * np.float32(3 * (6 / 29) ** 2)


def _beyond_gamut(linear):
    lowest = np.minimum(np.minimum(linear[0], linear[1]), linear[2])
    highest = np.maximum(np.maximum(linear[0], linear[1]), linear[2])
    return (lowest < _BELOW) | (highest > _ABOVE)


def _fit_to_gamut(l, a, b, y):
    """`color.fit_to_gamut` on planes of colours that are all beyond it."""
    kept = np.full_like(l, 0.5)
    step = np.float32(0.25)
    for _ in range(_GAMUT_STEPS):
        kept += np.where(_beyond_gamut(_linear_from_lab(l, kept * a, kept * b, y)), -step, step)
        step /= 2
    kept -= 2 * step  # the border is less than this away, on either side
    return l, kept * a, kept * b, y


def _in_strips(work, height, width):
    """Calls `work(start, stop)` for strips of rows, in as many threads as there are processors."""
    rows = min(256, max(1, _STRIP // width))
    starts = range(0, height, rows)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda start: work(start, min(start + rows, height)), starts):
            pass  # asks for each result, so that an error in a thread is raised here


def _resize_rows(plane, size, table=None):
    """Shrinks a plane to `size` rows by area, or enlarges it by linear interpolation.

    Args:
        plane: (height, width).
        size: rows of the result.
        table: looked up by the values of the plane first, a strip at a time.

    Returns:
        (size, width) float32.
    """
    height, width = plane.shape
    if size > height:
        plane = plane if table is None else table[plane]
        above, below, share = _places(size, height, height, height)
        return plane[above] * (1 - share[:, None]) + plane[below] * share[:, None]
    result = np.zeros((size, width), "float32")
    # Narrow planes too are taken in short strips: the weights grow with the square of a strip's height.
    rows, scale = min(256, max(1, _STRIP // width)), size / height
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        first, last = math.floor(start * scale), min(math.ceil(stop * scale), size)
        inputs, outputs = np.arange(start, stop), np.arange(first, last)[:, None]
        # How much of each row of the result each row of the strip covers.
        weights = np.minimum(outputs + 1, (inputs + 1) * scale) - np.maximum(outputs, inputs * scale)
        strip = plane[start:stop] if table is None else table.take(plane[start:stop])
        result[first:last] += np.maximum(weights, 0).astype("float32") @ strip
    return result


def _places(outer, inner, padded, output):
    """Where a photo's pixels lie in the network's output along one axis: between two pixels of it.

    Args:
        outer: pixels of the photo.
        inner: pixels of the photo in the network's input.
        padded: pixels of the network's input.
        output: pixels of the network's output.

    Returns:
        Tuple of the pixel before and the pixel after, (outer,) int, and the share of the pixel after, (outer,) float32.
    """
    place = (np.arange(outer) + 0.5) * (inner / outer) * (output / padded) - 0.5
    before = np.floor(place).astype("int64")
    share = (place - before).astype("float32")
    return np.maximum(before, 0), np.minimum(before + 1, output - 1), share


def _mirror(inner, padded):
    """Indices that continue `inner` pixels to `padded`, back and forth as between two mirrors."""
    place = np.arange(padded) % (2 * inner)
    return np.minimum(place, 2 * inner - 1 - place)

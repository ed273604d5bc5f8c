"""The colorizer: a photo in, a colour photo out.

The photo keeps its own luminance at its own size; only chroma is predicted, at the network's size, and enlarged. What
is done at the network's size are functions in `keras.ops`, which an exported model does too. What is done for each
pixel of the full-size photo is NumPy on strips of rows, in threads: memory stays bounded and a strip stays in the
processor's cache. Its formulas are those of `color`, looked up in tables or written for single planes, because
`keras.ops` takes five to ten times as long for them on a processor (the tests hold the two together).
"""

import dataclasses
import functools
import math
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from keras import ops
from PIL import Image

from rainbownet import color, presets, upsampling
from rainbownet.data import photos

_STRIP = 1 << 17  # pixels: a dozen float planes of a strip still fit the caches
LARGEST_AREA = 3  # how many times the area of the training size a long photo may take in the network
# How many times a small photo is enlarged for the network at the most: more blur than that is no more detail.
HIGHEST_ENLARGEMENT = 3.0
_BATCH = 16  # photos in one call of the network
STRETCHES = ("none", "network", "photo")
# A photo's black and white point, L in 0..100: half a percent of it is darker, and brighter. Faded is one that has
# neither: without white it may be a night, without black a thing before a white wall. Lighter fadings the network does
# better with as they are (docs/coloring.md). A faded photo gets tones as usual ones have, and none is moved toward
# gray. The limit of the gain keeps a wall or a sky that fills the photo from becoming a landscape.
_BLACK, _WHITE = 0.005, 0.995
_FADED = (25.0, 92.0)
_USUAL = (4.0, 94.0)
_HIGHEST_GAIN = 3.0
# As in `color`: how far linear RGB may leave 0..1, and bisections of the chroma (here to 1/256 of it).
_BELOW, _ABOVE = np.float32(-1e-4), np.float32(1 + 1e-3)
_GAMUT_STEPS = 8


@dataclasses.dataclass(frozen=True)
class Settings:
    """How photos are coloured.

    Args:
        temperature: 0 takes the most likely colour of each place, 1 the mean of all, which is paler, most of all, above
            1, where the network is unsure; `None` takes the codec's own.
        saturation: factor on the chroma: 0 gives the gray photo.
        calm: 0..1, how far magenta and rose become red, reds that the network is unsure of brown, cool colours
            that it is unsure of gray, and strong reds quieter; see `BucketCodec.decode`. Not for regressions, which
            are never unsure.
        ceiling: the highest chroma, in Lab units: stronger colours keep their hue and become as strong as this. `None`
            or infinity sets none.
        flip: whether the network also sees the photo's mirror image, and the mean of both answers counts. Takes twice
            the time in the network.
        scales: sizes that the network sees the photo at, for 1 that of its training; the mean of the answers counts.
            One above 1 shows as much of the photo as it has, and none is enlarged for it. Networks of fixed size know
            the smallest alone.
        stretch: what gets a new black and white point where a photo is faded: "none"; "network", only what the network
            sees; "photo", the coloured photo too.

    Raises:
        ValueError: a value is out of range.
    """

    temperature: float | None = None
    saturation: float = 1.0
    calm: float = 0.0
    ceiling: float | None = None
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    stretch: str = "none"

    def __post_init__(self):
        object.__setattr__(self, "scales", tuple(self.scales))  # a file has lists
        for name in ("temperature", "saturation"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"`{name}` must be a number from 0 up; received {value}.")
        if not 0 <= self.calm <= 1:
            raise ValueError(f"`calm` must be a number in 0..1; received {self.calm}.")
        if self.ceiling is not None and not self.ceiling >= 0:
            raise ValueError(f"`ceiling` must be a number from 0 up; received {self.ceiling}.")
        if not self.scales or not all(0.1 <= scale <= 10 for scale in self.scales):
            raise ValueError(f"`scales` must be one or more numbers in 0.1..10; received {self.scales}.")
        if self.stretch not in STRETCHES:
            raise ValueError(f"`stretch` must be one of {', '.join(STRETCHES)}; received {self.stretch!r}.")

    def but(self, **changes):
        """Makes a copy in which what is not `None` is changed.

        Args:
            **changes: fields of this class.

        Returns:
            `Settings`.

        Raises:
            ValueError: there is no such field, or a value is out of range.
        """
        fields = [field.name for field in dataclasses.fields(self)]
        if unknown := changes.keys() - set(fields):
            raise ValueError(f"Photos are coloured by {', '.join(fields)}; received {', '.join(sorted(unknown))}.")
        return dataclasses.replace(self, **{name: value for name, value in changes.items() if value is not None})


class Colorizer:
    """Colours photos with a model.

    ```python
    colorizer = Colorizer.load("lite_unet")
    picture = colorizer("grandmother.jpg")  # (height, width, 3) uint8
    ```

    Args:
        model: a `ColorModel`.
        name: what the model is called where a photo tells how it was coloured; default, the model's own name.
        **settings: fields of `Settings`; those that are not given are the model's own.

    Raises:
        ValueError: there is no such setting, or a value is out of range.
    """

    def __init__(self, model, name=None, **settings):
        self.model = model
        self.name = name or model.name
        self.settings = Settings().but(**model.defaults).but(**settings)

    @classmethod
    def load(cls, path_or_preset=presets.DEFAULT, **settings):
        """Loads a model by name or by path.

        Args:
            path_or_preset: see `presets.resolve`: a preset by name, folder or `hf://user/name`, a `.keras` file or the
                folder of a training run.
            **settings: fields of `Settings`; those that are not given are the model's own.

        Returns:
            A `Colorizer`.

        Raises:
            FileNotFoundError: there is nothing of that name.
            ValueError: it is no model that colours photos, or a setting is out of range.
        """
        path = presets.resolve(path_or_preset)
        if str(path_or_preset).startswith(presets.HUB):
            name = str(path_or_preset)
        else:
            # A training run calls all its models alike: what tells them apart is the folder.
            name = path.name if path.is_dir() else f"{path.absolute().parent.name}/{path.name}"
        return cls(presets.load(path), name, **settings)

    @classmethod
    def from_preset(cls, preset, **settings):
        """Loads a preset, as `load` does, which also takes the models of training runs.

        Args:
            preset: one of `presets.names()`, the folder of a preset or `hf://user/name`.
            **settings: fields of `Settings`; those that are not given are the model's own.

        Returns:
            A `Colorizer`.

        Raises:
            FileNotFoundError: there is no such preset.
            ValueError: it is damaged, or a setting is out of range.
        """
        return cls.load(preset, **settings)

    def __call__(
        self,
        photo,
        temperature=None,
        saturation=None,
        calm=None,
        ceiling=None,
        flip=None,
        scales=None,
        stretch=None,
    ):
        """Colors a photo, or a list of photos of any sizes.

        A photo that has colours already, sepia tones included, is made gray first.

        Args:
            photo: a path, a PIL image or an array: (height, width), (height, width, 1) or (height, width, 3), uint8,
                uint16 or float in 0..1. A list of these, or an array (batch, height, width, 1 or 3), is a batch.
            temperature: see `Settings`, also for what follows; `None` takes the colorizer's own.
            saturation: factor on the chroma.
            calm: how far magenta becomes red, doubtful reds brown, cool colours gray, and strong reds quieter.
            ceiling: the highest chroma.
            flip: whether the photo's mirror image counts too.
            scales: sizes that the network sees the photo at.
            stretch: what gets a new black and white point.

        Returns:
            For a path or an array, (height, width, 3) sRGB, uint16 for 16-bit photos and uint8 for all others; for a
            PIL image a PIL image, with the transparency of the original; for a list a list, for a batch a batch.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the photo cannot be read or is none, or a dial is out of range.
            MemoryError: the photo, or the network's work on it, does not fit into memory.
        """
        settings = self.settings.but(
            temperature=temperature,
            saturation=saturation,
            calm=calm,
            ceiling=ceiling,
            flip=flip,
            scales=scales,
            stretch=stretch,
        )
        if isinstance(photo, (list, tuple)):
            return self._color(photo, settings)
        if getattr(photo, "ndim", None) == 4:
            return np.stack(self._color(list(photo), settings))
        return self._color([photo], settings)[0]

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
        planes = [np.asarray(plane, "float32") for plane in l]
        chroma = self._predict_all(planes, self.settings.but(temperature=temperature))
        results = []
        for plane, small in zip(planes, chroma, strict=True):
            result = np.empty((*plane.shape, 2), "float32")
            strip = small.strips()

            def work(start, stop, plane=plane, result=result, strip=strip):
                result[start:stop] = np.moveaxis(strip(start, stop, plane[start:stop]), 0, -1)

            _in_strips(work, *plane.shape)
            results.append(result)
        return results

    def describe(self):
        """Says in a line how photos are coloured: temperature and saturation, and what else is not as usual."""
        said = {field.name: getattr(self.settings, field.name) for field in dataclasses.fields(Settings)}
        usual = dataclasses.asdict(Settings())
        if said["temperature"] is None:
            said["temperature"] = self.model.default_temperature
        kept = {k: v for k, v in said.items() if v is not None and (v != usual[k] or k == "saturation")}
        return ", ".join(f"{name} {_said(value)}" for name, value in kept.items())

    def _color(self, batch, settings):
        opened = [_open(photo) for photo in batch]
        if settings.stretch == "photo":
            opened = [(self._restored(gray), kind) for gray, kind in opened]
            settings = settings.but(stretch="none")  # what is very faded would be stretched twice
        chroma = self._predict_all([gray for gray, _ in opened], settings)
        return [_answer(*source, small) for source, small in zip(opened, chroma, strict=True)]

    def _restored(self, gray):
        """A gray photo with a new black and white point."""
        l = Frame.of(self.model, *gray.shape).shrink(gray)[None]
        table = tables(gray.dtype)
        y = _f_inverse((ops.convert_to_numpy(stretched(table.l, *tones(l)))[0] + 16) / 116)
        return table.encode(np.clip(y, 0, 1)).take(gray)

    def _predict_all(self, planes, settings):
        """Gives for each plane, gray levels or float L, its `SmallChroma`."""
        groups = {}
        for index, plane in enumerate(planes):
            for place, frame in enumerate(frames(self.model, *plane.shape, settings.scales)):
                groups.setdefault(frame.padded, []).append((index, place, frame))
        views = [{} for _ in planes]
        for members in groups.values():
            for start in range(0, len(members), _BATCH):
                part = members[start : start + _BATCH]
                answers = self._predict(
                    [planes[index] for index, _, _ in part], [frame for *_, frame in part], settings
                )
                for (index, place, frame), ab, low in zip(part, *answers, strict=True):
                    views[index][place] = SmallChroma(ab, low, frame)
        return [_combined([view[place] for place in sorted(view)], settings) for view in views]

    def _predict(self, planes, frames, settings):
        """Gives ab in Lab units, (batch, h, w, 2), and L, (batch, h, w, 1), at the size of the network's output."""
        try:
            l = np.stack([frame.shrink(plane) for plane, frame in zip(planes, frames, strict=True)])
            embedding = None
            if self.model.needs_embedding:
                whole = (plane if (table := _l_table(plane)) is None else table[plane] for plane in planes)
                embedding = np.concatenate([self.model.embedder(plane[None, ..., None]) for plane in whole])
            ab = predict(self.model, l, settings, embedding)
            times = l.shape[1] // ab.shape[1]
            low = ops.average_pool(l, times, times)  # by default Keras' strides fail on JAX
            return ops.convert_to_numpy(ab), ops.convert_to_numpy(low)
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


def predict(model, l, settings, embedding=None):
    """Asks the network, for a photo and where that is wanted for its mirror image.

    Answers are averaged as ab and not as probabilities: it is the same for every codec, and where they disagree the
    mean is quiet, whereas a mean of probabilities that is sharpened afterwards decides for one of two doubtful colours.

    Args:
        model: the `ColorModel`.
        l: (batch, height, width, 1) float32, L in 0..100, all that the network sees.
        settings: `Settings`.
        embedding: (batch, n) float32, where the network needs it.

    Returns:
        (batch, h, w, 2) float32, ab in Lab units, at the size of the network's output.
    """
    if settings.stretch != "none":
        l = stretched(l, *tones(l))
    dials = embedding, settings.temperature, settings.calm
    ab = model.predict_chroma(l, *dials)
    if settings.flip:
        mirrored = model.predict_chroma(ops.flip(l, axis=2), *dials)
        ab = (ab + ops.flip(mirrored, axis=2)) / 2
    return ab


def tones(l):
    """Finds the black and the white point of photos.

    Args:
        l: (batch, height, width, 1) float, L in 0..100.

    Returns:
        Pair of (batch, 1, 1, 1) float32, L of which half a percent of a photo is darker, and brighter.
    """
    flat = ops.sort(ops.reshape(l, (ops.shape(l)[0], -1)), axis=-1)
    last = ops.cast(ops.shape(flat)[1] - 1, "float32")
    places = [ops.cast(ops.round(share * last), "int32") for share in (_BLACK, _WHITE)]
    return [ops.take(flat, place, axis=1)[:, None, None, None] for place in places]


def stretched(l, black, white):
    """Gives faded photos a new black and white point; those that have a black or a white are left alone.

    Args:
        l: (..., 1) or any other shape that the points broadcast to; L in 0..100.
        black: L of the black point.
        white: L of the white point.

    Returns:
        float32, L in 0..100.
    """
    new_black, new_white = ops.minimum(black, _USUAL[0]), ops.maximum(white, _USUAL[1])
    gain = ops.minimum((new_white - new_black) / ops.maximum(white - black, 1e-3), _HIGHEST_GAIN)
    new = ops.clip((new_black + new_white) / 2 + (l - (black + white) / 2) * gain, 0, 100)
    return ops.where((black > _FADED[0]) & (white < _FADED[1]), new, l)


def toned(ab, settings):
    """Applies saturation and ceiling.

    Args:
        ab: (..., 2) float32, Lab units.
        settings: `Settings`.

    Returns:
        (..., 2) float32.
    """
    ab = ab * settings.saturation
    if settings.ceiling is not None and settings.ceiling < math.inf:
        chroma = ops.sqrt(ops.sum(ops.square(ab), axis=-1, keepdims=True))
        ab = ab * ops.minimum(1.0, settings.ceiling / ops.maximum(chroma, 1e-6))
    return ab


def frames(model, height, width, scales):
    """Chooses how the network sees a photo, at one scale or several.

    Args:
        model: the `ColorModel`.
        height: of the photo, in pixels.
        width: of the photo, in pixels.
        scales: see `Settings`.

    Returns:
        List of `Frame`, from small to large.
    """
    # Scales above 1 are the same for a photo that has no more to show.
    different = list(dict.fromkeys(Frame.of(model, height, width, scale) for scale in sorted(scales)))
    return different[:1] if model.fixed_size else different


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
    def of(cls, model, height, width, scale=1.0):
        """Chooses the sizes for a photo: it just covers the crops that the model was trained on.

        A small photo is enlarged to that size, three times at the most, and to no larger one. Photos longer than 3 to 1
        are made smaller, to three times the area that the model was trained at, so that a panorama needs no more memory
        than others. A network of fixed size gets the whole photo with the padding.

        Args:
            model: the `ColorModel`.
            height: of the photo, in pixels.
            width: of the photo, in pixels.
            scale: how many times larger than in training the photo is to be seen, as far as it has the pixels; not for
                networks of fixed size.

        Returns:
            A `Frame`.
        """
        ratios = [side / outer for side, outer in zip(model.size, (height, width), strict=True)]
        covering = min(max(ratios), math.sqrt(LARGEST_AREA * math.prod(ratios)))
        # Enlarging shows nothing new, and the network takes blur for things.
        larger = scale * covering if scale <= 1 else max(covering, min(scale * covering, 1.0))
        scale = min(ratios) if model.fixed_size else min(larger, HIGHEST_ENLARGEMENT)
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

    def ratios(self, ab):
        """Gives, along rows and columns, how many pixels of the network's output lie in one of the photo.

        Args:
            ab: (h, w, 2), the network's output over all of `padded`.

        Returns:
            List of two floats.
        """
        sides = zip(self.inner, self.outer, ab.shape, self.padded, strict=False)
        return [inner / outer * (output / padded) for inner, outer, output, padded in sides]


@dataclasses.dataclass(frozen=True)
class SmallChroma:
    """The network's answer for a photo.

    Args:
        ab: (h, w, 2) float32, Lab units, over all of `frame.padded`.
        low: (h, w, 1) float32, L in 0..100 at the same size.
        frame: the `Frame`.
    """

    ab: np.ndarray
    low: np.ndarray
    frame: Frame

    def strips(self):
        """Enlarges the chroma to the photo's size, see `upsampling.strips`."""
        sides = zip(self.frame.outer, self.frame.ratios(self.ab), self.ab.shape, strict=False)
        return upsampling.strips(self.ab, self.low, *(upsampling.places(*side) for side in sides))


def _said(value):
    """A setting in words: 0.5, yes, 1 and 2."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return " and ".join(f"{number:g}" for number in value)
    return value if isinstance(value, str) else f"{value:g}"


def _combined(views, settings):
    """The mean of what the network said at several scales, from small to large, at the size of the largest."""
    enlarge = upsampling.JointBilateralUpsampling(dtype="float32")
    mean, *larger = views
    for count, view in enumerate(larger, 1):
        ratios = zip(mean.frame.ratios(mean.ab), view.frame.ratios(view.ab), strict=True)
        sides = zip(view.ab.shape, (small / large for small, large in ratios), mean.ab.shape, strict=False)
        places = [upsampling.places(*side) for side in sides]
        before = ops.convert_to_numpy(enlarge(mean.ab[None], mean.low[None], view.low[None], *places))[0]
        mean = dataclasses.replace(view, ab=(count * before + view.ab) / (count + 1))
    return dataclasses.replace(mean, ab=ops.convert_to_numpy(toned(mean.ab, settings)))


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


def _open(photo):
    """Gives the gray plane of a photo, and a function that makes the answer's kind of an (h, w, 3) array."""
    if isinstance(photo, (str, os.PathLike)):
        return gray_copy(photos.read_photo(photo).rgb), lambda rgb: rgb
    if isinstance(photo, Image.Image):
        pixels, alpha = photos.read_image(photo)
        return gray_copy(pixels if pixels.shape[-1] == 3 else pixels[..., 0]), lambda rgb: _image(rgb, alpha)
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
        image.putalpha(Image.fromarray(alpha))
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


def _answer(gray, kind, small):
    try:
        return kind(_join(gray, small))
    except MemoryError as error:
        raise MemoryError(
            f"Memory ran out on a photo of {gray.shape[1]} x {gray.shape[0]} pixels; close other programs or color a "
            "smaller copy of it."
        ) from error


def _join(gray, small):
    """Joins a photo's luminance and its chroma.

    Args:
        gray: (height, width) uint8 or uint16.
        small: the `SmallChroma`.

    Returns:
        (height, width, 3), sRGB, of the type of `gray`.
    """
    rgb = np.empty((*gray.shape, 3), gray.dtype)
    if not small.ab.any():
        rgb[:] = gray[..., None]
        return rgb
    table = tables(gray.dtype)
    strip = small.strips()

    def work(start, stop):
        levels = gray[start:stop].ravel().astype("intp")  # what `take` would convert it to, each time
        l = table.l.take(levels)
        a, b = strip(start, stop, l.reshape(-1, gray.shape[1])).reshape(2, -1)
        lab = (l, a, b, table.y.take(levels))
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
        above, below, share = map(ops.convert_to_numpy, upsampling.places(size, height / size, height))
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


def _mirror(inner, padded):
    """Indices that continue `inner` pixels to `padded`, back and forth as between two mirrors."""
    place = np.arange(padded) % (2 * inner)
    return np.minimum(place, 2 * inner - 1 - place)

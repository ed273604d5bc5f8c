"""How a model is measured: which photos, what it sees of them, and what it is held against."""

import dataclasses
import functools
import math
import platform
import zlib

import keras
import numpy as np
from keras import ops
from rich.console import Console
from rich.progress import Progress

from rainbownet import __version__
from rainbownet.colorizer import Colorizer, frames
from rainbownet.damage import DAMAGES
from rainbownet.data.photos import PhotoError, decode_rgb, read_size
from rainbownet.evaluation import figures
from rainbownet.evaluation.measures import Measures, Truth, balance_buckets
from rainbownet.evaluation.pixels import lab_from_rgb, shown
from rainbownet.evaluation.results import ANOTHER, DRAWS, GRAY, MODEL, SINGLE, Evaluation, Example, compare

_AT_ONCE = 16  # photos of which a colorizer asks the network in one call

SMALLEST = 8
"""Short side of the smallest photos that are measured, in pixels: SSIM looks through windows of 7."""


def evaluate(
    model,
    photos,
    size=None,
    crop="square",
    temperature=None,
    embed=None,
    batch=16,
    progress=True,
    damages=(),
    lpips=None,
    features=None,
    examples=0,
):
    """Measures a model on photos, beside gray, the best single colour and the colours of another photo.

    Each photo is decoded, its short side reduced to `size` (photos smaller than that are never enlarged), cut at its
    center, and its L computed from its RGB. `Colorizer.chroma` predicts from it what a user gets: it shows the photo to
    the network at the size that the network works at, and brings the chroma to the photo's size. It is joined with the
    true L and compared there. The photos are read twice: the best single colour is the constant with the best plain
    AuC, chosen knowing all true colours, which no model does.

    Args:
        model: `ColorModel`, which colours as it does by default, or a `Colorizer` with settings of its own.
        photos: list of `PhotoFile`.
        size: short side in pixels, `None` for the one that the network sees photos at: that of its training, or more
            where `scales` says so, since a photo that was shrunk to less has nothing more to show.
        crop: "square" for the center square, "none" for the whole photo.
        temperature: temperature of decoding, `None` for the model's own.
        embed: function from L, (batch, height, width, 1) in 0..100, to embeddings, (batch, n), for models that take
            one; `None` for the model's own embedder.
        batch: photos of one size that are predicted together, 16 at the most.
        progress: whether to draw a progress bar.
        damages: names in `damage.DAMAGES` of the ways in which the same photos are measured damaged too. The model
            then sees the damaged photos' luminance; what it predicts is joined with the undamaged L and compared with
            the undamaged photos' colours.
        lpips: `learned.Lpips()` for that figure too.
        features: `learned.InceptionFeatures()`, or another network's, for a FID too.
        examples: how many of the best, of the median and of the worst photos to give pictures of.

    Returns:
        `Evaluation`.

    Raises:
        ValueError: size, crop or a damage is none that there is, an embedding is missing, or no photo can be measured.
    """
    subject = _Subject(model if isinstance(model, Colorizer) else Colorizer(model), temperature, embed)
    model = subject.model
    size = seen_size(model, subject.settings.scales) if size is None else size
    _check(model, size, crop, damages)
    read = functools.partial(_read, size=size, crop=crop)
    bars = Progress(console=Console(stderr=True), disable=not progress)
    with bars:
        photos, skipped, seen = _survey(bars.track(photos, description="Reading the true colors"), read)
        if not photos:
            raise ValueError(
                f"None of the {len(skipped)} photos can be measured; the first, {skipped[0][0]}: {skipped[0][1]}"
                if skipped
                else "There are no photos to evaluate; give at least one."
            )
        single = _best_single_color(seen)
        accuracy = _accuracy_buckets(model)
        rows = [MODEL, GRAY, SINGLE] + ([ANOTHER] if len(photos) > 1 else [])
        measures = {row: Measures(accuracy, lpips, features) for row in rows}
        measures |= {name: Measures(accuracy) for name in damages}
        order, seen_at = [], set()
        track = bars.add_task("Measuring the model", total=len(photos))
        for group in _groups(_with_neighbors(photos, read), min(batch, _AT_ONCE)):
            rgb, lab, another = (np.stack([entry[i] for entry in group]) for i in (1, 2, 3))
            l, ab = lab[..., :1], lab[..., 1:]
            truth = Truth(ab, l, rgb)
            views = frames(model, *rgb.shape[1:3], subject.settings.scales)
            vectors = None if features is None else features(rgb)
            guess, output = subject.color(l)
            places = None if output is None else _Places(model.codec, views[0], rgb, output)
            measures[MODEL].compare(guess, truth, places and places.likeliest_five(output), vectors)
            guesses = {GRAY: np.zeros_like(ab), SINGLE: np.broadcast_to(np.float32(single), ab.shape), ANOTHER: another}
            for row in rows[1:]:
                measures[row].compare(guesses[row], truth, places and places.nearest_five(guesses[row]), vectors)
            for name in damages:
                broken = np.stack([_damaged(name, photo, photo_rgb) for photo, photo_rgb, _, _ in group])
                guess, output = subject.color(lab_from_rgb(broken)[..., :1])
                measures[name].compare(guess, truth, places and places.likeliest_five(output))
            order += [(photo, *rgb.shape[1:3]) for photo, _, _, _ in group]
            seen_at |= {view.padded for view in views}
            bars.advance(track, len(group))

    results = {name: gathered.result() for name, gathered in measures.items()}
    intervals, gains, damage_grid = compare(measures, results, damages)
    per_photo = _join(order, measures)
    # A regression has no temperature, and ignores one that is given.
    temperature = subject.settings.temperature
    if temperature is None or model.default_temperature is None:
        temperature = model.default_temperature
    return Evaluation(
        rows={row: {k: v for k, v in results[row].items() if not k.startswith("truth_")} for row in rows},
        truth={k.removeprefix("truth_"): v for k, v in results[MODEL].items() if k.startswith("truth_")},
        protocol={
            "photos": len(photos),
            "size": size,
            "crop": crop,
            "smaller": sum(min(height, width) < size for _, height, width in order),
            "network_saw": [list(end) for end in (min(seen_at), max(seen_at))],
            "batch": batch,
            "temperature": temperature,
            "luminance": "L of the photo's own RGB",
            "interpolation": "joint bilateral",
            "settings": {**dataclasses.asdict(subject.settings), "temperature": temperature},
            "single_color": [float(x) for x in single],
            "accuracy_buckets": len(accuracy),
            "bootstrap_draws": DRAWS,
            **({"damage": "damaged photos: colors on the undamaged luminance"} if damages else {}),
            "model": model.name,
            "parameters": model.count_params(),
            "versions": _versions(),
        },
        per_photo=per_photo,
        skipped=skipped,
        intervals=intervals,
        gains=gains,
        damage=damage_grid,
        examples=_examples(subject, order, per_photo, read, damages, examples) if examples else [],
    )


class _Subject:
    """The model as a user has it, in a colorizer, with an ear at its network.

    Args:
        colorizer: the `Colorizer`.
        temperature: of decoding, `None` for its own.
        embed: makes embeddings, `None` for the model's own embedder.
    """

    def __init__(self, colorizer, temperature, embed):
        self._heard = []
        self.model = _Overheard(colorizer.model, self._heard, embed)
        self.settings = colorizer.settings.but(temperature=temperature)
        self._colorizer = Colorizer(self.model, colorizer.name, **dataclasses.asdict(self.settings))

    def color(self, l):
        """Colors photos of one size.

        Args:
            l: (batch, height, width, 1) float, L in 0..100; 16 photos at the most.

        Returns:
            Pair of (batch, height, width, 2) ab in Lab units, and the logits of the buckets, (batch, h, w, buckets), at
            the size of the network's output; `None` where it has no buckets.
        """
        self._heard.clear()
        ab = np.stack(self._colorizer.chroma(list(l[..., 0])))
        # The network may be asked again, at other scales or for the mirror image: the photo as it is comes first.
        return ab, self._heard[0] if self._heard else None


class _Overheard:
    """Stands in for a `ColorModel`, and notes what its network says before that is decoded to colours.

    Colours do not tell which buckets were likeliest, and running the network again would take as long again.
    """

    def __init__(self, model, heard, embed):
        self._model = model
        # A regression has nothing to tell, and an ordinal output only one colour.
        talks = hasattr(model.codec, "classify") and model.codec.outputs == len(model.codec.buckets)
        self.codec = _OverheardCodec(model.codec, heard) if talks else model.codec
        self.embedder = embed or model.embedder

    def __getattr__(self, name):
        return getattr(self._model, name)

    def predict_chroma(self, *args, **kwargs):
        return type(self._model).predict_chroma(self, *args, **kwargs)  # with the codec of this class


class _OverheardCodec:
    def __init__(self, codec, heard):
        self._codec, self._heard = codec, heard

    def __getattr__(self, name):
        return getattr(self._codec, name)

    def decode(self, output, *args, **kwargs):
        self._heard.append(ops.convert_to_numpy(output))
        return self._codec.decode(output, *args, **kwargs)


class _Places:
    """The places that a network of buckets answers for, the pixels of its output, and the true bucket of each.

    Args:
        codec: the model's codec.
        frame: how the photos lie in the network's input.
        rgb: (batch, height, width, 3) uint8, the true photos.
        output: (batch, h, w, outputs), what the network said.
    """

    def __init__(self, codec, frame, rgb, output):
        self._codec, self._frame = codec, frame
        self._output = output.shape[1:3]
        self._truth = ops.convert_to_numpy(codec.classify(self._averaged(rgb) / 255))

    def likeliest_five(self, output):
        """Says for how many places the true bucket is among the five likeliest.

        Args:
            output: (batch, h, w, buckets), logits.

        Returns:
            (batch, 2) int: so many places, and all places.
        """
        return self._counted(self._within(output), lambda logits: logits)

    def nearest_five(self, ab):
        """Says the same of a guess that has no likelihoods: its five are the buckets nearest to its colours.

        Args:
            ab: (batch, height, width, 2) float, Lab units.

        Returns:
            (batch, 2) int, or `None` where the buckets lie in another colour space.
        """
        if self._codec.color_space != "lab":
            return None
        centers = self._codec.buckets.centers
        # Less than half the squared distance by what is the same for all buckets of a place.
        half = np.square(centers).sum(axis=-1) / 2
        return self._counted(self._averaged(ab), lambda colors: colors @ centers.T - half)

    def _averaged(self, photos):
        """The mean of (batch, height, width, n) at each place, float32."""
        photos = np.asarray(photos, "float32")
        frame, (h, w) = self._frame, self._output
        if frame.padded != frame.outer:
            planes = np.moveaxis(photos, -1, 1).reshape(-1, *frame.outer)
            shrunk = np.stack([frame.shrink(plane)[..., 0] for plane in planes])
            photos = np.moveaxis(shrunk.reshape(len(photos), -1, *frame.padded), 1, -1)
        height, width = frame.padded
        rows = photos.reshape(len(photos), h, height // h, width, -1).mean(axis=2)
        return self._within(rows.reshape(len(photos), h, w, width // w, -1).mean(axis=3))

    def _within(self, places):
        """Leaves those out that see nothing of the photo, but only what continues it."""
        rows, columns = (
            math.ceil(inner * output / padded)
            for inner, output, padded in zip(self._frame.inner, self._output, self._frame.padded, strict=True)
        )
        return places[:, :rows, :columns]

    def _counted(self, places, score):
        counts = []
        for photo, truth in zip(places, self._truth, strict=True):  # one at a time, which the cache holds
            scores, truth = score(photo.reshape(-1, photo.shape[-1])), truth.reshape(-1, 1)
            own = np.take_along_axis(scores, truth, axis=-1)
            # Of buckets that score alike the first come first.
            ahead = np.count_nonzero(scores > own, axis=-1)
            ahead += np.count_nonzero((scores == own) & (np.arange(scores.shape[-1]) < truth), axis=-1)
            counts.append((np.count_nonzero(ahead < 5), len(truth)))
        return np.array(counts)


def seen_size(model, scales):
    """Gives the short side in pixels that a network sees large photos at.

    Args:
        model: the `ColorModel`.
        scales: see `Settings`.

    Returns:
        At least the short side that the network was trained at; just that for a network of fixed size.
    """
    return min(model.size) if model.fixed_size else round(min(model.size) * max(1.0, *scales))


def _check(model, size, crop, damages):
    if unknown := [name for name in damages if name not in DAMAGES]:
        raise ValueError(f"`damages` are {', '.join(DAMAGES)}; received {', '.join(unknown)}.")
    if crop not in ("square", "none"):
        raise ValueError(f'`crop` must be "square" or "none"; received {crop!r}.')
    if size < SMALLEST:
        raise ValueError(f"`size` must be {SMALLEST} pixels or more; received {size}.")
    if model.needs_embedding and model.embedder is None:
        raise ValueError(
            "This model was trained with an embedding of the photo beside its luminance, but holds no embedder; give "
            "`embed`."
        )


def _read(photo, size, crop):
    """The photo's crop as (height, width, 3) uint8."""
    data = photo.read()
    short_side = min(size, *read_size(data))
    if short_side < SMALLEST:
        raise PhotoError(f"its short side has {short_side} pixels; {SMALLEST} or more can be measured.")
    rgb = decode_rgb(data, short_side)
    if crop == "none":
        return rgb
    side = min(rgb.shape[:2])
    top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
    return rgb[top : top + side, left : left + side]


def _survey(photos, read):
    """Passes over the photos once: those that can be read, those that cannot, and the histogram of true colours."""
    usable, skipped, seen = [], [], np.zeros((256, 256), "int64")
    for photo in photos:
        try:
            rgb = read(photo)
        except (PhotoError, OSError) as error:
            skipped.append((photo.name, str(error)))
            continue
        usable.append(photo)
        ab = lab_from_rgb(rgb)[..., 1:].reshape(-1, 2)
        cells = np.clip(np.floor(ab).astype("int64") + 128, 0, 255)
        seen += np.bincount(cells[:, 0] * 256 + cells[:, 1], minlength=seen.size).reshape(seen.shape)
    return usable, skipped, seen


def _best_single_color(seen):
    """The colour with the best plain AuC for colours counted in squares of side 1: (2,) float, whole Lab units."""
    a, b = np.nonzero(seen)
    counts = seen[a, b]
    colors = np.stack([a, b], axis=-1) - 127.5

    def best(candidates):
        steps = (figures.error_steps(figures.ab_distance(colors, candidate)) for candidate in candidates)
        areas = [np.sum(counts * (figures.THRESHOLDS - each)) for each in steps]
        return candidates[int(np.argmax(areas))]

    steps = np.arange(-9, 10, 3)
    near = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    return best(best(balance_buckets().centers) + near)  # the centers are 10 apart


def _with_neighbors(photos, read):
    """Yields photo, RGB, Lab and the ab of the next photo (of the first for the last) in the photo's size."""

    def load(photo):
        rgb = read(photo)
        return photo, rgb, lab_from_rgb(rgb)

    first = current = load(photos[0])
    for following in [*photos[1:], None]:
        following = first if following is None else load(following)
        photo, rgb, lab = current
        yield photo, rgb, lab, _resize(following[2][None, ..., 1:], *rgb.shape[:2])[0]
        current = following


def _resize(planes, height, width):
    if planes.shape[1:3] == (height, width):
        return planes
    shrinks = height < planes.shape[1] or width < planes.shape[2]
    return np.asarray(ops.image.resize(planes, (height, width), interpolation="bilinear", antialias=shrinks))


def _groups(entries, batch):
    """Gathers entries of equal size into lists of up to `batch`, holding no more than four batches at a time."""
    waiting = {}
    for entry in entries:
        shape = entry[1].shape
        waiting.setdefault(shape, []).append(entry)
        fullest = max(waiting, key=lambda key: len(waiting[key]))
        if len(waiting[fullest]) == batch or sum(map(len, waiting.values())) >= 4 * batch:
            yield waiting.pop(fullest)
    yield from waiting.values()


def _damaged(name, photo, rgb):
    """The damaged photo: the same scratches each time, and others for each photo."""
    return DAMAGES[name](rgb, zlib.crc32(photo.name.encode(errors="surrogateescape")))


def _accuracy_buckets(model):
    """The codec's own buckets where they lie in the ab plane, otherwise the 313."""
    own = getattr(model.codec, "buckets", None)
    return own if own is not None and model.codec.color_space == "lab" else balance_buckets()


def _join(order, measures):
    """The figures of each photo, by row."""
    figures_of = {row: gathered.per_photo for row, gathered in measures.items()}
    photos = []
    for i, (photo, height, width) in enumerate(order):
        own = dict(figures_of[MODEL][i])
        truth = {"truth_colorfulness": own.pop("truth_colorfulness")}
        entry = {"name": photo.name, "height": height, "width": width, **truth}
        for key in own:
            entry[key] = {row: found[i][key] for row, found in figures_of.items() if key in found[i]}
        photos.append(entry)
    return photos


def _examples(subject, order, per_photo, read, damages, count):
    """Colours the photos again that are worth a look: those nearest to the truth, by what gray lacks, and so on."""

    def color_again(l, true_l):
        return shown(true_l, subject.color(np.asarray(l)[None])[0][0])[0]

    def in_gray(l):
        return shown(l, np.zeros((*l.shape[:2], 2), "float32"))[0]

    gains = [photo["ciede2000"][GRAY] - photo["ciede2000"][MODEL] for photo in per_photo]
    ranked = np.argsort(gains)[::-1]
    count = max(1, min(count, len(ranked) // 3))
    middle = (len(ranked) - count) // 2
    kinds = dict.fromkeys(ranked[:count], "best")
    for place, kind in ((middle, "median"), (len(ranked) - count, "worst")):
        kinds = dict.fromkeys(ranked[place : place + count], kind) | kinds
    examples = []
    for i in sorted(kinds, key=lambda i: list(ranked).index(i)):
        photo = order[i][0]
        rgb = read(photo)
        l = lab_from_rgb(rgb)[..., :1]
        damaged = []
        for name in damages if kinds[i] == "median" else ():
            broken = lab_from_rgb(_damaged(name, photo, rgb))[..., :1]
            damaged.append((name, in_gray(broken), color_again(broken, l)))
        examples.append(
            Example(
                kinds[i], photo.name,
                {key: value[MODEL] for key, value in per_photo[i].items() if isinstance(value, dict)},
                gains[i],
                [("gray", in_gray(l)), ("ours", color_again(l, l)), ("truth", rgb)],
                damaged,
            )
        )  # fmt: skip
    return examples


def _versions():
    return {
        "rainbownet": __version__,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }

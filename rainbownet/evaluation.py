"""Measures of colorized photos, and the report that holds a model against doing nothing.

Sources:
- PSNR of 8-bit pictures: ITU-T J.340, section 5.
- AuC, plain and class-balanced: Zhang, Isola & Efros, "Colorful Image Colorization" (ECCV 2016), section 3.1; the idea
  of error curves over thresholds is Deshpande, Rock & Forsyth's (ICCV 2015).
- Colourfulness: Hasler & Suesstrunk, "Measuring colourfulness in natural images" (SPIE Human Vision 2003), section 7.
- Hue coverage, the effective number of hues: Hill, "Diversity and evenness" (Ecology 54, 1973), the number of order 1.

The ab of a prediction are compared as they are; RGB is computed after colours that sRGB cannot show were moved back
into it, as `color.lab_to_rgb` does, and after rounding to 8 bits.
"""

import contextlib
import functools
import io
import json
import math
import platform
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import ops
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from rainbownet import __version__, buckets, color
from rainbownet.data.files import write_atomically
from rainbownet.data.photos import PhotoError, decode_rgb

MODEL = "model"
GRAY = "gray"
SINGLE = "best single color"
ANOTHER = "another photo's colors"

THRESHOLDS = 151
"""The AuC runs over the errors 0, 1, ..., 150 in Lab units (Zhang et al.)."""

NEAR_GRAY = 5.0
"""Chroma below which a pixel counts as nearly gray: half the width of one of Zhang et al.'s buckets, so that its colour
is closer to gray than to any other bucket; twice the just noticeable difference of Lab, 2.3 (Mahy et al. 1994)."""

HUE_BINS = 24
"""Hues of 15 degrees each: neighbours are told apart at a glance, and natural photos fill about 14 of them."""

# A perfect prediction has an infinite PSNR, which no mean survives. Rounding to 8 bits alone leaves a squared error of
# 1/12, so a better one is not to be had of a computed picture.
_PSNR_LIMIT = 10 * math.log10(255**2 * 12)

# The collapse alarm. Over draws of 16 to 64 photos of photographs in general, the truth's own cast lies in 0.25..0.8
# (0.5 for 200), its hue coverage in 0.33..0.7 (0.6), its nearly gray share in 0.13..0.32 (0.22): alarms are therefore
# set relative to the truth of the same photos, and beyond that spread.
GRAY_EXCESS = 0.3
"""More of all pixels nearly gray than in the truth: 0.3 more than doubles the usual 0.22."""
PALE = 0.5
"""Colorfulness below this part of the truth's is pale: at half of it viewers begin to call a photo gray."""
CAST_LIMIT = 0.8
"""A cast beyond this is one colour over everything (a constant colour has 1), which 16 photos or more seldom have."""
CAST_EXCESS = 0.15
"""How far the cast must also lie above the truth's, so that a set of sunsets is not taken for a collapse."""
FEW_HUES = 0.45
"""Hue coverage below this part of the truth's: an even split into two hues has 2/24, a truth of 0.58 allows 6/24."""
GARISH = 1.5
"""Colorfulness beyond this part of the truth's: the step between two of Hasler & Suesstrunk's seven grades."""

# The dial is lambda of `ColorPrior.weights`, which is lower the more it rebalances.
_STRENGTHEN = "strengthen the rebalancing (a lower --rebalance; begin with 0.5)"
_WEAKEN = "weaken the rebalancing (a higher --rebalance)"

# Names of the casts, by the hue angle at which each begins.
_CASTS = (
    (0, "pink"), (25, "red"), (45, "brown"), (85, "yellow"), (105, "green"), (190, "blue"), (300, "purple"),
    (340, "pink"),
)  # fmt: skip


def psnr(rgb, truth):
    """Computes the peak signal-to-noise ratio, 10 log10(255^2 / mean squared error).

    Args:
        rgb: array of any shape, 0..255.
        truth: array of the same shape, 0..255.

    Returns:
        Float in dB, infinite for equal arrays.
    """
    return _decibel(np.mean(np.square(np.asarray(rgb, "float64") - np.asarray(truth, "float64"))))


def auc(ab, truth_ab):
    """Computes the area under the curve of ab errors: the share of pixels with an error of at most t, over t = 0..150.

    Args:
        ab: (..., 2) float, Lab units.
        truth_ab: array of the same shape.

    Returns:
        Float in percent, 0..100. Photos answered with gray reach 89.1 on ImageNet (Zhang et al. 2016, table 1).
    """
    return 100 * float(np.mean(THRESHOLDS - _error_steps(ab, truth_ab))) / THRESHOLDS


def colorfulness(rgb):
    """Computes Hasler and Suesstrunk's colourfulness of one photo.

    With rg = R - G and yb = (R + G) / 2 - B: sqrt(var rg + var yb) + 0.3 sqrt(mean(rg)^2 + mean(yb)^2).

    Args:
        rgb: (..., 3) array, 0..255.

    Returns:
        Float from 0 (gray); 15 is slightly colourful, 33 moderately, 59 quite, 109 extremely (table 1 of the paper).
    """
    r, g, b = np.moveaxis(np.asarray(rgb, "float64"), -1, 0)
    rg, yb = r - g, (r + g) / 2 - b
    return float(np.sqrt(rg.var() + yb.var()) + 0.3 * np.hypot(rg.mean(), yb.mean()))


class Measures:
    """Gathers all measures over a set of photos in a stream, in memory that does not grow with their pixels.

    Both AuC follow exactly from counts of pixels by bucket of the true colour and by error: weighting each pixel with
    1 / P(bucket), P over the same pixels, makes the balanced AuC the plain mean over the buckets that occur.

    Args:
        accuracy_buckets: `Buckets` in which a colour counts as right; `None` for the 313.
    """

    def __init__(self, accuracy_buckets=None):
        self._balance = _balance_buckets()
        self._accuracy = accuracy_buckets or self._balance
        # The last column counts errors beyond 150.
        self._errors = np.zeros((len(self._balance), THRESHOLDS + 1), "int64")
        self._right = 0
        self._squared = 0.0
        self._colors, self._truth = _Colors(), _Colors()
        self.per_photo = []

    def update(self, ab, truth_ab, l, truth_rgb=None):
        """Adds photos.

        Args:
            ab: (batch, height, width, 2) float, predicted colours in Lab units; or one photo without the first axis.
            truth_ab: array of the same shape, the true colours.
            l: (batch, height, width, 1) float, the true L in 0..100.
            truth_rgb: (batch, height, width, 3) uint8, where it is at hand; otherwise it is computed from Lab.

        Raises:
            ValueError: `ab` holds values that are no finite numbers.
        """
        ab, truth_ab, l = (_photos(array) for array in (ab, truth_ab, l))
        if not np.isfinite(ab).all():
            raise ValueError(
                "The predicted colors are not finite numbers: the model's weights are damaged, or its training "
                "diverged; train it with a lower learning rate."
            )
        rgb = _rgb_from_lab(l, ab)
        truth_rgb = _rgb_from_lab(l, truth_ab) if truth_rgb is None else np.asarray(truth_rgb).reshape(rgb.shape)

        steps = _error_steps(ab, truth_ab)
        columns = self._errors.shape[1]
        index = np.asarray(self._balance.assign(truth_ab)) * columns + steps
        self._errors += np.bincount(index.ravel(), minlength=self._errors.size).reshape(self._errors.shape)
        right = self._accuracy.assign(ab) == self._accuracy.assign(truth_ab)
        self._right += int(np.count_nonzero(np.asarray(right)))
        self._colors.update(ab)
        self._truth.update(truth_ab)
        for i in range(len(ab)):
            mean_squared = float(np.mean(np.square(rgb[i].astype("int32") - truth_rgb[i])))
            self._squared += mean_squared * steps[i].size
            self.per_photo.append(
                {
                    "psnr": min(_decibel(mean_squared), _PSNR_LIMIT),
                    "auc": 100 * float(np.mean(THRESHOLDS - steps[i])) / THRESHOLDS,
                    "colorfulness": colorfulness(rgb[i]),
                    "truth_colorfulness": colorfulness(truth_rgb[i]),
                }
            )

    def result(self):
        """Computes the figures of all photos so far.

        Returns:
            Dict of floats: `psnr` in dB (mean of the photos', each at most 58.9), `psnr_pooled` in dB (of all pixels
            together), `auc` and `auc_balanced` in percent, `bucket_accuracy` (share of pixels), and of the predicted
            colours, and with the prefix `truth_` of the true ones: `colorfulness` (mean of photos), `chroma` (mean,
            Lab units), `cast` (0..1, length of the mean ab over the mean chroma), `cast_hue` (degrees, 0..360),
            `near_gray` (share of pixels), `hue_coverage` (0..1, see `hue_coverage`); and `photos` and `pixels`, counts.

        Raises:
            ValueError: no photo was added yet.
        """
        if not self.per_photo:
            raise ValueError("No photo was measured yet; call `update` with predicted and true colors first.")
        counts = self._errors.sum(axis=1)
        pixels = int(counts.sum())
        # For each bucket, the number of pixels within t, summed over t.
        area = self._errors[:, :THRESHOLDS].cumsum(axis=1).sum(axis=1) / THRESHOLDS
        occur = counts > 0
        mean = {key: float(np.mean([photo[key] for photo in self.per_photo])) for key in self.per_photo[0]}
        return {
            "photos": len(self.per_photo),
            "pixels": pixels,
            "psnr": mean["psnr"],
            "psnr_pooled": min(_decibel(self._squared / pixels), _PSNR_LIMIT),
            "auc": 100 * float(area.sum()) / pixels,
            "auc_balanced": 100 * float(np.mean(area[occur] / counts[occur])),
            "bucket_accuracy": self._right / pixels,
            "colorfulness": mean["colorfulness"],
            **self._colors.result(),
            "truth_colorfulness": mean["truth_colorfulness"],
            **{f"truth_{key}": value for key, value in self._truth.result().items()},
        }


def hue_coverage(chroma_by_hue):
    """Computes which part of the colour circle is in use: the effective number of hues over their number.

    The exponential of the entropy of the hues' shares (Hill's number of order 1): n hues of equal share count as n, and
    a trace of a hue counts as a trace.

    Args:
        chroma_by_hue: (bins,) sum of chroma in each bin of hue.

    Returns:
        Float: 0 without any colour, 1 / bins for a single hue, 2 / bins for two of equal share, 1 for all alike.
    """
    chroma_by_hue = np.asarray(chroma_by_hue, "float64")
    shares = chroma_by_hue[chroma_by_hue > 0]
    if not len(shares):
        return 0.0
    shares = shares / shares.sum()
    return float(np.exp(-np.sum(shares * np.log(shares)))) / len(chroma_by_hue)


def diagnose(stats):
    """Names what is going wrong with the predicted colours, and the dial that helps: the collapse alarm.

    Meant for 16 photos or more, whose own colours are varied; see the limits at the top of the module.

    Args:
        stats: figures of `Measures.result`.

    Returns:
        One sentence, or `None` where the colours look healthy or where the truth is gray itself.
    """
    if stats["truth_near_gray"] > 1 - GRAY_EXCESS or not stats["truth_colorfulness"]:
        return None
    vividness = stats["colorfulness"] / stats["truth_colorfulness"]
    gray = f"{stats['near_gray']:.0%} of the pixels nearly gray, the truth's {stats['truth_near_gray']:.0%}"
    vivid = f"colorfulness {stats['colorfulness']:.0f}, the truth's {stats['truth_colorfulness']:.0f}"
    if stats["near_gray"] > stats["truth_near_gray"] + GRAY_EXCESS:
        return f"Predictions are turning gray ({gray}): {_STRENGTHEN}, or lower the temperature (--temperature)."
    if stats["cast"] > max(CAST_LIMIT, stats["truth_cast"] + CAST_EXCESS):
        return (
            f"Predictions are turning {_cast_name(stats['cast_hue'])} (cast {stats['cast']:.2f}, the truth's "
            f"{stats['truth_cast']:.2f}): {_STRENGTHEN}, or lower the temperature (--temperature)."
        )
    if vividness > GARISH:
        return f"Predictions are garish ({vivid}): {_WEAKEN}, or raise the temperature (--temperature)."
    if stats["hue_coverage"] < FEW_HUES * stats["truth_hue_coverage"]:
        hues, truth_hues = (max(1, round(HUE_BINS * stats[key])) for key in ("hue_coverage", "truth_hue_coverage"))
        return (
            f"Predictions fall into a few colors (about {hues} of {HUE_BINS} hues, the truth has {truth_hues}): "
            f"{_STRENGTHEN}, or train on more varied photos."
        )
    if vividness < PALE:
        return f"Predictions are pale ({vivid}): lower the temperature (--temperature), or {_STRENGTHEN}."
    return None


@dataclass(frozen=True)
class Evaluation:
    """A model's figures beside those of doing nothing.

    Args:
        rows: figures by row: `MODEL`, `GRAY`, `SINGLE` and, with two photos or more, `ANOTHER`; keys as in
            `Measures.result`, without those of the truth.
        truth: colourfulness, chroma, cast, nearly gray share and hue coverage of the true colours.
        protocol: how it was measured.
        per_photo: for each photo its name, height and width, `truth_colorfulness`, and `psnr`, `auc` and `colorfulness`
            as dicts by row.
        skipped: pairs of name and reason.
    """

    rows: dict
    truth: dict
    protocol: dict
    per_photo: list
    skipped: list

    def protocol_line(self):
        """Gives the protocol as one line, without which no figure can be compared with another."""
        p = self.protocol
        crop = "center square" if p["crop"] == "square" else f"whole, cut to multiples of {p['stride']}"
        temperature = "none" if p["temperature"] is None else p["temperature"]
        small = f", {p['smaller']} smaller ones at their own size" if p["smaller"] else ""
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return (
            f"{p['photos']} photos{skipped}; short side {p['size']}{small}; crop: {crop}; chroma upsampled: "
            f"{p['interpolation']}; temperature: {temperature}; PSNR: mean of photos, 8 bits; accuracy in "
            f"{p['accuracy_buckets']} buckets; {p['model']}, {p['parameters']:,} parameters; "
            f"rainbownet {p['versions']['rainbownet']}, keras {p['versions']['keras']}"
        )

    def table(self):
        """Draws the rows as a `rich.table.Table`, with the protocol below."""
        table = Table(title="Evaluation", caption=self.protocol_line(), caption_justify="left")
        table.add_column("")
        for heading, _, _ in _COLUMNS:
            table.add_column(heading, justify="right")
        for name, figures in [*self.rows.items(), ("the truth", self.truth)]:
            cells = [form.format(figures[key]) if key in figures else "" for _, key, form in _COLUMNS]
            table.add_row(name, *cells, style="bold" if name == MODEL else None)
        return table

    def to_json(self, path):
        """Writes everything, and the verdict, as JSON.

        Args:
            path: file to write.
        """
        content = {
            "protocol": self.protocol,
            "rows": self.rows,
            "truth": self.truth,
            "verdict": verdict(self),
            "skipped": [{"name": name, "reason": reason} for name, reason in self.skipped],
            "per_photo": self.per_photo,
        }
        with write_atomically(Path(path)) as temporary:
            Path(temporary).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


_COLUMNS = (
    ("PSNR dB", "psnr", "{:.2f}"),
    ("AuC %", "auc", "{:.1f}"),
    ("balanced AuC %", "auc_balanced", "{:.1f}"),
    ("accuracy", "bucket_accuracy", "{:.1%}"),
    ("colorfulness", "colorfulness", "{:.1f}"),
    ("chroma", "chroma", "{:.1f}"),
    ("cast", "cast", "{:.2f}"),
    ("nearly gray", "near_gray", "{:.0%}"),
    ("hues", "hue_coverage", "{:.0%}"),
)


def evaluate(model, photos, size=None, crop="square", temperature=None, embed=None, batch=16, progress=True):
    """Measures a model on photos, beside gray, the best single colour and the colours of another photo.

    Each photo is decoded, its short side reduced to `size` (photos smaller than that are never enlarged), cut at its
    center, and its L computed from its RGB. The predicted chroma is upsampled bilinearly to the crop's size, joined
    with the true L and compared there. The photos are read twice: the best single colour is the constant with the best
    plain AuC, chosen knowing all true colours, which no model does.

    Args:
        model: `ColorModel`.
        photos: list of `PhotoFile`.
        size: short side in pixels, `None` for the size that the model was trained at.
        crop: "square" for the center square, "none" for the whole photo, cut at its center to multiples of the model's
            stride.
        temperature: temperature of decoding, `None` for the model's own.
        embed: function from L, (batch, height, width, 1) in 0..100, to embeddings, (batch, n); needed by models that
            take one.
        batch: photos of one size that are predicted together.
        progress: whether to draw a progress bar.

    Returns:
        `Evaluation`.

    Raises:
        ValueError: the size does not suit the model, an embedding is missing, or no photo can be measured.
    """
    size = min(model.size) if size is None else size
    _check(model, size, crop, embed)
    read = functools.partial(_read, size=size, stride=model.stride, crop=crop)
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
        names = [MODEL, GRAY, SINGLE] + ([ANOTHER] if len(photos) > 1 else [])
        accuracy = _accuracy_buckets(model)
        measures = {name: Measures(accuracy) for name in names}
        order = []
        track = bars.add_task("Measuring the model", total=len(photos))
        for group in _groups(_with_neighbors(photos, read), batch):
            order += [(photo.name, *rgb.shape[:2]) for photo, rgb, _, _ in group]
            rgb, lab, another = (np.stack([entry[i] for entry in group]) for i in (1, 2, 3))
            l, truth_ab = lab[..., :1], lab[..., 1:]
            guesses = {
                MODEL: _predict(model, l, temperature, embed),
                GRAY: np.zeros_like(truth_ab),
                SINGLE: np.broadcast_to(np.float32(single), truth_ab.shape),
                ANOTHER: another,
            }
            for name in names:
                measures[name].update(guesses[name], truth_ab, l, truth_rgb=rgb)
            bars.advance(track, len(group))

    results = {name: gathered.result() for name, gathered in measures.items()}
    # A regression has no temperature, and ignores one that is given.
    if temperature is None or model.default_temperature is None:
        temperature = model.default_temperature
    return Evaluation(
        rows={name: {k: v for k, v in r.items() if not k.startswith("truth_")} for name, r in results.items()},
        truth={k.removeprefix("truth_"): v for k, v in results[MODEL].items() if k.startswith("truth_")},
        protocol={
            "photos": len(photos),
            "size": size,
            "crop": crop,
            "smaller": sum(min(height, width) < size // model.stride * model.stride for _, height, width in order),
            "stride": model.stride,
            "batch": batch,
            "temperature": temperature,
            "luminance": "L of the photo's own RGB",
            "interpolation": "bilinear",
            "single_color": [float(x) for x in single],
            "accuracy_buckets": len(accuracy),
            "model": model.name,
            "parameters": model.count_params(),
            "versions": _versions(),
        },
        per_photo=_join(order, measures),
        skipped=skipped,
    )


def verdict(evaluation):
    """Says in plain words what the model is worth: whether it beats the three ways of doing nothing.

    It counts as better in PSNR or AuC where the mean difference over the photos is more than twice its standard error,
    against each of the rows; in balanced AuC, which is no mean of photos, where it leads by more than half a point.

    Args:
        evaluation: `Evaluation`.

    Returns:
        A few sentences.
    """
    won, lost = [], []
    for key, heading, form in _CONTESTS:
        rivals = {name: figures[key] for name, figures in evaluation.rows.items() if name != MODEL}
        best = max(rivals, key=rivals.get)
        text = f"{heading} {form.format(evaluation.rows[MODEL][key])} ({best}: {form.format(rivals[best])})"
        (won if all(_clearly_better(evaluation, key, rival) for rival in rivals) else lost).append(text)
    count = evaluation.protocol["photos"]
    on = f"On {count} photos" if count > 1 else "On a single photo"
    if not lost:
        first = f"{on} the model is better than doing nothing in every measure: {_listed(won)}."
    elif not won:
        first = f"{on} the model is no better than doing nothing: {_listed(lost)}."
    else:
        first = f"{on} the model is better than doing nothing in {_listed(won)}; it is no better in {_listed(lost)}."
    sentences = [first]
    vivid, true = evaluation.rows[MODEL]["colorfulness"], evaluation.truth["colorfulness"]
    if true:
        sentences.append(f"Its photos are {vivid / true:.2f} times as colorful as the true ones.")
    warning = diagnose({**evaluation.rows[MODEL], **{f"truth_{k}": v for k, v in evaluation.truth.items()}})
    if warning:
        sentences.append(warning)
    if count < 30:
        sentences.append("So few photos say little; evaluate on 30 or more.")
    return " ".join(sentences)


_CONTESTS = (
    ("auc_balanced", "balanced AuC", "{:.1f} %"),
    ("auc", "AuC", "{:.1f} %"),
    ("psnr", "PSNR", "{:.2f} dB"),
)


class _Colors:
    """Sums from which the chroma statistics of a set of colours follow."""

    def __init__(self):
        self._pixels = 0
        self._ab = np.zeros(2)
        self._chroma = 0.0
        self._near_gray = 0
        self._hues = np.zeros(HUE_BINS)

    def update(self, ab):
        ab = ab.reshape(-1, 2)
        chroma = np.hypot(ab[:, 0], ab[:, 1])
        self._pixels += len(ab)
        self._ab += ab.sum(axis=0, dtype="float64")
        self._chroma += float(chroma.sum(dtype="float64"))
        colored = chroma >= NEAR_GRAY  # the hue of a nearly gray pixel is noise
        self._near_gray += int(np.count_nonzero(~colored))
        turns = np.arctan2(ab[colored, 1], ab[colored, 0]) / (2 * np.pi)
        hues = np.floor(turns * HUE_BINS).astype("int64") % HUE_BINS
        self._hues += np.bincount(hues, weights=chroma[colored], minlength=HUE_BINS)

    def result(self):
        a, b = self._ab
        return {
            "chroma": self._chroma / self._pixels,
            "cast": float(np.hypot(a, b)) / self._chroma if self._chroma else 0.0,
            "cast_hue": float(np.degrees(np.arctan2(b, a)) % 360),
            "near_gray": self._near_gray / self._pixels,
            "hue_coverage": hue_coverage(self._hues),
        }


@functools.cache
def _balance_buckets():
    return buckets.ab_313()


def _decibel(mean_squared):
    return 10 * math.log10(255**2 / mean_squared) if mean_squared else math.inf


def _error_steps(ab, truth_ab):
    """The first threshold at which a pixel counts, 0..150, or 151 where none is."""
    difference = np.asarray(ab, "float32") - np.asarray(truth_ab, "float32")
    return np.minimum(np.ceil(np.hypot(difference[..., 0], difference[..., 1])), THRESHOLDS).astype("int64")


def _photos(array):
    array = np.asarray(array, "float32")
    return array[None] if array.ndim == 3 else array


def _rgb_from_lab(l, ab):
    """uint8 RGB as `color.lab_to_rgb` gives it; its search for the gamut's border is spared for colours inside."""
    lab = np.concatenate([l, ab], axis=-1)
    outside = ~np.asarray(color.in_gamut(lab))
    if outside.any():
        lab[outside] = np.asarray(color.fit_to_gamut(lab[outside]))
    rgb = color.linear_to_rgb(ops.clip(color.lab_to_linear_rgb(lab), 0.0, 1.0))
    return np.rint(np.asarray(rgb) * 255).astype("uint8")


def _resize(planes, height, width):
    if planes.shape[1:3] == (height, width):
        return planes
    shrinks = height < planes.shape[1] or width < planes.shape[2]
    return np.asarray(ops.image.resize(planes, (height, width), interpolation="bilinear", antialias=shrinks))


def _check(model, size, crop, embed):
    if crop not in ("square", "none"):
        raise ValueError(f'`crop` must be "square" or "none"; received {crop!r}.')
    if size < model.stride or size % model.stride:
        low = max(size // model.stride, 1) * model.stride
        raise ValueError(
            f"`size` must be a multiple of {model.stride}, as this model's network halves it several times; received "
            f"{size}, use {low} or {low + model.stride}."
        )
    height, width = model.size
    if model.fixed_size and (crop != "square" or height != width):
        raise ValueError(
            f"This model takes photos of {height} x {width} pixels only, which others than square crops on a square "
            'model would have to be squashed into; use `crop="square"` and a model trained on squares.'
        )
    if model.needs_embedding and embed is None:
        raise ValueError("This model was trained with an embedding of the photo beside its luminance; give `embed`.")


def _read(photo, size, stride, crop):
    """The photo's crop as (height, width, 3) uint8."""
    data = photo.read()
    short_side = size
    # What cannot be opened is told by `decode_rgb` in a sentence.
    with contextlib.suppress(Exception), Image.open(io.BytesIO(data)) as image:
        short_side = min(size, *image.size)
    if short_side < stride:
        raise PhotoError(f"its short side has {short_side} pixels, the model needs {stride} or more.")
    rgb = decode_rgb(data, short_side)
    sides = [min(rgb.shape[:2])] * 2 if crop == "square" else rgb.shape[:2]
    height, width = (side // stride * stride for side in sides)
    top, left = (rgb.shape[0] - height) // 2, (rgb.shape[1] - width) // 2
    return rgb[top : top + height, left : left + width]


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
        ab = np.asarray(color.rgb_to_lab(rgb))[..., 1:].reshape(-1, 2)
        cells = np.clip(np.floor(ab).astype("int64") + 128, 0, 255)
        seen += np.bincount(cells[:, 0] * 256 + cells[:, 1], minlength=seen.size).reshape(seen.shape)
    return usable, skipped, seen


def _best_single_color(seen):
    """The colour with the best plain AuC for colours counted in squares of side 1: (2,) float, whole Lab units."""
    a, b = np.nonzero(seen)
    counts = seen[a, b]
    colors = np.stack([a, b], axis=-1) - 127.5

    def best(candidates):
        areas = [np.sum(counts * (THRESHOLDS - _error_steps(colors, candidate))) for candidate in candidates]
        return candidates[int(np.argmax(areas))]

    steps = np.arange(-9, 10, 3)
    near = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    return best(best(_balance_buckets().centers) + near)  # the centers are 10 apart


def _with_neighbors(photos, read):
    """Yields photo, RGB, Lab and the ab of the next photo (of the first for the last) in the photo's size."""

    def load(photo):
        rgb = read(photo)
        return photo, rgb, np.asarray(color.rgb_to_lab(rgb))

    first = current = load(photos[0])
    for following in [*photos[1:], None]:
        following = first if following is None else load(following)
        photo, rgb, lab = current
        yield photo, rgb, lab, _resize(following[2][None, ..., 1:], *rgb.shape[:2])[0]
        current = following


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


def _predict(model, l, temperature, embed):
    """(batch, height, width, 2) predicted ab at the size of `l`."""
    height, width = l.shape[1:3]
    inputs = _resize(l, *model.size) if model.fixed_size else l
    embedding = embed(l) if model.needs_embedding else None
    ab = model.predict_chroma(inputs, embedding=embedding, temperature=temperature)
    return _resize(np.asarray(ab), height, width)


def _accuracy_buckets(model):
    """The codec's own buckets where they lie in the ab plane, otherwise the 313."""
    own = getattr(model.codec, "buckets", None)
    return own if own is not None and model.codec.color_space == "lab" else _balance_buckets()


def _join(order, measures):
    """The figures of each photo, by row."""
    photos = []
    for i, (name, height, width) in enumerate(order):
        entry = {"name": name, "height": height, "width": width}
        entry["truth_colorfulness"] = measures[MODEL].per_photo[i]["truth_colorfulness"]
        for key in ("psnr", "auc", "colorfulness"):
            entry[key] = {row: gathered.per_photo[i][key] for row, gathered in measures.items()}
        photos.append(entry)
    return photos


def _clearly_better(evaluation, key, rival):
    if key == "auc_balanced":
        return evaluation.rows[MODEL][key] > evaluation.rows[rival][key] + 0.5
    gains = np.array([photo[key][MODEL] - photo[key][rival] for photo in evaluation.per_photo])
    error = gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else 0.0
    return gains.mean() > 2 * error


def _cast_name(hue):
    return [name for start, name in _CASTS if hue >= start][-1]


def _listed(texts):
    return texts[0] if len(texts) == 1 else ", ".join(texts[:-1]) + " and " + texts[-1]


def _versions():
    return {
        "rainbownet": __version__,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }

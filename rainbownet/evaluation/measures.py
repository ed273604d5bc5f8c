"""All figures over a set of photos, gathered in a stream, and the collapse alarm.

The ab of a prediction are compared as they are; RGB, and CIEDE2000, are of the colours that are shown: those that sRGB
cannot show were moved back into it, as `color.lab_to_rgb` does, and RGB is rounded to 8 bits.

Every figure follows from sums over the photos. A photo that counts twice is a sum with a weight, so that the same lines
compute the figures themselves and those of a thousand bootstrap samples.
"""

import functools
import math
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from rainbownet import buckets
from rainbownet.evaluation import figures, pixels
from rainbownet.evaluation.learned import frechet_distance

NEAR_GRAY = 5.0
"""Chroma below which a pixel counts as nearly gray: half the width of one of Zhang et al.'s buckets, so that its colour
is closer to gray than to any other bucket; twice the just noticeable difference of Lab, 2.3 (Mahy et al. 1994)."""

HUE_BINS = 24
"""Hues of 15 degrees each: neighbours are told apart at a glance, and natural photos fill about 14 of them."""

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

# What a photo is weighed by in the mean of a figure: its pixels, or each photo alike.
_BY_PIXEL = ("ab_distance", "ciede2000", "bucket_accuracy")
_BY_PHOTO = ("psnr", "ssim", "colorfulness", "truth_colorfulness")

_STRIP = 8192  # pixels at a time for CIEDE2000, whose many planes then stay in the cache: twice as fast

_SAMPLES = 100  # bootstrap samples at a time: those of 10,000 photos then take 8 MB


class Truth:
    """The true colours of photos of one size, with what all predictions are compared with.

    Args:
        ab: (batch, height, width, 2) float, Lab units.
        l: (batch, height, width, 1) float, the true L in 0..100.
        rgb: (batch, height, width, 3) uint8, where it is at hand; otherwise it is computed from Lab.
    """

    def __init__(self, ab, l, rgb=None):
        self.ab, self.l = _photos(ab), _photos(l)
        self.rgb = pixels.shown(self.l, self.ab)[0] if rgb is None else np.asarray(rgb).reshape(*self.ab.shape[:-1], 3)
        self.bucket = np.asarray(balance_buckets().assign(self.ab))
        self.parts = _each(self._look, len(self.ab))

    def _look(self, i):
        statistics = {f"truth_{key}": value for key, value in _color_sums(self.ab[i]).items()}
        statistics["truth_colorfulness"] = figures.colorfulness(self.rgb[i])
        statistics["bucket_pixels"] = np.bincount(self.bucket[i].ravel(), minlength=len(balance_buckets()))
        return statistics, figures.ssim_moments(self.rgb[i])


class Measures:
    """Gathers all figures over a set of photos, in memory that does not grow with their pixels.

    Both AuC follow exactly from two numbers for each photo and bucket of the true colour, the pixels and the sum of
    their areas: weighting each pixel with 1 / P(bucket), P over the same pixels, makes the balanced AuC the plain mean
    over the buckets that occur.

    Args:
        accuracy_buckets: `Buckets` in which a colour counts as right; `None` for the 313.
        lpips: `learned.Lpips`, where that figure is wanted.
        features: `learned.InceptionFeatures`, or what else has its `name` and gives vectors of photos, for a FID.
    """

    def __init__(self, accuracy_buckets=None, lpips=None, features=None):
        self._accuracy = accuracy_buckets or balance_buckets()
        self._lpips, self._features = lpips, features
        self._sums = []
        self._vectors, self._truth_vectors = [], []

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
        self.compare(ab, Truth(truth_ab, l, truth_rgb))

    def compare(self, ab, truth, top5=None, vectors=None):
        """Adds photos, as `update`, whose truth several predictions share.

        Args:
            ab: (batch, height, width, 2) float, predicted colours in Lab units.
            truth: their `Truth`.
            top5: (batch, 2) numbers of places whose true bucket is among the five likeliest, and of all places, for a
                model of buckets.
            vectors: (batch, n) `features` of the true photos, where a FID is wanted.

        Raises:
            ValueError: `ab` holds values that are no finite numbers.
        """
        ab = _photos(ab)
        if not np.isfinite(ab).all():
            raise ValueError(
                "The predicted colors are not finite numbers: the model's weights are damaged, or its training "
                "diverged; train it with a lower learning rate."
            )
        right = np.asarray(self._accuracy.assign(ab)) == np.asarray(self._accuracy.assign(truth.ab))

        def work(i):
            statistics, moments = truth.parts[i]
            rgb, seen = pixels.shown(truth.l[i], ab[i])
            distance = figures.ab_distance(ab[i], truth.ab[i])
            area = figures.THRESHOLDS - figures.error_steps(distance)
            squared = float(np.mean(np.square(rgb.astype("int32") - truth.rgb[i])))
            rows = max(1, _STRIP // rgb.shape[1])
            strips = [slice(start, start + rows) for start in range(0, len(rgb), rows)]
            difference = [figures.ciede2000(seen[part], truth.ab[i][part]).sum(dtype="float64") for part in strips]
            areas = np.bincount(truth.bucket[i].ravel(), area.ravel(), len(balance_buckets()))
            sums = {
                **statistics,
                **_color_sums(ab[i]),
                "photos": 1,
                "pixels": distance.size,
                "bucket_areas": areas,
                "squared": squared * distance.size,
                "psnr": min(figures.decibel(squared), figures.PSNR_LIMIT),
                "ssim": figures.ssim_against(rgb, moments) if min(rgb.shape[:2]) >= figures.SSIM_WINDOW else math.nan,
                "ab_distance": distance.sum(dtype="float64"),
                "ciede2000": sum(difference),
                "bucket_accuracy": np.count_nonzero(right[i]),
                "colorfulness": figures.colorfulness(rgb),
                **({} if top5 is None else {"top5": top5[i]}),
            }
            return sums, rgb

        added, photos = zip(*_each(work, len(ab)), strict=True)
        if self._lpips is not None:
            for one, value in zip(added, self._lpips(np.stack(photos), truth.rgb), strict=True):
                one["lpips"] = value
        if self._features is not None:
            self._vectors.append(self._features(np.stack(photos)))
            self._truth_vectors.append(vectors)
        self._sums += added

    @property
    def photos(self):
        """The number of photos so far."""
        return len(self._sums)

    @property
    def per_photo(self):
        """List of dicts of floats, the figures of each photo on its own; see `result` for what they are."""
        rows = self._stacked()
        each = self._figures(rows)
        return [{key: float(each[key][i]) for key in self._photo_keys(rows)} for i in range(len(self._sums))]

    def result(self):
        """Computes the figures of all photos so far.

        Returns:
            Dict of floats: `psnr` in dB (mean of the photos', each at most 58.9), `psnr_pooled` in dB (of all pixels
            together), `ssim` (mean of photos, in RGB), `auc` and `auc_balanced` in percent, `ab_distance` (mean, Lab
            units), `ciede2000` (mean), `bucket_accuracy` (share of pixels), where they were given `top5` (share of
            places), `lpips` (mean of photos) and a FID by the name of its network, `colorfulness_ratio` (to the
            truth's), and of the predicted colours, and with the prefix `truth_` of the true ones: `colorfulness` (mean
            of photos), `chroma` (mean, Lab units), `cast` (0..1, length of the mean ab over the mean chroma),
            `cast_hue` (degrees, 0..360), `near_gray` (share of pixels), `hue_coverage` (0..1, see
            `figures.hue_coverage`); and `photos` and `pixels`, counts.

        Raises:
            ValueError: no photo was added yet.
        """
        if not self._sums:
            raise ValueError("No photo was measured yet; call `update` with predicted and true colors first.")
        totals = {key: values.sum(axis=0) for key, values in self._stacked().items()}
        result = {key: float(value) for key, value in self._figures(totals).items()}
        result |= {key: int(result[key]) for key in ("photos", "pixels")}
        if self._features is not None and len(self._sums) > 1:
            both = (np.concatenate(vectors) for vectors in (self._vectors, self._truth_vectors))
            result[self._features.name] = frechet_distance(*both)
        return result

    def resampled(self, weights):
        """Computes the figures of bootstrap samples of the photos.

        A bucket that occurs in few photos is missing from many samples, and such buckets are the hard ones: a balanced
        AuC of what is left would be too high. A bucket that a sample lacks keeps the share that it has in all photos.

        Args:
            weights: (samples, photos) how often each photo is drawn.

        Returns:
            Dict of (samples,) arrays, with the keys of `result` but for a FID, which no sample with doubles has.
        """
        rows = self._stacked()
        total = {key: rows[key].sum(axis=0) for key in ("bucket_areas", "bucket_pixels")}
        parts = []
        for start in range(0, len(weights), _SAMPLES):
            part = weights[start : start + _SAMPLES].astype("float64")
            parts.append(self._figures({key: part @ values for key, values in rows.items()}, total))
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

    def _stacked(self):
        """The sums of each photo, by key: (photos,) or (photos, n) arrays."""
        return {key: np.array([sums[key] for sums in self._sums], "float64") for key in self._sums[0]}

    @staticmethod
    def _photo_keys(rows):
        optional = [key for key in ("top5", "lpips") if key in rows]
        return [*_BY_PHOTO, "auc", *_BY_PIXEL, "chroma", "near_gray", "colorfulness_ratio", *optional]

    @staticmethod
    def _figures(sums, total=None):
        """The figures that follow from sums over photos, whose last axis goes over buckets, hues or a and b.

        A bucket without pixels counts as it does in `total`, the sums over all photos.
        """
        count, areas, counts = sums["pixels"], sums["bucket_areas"], sums["bucket_pixels"]
        share = np.divide(areas, counts, out=np.full_like(areas, np.nan), where=counts > 0)
        if total is not None:
            everywhere = total["bucket_areas"] / np.maximum(total["bucket_pixels"], 1)
            share = np.where((counts == 0) & (total["bucket_pixels"] > 0), everywhere, share)
        squared = np.maximum(sums["squared"] / count, 255**2 / 10 ** (figures.PSNR_LIMIT / 10))
        result = {
            "photos": sums["photos"],
            "pixels": count,
            "psnr_pooled": 10 * np.log10(255**2 / squared),
            "auc": 100 * areas.sum(axis=-1) / figures.THRESHOLDS / count,
            "auc_balanced": 100 * np.nanmean(share, axis=-1) / figures.THRESHOLDS,
            **{key: sums[key] / count for key in _BY_PIXEL},
            **{key: sums[key] / sums["photos"] for key in (*_BY_PHOTO, "lpips") if key in sums},
            **({"top5": sums["top5"][..., 0] / sums["top5"][..., 1]} if "top5" in sums else {}),
        }
        true = result["truth_colorfulness"]
        result["colorfulness_ratio"] = np.divide(
            result["colorfulness"], true, out=np.zeros_like(true), where=np.asarray(true > 0)
        )
        for prefix in ("", "truth_"):
            a, b = np.moveaxis(sums[f"{prefix}ab"], -1, 0)
            chroma = sums[f"{prefix}chroma"]
            cast = np.hypot(a, b)
            result |= {
                f"{prefix}chroma": chroma / count,
                f"{prefix}cast": np.divide(cast, chroma, out=np.zeros_like(cast), where=np.asarray(chroma > 0)),
                f"{prefix}cast_hue": np.degrees(np.arctan2(b, a)) % 360,
                f"{prefix}near_gray": sums[f"{prefix}near_gray"] / count,
                f"{prefix}hue_coverage": figures.hue_coverage(sums[f"{prefix}hues"]),
            }
        return result


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
        return f"Predictions are turning gray ({gray}): {_STRENGTHEN}, or lower the temperature."
    if stats["cast"] > max(CAST_LIMIT, stats["truth_cast"] + CAST_EXCESS):
        return (
            f"Predictions are turning {_cast_name(stats['cast_hue'])} (cast {stats['cast']:.2f}, the truth's "
            f"{stats['truth_cast']:.2f}): {_STRENGTHEN}, or lower the temperature."
        )
    if vividness > GARISH:
        return f"Predictions are garish ({vivid}): {_WEAKEN}, or raise the temperature."
    if stats["hue_coverage"] < FEW_HUES * stats["truth_hue_coverage"]:
        hues, truth_hues = (max(1, round(HUE_BINS * stats[key])) for key in ("hue_coverage", "truth_hue_coverage"))
        return (
            f"Predictions fall into a few colors (about {hues} of {HUE_BINS} hues, the truth has {truth_hues}): "
            f"{_STRENGTHEN}, or train on more varied photos."
        )
    if vividness < PALE:
        return f"Predictions are pale ({vivid}): lower the temperature, or {_STRENGTHEN}."
    return None


def _color_sums(ab):
    """Sums over one photo from which the chroma statistics of a set follow."""
    ab = ab.reshape(-1, 2)
    chroma = np.hypot(ab[:, 0], ab[:, 1])
    colored = chroma >= NEAR_GRAY  # the hue of a nearly gray pixel is noise
    turns = np.arctan2(ab[colored, 1], ab[colored, 0]) / (2 * np.pi)
    hues = np.floor(turns * HUE_BINS).astype("int64") % HUE_BINS
    return {
        "ab": ab.sum(axis=0, dtype="float64"),
        "chroma": chroma.sum(dtype="float64"),
        "near_gray": np.count_nonzero(~colored),
        "hues": np.bincount(hues, weights=chroma[colored], minlength=HUE_BINS),
    }


@functools.cache
def balance_buckets():
    """Gives the 313 buckets by which colours are weighed: one object, as it makes its table but once."""
    return buckets.ab_313()


def _each(work, count):
    """Calls `work(i)` for each photo, in as many threads as there are processors; NumPy lets them run side by side."""
    if count == 1:
        return [work(0)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(work, range(count)))


def _photos(array):
    array = np.asarray(array, "float32")
    return array[None] if array.ndim == 3 else array


def _cast_name(hue):
    return [name for start, name in _CASTS if hue >= start][-1]

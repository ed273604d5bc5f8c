"""ColorUNet's experiments: how many bins, how much rebalancing, how much data; and why it knows two colours only.

The poster (after Billaut, de Rochemonteix & Thibault, arXiv 1811.03120) classifies pixels into the n most frequent
cells of the UV plane. It tries 32 bins and 6, rebalancing weights and temperatures, 2 categories of photos, data sets
of several sizes, and layer normalization in the place of batch normalization. It reports a failure: never more than
two colours in a photo, "the mean color of the binned values", whatever the temperature.

    python -m experiments.color_unet bins PHOTOS --out RUNS           # 32 bins against 6
    python -m experiments.color_unet lambdas PHOTOS --out RUNS        # rebalancing: none, 0.9, 0.5, 0.3, 0.1
    python -m experiments.color_unet temperatures PHOTOS --out RUNS   # one network decoded at T of 1 down to 0
    python -m experiments.color_unet categories PHOTOS --out RUNS --kinds beach ocean   # 2 folders against all
    python -m experiments.color_unet sizes PHOTOS --out RUNS          # an eighth, a half and all of the photos
    python -m experiments.color_unet norms PHOTOS --out RUNS          # layer against batch normalization
    python -m experiments.color_unet two_colors PHOTOS --out RUNS     # the failure, its cause and what mends it
    python -m experiments.color_unet ceilings PHOTOS --out RUNS       # what bins could do at best; trains nothing

PHOTOS is a folder or an archive of colour photos, in folders by category for `categories`; the document had 10,000 of
Flickr or 10,000 of SUN. At its size (256, batches of 48, up to 25 epochs) one run takes a day on a GPU of 2018; on 2
cores use `--size 64 --filters 16`: a pass over 16,000 photos takes 10 minutes. `--quick` runs everything at toy size,
in two minutes, to see that it works. What a folder holds afterwards stands in `common.py`.

To expect: colourfulness falls from T = 0 to T = 1 and rises as lambda falls; neither gives hues that no bin has. On
Tiny ImageNet the most frequent of 64 x 64 cells all lie near gray (bins.png): in 32 of them the *true* photos keep 0.69
of their colourfulness and 5 of their 9 colours a photo, in 6 of them 0.29 and 2. 32 of 24 x 24 cells keep all of it.
"""

import math

import numpy as np
from keras import ops
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from experiments import common
from rainbownet import buckets, color, evaluation
from rainbownet.codecs import FrequentUV
from rainbownet.colorizer import Colorizer
from rainbownet.data.pipeline import middle_square, squares

SIZE = 256  # the document's
LAMBDAS = (None, 0.9, 0.5, 0.3, 0.1)
TEMPERATURES = (1.0, 0.7, 0.38, 0.2, 0.0)
WIDE_CELLS = 24  # on each axis, in the place of 64
COUNTED = 48  # photos whose colours are counted


def bins(experiment):
    """32 bins against 6."""
    named = {f"{n} bins": experiment.system("color_unet", bins=n) for n in (32, 6)}
    return experiment.compare(named, comparable=False)


def lambdas(experiment):
    """How much rare colours weigh: from not at all to most."""
    named = {
        "unweighted" if mix is None else f"lambda {mix}": experiment.system("color_unet", rebalance=mix)
        for mix in experiment.sweep(LAMBDAS)
    }
    return experiment.compare(named, comparable=False)


def temperatures(experiment):
    """One network, its distributions decoded from their mean (T = 1) to their mode (T = 0)."""
    experiment.run("network", experiment.system("color_unet"))
    model, photos = experiment.model("network"), experiment.measured("network")
    colorizers = {f"T {t}": Colorizer(model, temperature=t) for t in TEMPERATURES}
    common.sheet(colorizers, experiment.shown_photos("network"), experiment.out / "sheet.jpg")
    return {f"T {t}": experiment.measure(model, photos, t) for t in TEMPERATURES}


def categories(experiment):
    """Photos of a few categories against as many of all, both measured on photos of those categories."""
    kinds = experiment.args.kinds
    if not kinds:
        raise ValueError("Name folders of PHOTOS after --kinds, such as --kinds beach ocean.")
    few = experiment.portion("few", None, kinds=kinds)
    count = len(experiment.parts(few)["train"])
    photos = {"of these": few, "of all": experiment.portion("all", count)}
    named = dict.fromkeys(photos, experiment.system("color_unet"))
    figures = experiment.compare(named, photos)
    # Their validation photos differ, so that what is compared is measured anew.
    held_out = experiment.parts(few)["val"][: common.MEASURED]
    return {name: {**row, **experiment.measure(experiment.model(name), held_out)} for name, row in figures.items()}


def sizes(experiment):
    """Data sets of several sizes; they are validated on the same photos, and trained for as many steps."""
    count = len(experiment.parts()["train"])
    parts = {f"{count // part:,} photos": experiment.portion(f"part_{part}", count // part) for part in (8, 2, 1)}
    return experiment.compare(dict.fromkeys(parts, experiment.system("color_unet")), parts)


def norms(experiment):
    """Layer normalization, the document's, against the original's batch normalization."""
    return experiment.compare({norm: experiment.system("color_unet", norm=norm) for norm in ("layer", "batch")})


def two_colors(experiment):
    """The failure shown, explained and mended.

    "published" has the document's bins, and weights counted over other photos (`--prior-photos`, if given); "own
    weights" counts them over the training photos; "wide bins" has as many bins of wider cells. Beside each stands what
    its bins could do at best.
    """
    narrow = experiment.system("color_unet")
    wide = experiment.system("color_unet", cells=WIDE_CELLS)
    named = {"own weights": narrow, "wide bins": wide}
    if experiment.args.prior_photos is not None:
        experiment.run("published", narrow, prior_photos=experiment.args.prior_photos)
        named = {"published": narrow, **named}
    results = experiment.compare(named, comparable=False)
    photos = experiment.measured("own weights")[:COUNTED]
    for name, row in results.items():
        model = experiment.model(name)
        row["colors_a_photo"] = common.colors_a_photo(_Predicted(model), photos, buckets.ab_313())
        row["ceiling"] = _ceiling(model.codec, photos)
    codecs = {name: experiment.model(name).codec for name in ("own weights", "wide bins")}
    _draw_bins(codecs, experiment.out / "bins.png")
    return results


def ceilings(experiment):
    """What bins could do at best: the figures of the true photos, each pixel in the nearest bin's colour."""
    parts = experiment.parts()
    seen = list(squares(parts["train"][:: math.ceil(len(parts["train"]) / 1000)], 32))
    photos = parts["val"][:COUNTED]
    cells = (24, 16) if experiment.quick else (64, WIDE_CELLS)
    codecs = {f"{n} of {side} x {side} cells": FrequentUV(n, side).fit(seen) for side in cells for n in (6, 32)}
    _draw_bins(codecs, experiment.out / "bins.png")
    return {name: _ceiling(codec, photos) for name, codec in codecs.items()}


def _ceiling(codec, photos):
    nearest, measures = _Nearest(codec), evaluation.Measures()
    for photo in photos:
        rgb = middle_square(photo.read(), 64)
        lab = ops.convert_to_numpy(color.rgb_to_lab(rgb))
        measures.update(nearest(rgb), lab[..., 1:], lab[..., :1], truth_rgb=rgb)
    figures = measures.result()
    return {
        "vividness": figures["colorfulness"] / figures["truth_colorfulness"],
        "auc_balanced": figures["auc_balanced"],
        "hue_coverage": figures["hue_coverage"],
        "colors_a_photo": common.colors_a_photo(nearest, photos, buckets.ab_313()),
        "truth_colors_a_photo": common.colors_a_photo(_true_ab, photos, buckets.ab_313()),
    }


class _Predicted:
    """ab of a photo as a model gives it."""

    def __init__(self, model):
        self.colorizer = Colorizer(model)

    def __call__(self, rgb):
        return self.colorizer.chroma([ops.convert_to_numpy(color.luminance(rgb))[..., 0]])[0]


class _Nearest:
    """ab of a photo whose pixels all have the colour of the codec's bin that is nearest to their own."""

    def __init__(self, codec):
        self.codec = codec

    def __call__(self, rgb):
        chosen = ops.one_hot(self.codec.classify(rgb[None]), self.codec.outputs) * 100
        return ops.convert_to_numpy(self.codec.decode(chosen, 0.0, color.luminance(rgb[None])))[0]


def _true_ab(rgb):
    return ops.convert_to_numpy(color.rgb_to_lab(rgb))[..., 1:]


def _draw_bins(codecs, path):
    """Draws where the bins of codecs lie in the UV plane, in their colour at middle luminance."""
    figure = Figure(figsize=(4.2 * len(codecs), 4.4), layout="constrained")
    for axes, (name, codec) in zip(figure.subplots(1, len(codecs), squeeze=False)[0], codecs.items(), strict=True):
        centers = np.asarray(codec.buckets.centers)
        yuv = np.concatenate([np.full((len(centers), 1), 0.55), centers], axis=1).astype("float32")
        fills = np.clip(ops.convert_to_numpy(color.yuv_to_rgb(yuv)), 0, 1)
        distances = np.linalg.norm(centers[:, None] - centers[None], axis=-1)
        side = distances[distances > 0].min()
        for (u, v), fill in zip(centers, fills, strict=True):
            axes.add_patch(
                Rectangle((u - side / 2, v - side / 2), side, side, facecolor=fill, edgecolor="gray", lw=0.3)
            )
        axes.set(xlim=(-0.436, 0.436), ylim=(-0.615, 0.615), aspect="equal", xlabel="U", ylabel="V", title=name)
    figure.savefig(path, dpi=80)


def _arguments(parser):
    parser.add_argument("--kinds", nargs="+", help="of categories: the folders of PHOTOS that make the small set")
    parser.add_argument("--prior-photos", nargs="+", help="of two_colors: what the document's weights are counted over")


EXPERIMENTS = {
    "bins": bins,
    "lambdas": lambdas,
    "temperatures": temperatures,
    "categories": categories,
    "sizes": sizes,
    "norms": norms,
    "two_colors": two_colors,
    "ceilings": ceilings,
}
# Toy photos have few colours.
QUICK = {**common.QUICK, "cells": 16}


def main(arguments=None):
    """Runs the command."""
    common.main(__doc__, EXPERIMENTS, QUICK, SIZE, arguments, _arguments)


if __name__ == "__main__":
    main()

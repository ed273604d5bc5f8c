"""RainbowNet's experiments: does it learn, what do fusion and colour weighting change, which colours go together?

The document (Lin, Ling & Wang, CS 229, 2018) overfits a tiny set (Fig. 1), compares the validation loss with and
without the fusion of InceptionResNetV2 (Fig. 2), clusters its photos by their colours, begins with a regression that
goes gray ("v0"), and wishes for a loss that weighs rare colours more. Each is run here by name:

    python -m experiments.rainbownet overfit PHOTOS --out RUNS    # Fig. 1: losses.png and overfit.png
    python -m experiments.rainbownet fusion PHOTOS --out RUNS     # Fig. 2: losses.png, with and without the embedding
    python -m experiments.rainbownet weighting PHOTOS --out RUNS  # plain, without and with rebalancing
    python -m experiments.rainbownet baseline PHOTOS --out RUNS   # the dense regression against the buckets
    python -m experiments.rainbownet clusters PHOTOS --out RUNS   # the cluster figure: clusters.png

PHOTOS is a folder or an archive of colour photos; the document had 9,294 to train on and 247 to validate. At its size
(224, batches of 32, 23 epochs) one run takes 12 hours on the authors' GPU; on 2 cores use `--size 64`: a pass over
17,000 photos takes 10 minutes. `--quick` runs everything at toy size, in two minutes, to see that it works. What a
folder holds afterwards stands in `common.py`.

To expect: overfit ends below 1.0 nats a pixel; at the document's size the losses begin near 2.7 and end near 1.6 (its
4.3 M and 2.5 M are sums over a batch of 32 photos of 224x224); fusion learns more slowly than plain at first; without
weighting predictions are brown or gray, with it they are colourful; the baseline is the dullest.
"""

import dataclasses

import keras
import numpy as np
from matplotlib.figure import Figure

from data_prep.clusters import cluster_photos
from experiments import common
from rainbownet import embedding, models
from rainbownet.colorizer import Colorizer
from rainbownet.data.files import find_photos
from rainbownet.data.pipeline import training_batches

SIZE = 224  # the document's
OVERFIT_PHOTOS, OVERFIT_STEPS = 8, 600


def overfit(experiment):
    """Fig. 1: the network learns a handful of photos by heart."""
    system = experiment.system("rainbownet", batch=OVERFIT_PHOTOS)
    few = find_photos(experiment.photos)[:OVERFIT_PHOTOS]
    model = system.model()
    # The document's epsilon of 0.01 is for its long run; a few hundred steps want full ones.
    model.compile(keras.optimizers.Adam(1e-3, global_clipnorm=1.0), loss=system.loss())
    stream = training_batches(few, system.codec, system.recipe.size, len(few))
    steps = 20 if experiment.quick else OVERFIT_STEPS
    history = model.fit(stream, steps_per_epoch=steps // 20, epochs=20, shuffle=False, verbose=2).history["loss"]
    common.sheet({"learned": Colorizer(model)}, few, experiment.out / "overfit.jpg")

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(np.arange(1, 21) * (steps // 20), history, marker=".")
    axes.set(xlabel="Step", ylabel="Cross-entropy a pixel (nats)", title=f"{len(few)} photos learned by heart")
    figure.savefig(experiment.out / "losses.png", dpi=120)
    return {"first_loss": history[0], "last_loss": history[-1]}


def fusion(experiment):
    """Fig. 2: validation loss by epoch, with the embedding, and with the same network without it."""
    weights = "random" if experiment.quick else experiment.args.embedding
    fused = experiment.system("rainbownet", variant="fusion", embedder=embedding.get(weights))
    filters = experiment.options.get("filters", 64)
    # Not `variant="plain"`, which lacks the normalization too.
    alone = dataclasses.replace(
        fused,
        name="rainbownet fusion of nothing",
        network=lambda: models.rainbownet_fusion(outputs=fused.codec.outputs, embedding=None, filters=filters),
        embedder=None,
    )
    return experiment.compare({"without": alone, "fusion": fused})


def weighting(experiment):
    """The authors' wish: rare colours weigh more."""
    return experiment.compare(
        {"unweighted": experiment.system("rainbownet"), "rebalanced": experiment.system("rainbownet", rebalance=0.5)},
        comparable=False,
    )


def baseline(experiment):
    """The authors' first attempt, a dense regression, whose colours drain away, beside the buckets."""
    return experiment.compare(
        {
            "baseline": experiment.system("rainbownet", variant="baseline"),
            "plain": experiment.system("rainbownet", rebalance=0.5),
        },
        comparable=False,
    )


def clusters(experiment):
    """The cluster figure: which colours occur together, by K-means over the photos' histograms of buckets."""
    found = find_photos(experiment.photos)[: 200 if experiment.quick else None]
    return cluster_photos(found, experiment.out)


def _arguments(parser):
    parser.add_argument(
        "--embedding", default="imagenet", help="of fusion: imagenet or random for InceptionResNetV2, or what else "
        "`rainbownet.embedding.get` knows",
    )  # fmt: skip


EXPERIMENTS = {
    "overfit": overfit,
    "fusion": fusion,
    "weighting": weighting,
    "baseline": baseline,
    "clusters": clusters,
}


def main(arguments=None):
    """Runs the command."""
    common.main(__doc__, EXPERIMENTS, common.QUICK, SIZE, arguments, _arguments)


if __name__ == "__main__":
    main()

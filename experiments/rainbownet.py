"""RainbowNet's experiments: does it learn, what do fusion and colour weighting change, which colours go together?

The document (Lin, Ling & Wang, CS 229, 2018) overfits a tiny set (Fig. 1), compares the validation loss with and
without the fusion of InceptionResNetV2 (Fig. 2), clusters its photos by their colours, begins with a regression that
goes gray ("v0"), and wishes for a loss that weighs rare colours more. Each is run here by name:

    python -m experiments.rainbownet overfit PHOTOS --out RUNS    # Fig. 1: losses.png and overfit.png
    python -m experiments.rainbownet fusion PHOTOS --out RUNS     # Fig. 2: losses.png, plain and fusion
    python -m experiments.rainbownet weighting PHOTOS --out RUNS  # plain, without and with rebalancing
    python -m experiments.rainbownet baseline PHOTOS --out RUNS   # the dense regression against the buckets
    python -m experiments.rainbownet clusters PHOTOS --out RUNS   # the cluster figure: clusters.png

PHOTOS is a folder or an archive of colour photos; the document had 9,294 to train on and 247 to validate. At its size
(224, batches of 32, 23 epochs) one run takes 12 hours on the authors' GPU; on 2 cores use `--size 64`: a pass over
17,000 photos takes 10 minutes. `--quick` runs everything at toy size, in two minutes, to see that it works.

To expect: overfit ends below 1.0 nats a pixel; at the document's size the losses begin near 2.7 and end near 1.6 (its
4.3 M and 2.5 M are sums over a batch of 32 photos of 224x224); fusion learns more slowly than plain at first; without
weighting predictions are brown or gray, with it they are colourful; the baseline is the dullest. Each run ends with its
figures beside three ways of doing nothing, in results.json.
"""

import argparse
import json
from pathlib import Path

import keras
import numpy as np
from keras import ops
from matplotlib.figure import Figure
from PIL import Image
from sklearn.cluster import KMeans

from rainbownet import buckets, color, embedding, systems, training
from rainbownet.data.files import find_photos
from rainbownet.data.pipeline import middle_square, training_batches

SIZE, EPOCHS = 224, 23  # the document's
OVERFIT_PHOTOS, OVERFIT_STEPS = 8, 600
CLUSTERS = 9
QUICK = {"size": 32, "filters": 4, "batch": 8}


def overfit(photos, out, options, quick):
    """Fig. 1: the network learns a handful of photos by heart."""
    system = systems.get("rainbownet", **{**options, "batch": OVERFIT_PHOTOS})
    few = find_photos(photos)[:OVERFIT_PHOTOS]
    model = system.model()
    # The document's epsilon of 0.01 is for its long run; a few hundred steps want full ones.
    model.compile(keras.optimizers.Adam(1e-3, global_clipnorm=1.0), loss=system.loss())
    stream = training_batches(few, system.codec, system.recipe.size, len(few))
    steps = 20 if quick else OVERFIT_STEPS
    history = model.fit(stream, steps_per_epoch=steps // 20, epochs=20, shuffle=False, verbose=2).history["loss"]

    rgb = np.stack([middle_square(photo.read(), system.recipe.size) for photo in few])
    l = color.luminance(rgb)
    predicted = color.lab_to_rgb(ops.concatenate([l, model.predict_chroma(l)], axis=-1))
    rows = [np.repeat(ops.convert_to_numpy(l) * 2.55, 3, -1), ops.convert_to_numpy(predicted) * 255, rgb]
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows]).round().astype("uint8")
    Image.fromarray(sheet).save(out / "overfit.png")

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(np.arange(1, 21) * (steps // 20), history, marker=".")
    axes.set(xlabel="Step", ylabel="Cross-entropy a pixel (nats)", title=f"{len(few)} photos learned by heart")
    figure.savefig(out / "losses.png", dpi=120)
    return {"first_loss": history[0], "last_loss": history[-1]}


def fusion(photos, out, options, quick, weights, limits):
    """Fig. 2: validation loss by epoch, with and without the embedding."""
    embedder = embedding.get("random" if quick else weights)
    return _compare(
        photos, out, limits,
        {
            "plain": systems.get("rainbownet", variant="plain", **options),
            "fusion": systems.get("rainbownet", variant="fusion", embedder=embedder, **options),
        },
    )  # fmt: skip


def weighting(photos, out, options, limits):
    """The authors' wish: rare colours weigh more."""
    return _compare(
        photos, out, limits,
        {
            "unweighted": systems.get("rainbownet", **options),
            "rebalanced": systems.get("rainbownet", rebalance=0.5, **options),
        },
    )  # fmt: skip


def baseline(photos, out, options, limits):
    """The authors' first attempt, a dense regression, whose colours drain away, beside the buckets."""
    return _compare(
        photos, out, limits,
        {
            "baseline": systems.get("rainbownet", variant="baseline", **options),
            "plain": systems.get("rainbownet", rebalance=0.5, **options),
        },
    )  # fmt: skip


def clusters(photos, out, quick):
    """The cluster figure: which colours occur together, by K-means over the photos' histograms of buckets."""
    grid = buckets.ab_112()
    found = find_photos(photos)[: 200 if quick else None]
    histograms = []
    for photo in found:
        lab = color.rgb_to_lab(middle_square(photo.read(), 64))
        indices = ops.convert_to_numpy(grid.assign(lab[..., 1:]))
        histograms.append(np.bincount(indices.ravel(), minlength=len(grid)) / indices.size)
    means = KMeans(CLUSTERS, n_init=4, random_state=0).fit(np.array(histograms))

    figure = Figure(figsize=(10, 10.6), layout="constrained")
    cells = np.concatenate([np.full((len(grid), 1), 65.0), grid.centers], axis=1).astype("float32")
    fills = np.clip(ops.convert_to_numpy(color.lab_to_rgb(cells)), 0, 1)
    sizes = np.bincount(means.labels_, minlength=CLUSTERS)
    order = np.argsort(-sizes)
    for axes, cluster in zip(figure.subplots(3, 3).ravel(), order, strict=True):
        axes.set(xlim=(-128, 128), ylim=(-128, 128), aspect="equal", xlabel="a", ylabel="b")
        axes.set_title(f"{sizes[cluster]} photos", fontsize=10)
        highest = means.cluster_centers_[cluster].max()
        for (a, b), fill, share in zip(grid.centers, fills, means.cluster_centers_[cluster], strict=True):
            # All that occur are filled, as in the document; how strongly says how often.
            if share > 1e-4:
                strength = 0.25 + 0.75 * np.sqrt(share / highest)
                axes.add_patch(_square(a, b, 16, (*fill, strength)))
    figure.savefig(out / "clusters.png", dpi=110)
    return {"photos": len(found), "cluster_sizes": sizes[order].tolist()}


def _square(a, b, side, fill):
    from matplotlib.patches import Rectangle

    return Rectangle((a - side / 2, b - side / 2), side, side, facecolor=fill, edgecolor="none")


def _compare(photos, out, limits, named):
    results, logs = {}, {}
    for name, system in named.items():
        results[name] = training.train(system, photos, out / name, **limits).rows["model"]
        logs[name] = training.read_log(out / name / "log.csv")
    training.plot_losses(logs, out / "losses.png", title="Loss a pixel")
    return results


def main(arguments=None):
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=["overfit", "fusion", "weighting", "baseline", "clusters"])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="a folder of the experiment's name is made in it")
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--precision", default="float32", help="Keras' dtype policy, such as mixed_bfloat16")
    parser.add_argument("--weights", default="imagenet", help="of InceptionResNetV2: imagenet, random or a file")
    parser.add_argument("--quick", action="store_true", help="toy size, to see that it runs")
    args = parser.parse_args(arguments)
    out = args.out / args.experiment
    out.mkdir(parents=True, exist_ok=True)

    options = QUICK if args.quick else {"size": args.size}
    limits = {"steps": 10} if args.quick else {"epochs": args.epochs, "precision": args.precision}
    results = {
        "overfit": lambda: overfit(args.photos, out, options, args.quick),
        "fusion": lambda: fusion(args.photos, out, options, args.quick, args.weights, limits),
        "weighting": lambda: weighting(args.photos, out, options, limits),
        "baseline": lambda: baseline(args.photos, out, options, limits),
        "clusters": lambda: clusters(args.photos, out, args.quick),
    }[args.experiment]()
    (out / "experiment.json").write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()

"""ResNet-18's experiments: the loss curve, its dullness under mean squared error, and ModelZ beside it.

The document (Ke, Fan & Yang, "Colorizing Grayscale Photographs with Convolutional Neural Network") trains half of a
ResNet-18 with a decoder by mean squared error, sees a training loss between 0.002 and 0.003 after 40 epochs, puts its
photos beside those of "ModelZ" (Zhang et al. 2016), and supposes that mean squared error averages colours into an
"old", flat look, which classification might mend.

    python -m experiments.resnet18 loss_curve PHOTOS --out RUNS   # the network as in the document
    python -m experiments.resnet18 heads PHOTOS --out RUNS        # mean squared error against buckets
    python -m experiments.resnet18 modelz PHOTOS --out RUNS       # beside Zhang et al.'s network, on the same photos
    python -m experiments.resnet18 modelz PHOTOS --out RUNS --zhang WEIGHTS   # beside the published weights of it

PHOTOS is a folder or an archive of colour photos; the document had 40,000 of Places205 and 1,000 to validate.
`--imagenet WEIGHTS` begins with ImageNet's weights, as the document does; without, with random ones. At its size (224,
100 epochs) one run takes two days on a GPU of 2018; on 2 cores use `--size 64`: a pass over 16,000 photos takes 5
minutes. `--quick` runs everything at toy size, in two minutes, to see that it works. What a folder holds afterwards
stands in `common.py`.

To expect: a loss of 0.003 is a mean error of 6 Lab units on each axis, which a network of ab = 0 has too on landscapes,
whose chroma is low: it is the colourfulness, a third of the truth's or less, that tells. Buckets on the same trunk are
two to three times as colourful. Published, on ImageNet's ctest10k, for Zhang et al.'s own regression against their
classification with rebalancing: AuC of 91.2 against 89.5, class-balanced 64.4 against 67.3.
"""

from experiments import common
from rainbownet.colorizer import Colorizer

SIZE = 224  # the document's


def loss_curve(experiment):
    """The document's network and loss, in the document's units: those of ab / 110."""
    return experiment.compare({"regression": _regression(experiment)})


def heads(experiment):
    """Mean squared error against 313 buckets, without and with rebalancing, on the same trunk."""
    weights = experiment.args.imagenet
    return experiment.compare(
        {
            "regression": _regression(experiment),
            "buckets": experiment.system("resnet18", head="buckets", weights=weights),
            "rebalanced": experiment.system("resnet18", head="buckets", weights=weights, rebalance=0.5),
        },
        comparable=False,
    )


def modelz(experiment):
    """Side by side with Zhang et al.'s network: trained on the same photos, or with its published weights."""
    published = experiment.args.zhang
    results = {"ResNet-18": experiment.run("ResNet-18", _regression(experiment))}
    if published is None:
        results["ModelZ"] = experiment.run("ModelZ", experiment.system("eccv16"))
        experiment.draw(list(results), comparable=False)
        return results
    model = experiment.system("eccv16", weights=published).model()
    results["ModelZ"] = experiment.measure(model, experiment.measured("ResNet-18"))
    colorizers = {"ResNet-18": Colorizer(experiment.model("ResNet-18")), "ModelZ": Colorizer(model)}
    common.sheet(colorizers, experiment.shown_photos("ResNet-18"), experiment.out / "sheet.jpg")
    return results


def _regression(experiment):
    return experiment.system("resnet18", weights=experiment.args.imagenet)


def _arguments(parser):
    parser.add_argument("--imagenet", help="file of ResNet-18's ImageNet weights to begin with")
    parser.add_argument("--zhang", help="of modelz: file of the published weights of Zhang et al.'s network")


EXPERIMENTS = {"loss_curve": loss_curve, "heads": heads, "modelz": modelz}


def main(arguments=None):
    """Runs the command."""
    common.main(__doc__, EXPERIMENTS, common.QUICK, SIZE, arguments, _arguments)


if __name__ == "__main__":
    main()

"""colornet's experiments: what do the global features do, regression or classification, and which learning rate?

The document (Das & Bhadra, "Deep Colorization with CNNs", after Iizuka, Simo-Serra & Ishikawa, SIGGRAPH 2016) tests
its network also without the global features, gives a table of hyperparameters with a learning rate of 0.1 for Adam,
and concludes that regression is desaturated where classification is "amazingly colorful yet realistic".

    python -m experiments.colornet global_features PHOTOS --out RUNS   # with and without
    python -m experiments.colornet heads PHOTOS --out RUNS             # regression against 313 buckets
    python -m experiments.colornet rates PHOTOS --out RUNS             # Adam at 0.1, 0.01, 0.001, 0.0001

PHOTOS is a folder or an archive of colour photos; the document had 750 faces, one in ten for the test, and made ten of
each of the others (`python -m data_prep.augment`). At its size (224, batches of 32, 100 epochs) one run takes 10 hours
on a GPU; on 2 cores use `--size 64 --filters 16`: a pass over 16,000 photos takes 3 minutes. `--quick` runs everything
at toy size, in two minutes, to see that it works. What a folder holds afterwards stands in `common.py`.

To expect: without rebalancing even buckets are duller than the truth at T = 1, with it they are two to three times as
colourful as the regression, at a lower PSNR; at 0.1 Adam does not learn, and its colours are those of one corner or
none. The document's faces are all alike in colour, so that there the regression does better than on photos of all
kinds.
"""

from experiments import common

SIZE = 224  # the document's
RATES = (0.1, 0.01, 0.001, 0.0001)  # the first is the document's


def global_features(experiment):
    """The network with global features and their fusion, against the baseline without."""
    return experiment.compare(
        {
            "global": experiment.system("colornet"),
            "local": experiment.system("colornet", global_features=False),
        }
    )


def heads(experiment):
    """Regression by mean squared error against 313 buckets with rebalancing, on the same trunk."""
    return experiment.compare(
        {
            "regression": experiment.system("colornet"),
            "buckets": experiment.system("colornet", head="buckets", rebalance=0.5),
        },
        comparable=False,
    )


def rates(experiment):
    """The learning rate of the document's table, and lower ones."""
    tried = experiment.sweep(RATES)
    return experiment.compare({f"Adam {rate}": experiment.system("colornet", learning_rate=rate) for rate in tried})


EXPERIMENTS = {"global_features": global_features, "heads": heads, "rates": rates}


def main(arguments=None):
    """Runs the command."""
    common.main(__doc__, EXPERIMENTS, common.QUICK, SIZE, arguments)


if __name__ == "__main__":
    main()

"""Several systems on the same photos, for the same number of steps or the same minutes: which is better, and why?

    python -m experiments.compare PHOTOS --out RUNS --minutes 60
    python -m experiments.compare PHOTOS --out RUNS --steps 20000 --systems rainbownet color_unet lite_unet
    python -m experiments.compare PHOTOS --out RUNS --minutes 60 --systems resnet18 resnet18:head=buckets,rebalance=0.5

PHOTOS is a folder or an archive of colour photos; all systems are trained and validated on the same of them, at the
same `--size`, and measured on those of `--held-out`. A system is a name of `rainbownet.systems`, and after a colon
options of its own; what `--set` gives holds for all. Whatever is not given is as the system's document has it, which is
meant for days on a GPU: in minutes, `--set learning_rate=1e-3 --set schedule=cosine` is fairer to most. No system stops
early.

OUT/compare holds table.md and results.json, sheet.jpg (gray, each system, truth: photos evenly out of the list of those
measured on, or those of `--shown`), curves.png (losses on one axis, each as a share of its first, since they are in
different units; balanced AuC and colourfulness, which compare) and each system's run. A comparison that was
interrupted goes on where it stopped, and systems can be added to it: what is trained already is not trained again.

Hours: systems times minutes, and a minute each to measure. At `--size 64` on 2 cores, 60 minutes are 10 passes of
RainbowNet over 16,000 photos. `--quick` is done in two minutes, with toys. To expect: regressions (colornet, resnet18)
have the better PSNR and plain AuC and the duller photos; rebalanced buckets (ColorUNet, eccv16) the better balanced AuC
and colourfulness; "gray" is beaten in plain AuC by little.
"""

import argparse
import re

from experiments import common
from rainbownet import systems
from rainbownet.data.files import write_atomically

SIZE = 64
QUICK = {"size": 32, "filters": 4, "batch": 8}
QUICK_OWN = {"color_unet": {"cells": 16}, "lite_unet": {"deepest": 16}}  # toy photos have few colours


def compare(experiment, specs):
    """Trains systems and measures them on the same photos.

    Args:
        experiment: `common.Experiment`.
        specs: list of "NAME" or "NAME:OPTION=VALUE,...".

    Returns:
        Dict of figures by system.
    """
    named = {}
    for spec in specs:
        name, _, own = spec.partition(":")
        label = re.sub(r"[^\w.=,-]+", "_", spec.replace(":", " ", 1)) if own else name
        named[label] = _system(experiment, name, common.named_values(own.split(",") if own else []))
    results = experiment.compare(named, comparable=False)
    with write_atomically(experiment.out / "table.md") as temporary:
        temporary.write_text(common.markdown(results))
    return results


def _system(experiment, name, own):
    quick = QUICK_OWN.get(name, {}) if experiment.quick else {}
    options = {**experiment.options, "patience": None, **quick, **own}
    # LiteUNet's encoder has one width only.
    if name == "lite_unet":
        options.pop("filters", None)
    return systems.get(name, **options)


def main(arguments=None):
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_arguments(parser, SIZE)
    parser.add_argument(
        "--systems", nargs="+", default=list(systems.SYSTEMS), metavar="NAME[:OPTION=VALUE,...]",
        help=f"what to compare; by default {' '.join(systems.SYSTEMS)}",
    )  # fmt: skip
    args = parser.parse_args(arguments)
    try:
        experiment = common.begin(args, args.out / "compare", QUICK, apart=("systems",))
        if not args.quick and not (args.steps or args.minutes or args.epochs):
            raise ValueError("Give --steps or --minutes, the same for all systems; their documents' epochs differ.")
        common.finish(experiment, compare(experiment, args.systems))
    except (ValueError, OSError) as error:
        parser.exit(1, f"Error: {error}\n")


if __name__ == "__main__":
    main()

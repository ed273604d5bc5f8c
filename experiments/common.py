"""What the pages of experiments share: the command, runs that are compared on the same photos, and what is drawn.

An experiment is a folder, OUT/NAME:

    config.json       how it was asked for; one that is asked for again in the same way goes on where it stopped
    RUN/              each run's own folder, see `rainbownet.training`; its log.csv is the log
    RUN/figures.json  what is put beside the other runs
    losses.png        training and validation losses on one axis
    curves.png        validation loss, balanced AuC and colourfulness by step, of every run
    sheet.jpg         gray, each run, truth
    results.json      the figures of all runs, and of the three ways of doing nothing

Figures are measured on the photos of `--held-out`, which no training sees, or else on those that the runs were
validated on. `--quick` makes toys of all networks: figures then mean nothing.
"""

import argparse
import dataclasses
import functools
import io
import json
import math
import tarfile
import textwrap
import time
from pathlib import Path

import numpy as np
from keras import ops
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console

from rainbownet import color, evaluation, systems, training
from rainbownet.color_model import load
from rainbownet.colorizer import Colorizer
from rainbownet.data.files import find_photos, write_atomically
from rainbownet.data.pipeline import middle_square
from rainbownet.data.splits import split

QUICK = {"size": 32, "filters": 4, "batch": 8}
QUICK_STEPS = 2
MEASURED = 400  # held-out photos at the most
SHOWN = 8  # photos on a sheet
TILE, LABEL, GAP = 96, 132, 2  # pixels of a sheet
TIMED = 10  # times that a photo is coloured, of which the quickest counts

COLUMNS = {
    "parameters": ("parameters", "{:,}"),
    "steps": ("steps", "{:,}"),
    "minutes": ("minutes", "{:.1f}"),
    "val_loss": ("val. loss", "{:.4f}"),
    "psnr": ("PSNR dB", "{:.2f}"),
    "auc": ("AuC %", "{:.1f}"),
    "auc_balanced": ("balanced AuC %", "{:.1f}"),
    "colorfulness": ("colourfulness", "{:.1f}"),
    "vividness": ("of the truth's", "{:.2f}"),
    "near_gray": ("nearly gray", "{:.0%}"),
    "hue_coverage": ("hues", "{:.0%}"),
    "ms_a_photo": ("ms a photo", "{:.0f}"),
}


@dataclasses.dataclass
class Experiment:
    """Where an experiment stands, on which photos, and how far its runs go.

    Args:
        out: its folder.
        photos: folder or archive of photos.
        options: what all its systems have in common: size, width, fields of the recipe.
        limits: arguments of `training.train` for all its runs.
        held_out: folder or archive of photos to measure on, or `None` for those of the validation.
        shown: folder or archive of photos for the sheet, or `None` for some of those measured on.
        quick: whether everything is of toy size.
        args: the command's arguments, for those of a page's own.
    """

    out: Path
    photos: Path
    options: dict
    limits: dict
    held_out: Path | None = None
    shown: Path | None = None
    quick: bool = False
    args: argparse.Namespace | None = None

    def system(self, name, **own):
        """Finds a system with the experiment's options and those of its own.

        Args:
            name: of `systems.get`.
            **own: options that hold against the experiment's.

        Returns:
            A `System`.
        """
        return systems.get(name, **{**self.options, **own})

    def sweep(self, values):
        """Gives the values of a sweep; only the first and the last where it is to be quick."""
        return (values[0], values[-1]) if self.quick else values

    def compare(self, named, photos=None, comparable=True, **limits):
        """Trains systems, measures them on the same photos and draws them together.

        Args:
            named: dict from a run's name to its `System`.
            photos: what to train on in place of the experiment's, or a dict of that by name.
            comparable: whether their losses are in the same units.
            **limits: arguments of `training.train` that hold against the experiment's.

        Returns:
            Dict of figures by name.
        """
        photos = photos if isinstance(photos, dict) else dict.fromkeys(named, photos)
        figures = {name: self.run(name, system, photos[name], **limits) for name, system in named.items()}
        self.draw(list(named), comparable)
        return figures

    def run(self, name, system, photos=None, **limits):
        """Trains a system and measures it; what is finished already is only read.

        Args:
            name: of the run, and of its folder.
            system: `System`.
            photos: what to train on in place of the experiment's.
            **limits: arguments of `training.train` that hold against the experiment's.

        Returns:
            Dict of figures.
        """
        folder = self.out / name
        done = folder / "figures.json"
        if done.exists():
            return json.loads(done.read_text())
        Console().rule(name)
        if photos is None:
            self._share_photos(folder)
        training.train(system, photos or self.photos, folder, **{**self.limits, **limits})
        figures = self.figures(name)
        with write_atomically(done) as temporary:
            temporary.write_text(json.dumps(figures, indent=1) + "\n")
        return figures

    def figures(self, name, temperature=None):
        """Measures a run's best model on the held-out photos.

        Args:
            name: of the run.
            temperature: of decoding; `None` takes the model's own.

        Returns:
            Dict of figures; "nothing" holds those of the three ways of doing nothing.
        """
        folder, model = self.out / name, self.model(name)
        log = training.read_log(folder / "log.csv")
        measured = self.measure(model, self.measured(name), temperature)
        return {
            "parameters": model.count_params(),
            "steps": int(log[-1]["step"]),
            "minutes": float(log[-1]["minutes"]),
            "loss": float(log[-1]["loss"]),
            "val_loss": min(float(row["val_loss"]) for row in log),
            "last_val_loss": float(log[-1]["val_loss"]),
            "ms_a_photo": _milliseconds(model),
            **measured,
        }

    def measure(self, model, photos, temperature=None):
        """Measures a model.

        Args:
            model: `ColorModel`.
            photos: list of `PhotoFile`.
            temperature: of decoding; `None` takes the model's own.

        Returns:
            Dict of figures.
        """
        size = min(model.size)
        result = evaluation.evaluate(model, photos, size=size, temperature=temperature, embed=model.embedder)
        rows = dict(result.rows)
        row = rows.pop(evaluation.MODEL)
        truth = result.truth["colorfulness"]
        vividness = row["colorfulness"] / truth if truth else 0.0
        return {**row, "vividness": vividness, "truth": result.truth, "nothing": rows}

    def model(self, name):
        """Loads a run's best model.

        Args:
            name: of the run.

        Returns:
            A `ColorModel`.
        """
        return load(self.out / name / "best.keras")

    def measured(self, name):
        """Lists the photos that a run is measured on.

        Args:
            name: of the run.

        Returns:
            List of `PhotoFile`, the same for all runs of an experiment on the same photos.
        """
        found = find_photos(self.held_out) if self.held_out else training.validation_photos(self.out / name)
        return found[:: math.ceil(len(found) / MEASURED)]

    def draw(self, names, comparable=True):
        """Draws losses.png, curves.png and sheet.jpg of runs.

        Args:
            names: of the runs.
            comparable: whether their losses are in the same units.
        """
        logs = {name: training.read_log(self.out / name / "log.csv") for name in names}
        if comparable:
            training.plot_losses(logs, self.out / "losses.png", title="Loss a pixel")
        plot_curves(logs, self.out / "curves.png", comparable)
        colorizers = {name: Colorizer(self.model(name)) for name in names}
        sheet(colorizers, self.shown_photos(names[0]), self.out / "sheet.jpg")

    def shown_photos(self, name):
        """Lists the photos of the sheet, evenly out of those that are measured on, or of those that were given.

        Args:
            name: of a run.

        Returns:
            List of `PhotoFile`.
        """
        found = find_photos(self.shown) if self.shown else self.measured(name)
        return found[:: max(1, len(found) // SHOWN)][:SHOWN]

    def portion(self, name, train, val=None, kinds=None):
        """Packs a part of the photos into an archive, for a run on fewer of them.

        Which photos are trained on and which validate depends on their names alone, so that it stays as it was.

        Args:
            name: of the archive, made in the experiment's folder.
            train: number of photos to train on, at the most; `None` for all.
            val: number of photos to validate, at the most; `None` for all.
            kinds: names of folders, of which alone photos are taken, or `None`.

        Returns:
            Path of a tar archive.

        Raises:
            ValueError: there is no photo of one of the kinds.
        """
        path = self.out / f"{name}.tar"
        if path.exists():
            return path
        found = self._found
        for kind in kinds or ():
            if not any(kind in Path(photo.name).parts for photo in found):
                known = sorted({part for photo in found for part in Path(photo.name).parts[:-1]})
                raise ValueError(f"No photo lies in a folder named {kind}; the folders are {', '.join(known[:20])}.")
        if kinds:
            found = [photo for photo in found if set(kinds) & set(Path(photo.name).parts)]
        parts = split(found)
        chosen = []
        for part, count in ((parts["train"], train), (parts["val"], val)):
            count = len(part) if count is None else min(count, len(part))
            chosen += [part[i * len(part) // count] for i in range(count)]
        with write_atomically(path) as temporary, tarfile.open(temporary, "w") as archive:
            for photo in sorted(chosen, key=lambda photo: photo.name):
                data = photo.read()
                member = tarfile.TarInfo(photo.name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        return path

    def parts(self, photos=None):
        """Splits photos by their names, as training does.

        Args:
            photos: folder or archive in place of the experiment's.

        Returns:
            Dict of lists of `PhotoFile`: "train" and "val".
        """
        return split(self._found if photos is None else find_photos(photos))

    @functools.cached_property
    def _found(self):
        return find_photos(self.photos)

    def _share_photos(self, folder):
        """Gives a new run the list of photos of the one before, which were looked through already."""
        lists = sorted(self.out.glob("*/photos.csv"))
        if lists and not (folder / "photos.csv").exists():
            with write_atomically(folder / "photos.csv") as temporary:
                temporary.write_bytes(lists[0].read_bytes())


def main(page, experiments, quick, size, arguments=None, more=None):
    """Runs the command of a page.

    Args:
        page: its docstring, which is its help.
        experiments: dict from a name to a function of an `Experiment` that gives its results.
        quick: options of its systems that make toys of them.
        size: side in pixels of the document's photos.
        arguments: the command's, or `None` for those it was called with.
        more: function that adds arguments of the page's own to an `argparse.ArgumentParser`.
    """
    parser = argparse.ArgumentParser(description=page, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=list(experiments))
    add_arguments(parser, size)
    if more is not None:
        more(parser)
    args = parser.parse_args(arguments)
    try:
        experiment = begin(args, args.out / args.experiment, quick)
        finish(experiment, experiments[args.experiment](experiment))
    except (ValueError, OSError) as error:
        parser.exit(1, f"Error: {error}\n")


def add_arguments(parser, size):
    """Adds the arguments that all pages have.

    Args:
        parser: `argparse.ArgumentParser`.
        size: side in pixels of the document's photos.
    """
    parser.add_argument("photos", type=Path, help="folder or archive of colour photos")
    parser.add_argument("--most", type=int, help="photos to use of them, training and validation together")
    parser.add_argument("--out", type=Path, required=True, help="a folder of the experiment's name is made in it")
    parser.add_argument("--held-out", type=Path, help="photos to measure on; by default those of the validation")
    parser.add_argument("--shown", type=Path, help="photos for the sheet; by default some of those measured on")
    parser.add_argument("--size", type=int, default=size, help=f"side of the squares in pixels, {size}")
    parser.add_argument("--filters", type=int, help="of the first convolution; the document's by default")
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--epochs", type=int, help="passes over the photos; the document's by default")
    limit.add_argument("--steps", type=int, help="optimizer steps of each run, instead of epochs")
    limit.add_argument("--minutes", type=float, help="minutes of each run, instead of epochs")
    parser.add_argument("--epoch-steps", type=int, help="steps between two validations; one epoch by default")
    parser.add_argument("--precision", default="float32", help="Keras' dtype policy, such as mixed_bfloat16")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and crops")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="any option of all systems, or of the recipe"
    )
    parser.add_argument("--quick", action="store_true", help="toy size, to see that it runs")


def begin(args, out, quick, apart=()):
    """Makes the experiment of a command's arguments.

    Args:
        args: what `add_arguments` parsed.
        out: the experiment's folder.
        quick: options that make toys of its systems.
        apart: names of arguments that may differ when an experiment is gone on with.

    Returns:
        An `Experiment`.

    Raises:
        ValueError: the folder holds the experiment with other settings.
    """
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
    settings = {name: value for name, value in settings.items() if name not in ("out", *apart)}
    config = out / "config.json"
    if config.exists():
        before = json.loads(config.read_text())
        if changed := sorted(name for name in settings if before.get(name) != settings[name]):
            raise ValueError(
                f"{out} holds this experiment with other settings ({', '.join(changed)}); give the same ones to go on "
                "with it, or another --out."
            )
    with write_atomically(config) as temporary:
        temporary.write_text(json.dumps(settings, indent=1) + "\n")

    options = {"size": args.size, **({"filters": args.filters} if args.filters else {}), **named_values(args.set)}
    limits = {
        "epochs": args.epochs, "steps": args.steps, "minutes": args.minutes, "epoch_steps": args.epoch_steps,
        "precision": args.precision, "seed": args.seed,
    }  # fmt: skip
    if args.quick:
        options, limits = {**options, **quick}, {"steps": QUICK_STEPS, "epoch_steps": QUICK_STEPS}
    experiment = Experiment(out, args.photos, options, limits, args.held_out, args.shown, args.quick, args)
    if args.most:
        val = max(1, args.most // 10)
        experiment.photos = experiment.portion("photos", args.most - val, val)
    return experiment


def named_values(texts):
    """Reads options as they are typed.

    Args:
        texts: list of "NAME=VALUE"; values are read as JSON, and what is none as text.

    Returns:
        Dict from name to value.

    Raises:
        ValueError: a text is no such thing.
    """
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"{text!r} is no NAME=VALUE, such as rebalance=0.5.")
        try:
            values[name] = json.loads(value)
        except json.JSONDecodeError:
            values[name] = value
    return values


def finish(experiment, results):
    """Writes results.json and prints the table of the runs.

    Args:
        experiment: `Experiment`.
        results: its results.
    """
    with write_atomically(experiment.out / "results.json") as temporary:
        temporary.write_text(json.dumps(results, indent=1) + "\n")
    rows = {name: row for name, row in results.items() if isinstance(row, dict) and "nothing" in row}
    print(markdown(rows) if rows else json.dumps(results, indent=1))


def markdown(rows):
    """Writes figures as a table in Markdown, the three ways of doing nothing and the truth below.

    Args:
        rows: dict of figures, as `Experiment.figures` gives them, by name.

    Returns:
        The table.
    """
    lines = ["| | " + " | ".join(heading for heading, _ in COLUMNS.values()) + " |"]
    lines.append("| --- |" + " ---: |" * len(COLUMNS))
    first = next(iter(rows.values()))
    everything = {**rows, **first["nothing"], "truth": first["truth"]}
    for name, figures in everything.items():
        cells = [form.format(figures[key]) if key in figures else "" for key, (_, form) in COLUMNS.items()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def plot_curves(logs, path, comparable=True):
    """Draws validation loss, balanced AuC and colourfulness by step, of several runs.

    Args:
        logs: dict from a run's name to its rows, as `training.read_log` gives them.
        path: PNG file to write.
        comparable: whether the losses are in the same units; each is otherwise shown as a share of its first.
    """
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    panels = figure.subplots(1, 3)
    for i, (name, rows) in enumerate(logs.items()):
        steps = [int(row["step"]) for row in rows]
        loss, auc, color_, truth = (
            np.array([float(row[key]) for row in rows])
            for key in ("val_loss", "auc_balanced", "colorfulness", "truth_colorfulness")
        )
        for axes, values in zip(panels, (loss if comparable else loss / loss[0], auc, color_ / truth), strict=True):
            axes.plot(steps, values, color=f"C{i}", marker=".", label=name)
    unit = "Validation loss" if comparable else "Validation loss, over each one's first"
    for axes, label in zip(panels, (unit, "Balanced AuC, %", "Colourfulness, over the truth's"), strict=True):
        axes.set(xlabel="Step", ylabel=label)
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=90, format="png")


def sheet(colorizers, photos, path):
    """Draws a contact sheet: gray, each model and the truth below each other, a column for each photo.

    Args:
        colorizers: dict from a label to what makes RGB of gray: (h, w, 3) uint8 of a list of (h, w) uint8.
        photos: list of `PhotoFile`, of which the middle squares are shown.
        path: JPEG file to write.
    """
    truth = [middle_square(photo.read(), TILE) for photo in photos]
    grays = [gray_of(rgb) for rgb in truth]
    rows = {"gray": [np.repeat(gray[..., None], 3, -1) for gray in grays]}
    rows |= {label: colorizer(grays) for label, colorizer in colorizers.items()}
    write_rows({**rows, "truth": truth}, path)


def write_rows(rows, path):
    """Writes rows of pictures with their labels as a JPEG.

    Args:
        rows: dict from a label to a list of (h, w, 3) uint8, all of one size.
        path: JPEG file to write.
    """
    first = next(iter(rows.values()))
    height, width = first[0].shape[:2]
    size = (LABEL + len(first) * (width + GAP), len(rows) * (height + GAP) - GAP)
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    for i, (label, row) in enumerate(rows.items()):
        top = i * (height + GAP)
        text = "\n".join(textwrap.wrap(label, LABEL // 8))
        draw.multiline_text((2, top + height // 4), text, "black", ImageFont.load_default(14))
        for j, rgb in enumerate(row):
            picture.paste(Image.fromarray(rgb), (LABEL + j * (width + GAP), top))
    with write_atomically(path) as temporary:
        picture.save(temporary, "JPEG", quality=82)


def gray_of(rgb):
    """Makes the gray photo of the same L.

    Args:
        rgb: (h, w, 3) uint8.

    Returns:
        (h, w) uint8.
    """
    gray = color.gray_of_luminance(color.luminance(rgb))
    return np.round(ops.convert_to_numpy(gray)[..., 0] * 255).astype("uint8")


def _milliseconds(model):
    """Time to colour one photo of the training's size, the quickest of several: whatever else the machine is doing."""
    l = np.linspace(0, 100, math.prod(model.size), dtype="float32").reshape(1, *model.size, 1)
    embedding = np.zeros((1, model.embedder.outputs), "float32") if model.needs_embedding else None
    times = []
    for _ in range(TIMED):
        start = time.perf_counter()
        np.asarray(model.predict_chroma(l, embedding))
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def colors_a_photo(ab_of, photos, buckets):
    """Computes how many colours a photo has: the effective number of its buckets, the exponential of their entropy.

    Hill, "Diversity and evenness" (Ecology 54, 1973), the number of order 1: n colours of equal share count as n.

    Args:
        ab_of: function from RGB, (h, w, 3) uint8, to ab, (h, w, 2) in Lab units.
        photos: list of `PhotoFile`.
        buckets: `Buckets` in which colours count as the same.

    Returns:
        Float, the mean over the photos.
    """
    numbers = []
    for photo in photos:
        ab = ab_of(middle_square(photo.read(), 64))
        counts = np.bincount(ops.convert_to_numpy(buckets.assign(ab)).ravel())
        shares = counts[counts > 0] / counts.sum()
        numbers.append(np.exp(-np.sum(shares * np.log(shares))))
    return float(np.mean(numbers))

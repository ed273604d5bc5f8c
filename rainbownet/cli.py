"""The command `rainbownet`: it parses, calls the package and prints.

Keras and TensorFlow take seconds to import, so each command imports what it needs once its arguments are known to be
sound; `--help` imports none of it.
"""

import json
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from typer.core import TyperGroup

from rainbownet import __version__
from rainbownet.data.files import SUFFIXES, find_photos


class _Group(TyperGroup):
    """Tells a user's mistake in a sentence, without a traceback."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except (ValueError, OSError, MemoryError) as error:
            typer.echo(f"Error: {_sentence(error)}", err=True)
            raise typer.Exit(1) from error


_EXAMPLES = 6  # of the best, of the median and of the worst photos, on the page of an evaluation

app = typer.Typer(cls=_Group, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

_Model = Annotated[str, typer.Argument(help="A .keras file, the folder of a run or of a preset, or a preset's name.")]
_Photos = Annotated[list[Path], typer.Argument(help="Folders, photos or .tar archives of photos.")]
_Temperature = Annotated[
    float | None,
    typer.Option(min=0, help="0: the likeliest color; 1: the mean of all, paler; the model's own by default."),
]


def _version(wanted: bool):
    if wanted:
        typer.echo(f"rainbownet {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Tell the version.")
    ] = False,
):
    """Colors for gray photographs."""


@app.command()
def colorize(
    photos: _Photos,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output",
            help="Folder to write to, or for a single photo a file; NAME_color beside each photo by default.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A preset's name or folder, hf://user/name, a .keras file or the folder of a run; "
            "the default of `rainbownet presets` where none is given."
        ),
    ] = None,
    temperature: _Temperature = None,
    saturation: Annotated[
        float | None, typer.Option(min=0, help="Factor on all colors: 0 is gray, 2 twice as vivid.")
    ] = None,
    calm: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="0 to 1, how far magenta becomes red, doubtful colors brown or gray."),
    ] = None,
    ceiling: Annotated[float | None, typer.Option(min=0, help="Highest chroma, in Lab units; inf sets none.")] = None,
    flip: Annotated[
        bool | None, typer.Option("--flip/--no-flip", help="Let the photo's mirror image count too; takes longer.")
    ] = None,
    scale: Annotated[
        list[float] | None,
        typer.Option(help="Size to see the photo at: 1 for the training's, more as far as it has the pixels."),
    ] = None,
    stretch: Annotated[
        str | None,
        typer.Option(help="New black and white point for faded photos: none, network (for its eyes only) or photo."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace photos that were written before.")] = False,
    skip_colored: Annotated[bool, typer.Option("--skip-colored", help="Leave photos alone that have colors.")] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Write also NAME_compare: gray, colorized and, where known, true colors.")
    ] = False,
):  # fmt: skip
    """Colour photos: single ones, whole folders with their structure, or .tar archives.

    Names, metadata, transparency and 16 bits are kept. Photos that were coloured before are left alone unless
    --overwrite is given; the photos themselves are never overwritten. Dials that are not given are the model's own.
    """
    jobs = _jobs(photos, output)
    _start_keras()
    from rainbownet import presets
    from rainbownet.colorizer import Colorizer

    settings = {"temperature": temperature, "saturation": saturation, "calm": calm, "ceiling": ceiling, "flip": flip}
    settings |= {"scales": tuple(scale) if scale else None, "stretch": stretch}
    colorizer = Colorizer.load(model or presets.DEFAULT, **settings)
    done, skipped, failed, targets = 0, [], [], set()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        for photo, target in progress.track(jobs, description="Colorizing"):
            try:
                if target in targets:
                    raise ValueError(f"another photo has been written to {target} already; color them to two folders.")
                targets.add(target)
                reason = _colorize_one(colorizer, photo, target, overwrite, skip_colored, compare)
            except (ValueError, OSError, MemoryError) as error:
                failed.append((photo.name, _sentence(error)))
            else:
                done += not reason
                skipped += [(photo.name, reason)] if reason else []
    for what, entries in (("skipped", skipped), ("failed", failed)):
        for name, reason in entries:
            typer.echo(f"{what} {name}: {reason}")
    typer.echo(f"{done} colorized, {len(skipped)} skipped, {len(failed)} failed.")
    if failed:
        raise typer.Exit(1)


@app.command()
def train(
    system: Annotated[
        str, typer.Argument(help="rainbownet, color_unet, colornet, resnet18, dropout_cnn, eccv16 or lite_unet.")
    ],
    photos: _Photos,
    out: Annotated[Path, typer.Option(help="Folder of the run; one that was interrupted is resumed.")],
    epochs: Annotated[int | None, typer.Option(help="Passes over the photos; the system's by default.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps, instead of epochs.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Minutes of training, instead of epochs.")] = None,
    epoch_steps: Annotated[int | None, typer.Option(help="Steps between validations; one epoch by default.")] = None,
    variant: Annotated[str | None, typer.Option(help="Of rainbownet: plain, fusion or baseline.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of the training squares in pixels.")] = None,
    batch: Annotated[int | None, typer.Option(help="Photos a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    rebalance: Annotated[
        float | None, typer.Option(help="Weigh rare colors more: lambda in 0..1, smaller is stronger.")
    ] = None,
    embedding: Annotated[
        str | None,
        typer.Option(
            help="For fusion: efficientnet_lite0 (its weights ship), a weights file of InceptionResNetV2, or an image "
            "module; imagenet by default."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other option of the system or field of its recipe."),
    ] = None,
    initial: Annotated[
        str | None,
        typer.Option(help="A preset, a run or a .keras file whose weights to begin with; lite_unet is built as it is."),
    ] = None,
    prior_photos: Annotated[
        list[Path] | None,
        typer.Option(help="Photos to count the colors of, for --rebalance; those trained on by default."),
    ] = None,
    precision: Annotated[str, typer.Option(help="Keras' dtype policy, such as mixed_bfloat16.")] = "float32",
    seed: Annotated[int, typer.Option(help="Seed of weights, order and crops.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Photos decoded at the same time.")] = 2,
):
    """Train a system on photos, or go on where an interrupted run stopped. RUN/best.keras is the model."""
    _start_keras()
    from rainbownet import systems, training
    from rainbownet.embedding import get

    options = {"variant": variant, "size": size, "batch": batch, "learning_rate": learning_rate, "rebalance": rebalance}
    # What is not given is left to the system.
    options = {name: value for name, value in options.items() if value is not None} | _settings(settings or [])
    if embedding is not None:
        options["embedder"] = get(embedding)
    training.train(
        systems.get(system, **options),
        photos,
        out,
        epochs=epochs,
        steps=steps,
        minutes=minutes,
        epoch_steps=epoch_steps,
        initial=initial,
        prior_photos=prior_photos or None,
        precision=precision,
        seed=seed,
        workers=workers,
    )


@app.command()
def evaluate(
    model: _Model,
    photos: _Photos,
    size: Annotated[
        int | None, typer.Option(help="Short side of the photos; by default, as the network sees them.")
    ] = None,
    temperature: _Temperature = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Folder to write results.json, photos.csv and report.html to."),
    ] = None,
    damage: Annotated[
        bool, typer.Option("--damage", help="Also on the same photos faded, blurred, grainy and so on.")
    ] = False,
    lpips: Annotated[bool, typer.Option("--lpips", help="Also LPIPS, by the package lpips and its weights.")] = False,
    fid: Annotated[
        str | None,
        typer.Option(metavar="WEIGHTS", help="Also a FID: imagenet, or a weights file of InceptionResNetV2."),
    ] = None,
):
    """Measure a model on colour photos that it was not trained on, beside three ways of doing nothing."""
    found = [photo for root in photos for photo in find_photos(root)]
    if out is not None:
        _check_folder(out)
    _start_keras()
    from rainbownet import evaluation, presets
    from rainbownet.damage import DAMAGES

    result = evaluation.evaluate(
        presets.load(model),
        found,
        size=size,
        temperature=temperature,
        damages=DAMAGES if damage else (),
        lpips=evaluation.Lpips() if lpips else None,
        features=evaluation.InceptionFeatures(fid) if fid else None,
        examples=_EXAMPLES if out is not None else 0,
    )
    _print(result.table())
    _print(result.gains_table())
    if damage:
        _print(result.damage_table())
    typer.echo(evaluation.verdict(result))
    if out is not None:
        result.to_json(out / "results.json")
        result.to_csv(out / "photos.csv")
        evaluation.write_page(result, out / "report.html")
        typer.echo(f"Wrote results.json, photos.csv and report.html to {out}.")


@app.command()
def export(
    model: _Model,
    out: Annotated[Path, typer.Argument(help="Folder of the SavedModel.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a SavedModel that is there.")] = False,
):
    """Write a model as a SavedModel, which colours photos in TensorFlow Serving, or wherever rainbownet is not."""
    _start_keras()
    from rainbownet import presets
    from rainbownet.export import export as write

    difference = write(presets.load(model), out, overwrite)
    typer.echo(
        f"Wrote {out}; its photos differ from the colorizer's by {difference['mean']:.2f} levels of 255 in the mean, "
        f"by {difference['largest']:.0f} at most."
    )


@app.command()
def presets():
    """List the models that ship with the package."""
    _start_keras()
    from rainbownet import presets

    table = Table("name", "parameters", "MB", "description")
    for name, facts in presets.describe().items():
        default = " (default)" if name == presets.DEFAULT else ""
        megabytes = f"{facts['bytes'] / 1e6:.1f}"
        table.add_row(name + default, f"{facts['parameters']:,}", megabytes, facts.get("description", ""))
    _print(table if table.row_count else "No preset is installed.")


@app.command()
def audit(
    photos: _Photos,
    min_side: Annotated[int, typer.Option(min=1, help="Photos with a shorter side are refused.")] = 32,
    out: Annotated[Path | None, typer.Option(help="CSV file to list the refused photos in.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Photos read at the same time.")] = 2,
):
    """Tell which photos could not be trained on: unreadable, too small, gray or sepia, doubles."""
    from rainbownet.data.audit import audit

    found = [photo for root in photos for photo in find_photos(root)]
    result = audit(found, min_side, out, workers=workers)
    for name, reason in result.refused:
        typer.echo(f"{name}: {reason}")
    typer.echo(result.summary)


def main():
    """Runs the command."""
    warnings.formatwarning = lambda message, *_, **__: f"Warning: {message}\n"
    sys.stdout.reconfigure(errors="backslashreplace")  # a photo's name may be no Unicode, or not of the terminal's
    app(prog_name="rainbownet")


def _settings(texts):
    """Reads NAME=VALUE, where a value is JSON (3, 0.5, null) or else a text."""
    settings = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text} is not of the form NAME=VALUE.", param_hint="--set")
        try:
            settings[name] = json.loads(value)
        except ValueError:
            settings[name] = value
    return settings


def _jobs(roots, output):
    """Pairs of a `PhotoFile` and the path to write it to; raises where there is nothing to read or no way to write."""
    if output is None:
        jobs = []
        for root in roots:
            photos = find_photos(root)
            if root.is_dir() or photos[0].member:
                raise typer.BadParameter(f"name a folder for the photos of {root}.", param_hint="-o")
            jobs += [(photo, root.with_name(f"{root.stem}_color{root.suffix}")) for photo in photos]
        return jobs
    if len(roots) == 1 and not roots[0].is_dir() and output.suffix.lower() in SUFFIXES and not output.is_dir():
        photos = find_photos(roots[0])
        if len(photos) > 1 or photos[0].member:
            raise typer.BadParameter(
                f"{output} is one file; name a folder for the photos of {roots[0]}.", param_hint="-o"
            )
        _check_folder(output.parent)
        return [(photos[0], output)]
    jobs = []
    for root in roots:
        # As `cp -r` does it: the content of one folder, or each of several under its own name.
        folder = output / Path(os.path.abspath(root)).name if len(roots) > 1 and root.is_dir() else output
        photos = find_photos(root)
        if root.is_dir() and root.resolve() in output.resolve().parents:
            # What an earlier call wrote into a folder of the photos' own folder is no photo to colour.
            photos = [photo for photo in photos if not photo.path.resolve().is_relative_to(output.resolve())]
        jobs += [(photo, folder / photo.name) for photo in photos]
    _check_folder(output)
    return jobs


def _check_folder(folder):
    """Finds out before the work is done whether its results can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"{folder} cannot be written to ({error.strerror}); choose another output folder.") from error


def _colorize_one(colorizer, photo, target, overwrite, skip_colored, compare):
    """Colors one photo; gives the reason if it is skipped."""
    import numpy as np

    from rainbownet.colorizer import gray_copy
    from rainbownet.data.audit import is_gray_or_sepia
    from rainbownet.data.photos import decode_rgb, read_photo, write_photo

    compared = target.with_name(f"{target.stem}_compare{target.suffix}") if compare else None
    for path in filter(None, (target, compared)):
        if path.exists() and path.samefile(photo.path):
            raise ValueError("the output would replace the photo itself; choose another output folder.")
        if path.exists() and not overwrite:
            return f"{path} exists; --overwrite replaces it."
    colored = (skip_colored or compare) and not is_gray_or_sepia(decode_rgb(photo.read(), 64, photo.name))
    if skip_colored and colored:
        return "it has colors."
    original = read_photo(photo)
    gray = gray_copy(original.rgb)
    rgb = colorizer(gray)
    note = f"colorized by rainbownet {__version__}, model {colorizer.name}, {colorizer.describe()}"
    write_photo(target, rgb, original, note)
    if compared:
        pictures = [np.repeat(gray[..., None], 3, axis=-1), rgb] + ([original.rgb] if colored else [])
        write_photo(compared, np.concatenate(pictures, axis=1), original, note)
    return None


def _start_keras():
    """Imports Keras without the lines that TensorFlow writes to the terminal, of which its settings silence a part."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what goes wrong is raised too
    sys.stderr.flush()
    terminal = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        import keras  # noqa: F401
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


def _print(table):
    # Where no terminal says how wide it is, rich takes 80 columns, and cuts words.
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _sentence(error):
    """What an exception says, in one line."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}."
    # A MemoryError of Python's own says nothing.
    return " ".join(str(error).split()) or "memory ran out."

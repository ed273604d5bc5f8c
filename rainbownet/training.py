"""Training: from a folder of photos to a model, with everything that tells whether it goes well.

A run is a folder:

    run.json          the settings; what a resumed run must agree with
    photos.csv        each photo that is used and the split that it fell into
    refused.csv       each photo that was left out, and why
    last.keras        weights, optimizer and place in the data, a few minutes old at most
    best.keras        the model with the lowest validation loss, in float32: `Colorizer.load` takes it
    log.csv           losses and colour statistics by epoch; tensorboard/ holds the same where TensorBoard is installed
    losses.png        their plot
    strips/           gray, colorized and true validation photos by epoch
    results.json      the final evaluation, beside the three ways of doing nothing
"""

import csv
import dataclasses
import hashlib
import json
import math
import time
import zipfile
from pathlib import Path, PurePosixPath

import keras
import numpy as np
from keras import ops
from PIL import Image
from rich.console import Console
from rich.progress import track

from rainbownet import color, evaluation, presets
from rainbownet.codecs import RegressionCodec
from rainbownet.color_model import in_float32, load
from rainbownet.data.audit import audit
from rainbownet.data.embeddings import embed_photos, embeddings_folder
from rainbownet.data.files import NAME_ENCODING, find_photos, write_atomically
from rainbownet.data.pipeline import squares, training_batches, validation_batches
from rainbownet.data.splits import split
from rainbownet.priors import ColorPrior

CHECKPOINT_MINUTES = 4.0
PRIOR_PHOTOS = 20_000  # photos that the prior is counted over at the most: its shares no longer move by then
PRIOR_SIZE = 32  # side in pixels that they are counted at
FIT_SIZE = 64  # side in pixels that photos are looked at for the colours of a codec, at the most
WATCHED = 64  # validation photos that the collapse alarm looks at
STRIP = 8  # photos on a strip
VALIDATED = 1_000  # validation photos that are looked at, at the most: more would cost time and change little

_STATE = "rainbownet/state.json"  # member of last.keras


def train(
    system,
    photos,
    out,
    epochs=None,
    steps=None,
    minutes=None,
    epoch_steps=None,
    initial=None,
    prior_photos=None,
    precision="float32",
    seed=0,
    workers=2,
    console=None,
):
    """Trains a system on photos, or goes on where an interrupted run of the same settings stopped.

    Args:
        system: `System`, from `systems.get`.
        photos: folder, archive or photo, or a list of them; see `find_photos`.
        out: folder of the run.
        epochs: passes over the training photos; where `steps` and `minutes` are not given either, the recipe's.
        steps: optimizer steps, instead of epochs.
        minutes: minutes of training, instead of epochs; a schedule then follows the clock.
        epoch_steps: steps between two validations; by default one pass over the training photos.
        initial: a preset or model of the same network (see `presets.resolve`), whose weights to begin with instead of
            new ones, and whose settings to keep; of a `lite_unet` its number of layers and their widths too.
        prior_photos: photos to count the prior of rebalancing over, as `photos`; the training photos by default.
        precision: Keras' dtype policy; "mixed_bfloat16" is fastest on recent CPUs and GPUs.
        seed: of weights, order and crops.
        workers: photos decoded at the same time.
        console: `rich.console.Console` for messages.

    Returns:
        The `Evaluation` of the best model on validation photos.

    Raises:
        FileNotFoundError: no such photos or initial model.
        ValueError: no usable photo, `out` holds a run of other settings, or `initial` another network.
    """
    if sum(limit is not None for limit in (epochs, steps, minutes)) > 1:
        raise ValueError("Limit the training by one of epochs, steps and minutes, not by several.")
    for name, limit in {"epochs": epochs, "steps": steps, "minutes": minutes, "epoch_steps": epoch_steps}.items():
        if limit is not None and limit <= 0:
            raise ValueError(f"`{name}` must be more than 0; received {limit}.")
    console = console or Console()
    recipe = system.recipe
    out = Path(out)
    resumes = (out / "last.keras").exists()
    roots = _listed(photos)
    settings = {
        "system": system.name,
        "recipe": dataclasses.asdict(recipe),
        "codec": _fingerprint(system),
        "photos": roots,
        "epochs": epochs if (epochs or steps or minutes) else recipe.epochs,
        "steps": steps,
        "minutes": minutes,
        "epoch_steps": epoch_steps,
        "initial": initial and str(initial),
        "prior_photos": prior_photos and _listed(prior_photos),
        "precision": precision,
        "seed": seed,
    }
    _agree(out, settings, resumes)

    splits = _photos(roots, out, recipe.size, workers, console)
    embeddings = {name: None for name in splits}
    if system.embedder is not None:
        folder = embeddings_folder(roots[0], out)
        embeddings = {name: embed_photos(found, system.embedder, folder) for name, found in splits.items()}
    labels = _labels(splits) if system.alpha else {name: None for name in splits}
    batches = max(1, math.ceil(len(splits["train"]) / recipe.batch))
    limits = _Limits(
        steps=steps or (settings["epochs"] * batches if settings["epochs"] else None),
        seconds=minutes and minutes * 60,
    )
    epoch_steps = epoch_steps or batches

    keras.utils.set_random_seed(seed)
    if resumes:
        model, state = _resume(out / "last.keras")
        system = dataclasses.replace(system, codec=model.codec)
        console.print(f"Resuming {out} at step {state.step:,}.")
    else:
        begun_with = initial and presets.load(initial)
        if begun_with and system.like:
            system = system.like(begun_with.network)
        if not system.is_fitted:
            size = min(recipe.size, FIT_SIZE)
            system = system.fitted(_looked_at(splits["train"], size, recipe.frame, "Choosing colors"))
        counted = splits["train"]
        if prior_photos is not None:
            counted = audit(list(_find(_listed(prior_photos)).values()), min_side=PRIOR_SIZE, workers=workers).kept
        prior = _prior(system, counted, out)
        classes = 1 + max(map(max, labels.values())) if system.alpha else None
        model, state = system.model(prior, precision, classes), _State()
        if begun_with:
            _begin_with(model, begun_with, initial)
        model.compile(recipe.build_optimizer(), loss=system.loss(prior), metrics=_metrics(system))

    console.print(
        f"{system.name}: {model.count_params():,} parameters; {len(splits['train']):,} photos to train on, "
        f"{len(splits['val']):,} to validate; {limits.describe()}."
    )

    def options(name):
        return {
            "embeddings": embeddings[name], "workers": workers, "shrink": system.shrink, "frame": recipe.frame,
            "labels": labels[name],
        }  # fmt: skip

    validation = validation_batches(splits["val"], system.codec, recipe.size, recipe.batch, **options("val"))
    watch = _Watch(splits["val"], embeddings["val"], recipe, out / "strips", console)
    checkpoint = _Checkpoint(out, state, console, recipe.patience)
    callbacks = [_Pace(recipe, limits, state), watch, checkpoint, _Log(out)]
    if _has_tensorboard():
        callbacks.append(_TensorBoard(out / "tensorboard", out / "strips"))

    while not state.finished and not limits.reached(state):
        epoch, done = divmod(state.step, epoch_steps)
        stream = training_batches(
            splits["train"], system.codec, recipe.size, recipe.batch, seed, state.step, **options("train")
        )
        model.fit(
            stream,
            steps_per_epoch=epoch_steps - done,
            initial_epoch=epoch,
            epochs=epoch + 1,
            validation_data=validation,
            callbacks=callbacks,
            shuffle=False,
            verbose=1 if console.is_terminal else 2,
        )

    best = load(out / "best.keras")
    result = evaluation.evaluate(best, splits["val"], size=recipe.size, embed=best.embedder)
    result.to_json(out / "results.json")
    console.print(result.table())
    console.print(evaluation.verdict(result))
    return result


@dataclasses.dataclass
class _State:
    """What a resumed run needs beside weights and optimizer."""

    step: int = 0
    seconds: float = 0.0
    best: float = math.inf
    waited: int = 0
    finished: bool = False


@dataclasses.dataclass(frozen=True)
class _Limits:
    steps: int | None
    seconds: float | None

    def progress(self, state):
        """How much of the training is done, 0..1."""
        return min(1.0, state.step / self.steps if self.steps else state.seconds / self.seconds)

    def reached(self, state):
        return self.progress(state) >= 1

    def describe(self):
        return f"{self.steps:,} steps" if self.steps else f"{self.seconds / 60:g} minutes"


class _Pace(keras.callbacks.Callback):
    """Counts steps and time, sets the learning rate, and ends the training at its limit."""

    def __init__(self, recipe, limits, state):
        super().__init__()
        self.recipe, self.limits, self.state = recipe, limits, state

    def on_epoch_begin(self, epoch, logs=None):
        self.clock = time.perf_counter()

    def on_train_batch_begin(self, batch, logs=None):
        rate = self.recipe.learning_rate
        if self.recipe.warmup:
            rate *= min(1.0, (self.state.step + 1) / self.recipe.warmup)
        if self.recipe.schedule == "cosine":
            rate *= 0.5 + 0.5 * math.cos(math.pi * self.limits.progress(self.state))
        self.model.optimizer.learning_rate = rate

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        self.state.seconds += now - self.clock
        self.clock = now
        self.state.step += 1
        if self.limits.reached(self.state):
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        logs["step"] = self.state.step
        logs["minutes"] = round(self.state.seconds / 60, 2)
        logs["learning_rate"] = float(ops.convert_to_numpy(self.model.optimizer.learning_rate))


class _Watch(keras.callbacks.Callback):
    """Looks at the colours of validation photos each epoch: statistics, the collapse alarm, and a strip to look at."""

    def __init__(self, photos, embeddings, recipe, folder, console):
        super().__init__()
        self.photos = photos[:WATCHED]
        self.embeddings = None if embeddings is None else embeddings[:WATCHED]
        self.recipe, self.folder, self.console = recipe, folder, console

    def on_epoch_end(self, epoch, logs=None):
        measures = evaluation.Measures()
        rows = []
        for i, rgb in enumerate(squares(self.photos, self.recipe.size, self.recipe.frame, batch=8)):
            lab = ops.convert_to_numpy(color.rgb_to_lab(rgb))
            embedding = None if self.embeddings is None else self.embeddings[8 * i : 8 * i + 8]
            ab = ops.cast(self.model.predict_chroma(lab[..., :1], embedding), "float32")
            # A network may answer at a smaller size.
            ab = ops.convert_to_numpy(ops.image.resize(ab, lab.shape[1:3]))
            measures.update(ab, lab[..., 1:], lab[..., :1], truth_rgb=rgb)
            if len(rows) < STRIP:
                rows += list(zip(lab, ab, rgb, strict=True))
        stats = measures.result()
        for key in ("chroma", "cast", "near_gray", "hue_coverage", "colorfulness"):
            logs[key] = round(stats[key], 4)
            logs[f"truth_{key}"] = round(stats[f"truth_{key}"], 4)
        logs["auc_balanced"] = round(stats["auc_balanced"], 4)
        warning = evaluation.diagnose(stats)
        if warning:
            self.console.print(f"[bold yellow]Alarm:[/] {warning}")
        _write_strip(rows[:STRIP], self.folder / f"epoch_{epoch + 1:04d}.png")


class _Checkpoint(keras.callbacks.Callback):
    """Writes last.keras every few minutes and best.keras after a better epoch; stops when no epoch gets better."""

    def __init__(self, out, state, console, patience):
        super().__init__()
        self.out, self.state, self.console, self.patience = out, state, console, patience
        self.written = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        if time.monotonic() - self.written > CHECKPOINT_MINUTES * 60:
            self.write_last()

    def on_epoch_end(self, epoch, logs=None):
        loss = logs["val_loss"]
        if loss < self.state.best:
            self.state.best, self.state.waited = loss, 0
            with write_atomically(self.out / "best.keras") as temporary:
                in_float32(self.model).save(temporary)
        else:
            self.state.waited += 1
            if not math.isfinite(loss):
                raise ValueError(
                    f"The validation loss is {loss}: the training diverged; lower the learning rate. "
                    f"{self.out / 'best.keras'} holds the best weights before, if any."
                )
        if self.patience is not None and self.state.waited >= self.patience:
            self.console.print(f"No better validation loss for {self.patience} epochs: stopping early.")
            self.state.finished = True
        self.write_last()

    def write_last(self):
        with write_atomically(self.out / "last.keras") as temporary:
            self.model.save(temporary)
            # In the same file, so that weights and place in the data can never be of different steps.
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(_STATE, json.dumps(dataclasses.asdict(self.state)))
        self.written = time.monotonic()


class _Log(keras.callbacks.Callback):
    """Appends an epoch to log.csv and draws the losses again."""

    def __init__(self, out):
        super().__init__()
        self.path, self.plot = out / "log.csv", out / "losses.png"

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch + 1, **logs}
        rows = read_log(self.path) if self.path.exists() else []
        rows = [old for old in rows if int(old["epoch"]) <= epoch] + [row]
        with write_atomically(self.path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, list(row), extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        plot_losses({"": rows}, self.plot)


class _TensorBoard(keras.callbacks.Callback):
    """Writes the epoch's figures and its strip of photos for TensorBoard."""

    def __init__(self, folder, strips):
        super().__init__()
        self.folder, self.strips = folder, strips

    def on_epoch_end(self, epoch, logs=None):
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        path = self.strips / f"epoch_{epoch + 1:04d}.png"
        with Image.open(path) as picture:
            width, height = picture.size
        strip = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=path.read_bytes())
        values = [Summary.Value(tag=key, simple_value=float(value)) for key, value in logs.items()]
        values.append(Summary.Value(tag="gray, colorized, truth", image=strip))
        writer = EventFileWriter(str(self.folder))
        writer.add_event(Event(wall_time=time.time(), step=logs["step"], summary=Summary(value=values)))
        writer.close()


def read_log(path):
    """Reads a run's log.csv.

    Args:
        path: the file.

    Returns:
        A list of dicts, one an epoch, from column to text.
    """
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def validation_photos(out):
    """Finds the photos that a run was validated on.

    Args:
        out: folder of the run.

    Returns:
        A list of `PhotoFile`.

    Raises:
        FileNotFoundError: the photos are no longer where they were.
    """
    out = Path(out)
    roots = json.loads((out / "run.json").read_text())["photos"]
    return _kept_photos(_find(roots), out)["val"]


def plot_losses(runs, path, title="Loss"):
    """Draws training and validation losses by epoch, of one or of several runs.

    Args:
        runs: dict from a run's name to its rows, as `read_log` gives them.
        path: PNG file to write.
        title: label of the vertical axis.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for i, (name, rows) in enumerate(runs.items()):
        epochs = [int(row["epoch"]) for row in rows]
        label = f"{name}, " if name else ""
        for key, line, what in (("loss", "--", "training"), ("val_loss", "-", "validation")):
            axes.plot(epochs, [float(row[key]) for row in rows], line, color=f"C{i}", marker=".", label=label + what)
    axes.set(xlabel="Epoch", ylabel=title)
    axes.legend()
    axes.grid(alpha=0.3)
    with write_atomically(Path(path)) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def _agree(out, settings, resumes):
    """Writes run.json, or holds it against what it says already."""
    path = out / "run.json"
    settings = json.loads(json.dumps(settings))
    if resumes and path.exists():
        before = json.loads(path.read_text())
        changed = [key for key in settings if before.get(key) != settings[key]]
        if changed:
            raise ValueError(
                f"{out} holds a run with other settings ({', '.join(changed)}); give the same ones to go on with it, "
                "or another folder for a new run."
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    (out / "photos.csv").unlink(missing_ok=True)  # of a run that ended before its first checkpoint
    with write_atomically(path) as temporary:
        temporary.write_text(json.dumps(settings, indent=1) + "\n")


def _photos(roots, out, size, workers, console):
    """Finds, audits and splits the photos; a run that is resumed keeps its own list."""
    found = _find(roots)
    path = out / "photos.csv"
    if path.exists():
        return _kept_photos(found, out)
    # Anything smaller would have to be enlarged to more than twice its size.
    checked = audit(list(found.values()), min_side=min(size, 64) // 2, out=out / "refused.csv", workers=workers)
    console.print(checked.summary)
    splits = split(checked.kept)
    splits["val"] = splits["val"][:: math.ceil(len(splits["val"]) / VALIDATED) or 1]
    if not splits["val"] or not splits["train"]:
        raise ValueError(
            f"{len(checked.kept)} usable photos are too few: after the split by their names none is left to train on, "
            "or none to validate; give more photos."
        )
    with write_atomically(path) as temporary, open(temporary, "w", newline="", **NAME_ENCODING) as file:
        csv.writer(file).writerows((name, photo.name) for name, photos in splits.items() for photo in photos)
    return splits


def _find(roots):
    """Finds photos by name; where several folders are given, the folder's name comes first."""
    found = {}
    for root in roots:
        for photo in find_photos(root):
            name = photo.name if len(roots) == 1 else f"{Path(root).name}/{photo.name}"
            if name in found:
                raise ValueError(f"{name} is there twice in the photos given; name each folder once.")
            found[name] = dataclasses.replace(photo, name=name)
    return found


def _kept_photos(found, out):
    with open(out / "photos.csv", newline="", **NAME_ENCODING) as file:
        rows = list(csv.reader(file))
    gone = [name for _, name in rows if name not in found]
    if gone:
        raise FileNotFoundError(
            f"{len(gone)} photos that {out} was begun with are gone, such as {gone[0]}; put them back, or begin a new "
            "run in another folder."
        )
    return {which: [found[name] for part, name in rows if part == which] for which in ("train", "val")}


def _labels(splits):
    """The kind of each photo by its folder, as a number, for each split."""
    folders = {which: [str(PurePosixPath(photo.name).parent) for photo in photos] for which, photos in splits.items()}
    kinds = sorted(set().union(*folders.values()))
    if len(kinds) < 2:
        raise ValueError(
            f"All photos lie in one folder ({kinds[0]}), so that there are no kinds to tell apart; sort them into one "
            "folder for each kind, or train with `alpha=0`."
        )
    return {which: [kinds.index(folder) for folder in names] for which, names in folders.items()}


def _looked_at(photos, size, frame, what):
    """Photos to count colours of, enough of them, with a bar that shows how far it has got."""
    chosen = photos[:: max(1, len(photos) // PRIOR_PHOTOS)]
    return track(squares(chosen, size, frame), what, total=math.ceil(len(chosen) / 64))


def _prior(system, photos, out):
    """Counts the buckets of photos."""
    if isinstance(system.codec, RegressionCodec):
        return None
    prior = ColorPrior(len(system.codec.buckets))
    for rgb in _looked_at(photos, PRIOR_SIZE, system.recipe.frame, "Counting colors"):
        prior.update(ops.convert_to_numpy(system.codec.classify(rgb)))
    with write_atomically(out / "prior.json") as temporary:
        temporary.write_text(json.dumps(prior.get_config()) + "\n")
    return prior


def _resume(path):
    """Loads last.keras, with its optimizer, and the state in it."""
    model = keras.saving.load_model(path)
    with zipfile.ZipFile(path) as archive:
        return model, _State(**json.loads(archive.read(_STATE)))


def _begin_with(model, begun_with, path):
    weights = begun_with.get_weights()
    if [w.shape for w in weights] != [tuple(w.shape) for w in model.weights]:
        raise ValueError(
            f"{path} holds another network than the one to be trained; its weights do not fit. Its system and its "
            "options have to be the same."
        )
    model.set_weights(weights)
    model.defaults = begun_with.defaults


def _metrics(system):
    # Soft targets, and a codec of a single number, have no one bucket to be right about.
    one_bucket = getattr(system.codec, "neighbors", None) == 1 and system.codec.outputs > 1
    metrics = [keras.metrics.SparseCategoricalAccuracy(name="bucket_accuracy")] if one_bucket else []
    if system.alpha:
        return {"color": metrics, "class": [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]}
    return metrics


def _listed(roots):
    return [str(root) for root in (roots if isinstance(roots, (list, tuple)) else [roots])]


def _write_strip(rows, path):
    """One column a photo: gray, colorized, truth."""
    columns = []
    for lab, ab, rgb in rows:
        gray = np.concatenate([lab[..., :1], np.zeros_like(ab)], axis=-1)
        guess = np.concatenate([lab[..., :1], ab], axis=-1)
        pictures = [np.round(ops.convert_to_numpy(color.lab_to_rgb(x)) * 255).astype("uint8") for x in (gray, guess)]
        columns.append(np.concatenate([*pictures, rgb]))
    with write_atomically(path) as temporary:
        Image.fromarray(np.concatenate(columns, axis=1)).save(temporary, "PNG")


def _fingerprint(system):
    """Tells codecs apart; one that was fitted by how it is fitted, which is known before."""
    codec = system.codec
    if system.is_fitted:
        config = keras.saving.serialize_keras_object(codec)
    else:
        config = {type(codec).__name__: dataclasses.asdict(codec)}
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def _has_tensorboard():
    try:
        import tensorboard.summary.writer.event_file_writer  # noqa: F401
    except ImportError:
        return False
    return True

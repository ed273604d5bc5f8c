"""Presets: the models that ship with the package, and where a model is found by name or by path.

A preset is a folder: `config.json` (network, codec and prior as Keras serializes them), `model.weights.npz` (the
weights in float16, which halves the file and is far finer than what a photo shows), `metadata.json` (their SHA-256,
sizes, versions and what the training noted), `README.md` (the model card) and, where the weights come from others, the
notices that their licence asks for. Such a folder may also be a repository of the Hugging Face Hub, `hf://user/name`.
"""

import hashlib
import json
import re
from pathlib import Path

import keras
import numpy as np

from rainbownet import __version__, color_model
from rainbownet.data.files import write_atomically

DEFAULT = "lite_unet"
"""The preset that photos are coloured with where none is named."""

HUB = "hf://"
"""What an address on the Hugging Face Hub begins with."""

_CONFIG = "config.json"
_WEIGHTS = "model.weights.npz"
_METADATA = "metadata.json"
_BEST = "best.keras"  # in the folder of a training run


def names():
    """Lists the presets that ship, sorted."""
    return sorted(file.parent.name for file in _root().glob(f"*/{_METADATA}"))


def path(name):
    """Finds the folder of a preset.

    Args:
        name: one of `names()`.

    Returns:
        The folder's path.

    Raises:
        FileNotFoundError: no preset has that name.
    """
    if name not in names():
        raise FileNotFoundError(f"No preset is named {name!r}; {_ships()}.")
    return _root() / name


def describe():
    """Reads what each preset says about itself.

    Returns:
        Dict from the name to the content of `metadata.json`, in the order of `names()`.
    """
    return {name: _read_json(path(name) / _METADATA) for name in names()}


def resolve(path_or_preset):
    """Finds a model.

    Args:
        path_or_preset: name of a preset, folder of a preset, `hf://user/name` for a preset on the Hugging Face Hub
            (downloaded once), `.keras` file or folder of a training run (its best model). A name wins over a file of
            the same name: write `./name` for the file.

    Returns:
        The path of the `.keras` file or of the preset's folder.

    Raises:
        FileNotFoundError: there is nothing of that name.
        ValueError: there is something else than a model, or the Hub cannot be asked.
    """
    if str(path_or_preset) in names():
        return path(str(path_or_preset))
    found = _download(path_or_preset) if str(path_or_preset).startswith(HUB) else Path(path_or_preset)
    if (found / _METADATA).is_file() and (found / _CONFIG).is_file():
        return found
    if (found / _BEST).is_file():
        return found / _BEST
    if found.is_file() and found.suffix == ".keras":
        return found
    if not found.exists():
        raise FileNotFoundError(f"No model is named {str(path_or_preset)!r}, be it a file or a preset; {_ships()}.")
    raise ValueError(
        f"{found} is no model: expected a .keras file, a folder that `rainbownet train` wrote (with {_BEST}), the "
        f"folder of a preset (with {_METADATA}) or the name of a preset; {_ships()}."
    )


def load(path_or_preset):
    """Loads a model by name or by path.

    Args:
        path_or_preset: see `resolve`.

    Returns:
        A `ColorModel`.

    Raises:
        FileNotFoundError: there is nothing of that name.
        ValueError: it is no model of this package, or is damaged.
    """
    found = resolve(path_or_preset)
    return load_preset(found) if found.is_dir() else color_model.load(found)


def save_preset(model, folder, metadata=None):
    """Writes a model as a preset, all of whose layers may be trained, also those that its own training left alone.

    Args:
        model: a `ColorModel`.
        folder: where to; made where it is missing. The configuration, weights and metadata of an earlier preset there
            are replaced; all other files, such as its card and the notices of a licence, are left alone.
        metadata: dict of what else is to be known, such as description, data and figures.

    Raises:
        ValueError: the folder cannot be written to, or the weights do not fit into float16.
    """
    folder = Path(folder)
    model = color_model.in_float32(model)
    for layer in model.network.layers:
        layer.trainable = True
    with np.errstate(over="ignore"):  # told in a sentence below
        weights = {w.path: keras.ops.convert_to_numpy(w).astype("float16") for w in model.network.weights}
    for name, values in weights.items():
        if not np.isfinite(values).all():
            raise ValueError(f"The weights {name} do not fit into float16 (infinite, not a number or beyond 65504).")
    with write_atomically(folder / _WEIGHTS) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **weights)
    with write_atomically(folder / _CONFIG) as temporary:
        temporary.write_text(json.dumps(keras.saving.serialize_keras_object(model), indent=1))
    facts = {
        "name": folder.name,
        "parameters": model.network.count_params(),
        "size": model.size,
        "bytes": (folder / _WEIGHTS).stat().st_size,
        "sha256": _sha256(folder / _WEIGHTS),
        "versions": {"rainbownet": __version__, "keras": keras.__version__},
    }
    # Last: a preset is complete when its metadata fit its weights.
    with write_atomically(folder / _METADATA) as temporary:
        temporary.write_text(json.dumps({**facts, **(metadata or {})}, indent=2) + "\n")


def load_preset(folder):
    """Loads a model from the folder of a preset.

    Args:
        folder: the folder.

    Returns:
        A `ColorModel` in float32.

    Raises:
        FileNotFoundError: a file of the preset is missing.
        ValueError: the files are damaged or do not fit each other.
    """
    folder = Path(folder)
    for name in (_METADATA, _CONFIG, _WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"The preset {folder} has no {name}; copy the whole folder again.")
    digest = _read_json(folder / _METADATA).get("sha256")
    if digest != _sha256(folder / _WEIGHTS):
        raise ValueError(
            f"The weights of the preset {folder} are damaged, or not those that its {_METADATA} belongs to (their "
            "SHA-256 differs); copy the whole folder again."
        )
    try:
        model = keras.saving.deserialize_keras_object(_read_json(folder / _CONFIG))
        with np.load(folder / _WEIGHTS) as weights:
            for weight in model.network.weights:
                weight.assign(weights[weight.path].astype("float32"))
    # Keras raises many kinds of errors on a configuration that it does not know.
    except Exception as error:
        raise ValueError(
            f"The preset {folder} cannot be read as a model: {(str(error) or repr(error)).splitlines()[0]}"
        ) from error
    return model


def _download(address):
    """The folder of a preset on the Hugging Face Hub, on this machine."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ValueError(
            f"{address} is on the Hugging Face Hub, which takes the package huggingface_hub: "
            'pip install "rainbownet[hf]".'
        ) from error
    repository = address.removeprefix(HUB)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ValueError(f"{address} is no address of a preset on the Hugging Face Hub; expected {HUB}user/name.")
    try:
        return Path(snapshot_download(repository))
    # A dozen kinds, of requests and of the package itself: no connection, no such repository, no access.
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise FileNotFoundError(f"{address} cannot be had from the Hugging Face Hub: {said}") from error


def _root():
    """The folder of the presets: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).parent
    installed = package / "saved_models"
    return installed if installed.is_dir() else package.parent / "saved_models"


def _ships():
    return f"presets: {', '.join(names())}" if names() else "no preset is installed"


def _read_json(file):
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file} is damaged ({error}); copy the whole folder of the preset again.") from error


def _sha256(file):
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()

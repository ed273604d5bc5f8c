"""Published PyTorch weights for the networks of this package: reading them, and putting them into layers.

A state dict names arrays by the layer they belong to, as "conv1.weight". Nothing of PyTorch is needed but to read its
own file format.
"""

import zipfile
from pathlib import Path

import keras
import numpy as np


def read_state_dict(path):
    """Reads a state dict.

    Args:
        path: a file of `torch.save` (.pth or .pt; needs PyTorch), or an .npz with the same names, as
            `numpy.savez(path, **{name: value.numpy() for name, value in state.items()})` writes it.

    Returns:
        dict of names and float32 NumPy arrays. The counters "num_batches_tracked" are left out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds something else, or PyTorch is needed and is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}; give the path of a PyTorch state dict (.pth) or an .npz.")
    state = _read_npz(path) if path.suffix == ".npz" else _read_torch(path)
    return {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}


def assign_state_dict(network, state, prefixes, path):
    """Gives layers the weights of a state dict; all are checked before the first one changes.

    Args:
        network: `keras.Model` of convolutions, transposed convolutions and batch normalizations.
        state: dict of names and arrays in PyTorch's layout: kernels (out, in, height, width), those of transposed
            convolutions (in, out, height, width).
        prefixes: dict of the layers' names and the names of theirs in `state`.
        path: where `state` comes from, for messages.

    Raises:
        ValueError: an array is missing, has another shape than its layer's, or belongs to no layer.
    """
    wanted = {}
    for layer_name, prefix in prefixes.items():
        layer = network.get_layer(layer_name)
        parts = ("weight", "bias")
        if isinstance(layer, keras.layers.BatchNormalization):
            parts = ("weight", "bias", "running_mean", "running_var")
        # A convolution without bias has one weight only.
        for part, weight in zip(parts, layer.weights, strict=False):
            wanted[f"{prefix}.{part}"] = weight
    if missing := [name for name in wanted if name not in state]:
        raise ValueError(f"{path} lacks {_some(missing)}; it holds the weights of another network, or a part of them.")
    if odd := [name for name in state if name not in wanted]:
        raise ValueError(f"{path} has weights that {network.name} has no layer for: {_some(odd)}.")
    values = {}
    for name, weight in wanted.items():
        value = state[name]
        # Both kinds of kernels turn alike: Keras has (height, width, in, out), and (height, width, out, in).
        values[name] = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
        if values[name].shape != tuple(weight.shape):
            expected = tuple(weight.shape[i] for i in (3, 2, 0, 1)) if len(weight.shape) == 4 else tuple(weight.shape)
            raise ValueError(
                f"{name} in {path} has shape {value.shape}, but {network.name} as built here takes {expected}; "
                "build it at the width and with the outputs of the file."
            )
    for name, weight in wanted.items():
        weight.assign(values[name])


def _read_npz(path):
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name].astype("float32") for name in file.files}
    except (ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read as an .npz of arrays: {error}") from error


def _read_torch(path):
    try:
        import torch
    except ImportError:
        raise ValueError(
            f"{path} is read by PyTorch, which is not installed: pip install torch, or save the weights as .npz where "
            "it is."
        ) from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Pickle, zipfile and PyTorch raise half a dozen kinds here.
        raise ValueError(
            f"{path} cannot be read as a PyTorch state dict: {(str(error) or repr(error)).splitlines()[0]}"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f"{path} holds something else than a PyTorch state dict, which has a tensor for each name.")
    return {name: value.float().numpy() for name, value in state.items()}


def _some(names):
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")

"""Embeddings of photos on disk, in one place and of one luminance for all that ask for them."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from keras import ops

from rainbownet import color
from rainbownet.data.files import PhotoFile
from rainbownet.data.photos import decode_rgb
from rainbownet.embedding import Embedder, EmbeddingCache

_SIDE = 299  # short side at which photos are read: that of the largest embedder's input


def embed_photos(
    photos: Sequence[PhotoFile], embedder: Embedder, folder: str | Path, progress: bool = True
) -> np.ndarray:
    """Gives the embeddings of photos, computing those that are not on disk.

    Args:
        photos: the photos.
        embedder: the `Embedder`.
        folder: where they are kept, see `embeddings_folder`.
        progress: whether to show a progress bar.

    Returns:
        (len(photos), embedder.outputs) float32.

    Raises:
        ValueError: a photo cannot be read, or the folder not be written to.
    """
    return EmbeddingCache(folder, embedder).embed(photos, _luminance, progress)


def embeddings_folder(photos: str | Path, otherwise: str | Path) -> Path:
    """Says where the embeddings of photos are kept: beside the photos, for all runs.

    Args:
        photos: folder or archive of photos.
        otherwise: folder to keep them in where that of the photos cannot be written to.
    """
    photos = Path(photos)
    folder = photos if photos.is_dir() else photos.parent
    return (folder if os.access(folder, os.W_OK) else Path(otherwise)) / ".rainbownet"


def _luminance(data: bytes) -> np.ndarray:
    return ops.convert_to_numpy(color.luminance(decode_rgb(data, _SIDE)))

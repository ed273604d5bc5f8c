"""Splits photos into train, validation and the like, by their names alone."""

import hashlib
import math
import unicodedata
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from rainbownet.data.files import PhotoFile

SHARES = MappingProxyType({"train": 0.9, "val": 0.1})
"""The usual splits and their shares."""


def split_of(name: str, shares: Mapping[str, float] = SHARES, seed: int = 0) -> str:
    """Says which split a photo belongs to.

    It depends on the photo's name only, so that a photo that is added never moves another one. Where shares change,
    only as many photos move as have to.

    Args:
        name: `PhotoFile.name`, the path relative to the folder of photos.
        shares: share of each split, in 0..1, together 1.
        seed: another seed gives other splits.

    Returns:
        A key of `shares`.

    Raises:
        ValueError: if the shares are negative or do not add up to 1.
    """
    if not shares or min(shares.values()) < 0 or not math.isclose(sum(shares.values()), 1, abs_tol=1e-6):
        raise ValueError(f"the shares of the splits have to be 0 or more and add up to 1; received {dict(shares)}.")
    place = place_of(name, seed)
    end = 0.0
    chosen = ""
    for split, share in shares.items():
        if share > 0:
            chosen = split
            end += share
            if place < end:
                break
    return chosen


def place_of(name: str, seed: int = 0) -> float:
    """Gives a photo its place in 0..1, drawn from its name.

    Args:
        name: `PhotoFile.name`.
        seed: another seed gives another place.
    """
    # Some systems store "é" as one letter and some as two; names that are no Unicode are hashed by their bytes.
    text = f"{seed}/{unicodedata.normalize('NFC', name)}"
    digest = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def split(
    photos: Iterable[PhotoFile], shares: Mapping[str, float] = SHARES, seed: int = 0
) -> dict[str, list[PhotoFile]]:
    """Splits photos by their names.

    Args:
        photos: the photos.
        shares: as in `split_of`.
        seed: as in `split_of`.

    Returns:
        The photos of each split, in their order.
    """
    splits: dict[str, list[PhotoFile]] = {name: [] for name in shares}
    for photo in photos:
        splits[split_of(photo.name, shares, seed)].append(photo)
    return splits

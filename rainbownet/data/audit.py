"""Looks through photos before they are trained on, and leaves out those that would do harm."""

import csv
import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from rainbownet.data.files import NAME_ENCODING, PhotoFile, write_atomically
from rainbownet.data.photos import PhotoError, decode_rgb, read_size

LEAST_CHROMA = 4.0
"""Mean Lab chroma below which a photo counts as gray. Photographs in general have 5 to 40."""

LEAST_SPREAD = 1.3
"""Standard deviation of (a, b) across their narrow axis, in Lab units, below which a photo has one hue: sepia."""

# The thresholds are for this short side: of 3,358 photos that pass by all their pixels 0.4 % are refused. At half of it
# about 1.5 % would be, since noise and texture are averaged away.
_SIDE = 64
_REASONS = ("unreadable", "too small", "gray or sepia", "exact duplicate")
_AHEAD = 16  # photos that each thread may be ahead of the one whose turn it is


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Args:
        kept: the photos to train on, in the order they came in.
        refused: name and reason of all others, likewise. A reason is "too small", "gray or sepia", or begins with
            "unreadable: " or "exact duplicate of ".
        counts: number of photos, "kept" and by reason.
    """

    kept: list[PhotoFile]
    refused: list[tuple[str, str]]
    counts: dict[str, int]

    @property
    def summary(self) -> str:
        """One line such as "1,200 photos: 1,150 kept, 30 too small, 20 gray or sepia"."""
        counts = (f"{count:,} {reason}" for reason, count in self.counts.items() if count)
        return f"{sum(self.counts.values()):,} photos: {', '.join(counts)}"


def audit(
    photos: Sequence[PhotoFile], min_side: int, out: str | Path | None = None, progress: bool = True, workers: int = 2
) -> Audit:
    """Looks through photos and refuses those that are unreadable, too small, gray or sepia, or there twice.

    Each photo is decoded, at a small size, once. The result does not depend on `workers`; of equal photos the first is
    kept.

    Args:
        photos: the photos.
        min_side: least short side in pixels.
        out: CSV file to write, with the name of each refused photo and the reason.
        progress: whether to show a progress bar.
        workers: threads that decode.

    Returns:
        The `Audit`.

    Raises:
        ValueError: if no photo is left.
    """
    kept: list[PhotoFile] = []
    refused: list[tuple[str, str]] = []
    counts = dict.fromkeys(("kept", *_REASONS), 0)
    names: dict[bytes, str] = {}
    with (
        Progress(console=Console(stderr=True), disable=not progress) as bars,
        ThreadPoolExecutor(workers) as pool,
    ):
        looked_at = _in_order(pool, photos, min_side, workers * _AHEAD)
        for photo, reason, digest in bars.track(looked_at, total=len(photos), description="Looking through the photos"):
            if not reason and digest in names:
                reason = f"exact duplicate of {names[digest]}"
            if reason:
                refused.append((photo.name, reason))
            else:
                names[digest] = photo.name
                kept.append(photo)
            counts[next((kind for kind in _REASONS if reason.startswith(kind)), "kept")] += 1
    if out is not None:
        with write_atomically(out) as path, open(path, "w", newline="", **NAME_ENCODING) as file:
            writer = csv.writer(file)
            writer.writerow(("photo", "reason"))
            writer.writerows(refused)
    result = Audit(kept, refused, counts)
    if not kept:
        first = f", the first: {': '.join(refused[0])}" if refused else ""
        raise ValueError(
            f"no photo is left to train on ({result.summary}{first}); expected color photos with a short side of at "
            f"least {min_side} pixels: give others, or a smaller size."
        )
    return result


def is_gray_or_sepia(rgb: np.ndarray) -> bool:
    """Says whether a photo shows no colours, or one hue only, as sepia prints do.

    Args:
        rgb: (height, width, 3) uint8, sRGB, with a short side of about 64 pixels.
    """
    from skimage.color import rgb2lab

    ab = rgb2lab(rgb.astype(np.float32) / np.float32(255))[..., 1:].reshape(-1, 2)
    if np.hypot(ab[:, 0], ab[:, 1]).mean() < LEAST_CHROMA:
        return True
    # The least eigenvalue of the covariance is the variance across the narrow axis.
    return bool(np.linalg.eigvalsh(np.cov(ab.T, bias=True))[0] < LEAST_SPREAD**2)


def _in_order(
    pool: ThreadPoolExecutor, photos: Sequence[PhotoFile], min_side: int, ahead: int
) -> Iterator[tuple[PhotoFile, str, bytes]]:
    """Photos with what `_look` says of them, in their order, with few of them on the way at a time."""
    waiting = deque()
    for photo in photos:
        waiting.append((photo, pool.submit(_look, photo, min_side)))
        if len(waiting) >= ahead:
            photo, answer = waiting.popleft()
            yield photo, *answer.result()
    for photo, answer in waiting:
        yield photo, *answer.result()


def _look(photo: PhotoFile, min_side: int) -> tuple[str, bytes]:
    """Why a photo is refused, empty where it is not, and a hash of its pixels."""
    try:
        data = photo.read()
        size = read_size(data, photo.name)
        if min(size) < min_side:
            return "too small", b""
        rgb = decode_rgb(data, _SIDE, photo.name)
    except (PhotoError, OSError) as error:
        return f"unreadable: {error}", b""
    if is_gray_or_sepia(rgb):
        return "gray or sepia", b""
    # Equal files, and equal pixels in files that differ in their metadata.
    return "", hashlib.blake2b(rgb.tobytes(), digest_size=16, key=repr(size).encode()).digest()

"""Finds photos that are nearly equal to held-out ones: a model must not be tested on what it was trained on.

    python -m data_prep.near PHOTOS [PHOTOS ...] --held-out PHOTOS [--held-out PHOTOS] [--out near.csv]

PHOTOS are folders or archives. Prints how many photos of each are near which held-out set, and ends with status 1 where
there are any; `--out` lists them: where the photo lies, its name, the held-out photo, how many of 64 bits differ, and
how well thumbnails agree. It reads finished archives from disk, and so checks what `data_prep.pack` made without
trusting it. About 1,000 photos a second on one core.

Two photos are near where the difference hashes of both, or of their middle squares, differ in at most 4 of 64 bits, or
in at most 10 while their thumbnails correlate by 0.95 or more. Why both: of 200,000 photos, those of the first kind
whose thumbnails disagree are there by chance (plain pictures, such as a planet on black), which costs little; those of
the second kind were all the same photo, saved again (at 0.97 and more; the best of the others had 0.93). Why middle
squares: Tiny ImageNet holds the middle squares of photos that other sets hold whole.
"""

import csv
import io
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from data_prep import commands
from rainbownet.data.files import find_photos, write_atomically
from rainbownet.data.photos import PhotoError, decode_rgb

BITS = 4
"""Of 64: photos whose hashes differ in no more are near."""

LOOSE_BITS, CORRELATION = 10, 0.95
"""Photos whose hashes differ in no more bits are near where their thumbnails correlate at least so well."""

_HASH, _THUMBNAIL = 8, 16  # sides
_SIDE = 64  # short side at which photos are looked at
_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(-1).astype(np.uint8)  # of each byte


@dataclass(frozen=True)
class Fingerprint:
    """What is compared of a photo: of all of it, and of its middle square.

    Args:
        bits: (2,) uint64, the difference hash: whether a cell of 8 rows and 9 columns is lighter than its left
            neighbour (Krawetz, "Kind of Like That", 2013).
        thumbnail: (2, 256) uint8, gray, 16 by 16.
    """

    bits: np.ndarray
    thumbnail: np.ndarray


def fingerprint(data, name="the photo"):
    """Makes the fingerprint of a photo.

    Args:
        data: bytes of the file.
        name: what the photo is called in an error.

    Returns:
        A `Fingerprint`.

    Raises:
        PhotoError: the photo cannot be read.
    """
    gray = Image.fromarray(decode_rgb(data, _SIDE, name)).convert("L")
    left, top = ((side - min(gray.size)) // 2 for side in gray.size)
    square = gray.crop((left, top, left + min(gray.size), top + min(gray.size)))
    bits, thumbnails = [], []
    for view in (gray, square):
        cells = np.asarray(view.resize((_HASH + 1, _HASH), Image.Resampling.BOX))
        bits.append(np.packbits(cells[:, 1:] > cells[:, :-1]).view(np.uint64)[0])
        thumbnails.append(np.asarray(view.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)).ravel())
    return Fingerprint(np.array(bits), np.array(thumbnails))


@dataclass(frozen=True)
class Match:
    """A held-out photo that another one is near to.

    Args:
        held_out: where the held-out photo lies.
        name: its name.
        bits: how many of 64 bits differ.
        correlation: of the thumbnails, -1..1.
    """

    held_out: Path
    name: str
    bits: int
    correlation: float


class HeldOut:
    """The photos that are kept for testing.

    Args:
        paths: folders or archives of photos.
        progress: whether to show a progress bar.
    """

    def __init__(self, paths, progress=True):
        found = [(Path(path), photo) for path in paths for photo in find_photos(path)]
        self._owners, prints = [], []
        for (path, photo), print_ in _fingerprints(found, "Looking at the held-out photos", progress):
            if print_ is not None:
                self._owners += 2 * [(path, photo.name)]
                prints.append(print_)
        self._hashes = np.array([p.bits for p in prints]).reshape(-1)
        self._thumbnails = np.array([p.thumbnail for p in prints]).reshape(-1, _THUMBNAIL**2)

    def __len__(self):
        return len(self._owners) // 2

    @property
    def identity(self):
        """16 hexadecimal digits that stand for the set."""
        return commands.digest([[name for _, name in self._owners], self._hashes.tobytes().hex()])

    def match(self, photo):
        """Finds the held-out photo that a photo is nearest to.

        Args:
            photo: `Fingerprint`.

        Returns:
            A `Match`, or `None` where it is near none.
        """
        best = None
        for hash_, thumbnail in zip(photo.bits, photo.thumbnail, strict=True):
            # Not a product of matrices: for one photo at a time the threads of BLAS cost more than they do.
            bits = _ONES[(self._hashes ^ hash_).view(np.uint8)].reshape(-1, 8).sum(-1)
            for other in np.flatnonzero(bits <= LOOSE_BITS):
                correlation = _correlation(thumbnail, self._thumbnails[other])
                if (bits[other] <= BITS or correlation >= CORRELATION) and (
                    best is None or correlation > best.correlation
                ):
                    best = Match(*self._owners[other], int(bits[other]), correlation)
        return best


def find_near(paths, held_out, progress=True):
    """Finds the photos that are near held-out ones.

    Args:
        paths: folders or archives of photos.
        held_out: `HeldOut`.
        progress: whether to show a progress bar.

    Returns:
        List of (path, name of the photo, `Match`), and the number of photos that were looked at.
    """
    near, count = [], 0
    for path in map(Path, paths):
        found = [(path, photo) for photo in find_photos(path)]
        for (_, photo), print_ in _fingerprints(found, f"Looking at {path.name}", progress):
            match = print_ and held_out.match(print_)
            if match:
                near.append((path, photo.name, match))
        count += len(found)
    return near, count


def _fingerprints(found, description, progress):
    """(path, photo) and its fingerprint, `None` where it cannot be read."""

    def look(photo):
        try:
            return fingerprint(photo.read(), photo.name)
        except (PhotoError, OSError):
            return None

    with ThreadPoolExecutor(2) as pool, commands.bar(progress) as bars:
        answers = commands.in_order(pool, look, ((item, item[1:]) for item in found))
        yield from bars.track(answers, total=len(found), description=description)


def _correlation(a, b):
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / max(np.sqrt((a * a).sum() * (b * b).sum()), 1e-6))


def main(arguments=None):
    """Runs the command."""
    parser = commands.parser(__doc__)
    parser.add_argument("photos", type=Path, nargs="+", help="folder or archive")
    parser.add_argument("--held-out", type=Path, action="append", required=True, help="may be repeated")
    parser.add_argument("--out", type=Path, help="CSV file to write the list to")
    args = parser.parse_args(arguments)
    with commands.mistakes_told(parser):
        near, count = find_near(args.photos, HeldOut(args.held_out))
        if args.out:
            text = io.StringIO()
            writer = csv.writer(text)
            writer.writerow(("photos", "photo", "held_out", "held_out_photo", "bits", "correlation"))
            for path, name, match in near:
                row = (path, name, match.held_out, match.name, match.bits, f"{match.correlation:.3f}")
                writer.writerow(row)
            with write_atomically(args.out) as temporary:
                temporary.write_text(text.getvalue(), "utf-8", "surrogateescape")
    for (path, held_out), number in Counter((path, match.held_out) for path, _, match in near).items():
        print(f"{path}: {number:,} near {held_out}")
    print(f"{len(near):,} of {count:,} photos are near held-out ones.")
    if near:
        parser.exit(1)


if __name__ == "__main__":
    main()

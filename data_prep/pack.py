"""Packs photos into an archive to train on: of one size, in a random order, without those that would do harm.

    python -m data_prep.pack PHOTOS [PHOTOS ...] OUT.tar --side 192 [--count 5000] --held-out photos/val
    python -m data_prep.pack REPOSITORY OUT.tar --commit 44513762 --match '^data/.*[.]jpe?g$' --side 180
    python -m data_prep.pack --sets data_prep/photo_sets.toml --mirrors FOLDER OUT --held-out photos/val

PHOTOS are folders, archives, or git repositories, bare or not, of which photos are read without checking them out. The
third form makes the training set of the preset that ships: one archive for each set of photo_sets.toml, in OUT/train,
OUT/large, OUT/thumbnails or, for what must never be trained on, OUT/held_out. The latter are packed first, and no photo
near one of theirs gets into the others. FOLDER holds clones (`git clone --bare`), named owner+name, owner+name.git or
owner+name/repo; the git protocol fetches a commit that is no branch's head too (`git fetch origin COMMIT`).

Photos are made sRGB, upright, opaque and shrunk to the short side; one that is that already, and carries no metadata,
is packed byte by byte. With `--least`, those whose short side lies between it and `--side` are packed as large as they
are. Left out are those that are unreadable, too small, longer than 3:1, gray or sepia, drawings and cut-outs (one
colour covers more than 40 %), there already, or near a held-out photo (see `data_prep.near`). The order is drawn with a
seed, so that the first n of an archive are a fair sample of it. OUT.json tells the settings, the counts, what was left
out and why, and the archive's SHA-256. The archive has its name once it is whole; a pass that was stopped goes on when
the same command is run again, and one that is finished is not run twice.

About 60 photos a second on 2 cores where they are of some hundred pixels; the sets of the preset take an hour.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import random
import tarfile
import tomllib
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from data_prep import commands, near
from data_prep.git_photos import GitRepository, git_directory
from rainbownet.data.audit import is_gray_or_sepia
from rainbownet.data.files import find_photos, write_atomically
from rainbownet.data.photos import PhotoError, decode_rgb, read_size

HELD_OUT = "held_out"
"""The part of a list of sets that is packed first, and that nothing else may be near to."""

LONGEST = 3
"""Greatest ratio of the sides."""

MOST_OF_ONE_COLOR = 0.4
"""Share of a picture above which one colour, of 4,096, makes it a drawing or a cut-out."""

QUALITY = 85  # of the JPEGs
_METADATA = {"exif", "icc_profile", "xmp", "comment", "photoshop"}
_LOOKED_AT = 64  # short side at which colours are looked at, as `is_gray_or_sepia` expects


def pack(photos, out, side, count=None, held_out=None, seed=0, workers=2, progress=True, least=None):
    """Packs photos into one archive.

    Args:
        photos: list of what has `name` and `read() -> bytes`, such as `PhotoFile` and `GitPhoto`; names are unique.
        out: archive to write, which ends in .tar.
        side: short side in pixels.
        count: stops when so many are packed.
        held_out: `data_prep.near.HeldOut`.
        seed: of the order.
        workers: processes that decode.
        progress: whether to show a progress bar.
        least: short side in pixels below which a photo is too small; default, `side`.

    Returns:
        What is in the JSON file: dict of `settings`, `counts`, `left_out` and `sha256`.

    Raises:
        ValueError: `out` exists and was packed otherwise, no photo is left, or `least` is more than `side`.
    """
    out = Path(out)
    if out.suffix != ".tar":
        raise ValueError(f"{out} must end in .tar.")
    least = side if least is None else least
    if not 1 <= least <= side:
        raise ValueError(f"`least` must be in 1..{side}, the side; received {least}.")
    photos = list(photos)
    random.Random(seed).shuffle(photos)
    settings = {
        "photos": commands.digest([[photo.name, _content(photo)] for photo in photos]),
        "side": side,
        "least": least,
        "count": count,
        "seed": seed,
        "quality": QUALITY,
        "held_out": held_out.identity if held_out else None,
    }
    about = out.with_suffix(".json")
    if out.exists():
        result = json.loads(about.read_text()) if about.is_file() else {}
        if result.get("settings") != settings:
            raise ValueError(f"{out} exists and was packed of other photos or otherwise; remove it or name another.")
        return result
    out.parent.mkdir(parents=True, exist_ok=True)
    with _Unfinished(out, settings) as archive, commands.bar(progress) as bars:
        _fill(archive, photos, (least, side), count, held_out, workers, bars)
        counts = archive.counts
        if not counts["packed"]:
            raise ValueError(f"no photo is left to pack ({told(counts)}); give others, or a smaller side.")
        archive.close()
        result = {"settings": settings, "counts": counts, "left_out": archive.left_out, "sha256": archive.sha256()}
        with write_atomically(about) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n")
        archive.finish()
    return result


def pack_sets(sets, mirrors, out, held_out=(), workers=2, progress=True):
    """Packs the sets that a file lists, each into an archive of its name in the folder of its part.

    Args:
        sets: TOML file, see `photo_sets.toml`.
        mirrors: folder of clones.
        out: folder of the archives.
        held_out: paths of photos that are kept for testing, beside the sets that are held out.
        workers: as in `pack`.
        progress: as in `pack`.

    Yields:
        (name, result of `pack`), each when it is done.

    Raises:
        FileNotFoundError: a clone is missing; it tells all that are.
    """
    plan = tomllib.loads(Path(sets).read_text())
    folders = {entry["repository"]: clone(mirrors, entry["repository"]) for entry in plan["set"]}
    missing = [repository for repository, folder in folders.items() if folder is None]
    if missing:
        raise FileNotFoundError(
            f"{mirrors} has no clone of {', '.join(missing)}; make each by git clone --bare, in a folder owner+name."
        )
    held_out = list(held_out)
    for reserved in (True, False):
        entries = [entry for entry in plan["set"] if (entry["part"] == HELD_OUT) == reserved]
        kept = near.HeldOut(held_out, progress) if held_out and entries else None
        for entry in entries:
            path = Path(out) / entry["part"] / f"{entry['name']}.tar"
            with GitRepository(folders[entry["repository"]]) as repository:
                photos = repository.photos(entry["commit"], entry["match"])
                options = entry.get("count"), kept, plan["seed"], workers, progress, entry.get("least")
                result = pack(photos, path, entry["side"], *options)
            yield entry["name"], result
            if reserved:
                held_out.append(path)


def clone(mirrors, repository):
    """Finds the clone of a repository.

    Args:
        mirrors: folder of clones.
        repository: owner/name.

    Returns:
        A git directory, or `None`.
    """
    name = repository.replace("/", "+")
    folders = (git_directory(Path(mirrors) / tail) for tail in (name, f"{name}.git", f"{name}/repo"))
    return next(filter(None, folders), None)


def told(counts):
    """Puts counts into words.

    Args:
        counts: dict of numbers by what they count.

    Returns:
        Such as "5,000 packed, 416 drawing or cut-out".
    """
    return ", ".join(f"{number:,} {what}" for what, number in counts.items())


def prepare(data, least, side):
    """Decides on a photo and makes what is packed of it.

    Args:
        data: bytes of its file.
        least: short side in pixels below which it is too small.
        side: short side in pixels that it is shrunk to.

    Returns:
        (why it is left out, the bytes to pack, their `Fingerprint`): either the first is empty or the others are.
    """
    try:
        size = read_size(data)
        if min(size) < least:
            return "too small", b"", None
        if max(size) > LONGEST * min(size):
            return "too long", b"", None
        rgb = decode_rgb(data, min(side, *size))
        image = Image.fromarray(rgb)
        scale = _LOOKED_AT / min(image.size)
        small = np.asarray(image.resize([round(s * scale) for s in image.size], Image.Resampling.BOX))
        if is_gray_or_sepia(small):
            return "gray or sepia", b"", None
        if _share_of_one_color(small) > MOST_OF_ONE_COLOR:
            return "drawing or cut-out", b"", None
        packed = data if _is_packed(data, image.size) else _jpeg(image)
        # Of the bytes that are packed, so that whoever looks at the archive later sees the same.
        return "", packed, near.fingerprint(packed)
    except PhotoError:
        return "unreadable", b"", None


class _Unfinished:
    """An archive on its way: the part that stands, and a journal of what became of each photo.

    The journal has a line for each photo, written after the photo is in the archive, with the place where the archive
    then ends. Whatever stopped the pass, the longest part of the journal that the archive bears out is true.
    """

    def __init__(self, out, settings):
        self._out, self._settings = out, settings
        self._part = out.with_name(f".{out.name}.part")
        self._journal_path = out.with_name(f".{out.name}.journal")
        self.done, self.counts, self.left_out, self.seen = 0, {"packed": 0}, [], set()

    def __enter__(self):
        self._part.touch()
        kept, end = [json.dumps(self._settings, sort_keys=True)], 0
        for entry in self._earlier():
            end = entry[3]
            self._note(*entry[:3])
            kept.append(json.dumps(entry))
        with write_atomically(self._journal_path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in kept))
        self._journal = open(self._journal_path, "a")  # noqa: SIM115
        self._file = open(self._part, "r+b")  # noqa: SIM115
        self._file.truncate(end)
        self._file.seek(end)
        self._archive = tarfile.open(fileobj=self._file, mode="w")  # noqa: SIM115
        return self

    def __exit__(self, *_):
        self._file.close()
        self._journal.close()

    def add(self, name, why, key, data):
        """Packs a photo, or notes why it is left out."""
        if not why:
            member = tarfile.TarInfo(member_name(name))
            member.size = len(data)
            self._archive.addfile(member, io.BytesIO(data))
            self._archive.members = []  # tarfile would keep every header
            self._file.flush()
        self._note(name, why, key)
        self._journal.write(json.dumps([name, why, key, self._file.tell()]) + "\n")
        self._journal.flush()

    def close(self):
        """Ends the archive, as the format asks for."""
        self._archive.close()
        self._file.flush()
        os.fsync(self._file.fileno())

    def sha256(self):
        with open(self._part, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def finish(self):
        """Gives the archive its name."""
        os.replace(self._part, self._out)
        self._journal_path.unlink()

    def _note(self, name, why, key):
        self.done += 1
        what = why.partition(": ")[0] or "packed"
        self.counts[what] = self.counts.get(what, 0) + 1
        if why:
            self.left_out.append([name, why])
        else:
            self.seen.add(key)

    def _earlier(self):
        """Entries of an earlier pass with the same settings, as far as they can be trusted."""
        if not self._journal_path.is_file():
            return
        first, *lines = self._journal_path.read_text().splitlines(keepends=True) or [""]
        if first.strip() != json.dumps(self._settings, sort_keys=True):
            return
        length = self._part.stat().st_size
        for line in lines:
            if not line.endswith("\n"):
                return
            entry = json.loads(line)
            if entry[3] > length:
                return
            yield entry


def member_name(name):
    """Gives the name in the archive of a photo: a relative path that is not hidden and ends as a JPEG's does.

    Args:
        name: POSIX-style path.
    """
    parts = [part.lstrip(".") for part in PurePosixPath(name).parts if part.strip("./")]
    path = "/".join(parts)
    return path if path.lower().endswith((".jpg", ".jpeg")) else f"{path}.jpg"


def _fill(archive, photos, sides, count, held_out, workers, bars):
    def jobs():
        for photo in photos[archive.done :]:
            try:
                data = photo.read()
            except OSError:
                data = b""  # counted as unreadable
            yield photo.name, (data, *sides)

    def progress():
        return {"completed": archive.counts["packed"]} if count else {"completed": archive.done}

    task = bars.add_task("Packing", total=count or len(photos), **progress())
    with commands.processes(workers) as pool:
        for name, (why, data, print_) in commands.in_order(pool, prepare, jobs()):
            if count and archive.counts["packed"] >= count:
                break
            key = hashlib.blake2b(data, digest_size=16).hexdigest()
            if not why and key in archive.seen:
                why = "exact duplicate"
            if not why and held_out and (match := held_out.match(print_)):
                why = f"near a held-out photo: {match.name}"
            archive.add(name, why, key, data)
            bars.update(task, **progress())


def _content(photo):
    """What tells that a photo's content changed, without reading it."""
    return getattr(photo, "blob", None) or photo.size


def _share_of_one_color(rgb):
    sixteenths = (rgb >> 4).reshape(-1, 3).astype(int) @ (256, 16, 1)
    return np.bincount(sixteenths).max() / len(sixteenths)


def _is_packed(data, size):
    """Whether a file is already what would be packed of it."""
    image = Image.open(io.BytesIO(data))
    return image.format == "JPEG" and image.mode == "RGB" and image.size == size and not image.info.keys() & _METADATA


def _jpeg(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY, optimize=True)
    return file.getvalue()


def _sources(paths, commit, match, stack):
    """The photos of folders, archives and repositories; with the name of each before theirs where there are several."""
    photos = []
    for path in paths:
        if git_directory(path):
            found = stack.enter_context(GitRepository(path)).photos(commit, match)
        else:
            found = find_photos(path)
        if len(paths) > 1:
            found = [dataclasses.replace(photo, name=f"{path.name}/{photo.name}") for photo in found]
        photos += found
    return photos


def main(arguments=None):
    """Runs the command."""
    parser = commands.parser(__doc__)
    parser.add_argument("photos", type=Path, nargs="*", help="folders, archives or git repositories")
    parser.add_argument("out", type=Path, help="archive to write; with --sets, a folder")
    parser.add_argument("--side", type=int, help="short side in pixels")
    parser.add_argument("--least", type=int, help="short side of the smallest photos that are packed")
    parser.add_argument("--count", type=int, help="stop when so many are packed")
    parser.add_argument("--held-out", type=Path, action="append", default=[], help="photos to test on; may be repeated")
    parser.add_argument("--seed", type=int, default=0, help="of the order")
    parser.add_argument("--commit", default="HEAD", help="of git repositories")
    parser.add_argument("--match", help="regular expression for paths in git repositories")
    parser.add_argument("--sets", type=Path, help="TOML file that lists sets")
    parser.add_argument("--mirrors", type=Path, help="folder of the clones of their repositories")
    parser.add_argument("--workers", type=int, default=2, help="processes that decode")
    args = parser.parse_intermixed_args(arguments)
    if bool(args.sets) != bool(args.mirrors) or bool(args.sets) == bool(args.photos):
        parser.error("give either photos, or --sets and --mirrors")
    if not args.sets and not args.side:
        parser.error("give --side")
    with commands.mistakes_told(parser):
        if args.sets:
            for name, result in pack_sets(args.sets, args.mirrors, args.out, args.held_out, args.workers):
                print(f"{name}: {told(result['counts'])}; SHA-256 {result['sha256']}", flush=True)
            return
        with contextlib.ExitStack() as stack:
            photos = _sources(args.photos, args.commit, args.match, stack)
            held_out = near.HeldOut(args.held_out) if args.held_out else None
            options = args.count, held_out, args.seed, args.workers
            result = pack(photos, args.out, args.side, *options, least=args.least)
        print(f"{told(result['counts'])}; SHA-256 {result['sha256']}")


if __name__ == "__main__":
    main()

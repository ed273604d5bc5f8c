"""Splits photos into those to train on, to validate and to test with, by their names alone.

    python -m data_prep.split PHOTOS OUT.csv --shares train=0.9,val=0.1
    python -m data_prep.split PHOTOS OUT --as color_unet             # a folder for each split, with links to the photos
    python -m data_prep.split PHOTOS OUT --counts val=247,test=247 --copy

The splits of the documents: `--as color_unet` is 90/10 and of the 90 again 90/10 (train 0.81, val 0.09, test 0.1),
`--as colornet` test to train as 1 to 9, `--as dropout_cnn` 70/30, `--as rainbownet` 247 photos for each of val and test
and the rest to train on, `--as resnet18` 1,000 for val. (The ResNet-18 document takes the first 1,000; here they are
drawn.)

OUT is a CSV file (photo, split), or a folder with a folder for each split and the list as split.csv. Photos in archives
are copied, since no link leads into an archive. A photo's place is drawn from its name, so that a photo that is added
moves no other where shares are asked for, and as few as can be where counts are. Run again, it adds what is new and
moves what has to move; of a folder that it made it touches nothing that is not in its list.

Thousands of photos a second.
"""

import csv
import io
from collections import Counter
from pathlib import Path

from data_prep import commands
from rainbownet.data.files import find_photos, write_atomically
from rainbownet.data.splits import place_of, split_of

DOCUMENTS = {
    "color_unet": {"shares": {"train": 0.81, "val": 0.09, "test": 0.1}},
    "colornet": {"shares": {"train": 0.9, "test": 0.1}},
    "dropout_cnn": {"shares": {"train": 0.7, "test": 0.3}},
    "rainbownet": {"counts": {"val": 247, "test": 247}},
    "resnet18": {"counts": {"val": 1000}},
}
"""How the documents split their photos, as arguments of `assign`."""

REST = "train"
"""The split of all photos that no count asks for."""


def assign(names, shares=None, counts=None, seed=0):
    """Says which split each photo belongs to.

    Args:
        names: names of the photos.
        shares: share of each split, in 0..1, together 1.
        counts: number of photos in each split, in the place of `shares`; the rest is "train".
        seed: another seed gives other splits.

    Returns:
        Dict from the names, in their order, to the names of the splits.

    Raises:
        ValueError: shares that are no shares, or counts that leave nothing to train on.
    """
    if counts is None:
        return {name: split_of(name, shares, seed) for name in names}
    names = list(names)
    if min(counts.values()) < 0 or sum(counts.values()) >= len(names):
        raise ValueError(
            f"the counts {counts} leave none of {len(names)} photos to train on, or are below 0; ask for fewer."
        )
    splits = dict.fromkeys(names, REST)
    ordered = iter(sorted(names, key=lambda name: (place_of(name, seed), name)))
    for split, count in counts.items():
        splits.update((next(ordered), split) for _ in range(count))
    return splits


def write_list(path, splits):
    """Writes which split each photo belongs to.

    Args:
        path: CSV file.
        splits: as `assign` gives them.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("photo", "split"))
    writer.writerows(splits.items())
    with write_atomically(path) as temporary:
        temporary.write_text(text.getvalue(), "utf-8", "surrogateescape", newline="")


def read_list(path):
    """Reads what `write_list` wrote, empty where there is no such file."""
    if not Path(path).is_file():
        return {}
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return {row["photo"]: row["split"] for row in csv.DictReader(file)}


def write_folders(folder, photos, splits, copy=False, progress=True):
    """Makes a folder for each split.

    Args:
        folder: where they are made.
        photos: list of `PhotoFile`.
        splits: as `assign` gives them.
        copy: whether photos are copied, in the place of links to them.
        progress: whether to show a progress bar.

    Raises:
        ValueError: something else lies where a photo is to be.
    """
    folder = Path(folder)
    before = read_list(folder / "split.csv")
    for name, split in before.items():
        if splits.get(name) != split:
            (folder / split / name).unlink(missing_ok=True)
    # Before the photos: whatever stops the pass, no photo lies there that the list does not name.
    write_list(folder / "split.csv", splits)
    with commands.bar(progress) as bars:
        for photo in bars.track(photos, description="Splitting"):
            _place(photo, folder / splits[photo.name] / photo.name, copy)


def _place(photo, target, copy):
    link = None if copy or photo.member is not None else photo.path.resolve()
    if target.is_symlink():
        if target.resolve() == link:
            return
        target.unlink()
    elif target.exists():
        if link is None and target.read_bytes() == photo.read():
            return
        raise ValueError(f"{target} exists and is not what would be put there; remove it, or choose another folder.")
    if link is None:
        with write_atomically(target) as temporary:
            temporary.write_bytes(photo.read())
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(link)


def _pairs(kind):
    def parse(text):
        return {name: kind(number) for name, _, number in (part.partition("=") for part in text.split(","))}

    parse.__name__ = "NAME=NUMBER,NAME=NUMBER"
    return parse


def main(arguments=None):
    """Runs the command."""
    parser = commands.parser(__doc__)
    parser.add_argument("photos", type=Path, help="folder or archive")
    parser.add_argument("out", type=Path, help="CSV file, or folder")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--as", dest="document", choices=DOCUMENTS, help="as this system's document does")
    how.add_argument("--shares", type=_pairs(float), help="such as train=0.9,val=0.1")
    how.add_argument("--counts", type=_pairs(int), help="such as val=247,test=247; the rest is train")
    parser.add_argument("--seed", type=int, default=0, help="another one gives other splits")
    parser.add_argument("--copy", action="store_true", help="copy the photos; links by default")
    args = parser.parse_args(arguments)
    with commands.mistakes_told(parser):
        photos = find_photos(args.photos)
        rule = DOCUMENTS.get(args.document) or {"shares": args.shares, "counts": args.counts}
        splits = assign([photo.name for photo in photos], seed=args.seed, **rule)
        if args.out.suffix == ".csv":
            write_list(args.out, splits)
        else:
            write_folders(args.out, photos, splits, args.copy)
    print(", ".join(f"{number:,} {split}" for split, number in sorted(Counter(splits.values()).items())))


if __name__ == "__main__":
    main()

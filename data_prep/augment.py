"""Makes more photos out of photos, on disk, as two of the documents do before they train.

    python -m data_prep.augment color_unet PHOTOS OUT    # five of each
    python -m data_prep.augment colornet PHOTOS OUT      # ten of each, in class folders

color_unet (document: "resizing the images to 256px on the short edge, taking 2 random crops, one flipped random crop
and one random crop with Gaussian noise, all across the long edge resulting in a 5x dilation"): the short side becomes
256, and squares are cut out along the long one. It names four of the five; the fifth is the middle square (ours), and
the noise has a standard deviation of 8 of 255 on each channel (ours).

colornet (document: "augmented the train_data by a factor of 10x ... by applying random transform", and training wants
"class directories"): ten variants of each photo at its own size, each mirrored or not, turned by up to 10 degrees, and
cut to 0.7 to 1 of its sides (ours; the document does not tell the transforms). Colours are left alone, for they are
what is learned. OUT has a folder for each class: the first folder of a photo's name, or the name of PHOTOS for those
that lie in no folder. The document's 675 photos become 6,750; split them off before (`data_prep.split --as colornet`).

What is drawn for a photo follows from the seed and its name. A photo whose variants are there is not made again, so
that a stopped pass goes on when it is run again; OUT/augment.json keeps the folder to one kind and seed. About 40
photos in a second on 2 cores. This package's own training draws crops and flips anew in each epoch and does not need
any of it.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from data_prep import commands
from rainbownet.data.files import find_photos, write_atomically
from rainbownet.data.photos import PhotoError, decode_rgb, read_size

SIDE = 256  # ColorUNet's short side
NOISE = 8.0  # standard deviation, of 255
TURN = 10.0  # degrees
LEAST_PART = 0.7  # of the sides
QUALITY = 92  # of the JPEGs


def color_unet(rgb, rng):
    """Makes ColorUNet's five squares of a photo.

    Args:
        rgb: (height, width, 3) uint8.
        rng: NumPy generator.

    Returns:
        List of (short side, short side, 3) uint8: two random squares, one mirrored, one with noise, the middle one.
    """
    side = min(rgb.shape[:2])
    room = np.array(rgb.shape[:2]) - side

    def square(place):
        top, left = np.round(room * place).astype(int)
        return rgb[top : top + side, left : left + side]

    first, second, third, fourth = (square(place) for place in rng.random(4))
    noisy = fourth + rng.normal(0, NOISE, fourth.shape)
    noisy = np.clip(np.round(noisy), 0, 255).astype(np.uint8)
    return [first, second, third[:, ::-1], noisy, square(0.5)]


def colornet(rgb, rng):
    """Makes colornet's ten variants of a photo.

    Args:
        rgb: (height, width, 3) uint8.
        rng: NumPy generator.

    Returns:
        List of ten arrays like `rgb`.
    """
    variants = []
    for _ in range(10):
        image = Image.fromarray(rgb)
        if rng.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        angle, part, *place = rng.uniform((-TURN, LEAST_PART, 0, 0), (TURN, 1, 1, 1))
        part = min(part, largest_part(image.size, angle))
        variants.append(np.asarray(_cut(image, np.deg2rad(angle), part, np.array(place))))
    return variants


def largest_part(size, angle):
    """Gives the largest part of its sides that can be cut out of a photo without its corners, when it is turned.

    Args:
        size: (width, height).
        angle: degrees.

    Returns:
        Factor, 0..1: a rectangle of the same proportions, turned within the photo, reaches no further than its edges.
    """
    sine, cosine = abs(np.sin(np.deg2rad(angle))), abs(np.cos(np.deg2rad(angle)))
    width, height = size
    return min(width / (width * cosine + height * sine), height / (width * sine + height * cosine))


KINDS = {
    "color_unet": (color_unet, ("crop1", "crop2", "flipped", "noisy", "middle")),
    "colornet": (colornet, tuple(f"{number:02}" for number in range(10))),
}
"""The kinds by name, with what each calls the variants that it makes of a photo."""


def augment(kind, photos, out, source, seed=0, progress=True):
    """Makes variants of photos.

    Args:
        kind: a name of `KINDS`.
        photos: list of `PhotoFile`.
        out: folder to write to.
        source: what photos that lie in no folder are called as a class.
        seed: of all that is drawn.
        progress: whether to show a progress bar.

    Returns:
        Dict of counts: "written", "there already", and "unreadable" (photos of which nothing was made); and a list of
        (name, reason) of the unreadable ones.

    Raises:
        ValueError: the folder holds variants of another kind or seed.
    """
    out = Path(out)
    commands.agree(out / "augment.json", {"kind": kind, "seed": seed, "quality": QUALITY}, "photos")
    counts, unreadable = {"written": 0, "there already": 0, "unreadable": 0}, []

    def make(photo):
        targets = _targets(kind, photo, out, source)
        if all(path.is_file() for path in targets):
            return "there already", len(targets), ""
        try:
            data = photo.read()
            rgb = decode_rgb(data, SIDE if kind == "color_unet" else min(read_size(data)), photo.name)
        except (PhotoError, OSError) as error:
            return "unreadable", 1, str(error)
        variants = KINDS[kind][0](rgb, _generator(seed, photo.name))
        for path, variant in zip(targets, variants, strict=True):
            with write_atomically(path) as temporary:
                Image.fromarray(variant).save(temporary, "JPEG", quality=QUALITY)
        return "written", len(targets), ""

    with ThreadPoolExecutor(2) as pool, commands.bar(progress) as bars:
        answers = commands.in_order(pool, make, ((photo, (photo,)) for photo in photos))
        for photo, (what, number, reason) in bars.track(answers, total=len(photos), description="Augmenting"):
            counts[what] += number
            if reason:
                unreadable.append((photo.name, reason))
    return counts, unreadable


def _targets(kind, photo, out, source):
    """Where a photo's variants are written to."""
    name = PurePosixPath(photo.name)
    folder = name.parent
    if kind == "colornet" and folder == PurePosixPath("."):
        folder = PurePosixPath(source)
    # Other suffixes stay in the name: a.jpg and a.png are two photos.
    stem = name.stem if name.suffix.lower() == ".jpg" else f"{name.stem}_{name.suffix[1:]}"
    return [out / folder / f"{stem}_{label}.jpg" for label in KINDS[kind][1]]


def _generator(seed, name):
    text = f"{seed}/{name}".encode("utf-8", "surrogateescape")
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "big"))


def _cut(image, angle, part, place):
    """Cuts a turned rectangle out of a photo and brings it to the photo's size."""
    size = np.array(image.size)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    reach = np.abs(turn) @ size * part  # of the turned rectangle along the photo's sides
    center = reach / 2 + (size - reach) * place
    # From a pixel of the result to its place in the photo, as Pillow wants it.
    matrix = turn * part
    offset = center - matrix @ (size / 2)
    data = (*matrix[0], offset[0], *matrix[1], offset[1])
    return image.transform(image.size, Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)


def main(arguments=None):
    """Runs the command."""
    parser = commands.parser(__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("photos", type=Path, help="folder or archive")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn")
    args = parser.parse_args(arguments)
    with commands.mistakes_told(parser):
        source = args.photos.resolve().name.split(".")[0]
        counts, unreadable = augment(args.kind, find_photos(args.photos), args.out, source, args.seed)
    for name, reason in unreadable:
        print(f"left out {name}: {reason}")
    print(", ".join(f"{number:,} {what}" for what, number in counts.items()))


if __name__ == "__main__":
    main()

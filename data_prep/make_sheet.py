"""Makes a contact sheet: photos in gray above, coloured below, and where they have colours, the truth below that.

    python -m data_prep.make_sheet docs/photos docs/sheet.jpg
    python -m data_prep.make_sheet PHOTOS docs/val.jpg --truth --only '^(cameras|clothes)_' --most 24 --height 84
    python -m data_prep.make_sheet PHOTOS failures.jpg --truth --only '^(cameras|clothes)_' --worst 6

All photos of the folder, or the first of those whose names match, are on it in the order of their names, so that none
is picked by hand; or the worst of them, those whose chroma is farthest from the truth. Seconds; 100 to 300 KB.
"""

import argparse
import re
from pathlib import Path

import numpy as np
from keras import ops
from PIL import Image

from rainbownet import Colorizer, color, presets
from rainbownet.colorizer import gray_copy
from rainbownet.data.files import find_photos, write_atomically
from rainbownet.data.photos import read_photo

GAP = 6  # pixels of white between photos


def make_sheet(photos, out, model=presets.DEFAULT, height=240, columns=8, truth=False, only="", most=None, worst=None):
    """Makes the sheet.

    Args:
        photos: folder or archive of photos.
        out: JPEG file to write.
        model: preset or model file.
        height: of each photo, in pixels.
        columns: photos beside each other.
        truth: whether the photos themselves stand below, which is for photos with colours.
        only: regular expression that the names must match.
        most: how many photos at the most.
        worst: how many of these to show, the worst first; `None` for all, by name.

    Raises:
        ValueError: no name matches.
    """
    colorizer = Colorizer.load(model)
    chosen = [photo for photo in find_photos(photos) if re.search(only, photo.name)][:most]
    if not chosen:
        raise ValueError(f"No photo of {photos} has a name that matches {only!r}.")
    strips, distances = [], []
    for photo in chosen:
        rgb = read_photo(photo).rgb
        gray = gray_copy(rgb)
        rows = [np.repeat(gray[..., None], 3, axis=-1), colorizer(gray)] + ([rgb] if truth else [])
        strips.append(_strip(rows, (round(gray.shape[1] * height / gray.shape[0]), height)))
        colored, true = (ops.convert_to_numpy(color.rgb_to_lab(picture))[..., 1:] for picture in (rows[1], rgb))
        distances.append(np.linalg.norm(colored - true, axis=-1).mean())
    if worst is not None:
        strips = [strips[i] for i in np.argsort(distances)[::-1][:worst]]
    lines = [_line(strips[i : i + columns]) for i in range(0, len(strips), columns)]
    width = max(line.width for line in lines)
    sheet = Image.new("RGB", (width, sum(line.height + 2 * GAP for line in lines) - 2 * GAP), "white")
    for i, line in enumerate(lines):
        sheet.paste(line, (0, i * (line.height + 2 * GAP)))
    with write_atomically(Path(out)) as temporary:
        sheet.save(temporary, "JPEG", quality=85)


def _strip(pictures, size):
    """Pictures of one photo, (h, w, 3) uint8 each, below each other at `size` (width, height)."""
    strip = Image.new("RGB", (size[0], len(pictures) * (size[1] + GAP) - GAP), "white")
    for i, picture in enumerate(pictures):
        strip.paste(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS), (0, i * (size[1] + GAP)))
    return strip


def _line(strips):
    line = Image.new("RGB", (sum(strip.width + GAP for strip in strips) - GAP, strips[0].height), "white")
    left = 0
    for strip in strips:
        line.paste(strip, (left, 0))
        left += strip.width + GAP
    return line


def main(arguments=None):
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default=presets.DEFAULT)
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--truth", action="store_true", help="the photos' own colours below")
    parser.add_argument("--only", default="", help="regular expression that names must match")
    parser.add_argument("--most", type=int, help="photos at the most")
    parser.add_argument("--worst", type=int, help="show that many, the worst first")
    make_sheet(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()

"""Makes a contact sheet: photos as they are above, coloured below.

    python -m data_prep.make_sheet docs/photos docs/sheet.jpg [--model rainbownet_plain] [--height 240]

All photos of the folder are on it, in the order of their names, at one height. Seconds; a JPEG of some 100 KB.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from rainbownet import Colorizer, presets
from rainbownet.colorizer import gray_copy
from rainbownet.data.files import find_photos, write_atomically
from rainbownet.data.photos import read_photo

GAP = 6  # pixels of white between photos


def make_sheet(photos, out, model=presets.DEFAULT, height=240):
    """Makes the sheet.

    Args:
        photos: folder or archive of photos.
        out: JPEG file to write.
        model: preset or model file.
        height: of each photo, in pixels.
    """
    colorizer = Colorizer.load(model)
    columns = []
    for photo in find_photos(photos):
        gray = gray_copy(read_photo(photo).rgb)
        pair = [np.repeat(gray[..., None], 3, axis=-1), colorizer(gray)]
        width = round(gray.shape[1] * height / gray.shape[0])
        columns.append([Image.fromarray(rgb).resize((width, height), Image.Resampling.LANCZOS) for rgb in pair])
    widths = [gray.width for gray, _ in columns]
    sheet = Image.new("RGB", (sum(widths) + GAP * (len(widths) - 1), 2 * height + GAP), "white")
    for i, (gray, colored) in enumerate(columns):
        left = sum(widths[:i]) + GAP * i
        sheet.paste(gray, (left, 0))
        sheet.paste(colored, (left, height + GAP))
    with write_atomically(Path(out)) as temporary:
        sheet.save(temporary, "JPEG", quality=88)


def main(arguments=None):
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default=presets.DEFAULT)
    parser.add_argument("--height", type=int, default=240)
    args = parser.parse_args(arguments)
    make_sheet(args.photos, args.out, args.model, args.height)


if __name__ == "__main__":
    main()

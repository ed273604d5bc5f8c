"""Chroma enlarged along the luminance against linear interpolation: `python -m benchmarks.upsampling PHOTOS`.

The true chroma of each photo is averaged down by 4, 8 and 16, enlarged again both ways, and compared with the truth by
the mean distance in ab: near edges of the luminance (within half a small pixel of where L changes by more than 10
from pixel to pixel) and everywhere. This is the error that a perfect network of that output size would make.
"""

import numpy as np

from benchmarks import bench
from rainbownet import color, upsampling
from rainbownet.data.files import find_photos
from rainbownet.data.photos import decode_rgb

TITLE = "Enlarging chroma along the luminance"
FACTORS = (4, 8, 16)
EDGE = 10.0  # of L from pixel to pixel
_PHOTOS = 200


def measure(arguments):
    """Returns the rows of the table."""
    if arguments.photos:
        found = find_photos(arguments.photos)
        chosen = found[:: max(1, len(found) // _PHOTOS)]
        photos = [decode_rgb(photo.read(), 192, photo.name) for photo in chosen]
    else:
        photos = bench.made_up_photos(2 if arguments.quick else 20, 192, 256)
    rows = []
    for factor in FACTORS:
        sums, pixels = np.sum([_errors(rgb, factor) for rgb in photos], axis=0)
        places = [(where, how) for where in ("near edges", "everywhere") for how in ("linear", "along the luminance")]
        for (where, how), error, count in zip(places, sums, pixels, strict=True):
            if count:  # made-up photos have no hard edges
                rows.append(bench.Row(f"{factor} times, {where}: {how}", error / count, "of ab"))
    return rows


def _errors(rgb, factor):
    """Sums of distances in ab near edges, linear and guided, and everywhere, linear and guided; and their pixels."""
    height, width = (side // factor * factor for side in rgb.shape[:2])
    lab = np.asarray(color.rgb_to_lab(rgb[:height, :width]))
    l, truth = lab[..., :1], lab[..., 1:]
    low, ab = (_averaged(plane, factor) for plane in (l, truth))
    near = _near_edges(l[..., 0], factor // 2)
    places = [upsampling.places(side, 1 / factor, side // factor) for side in (height, width)]
    distances = []
    for guide in (0, 1):
        enlarged = upsampling.strips(ab, low * guide, *places)(0, height, l[..., 0] * guide)
        distances.append(np.linalg.norm(np.moveaxis(enlarged, 0, -1) - truth, axis=-1))
    parts = [(where, distance) for where in (near, np.ones_like(near)) for distance in distances]
    return [distance[where].sum() for where, distance in parts], [where.sum() for where, _ in parts]


def _averaged(plane, factor):
    height, width = (side // factor for side in plane.shape[:2])
    return plane.reshape(height, factor, width, factor, -1).mean(axis=(1, 3))


def _near_edges(l, reach):
    edges = np.zeros(l.shape, bool)
    edges[1:] |= np.abs(np.diff(l, axis=0)) > EDGE
    edges[:, 1:] |= np.abs(np.diff(l, axis=1)) > EDGE
    # The count of edges in the square around each pixel, from sums over rows and columns.
    sums = np.pad(edges, ((reach + 1, reach), (reach + 1, reach))).astype("int32").cumsum(axis=0).cumsum(axis=1)
    side = 2 * reach + 1
    return sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side] > 0


def add_arguments(parser):
    """Adds the arguments of this benchmark."""
    parser.add_argument("photos", nargs="?", help="folder or .tar of colour photos; made up where none is given")


if __name__ == "__main__":
    bench.main(TITLE, measure, add_arguments)

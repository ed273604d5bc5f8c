"""Chroma at the photo's size: enlarged so that its edges lie where the photo's luminance has them.

Source: Kopf, Cohen, Lischinski & Uyttendaele, "Joint bilateral upsampling" (SIGGRAPH 2007): each pixel takes a mean of
the chroma around it, and what is nearer to it and more like it in luminance counts for more. Two departures: nearness
is that of linear interpolation, so that only four pixels of the small chroma are asked and it is smoothed no further;
and likeness falls as 1 / (1 + d^2) instead of as a Gaussian, which needs no exponential, and where nothing is like the
pixel (a scratch, a speck of dust) leaves linear interpolation instead of the luck of the least unlike. As a mean it
never gives a colour that is not among the four, which the guided filter (He & Sun 2015) does on scratches.
"""

import itertools

import keras
import numpy as np
from keras import ops

SCALE = 10.0
"""Difference in L at which a neighbour counts half; chosen on training photos, see docs/coloring.md."""


def places(count, ratio, size):
    """Says where the pixels of a large grid lie in a small one along one axis: between two pixels of it.

    Args:
        count: pixels of the large grid.
        ratio: pixels of the small grid for one of the large grid; both begin at the same border.
        size: pixels of the small grid, which may reach further than the large one.

    Returns:
        Tuple of the pixel before and the pixel after, (count,) int32, and the share of the pixel after, (count,)
        float32.
    """
    place = (ops.arange(count, dtype="float32") + 0.5) * ops.cast(ratio, "float32") - 0.5
    before = ops.floor(place)
    share = place - before
    before = ops.cast(before, "int32")
    return ops.clip(before, 0, size - 1), ops.clip(before + 1, 0, size - 1), share


@keras.saving.register_keras_serializable("rainbownet")
class JointBilateralUpsampling(keras.layers.Layer):
    """Enlarges chroma guided by luminance.

    Args:
        scale: difference in L at which a neighbour counts half.
    """

    def __init__(self, scale=SCALE, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, ab, low, l, rows, columns):
        """Computes any rows and columns of the large grid.

        Args:
            ab: (batch, h, w, 2) float, ab in Lab units.
            low: (batch, h, w, 1) float, L in 0..100 at the size of `ab`.
            l: (batch, rows, columns, 1) float, L in 0..100.
            rows: what `places` gives for the rows of `l`.
            columns: what it gives for its columns.

        Returns:
            (batch, rows, columns, 2) float32, ab in Lab units.
        """
        total, weights = 0.0, 0.0
        for row, down in ((rows[0], 1 - rows[2]), (rows[1], rows[2])):
            for column, across in ((columns[0], 1 - columns[2]), (columns[1], columns[2])):

                def near(plane, row=row, column=column):
                    return ops.take(ops.take(plane, row, axis=1), column, axis=2)

                unlike = ops.square((l - near(low)) / self.scale)
                weight = (down[:, None] * across)[..., None] / (1 + unlike)
                total, weights = total + weight * near(ab), weights + weight
        return total / weights

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


def strips(ab, low, rows, columns):
    """`JointBilateralUpsampling` in NumPy, for some rows after the others: no plane of the large grid is held.

    Args:
        ab: (h, w, 2) float32, ab in Lab units.
        low: (h, w, 1) float32, L in 0..100 at the size of `ab`.
        rows: what `places` gives for the rows of the large grid.
        columns: what it gives for its columns.

    Returns:
        A function from the first row, the last, exclusive, and their L, (rows, columns) float32, to their ab, (2, rows,
        columns) float32.
    """
    above, below, down = (ops.convert_to_numpy(array) for array in rows)
    before, after, across = (ops.convert_to_numpy(array) for array in columns)
    planes = np.concatenate([low / np.float32(SCALE), ab], axis=-1).transpose(2, 0, 1)
    sides = [(planes.take(place, axis=2), share) for place, share in ((before, 1 - across), (after, across))]
    # Where the pixels around a row are others than around the row above it.
    changes = 1 + np.flatnonzero((np.diff(above) != 0) | (np.diff(below) != 0))

    def strip(start, stop, l):
        result = np.empty((2, *l.shape), "float32")
        borders = [start, *changes[(changes > start) & (changes < stop)], stop]
        for first, last in itertools.pairwise(borders):
            part = slice(first - start, last - start)
            share, guide = down[first:last, None], l[part] * np.float32(1 / SCALE)
            a, b, weights = np.zeros((3, *guide.shape), "float32")
            for row, vertical in ((above[first], 1 - share), (below[first], share)):
                for plane, horizontal in sides:
                    weight = guide - plane[0, row]
                    weight *= weight
                    weight += 1
                    np.divide(vertical, weight, out=weight)
                    weight *= horizontal
                    weights += weight
                    a += weight * plane[1, row]
                    b += weight * plane[2, row]
            np.divide(a, weights, out=result[0, part])
            np.divide(b, weights, out=result[1, part])
        return result

    return strip

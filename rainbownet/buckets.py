"""Colour buckets: the ab plane in cells, so that a colour becomes one of n classes.

Two published grids are here by their own rules and in their own order (row-major by a, then b):

- `ab_112`, the grid of RainbowNet (Lin, Ling & Wang, 2018): cells of 16 x 16, those that 8-bit sRGB reaches.
- `ab_313`, the grid of Zhang, Isola & Efros, "Colorful Image Colorization" (ECCV 2016), section 2: centers at multiples
  of 10. The published list is wider than what 8-bit sRGB reaches (261 cells), so it is kept as a table.
"""

import functools

import keras
import numpy as np
from keras import ops

# The look-up tables cover ab from -128 to 128 in squares of side 1. Cell borders of both grids lie on whole numbers,
# so a square never straddles two cells.
_LOW, _SIDE = -128, 256

# For each a of a center, the first and the last b; see the module's docstring for the sources.
_AB_112_RANGES = {
    -88: (56, 88), -72: (24, 88), -56: (-8, 88), -40: (-24, 88), -24: (-40, 88), -8: (-56, 88), 8: (-72, 88),
    24: (-72, 88), 40: (-88, 72), 56: (-104, 72), 72: (-104, 72), 88: (-104, 72), 104: (-56, -56),
}  # fmt: skip
_AB_313_RANGES = {
    -90: (50, 90), -80: (20, 90), -70: (0, 90), -60: (-20, 90), -50: (-30, 100), -40: (-40, 100), -30: (-50, 100),
    -20: (-50, 100), -10: (-60, 100), 0: (-70, 100), 10: (-80, 90), 20: (-80, 90), 30: (-90, 90), 40: (-100, 90),
    50: (-100, 80), 60: (-110, 80), 70: (-110, 80), 80: (-110, 70), 90: (-110, 70), 100: (-90, 0),
}  # fmt: skip


@keras.saving.register_keras_serializable("rainbownet")
class Buckets:
    """Colours in a plane, and the rule that says which of them stands for any other colour.

    A colour belongs to the nearest center. With `cell`, it belongs to the cell that it falls into, where that cell is
    one of the kept ones: cells of RainbowNet are cut after truncation toward zero, so that those left of zero reach one
    unit further to the right than their center says.

    Args:
        centers: (n, 2) colours in Lab units, a and b.
        cell: side of RainbowNet's truncated cells, or `None` for the nearest center.
    """

    def __init__(self, centers, cell=None):
        centers = np.asarray(centers, "float32")
        if centers.ndim != 2 or centers.shape[1] != 2 or len(centers) < 2:
            raise ValueError(f"`centers` must have shape (n, 2) with n of at least 2; received {centers.shape}.")
        self.centers = centers
        self.cell = cell
        self._neighbors = {}

    def __len__(self):
        return len(self.centers)

    def get_config(self):
        # float32 to Python float and back is exact, so that a bucket restored from a file is the same bit for bit.
        return {"centers": self.centers.tolist(), "cell": self.cell}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def assign(self, ab):
        """Finds the bucket of each colour, by table look-up.

        Args:
            ab: (..., 2) float, Lab units; values beyond -128..128 count as on that border.

        Returns:
            (...) int32 in 0..n-1.
        """
        return ops.take(ops.convert_to_tensor(self._table), self._square(ab))

    def soft_assign(self, ab, neighbors=5, sigma=5.0):
        """Shares each colour among its nearest buckets (Zhang et al. 2016, section 2.2: k = 5, sigma = 5).

        Args:
            ab: (..., 2) float, Lab units.
            neighbors: number of buckets that share a colour, k.
            sigma: width of the Gaussian of the distance, in Lab units.

        Returns:
            Pair of (..., k) int32 buckets, nearest first, and (..., k) float32 shares that sum to 1.
        """
        if neighbors not in self._neighbors:
            self._neighbors[neighbors] = self._candidates(neighbors)
        ab = ops.cast(ab, "float32")
        # The few candidates of a square hold the k nearest of every colour in it, so the result is exact.
        candidates = ops.take(ops.convert_to_tensor(self._neighbors[neighbors]), self._square(ab), axis=0)
        difference = ab[..., None, :] - ops.take(ops.convert_to_tensor(self.centers), candidates, axis=0)
        squared, order = ops.top_k(-ops.sum(ops.square(difference), axis=-1), neighbors)
        # The softmax of the exponents is the normalized Gaussian, and never 0 / 0 far away from all centers.
        shares = ops.softmax(squared / (2 * sigma**2), axis=-1)
        return ops.take_along_axis(candidates, order, axis=-1), shares

    def _square(self, ab):
        index = ops.cast(ops.clip(ops.floor(ops.cast(ab, "float32")) - _LOW, 0, _SIDE - 1), "int32")
        return index[..., 0] * _SIDE + index[..., 1]

    @functools.cached_property
    def _table(self):
        middles = _LOW + 0.5 + np.arange(_SIDE)
        a, b = np.meshgrid(middles, middles, indexing="ij")
        table = _squared_distances(np.stack([a, b], -1).reshape(-1, 2), self.centers).argmin(1).astype("int32")
        if self.cell:
            numbers = {_cell_number(center, self.cell): i for i, center in enumerate(self.centers)}
            cells = zip(_truncated_cell(a.ravel(), self.cell), _truncated_cell(b.ravel(), self.cell), strict=True)
            table = np.array([numbers.get(cell, near) for cell, near in zip(cells, table, strict=True)], "int32")
        return table

    def _candidates(self, neighbors):
        """For each square, the centers that can be among the k nearest of a colour in it; padded with far ones."""
        middles = _LOW + 0.5 + np.arange(_SIDE)
        squares = np.stack(np.meshgrid(middles, middles, indexing="ij"), -1).reshape(-1, 2)
        distances = np.sqrt(_squared_distances(squares, self.centers))
        # A colour is at most half a diagonal from the middle of its square: twice that is the most by which the
        # order of two centers can be wrong.
        reach = np.sort(distances, axis=1)[:, neighbors - 1] + np.sqrt(2)
        count = int((distances <= reach[:, None]).sum(1).max())
        return np.argsort(distances, axis=1)[:, :count].astype("int32")


def ab_112():
    """RainbowNet's 112 buckets: cells of 16 x 16 in Lab units."""
    return Buckets(_expand(_AB_112_RANGES, 16), cell=16)


def ab_313():
    """The 313 buckets of Zhang et al. 2016: centers at multiples of 10 in Lab units."""
    return Buckets(_expand(_AB_313_RANGES, 10))


def _expand(ranges, step):
    return [(a, b) for a, (first, last) in ranges.items() for b in range(first, last + 1, step)]


def _truncated_cell(values, side):
    return (np.trunc(values).astype(int) - _LOW) // side


def _cell_number(center, side):
    return tuple(int(_truncated_cell(np.float64(c), side)) for c in center)


def _squared_distances(colors, centers):
    return np.square(colors[:, None, 0] - centers[None, :, 0]) + np.square(colors[:, None, 1] - centers[None, :, 1])

"""Colour buckets: few colours that stand for all others, so that a colour becomes one of n classes.

A `Palette` lies in any colour space, and may be fitted to photos: the most frequent cells of a plane, or the means of
clusters. `Buckets` lie in the ab plane, where tables make them fast. Two published grids are here by their own rules
and in their own order (row-major by a, then b):

- `ab_112`, the grid of RainbowNet (Lin, Ling & Wang, 2018): cells of 16 x 16, those that 8-bit sRGB reaches.
- `ab_313`, the grid of Zhang, Isola & Efros, "Colorful Image Colorization" (ECCV 2016), section 2: centers at multiples
  of 10. The published list is wider than what 8-bit sRGB reaches (261 cells), so it is kept as a table.
"""

import functools

import keras
import numpy as np
from keras import ops
from scipy.spatial.distance import cdist

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
class Palette:
    """Colours of any space, of which the nearest stands for any other colour.

    Args:
        centers: (n, channels) colours, in the units of their space.
    """

    def __init__(self, centers):
        centers = np.asarray(centers, "float32")
        if centers.ndim != 2 or len(centers) < 2:
            raise ValueError(f"`centers` must have shape (n, channels) with n of at least 2; received {centers.shape}.")
        self.centers = centers

    def __len__(self):
        return len(self.centers)

    def get_config(self):
        # float32 to Python float and back is exact, so that a colour restored from a file is the same bit for bit.
        return {"centers": self.centers.tolist()}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def assign(self, colors):
        """Finds the nearest center of each colour.

        Args:
            colors: (..., channels) float, in the units of the space.

        Returns:
            (...) int32 in 0..n-1.
        """
        # |x - c|^2 is least where x c - |c|^2 / 2 is highest: one product of matrices, without (..., n, channels).
        offsets = np.square(self.centers).sum(1) / 2
        nearness = ops.matmul(ops.cast(colors, "float32"), ops.convert_to_tensor(self.centers.T)) - offsets
        return ops.cast(ops.argmax(nearness, axis=-1), "int32")


@keras.saving.register_keras_serializable("rainbownet")
class Buckets(Palette):
    """Colours in the ab plane, and the rule that says which of them stands for any other colour.

    A colour belongs to the nearest center. With `cell`, it belongs to the cell that it falls into, where that cell is
    one of the kept ones: cells of RainbowNet are cut after truncation toward zero, so that those left of zero reach one
    unit further to the right than their center says.

    Args:
        centers: (n, 2) colours in Lab units, a and b.
        cell: side of RainbowNet's truncated cells, or `None` for the nearest center.
    """

    def __init__(self, centers, cell=None):
        super().__init__(centers)
        if self.centers.shape[1] != 2:
            raise ValueError(f"`centers` of the ab plane must have shape (n, 2); received {self.centers.shape}.")
        self.cell = cell
        self._neighbors = {}

    def get_config(self):
        return {**super().get_config(), "cell": self.cell}

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
        table = cdist(np.stack([a, b], -1).reshape(-1, 2), self.centers, "sqeuclidean").argmin(1).astype("int32")
        if self.cell:
            numbers = {_cell_number(center, self.cell): i for i, center in enumerate(self.centers)}
            cells = zip(_truncated_cell(a.ravel(), self.cell), _truncated_cell(b.ravel(), self.cell), strict=True)
            table = np.array([numbers.get(cell, near) for cell, near in zip(cells, table, strict=True)], "int32")
        return table

    def _candidates(self, neighbors):
        """For each square, the centers that can be among the k nearest of a colour in it; padded with far ones."""
        middles = _LOW + 0.5 + np.arange(_SIDE)
        squares = np.stack(np.meshgrid(middles, middles, indexing="ij"), -1).reshape(-1, 2)
        distances = cdist(squares, self.centers)
        # A colour is at most half a diagonal from the middle of its square: twice that is the most by which the
        # order of two centers can be wrong.
        reach = np.partition(distances, neighbors - 1, axis=1)[:, neighbors - 1] + np.sqrt(2)
        count = int((distances <= reach[:, None]).sum(1).max())
        return np.argsort(distances, axis=1)[:, :count].astype("int32")


class FrequentCells:
    """The most frequent cells of a square grid over a plane, counted in a stream (ColorUNet's bins).

    Billaut, de Rochemonteix & Thibault, arXiv 1811.03120, section 3.1. That one cell's center is gray is a reading of
    ours: noise around gray would otherwise fall into four cells.

    Args:
        reach: the plane goes from -reach to reach on both axes.
        cells: cells on each axis.
    """

    def __init__(self, reach, cells):
        self._side = 2 * reach / cells
        self._half = (cells + 1) // 2
        self._counts = np.zeros((2 * self._half + 1,) * 2, "int64")

    def update(self, colors):
        """Counts colours.

        Args:
            colors: (..., 2) float; values beyond the plane count as on its border.
        """
        cells = np.round(np.reshape(np.asarray(colors), (-1, 2)) / self._side).astype("int64")
        cells = np.clip(cells, -self._half, self._half) + self._half
        width = len(self._counts)
        self._counts += np.bincount(cells[:, 0] * width + cells[:, 1], minlength=width**2).reshape(width, width)

    def palette(self, n):
        """Gives the centers of the n most frequent cells, the most frequent first.

        Args:
            n: number of cells.

        Returns:
            A `Palette`.

        Raises:
            ValueError: fewer cells than n hold a colour.
        """
        full = int(np.count_nonzero(self._counts))
        if full < n:
            raise ValueError(
                f"The photos' colors fall into {full} cells only; give more photos, or ask for fewer bins."
            )
        most = np.argsort(-self._counts, axis=None, kind="stable")[:n]
        cells = np.stack(np.unravel_index(most, self._counts.shape), -1) - self._half
        return Palette(cells * self._side)


class ColorClusters:
    """The means of clusters of colours, by mini-batch K-means (the Dropout CNN's colours).

    Of the colours of any number of photos a sample is kept in which each has the same chance to be.

    Args:
        seed: of the sample and of the first means.
    """

    _SAMPLE = 1 << 18

    def __init__(self, seed=0):
        self._seed = seed
        self._random = np.random.default_rng(seed)
        self._sample, self._keys = np.empty((0, 3), "float32"), np.empty(0)

    def update(self, colors):
        """Takes colours into the sample.

        Args:
            colors: (..., 3) float.
        """
        colors = np.reshape(np.asarray(colors, "float32"), (-1, 3))
        self._sample = np.concatenate([self._sample, colors])
        self._keys = np.concatenate([self._keys, self._random.random(len(colors))])
        if len(self._keys) > self._SAMPLE:
            # Those of the lowest keys are an even sample of all that came by.
            kept = np.argpartition(self._keys, self._SAMPLE)[: self._SAMPLE]
            self._sample, self._keys = self._sample[kept], self._keys[kept]

    def palette(self, n):
        """Gives the means of n clusters.

        Args:
            n: number of clusters.

        Returns:
            A `Palette`.

        Raises:
            ValueError: there were fewer than n different colours.
        """
        from sklearn.cluster import MiniBatchKMeans

        different = len(np.unique(self._sample, axis=0))
        if different < n:
            raise ValueError(f"The photos have {different} different colors only; give more photos, or ask for fewer.")
        means = MiniBatchKMeans(n, random_state=self._seed, n_init=3).fit(self._sample)
        return Palette(means.cluster_centers_)


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

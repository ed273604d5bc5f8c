"""How often each colour bucket occurs, and the weights that make rare colours count.

Source: Zhang, Isola & Efros, "Colorful Image Colorization" (ECCV 2016), section 2.2, equations 3 and 4.
"""

import keras
import numpy as np


@keras.saving.register_keras_serializable("rainbownet")
class ColorPrior:
    """Counts of pixels by bucket, gathered in a stream over a set of photos.

    Args:
        buckets: number of buckets, or the counts to begin with, (n,).
    """

    def __init__(self, buckets):
        counts = np.zeros(buckets, "int64") if np.ndim(buckets) == 0 else np.asarray(buckets, "int64")
        if counts.ndim != 1 or len(counts) < 2 or counts.min() < 0:
            raise ValueError(f"`buckets` must be a number of at least 2 or counts of shape (n,); received {buckets}.")
        self.counts = counts

    def get_config(self):
        return {"buckets": self.counts.tolist()}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def update(self, indices):
        """Adds the pixels of one or more photos.

        Args:
            indices: buckets in 0..n-1, integer, any shape.
        """
        self.counts += np.bincount(np.ravel(np.asarray(indices)), minlength=len(self.counts))

    def probabilities(self, centers=None, smoothing=0.0):
        """Computes the share of pixels in each bucket.

        Args:
            centers: (n, 2) centers of the buckets in Lab units; needed for smoothing.
            smoothing: width in Lab units of a Gaussian over the ab plane, or 0 for none (Zhang et al.: 5).

        Returns:
            (n,) float64 that sum to 1.

        Raises:
            ValueError: nothing was counted yet.
        """
        if not self.counts.any():
            raise ValueError("The prior has counted no pixels yet; call `update` with the buckets of some photos.")
        shares = self.counts / self.counts.sum()
        if smoothing:
            centers = np.asarray(centers, "float64")
            squared = np.square(centers[:, None] - centers[None]).sum(-1)
            kernel = np.exp(-squared / (2 * smoothing**2))
            # Each bucket hands out all that it has, also where it lies at the border and has few neighbours.
            shares = (kernel / kernel.sum(0)) @ shares
        return shares

    def weights(self, mix, centers=None, smoothing=0.0):
        """Computes the weight of each bucket in the loss: rare colours weigh more, and 1 is expected of a pixel.

        w(b) is proportional to 1 / ((1 - lambda) P(b) + lambda / n), and sum_b P(b) w(b) = 1.

        Args:
            mix: lambda in 0..1, the part of the uniform distribution: 1 leaves all weights equal, near 0 the rarest
                buckets weigh most (Zhang et al.: 1/2).
            centers: (n, 2) centers of the buckets in Lab units; needed for smoothing.
            smoothing: width in Lab units of the Gaussian that smooths P first (Zhang et al.: 5).

        Returns:
            (n,) float32.

        Raises:
            ValueError: `mix` is not in 0..1, or nothing was counted yet, or with `mix=0` a bucket never occurred.
        """
        if not 0 <= mix <= 1:
            raise ValueError(f"`mix` (lambda) must be in 0..1; received {mix}.")
        shares = self.probabilities(centers, smoothing)
        mixed = (1 - mix) * shares + mix / len(shares)
        if mixed.min() == 0:
            raise ValueError("With `mix=0` a bucket that never occurs would weigh infinitely much; use more than 0.")
        weights = 1 / mixed
        return (weights / (shares * weights).sum()).astype("float32")

"""Figures that a trained network computes, for those who have its weights: LPIPS and FID.

None of these weights come with the package. Which network a FID uses is part of its name, as figures of different
networks cannot be compared.

Sources:
- LPIPS: Zhang, Isola, Efros, Shechtman & Wang, "The unreasonable effectiveness of deep features as a perceptual metric"
  (CVPR 2018), by the authors' package `lpips`, version 0.1 with AlexNet.
- FID: Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium" (NIPS 2017),
  equation 6. Theirs is of Inception v3 as TensorFlow had it in 2015; here it is InceptionResNetV2, whose weights
  `embedding` can load.
"""

import warnings

import keras
import numpy as np
from PIL import Image

from rainbownet.embedding import InceptionResNetV2Embedder


class Lpips:
    """The learned perceptual distance between photos; 0 for equal ones.

    Raises:
        ValueError: the package or AlexNet's weights are missing.
    """

    name = "lpips"

    def __init__(self):
        try:
            import lpips
            import torch
        except ImportError as error:
            raise ValueError(
                f"LPIPS needs the package lpips, and {error.name} is not installed: pip install 'rainbownet[lpips]', "
                "or leave LPIPS out."
            ) from error
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # lpips calls torchvision in an old way
                self._network = lpips.LPIPS(net="alex", verbose=False).eval()
        except OSError as error:  # urllib's URLError and HTTPError are
            raise ValueError(
                f"LPIPS needs AlexNet's weights, which could not be downloaded ({error}): put the file "
                f"alexnet-owt-7be5be79.pth into {torch.hub.get_dir()}/checkpoints, or leave LPIPS out."
            ) from error
        self._torch = torch

    def __call__(self, rgb, truth):
        """Computes the distances.

        Args:
            rgb: (batch, height, width, 3) uint8.
            truth: array of the same shape.

        Returns:
            (batch,) float.
        """
        with self._torch.no_grad():
            pair = [self._torch.from_numpy(np.moveaxis(x, -1, 1) / np.float32(127.5) - 1) for x in (rgb, truth)]
            return self._network(*pair).numpy().reshape(-1).astype("float64")


class InceptionFeatures:
    """The 1536 features of InceptionResNetV2 before its classifier.

    Args:
        weights: as of `InceptionResNetV2Embedder`: "imagenet", or the path of a weights file.

    Raises:
        FileNotFoundError: the weights are not there, and cannot be downloaded.
        ValueError: the file does not hold the weights of this network.
    """

    name = "fid_inception_resnet_v2"

    def __init__(self, weights="imagenet"):
        embedder = InceptionResNetV2Embedder(weights)
        self._size = embedder.size
        self._network = keras.Model(embedder.network.input, embedder.network.get_layer("avg_pool").output)

    def __call__(self, rgb):
        """Computes the features.

        Args:
            rgb: (batch, height, width, 3) uint8.

        Returns:
            (batch, 1536) float32.
        """
        whole = [Image.fromarray(photo).resize(self._size[::-1], Image.Resampling.BILINEAR) for photo in rgb]
        scaled = np.stack([np.asarray(photo, "float32") for photo in whole]) / np.float32(127.5) - 1
        return keras.ops.convert_to_numpy(self._network(scaled, training=False))


def frechet_distance(features, truth):
    """Computes the Frechet distance between two sets of features, each taken for a normal distribution.

    The trace of the square root of the product of the covariances is the sum of the singular values of the product of
    the two sets, centered: no covariance is computed, nor its root.

    Args:
        features: (n, dimensions) float, n of at least 2.
        truth: (m, dimensions) float.

    Returns:
        Float, 0 for equal sets. With few photos it is too high: give as many photos as the network has features.
    """
    (mean, root), (truth_mean, truth_root) = _normal(features), _normal(truth)
    overlap = np.linalg.svd(root @ truth_root.T, compute_uv=False).sum()
    distance = np.sum((mean - truth_mean) ** 2) + np.sum(root**2) + np.sum(truth_root**2) - 2 * overlap
    return float(max(distance, 0.0))


def _normal(features):
    """The mean, and a matrix R of few rows with the covariance R^T R."""
    features = np.asarray(features, "float64")
    mean = features.mean(axis=0)
    return mean, np.linalg.qr((features - mean) / np.sqrt(len(features) - 1), mode="r")

"""LPIPS and FID: the formula by another way, what is said where weights are missing, and the package where it is."""

import sys

import keras
import numpy as np
import pytest
from scipy.linalg import sqrtm

from rainbownet import embedding, evaluation
from rainbownet.damage import DAMAGES
from rainbownet.data.files import find_photos
from rainbownet.evaluation import learned

from .shared import Painter, from_luminance, gray, real_photos, write_photos


@pytest.mark.parametrize("counts", [(12, 9), (60, 80)])
def test_the_frechet_distance_agrees_with_its_formula(counts):
    """With covariances and the root of their product, for fewer and for more photos than features."""
    rng = np.random.default_rng(0)
    one, two = rng.normal(0, 1, (counts[0], 20)), rng.normal(0.3, 2, (counts[1], 20)) @ rng.normal(0, 1, (20, 20))
    covariances = np.cov(one.T), np.cov(two.T)
    root = sqrtm(covariances[0] @ covariances[1] + 1e-12 * np.eye(20)).real
    expected = np.sum((one.mean(0) - two.mean(0)) ** 2) + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert learned.frechet_distance(one, two) == pytest.approx(expected, rel=1e-3)


def test_the_frechet_distance_of_two_normal_distributions_by_hand():
    # Of one dimension: (3 - 0)^2 + (sqrt(2) - 2 sqrt(2))^2.
    assert learned.frechet_distance([[-1.0], [1.0]], [[1.0], [5.0]]) == pytest.approx(9 + 2)
    assert learned.frechet_distance(np.eye(4), np.eye(4)) == pytest.approx(0, abs=1e-9)


class Means:
    """Stands in for a network: the mean colour of a photo."""

    name = "fid_means"

    def __call__(self, rgb):
        return rgb.mean(axis=(1, 2))


def test_a_fid_has_the_name_of_its_network_and_is_that_of_all_photos(tmp_path):
    photos = find_photos(write_photos(tmp_path))[:12]
    report = evaluation.evaluate(Painter(from_luminance), photos, features=Means(), damages=DAMAGES, progress=False)
    rows = {name: row["fid_means"] for name, row in report.rows.items()}
    assert rows[evaluation.MODEL] < 0.1 < rows[evaluation.GRAY]
    assert "fid_means" not in report.intervals[evaluation.MODEL]
    assert any(key == "fid_means" for _, key, _ in report.columns())


def test_lpips_stands_beside_the_other_figures(tmp_path):
    photos = find_photos(write_photos(tmp_path))[:4]

    def difference(rgb, truth):
        return np.abs(rgb.astype("float64") - truth).mean(axis=(1, 2, 3)) / 255

    report = evaluation.evaluate(Painter(gray), photos, lpips=difference, progress=False)
    values = [photo["lpips"][evaluation.GRAY] for photo in report.per_photo]
    assert report.rows[evaluation.GRAY]["lpips"] == pytest.approx(np.mean(values))
    low, high = report.intervals[evaluation.GRAY]["lpips"]
    assert 0 < low <= np.mean(values) <= high


def test_missing_lpips_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(ValueError, match=r"LPIPS needs the package lpips, .* pip install 'rainbownet\[lpips\]'"):
        learned.Lpips()


def test_missing_weights_of_lpips_are_one_sentence(monkeypatch):
    lpips = pytest.importorskip("lpips")

    def fail(*args, **kwargs):
        raise OSError("no network here")

    monkeypatch.setattr(lpips, "LPIPS", fail)
    with pytest.raises(
        ValueError, match=r"AlexNet's weights, which could not be downloaded .*alexnet-owt-7be5be79.pth"
    ):
        learned.Lpips()


def test_lpips_orders_photos(monkeypatch):
    """With random weights in the place of AlexNet's: what is tested is how photos go in and numbers come out."""
    lpips = pytest.importorskip("lpips")
    network = lpips.LPIPS
    monkeypatch.setattr(lpips, "LPIPS", lambda **options: network(**options, pnet_rand=True))
    photos = real_photos(64)
    distances = learned.Lpips()(np.stack([photos[0], photos[0]]), photos)
    assert distances.shape == (2,) and distances[0] == pytest.approx(0, abs=1e-6) and distances[1] > 0


def test_missing_weights_of_a_fid_are_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no file"):
        learned.InceptionFeatures(tmp_path / "weights.h5")


@pytest.mark.slow
def test_inception_features_are_those_before_the_classifier():
    """Random weights, the same ones twice: the classifier, given the features, says what the whole network says."""
    keras.utils.set_random_seed(1)
    features = learned.InceptionFeatures(weights=None)
    keras.utils.set_random_seed(1)
    embedder = embedding.InceptionResNetV2Embedder(weights=None)
    rgb = real_photos(299)
    vectors = features(rgb)
    assert vectors.shape == (2, 1536)
    said = keras.ops.convert_to_numpy(embedder.network.get_layer("predictions")(vectors))
    np.testing.assert_allclose(said, embedder.embed(rgb.astype("float32") / 255), rtol=1e-3, atol=1e-6)

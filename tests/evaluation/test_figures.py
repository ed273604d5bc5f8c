"""The single figures, against scikit-image, published data, brute force, and arithmetic that can be done by hand."""

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from rainbownet import evaluation as ev

from .shared import real_photos


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def photos():
    return real_photos()


def test_psnr_agrees_with_scikit_image(rng):
    truth, rgb = rng.integers(0, 256, (2, 9, 7, 3), dtype="uint8")
    assert ev.psnr(rgb, truth) == pytest.approx(peak_signal_noise_ratio(truth, rgb, data_range=255), abs=1e-9)


def test_psnr_of_an_error_of_one_step_everywhere():
    # 20 log10(255)
    assert ev.psnr(np.full((4, 4, 3), 101, "uint8"), np.full((4, 4, 3), 100, "uint8")) == pytest.approx(
        48.1308, abs=1e-4
    )


def test_auc_of_a_perfect_prediction_is_100():
    assert ev.auc(np.ones((5, 2)), np.ones((5, 2))) == 100


def test_auc_of_an_error_of_fifty_by_hand():
    # A 30-40-50 triangle: the pixel counts at t = 50..150, which are 101 of the 151 thresholds.
    assert ev.auc([[30.0, 40.0]], [[0.0, 0.0]]) == pytest.approx(100 * 101 / 151)
    assert ev.auc([[150.0, 0.0]], [[0.0, 0.0]]) == pytest.approx(100 / 151)
    assert ev.auc([[150.5, 0.0]], [[0.0, 0.0]]) == 0


def test_auc_agrees_with_its_definition(rng):
    ab, truth = rng.uniform(-100, 100, (2, 500, 2)).astype("float32")
    error = np.sqrt(((ab.astype("float64") - truth) ** 2).sum(-1))
    assert ev.auc(ab, truth) == pytest.approx(100 * np.mean([(error <= t).mean() for t in range(151)]), abs=1e-9)


def test_gray_has_no_colorfulness():
    assert ev.colorfulness(np.full((4, 4, 3), 90)) == 0


def test_colorfulness_of_red_beside_cyan_by_hand():
    # rg = 255, -255 and yb = 127.5, -127.5: no mean, variances 255^2 and 127.5^2.
    rgb = np.array([[[255, 0, 0], [0, 255, 255]]], "uint8")
    assert ev.colorfulness(rgb) == pytest.approx(np.sqrt(255**2 + 127.5**2))


def test_colorfulness_of_one_color_by_hand():
    # rg = 40, yb = 30: 0.3 times the length of (40, 30).
    assert ev.colorfulness(np.full((3, 3, 3), [100, 60, 50])) == pytest.approx(0.3 * 50)


@pytest.mark.parametrize(
    ("chroma_by_hue", "expected"), [([0, 0, 0, 0], 0), ([0, 3, 0, 0], 1 / 4), ([5, 0, 5, 0], 2 / 4), ([1, 1, 1, 1], 1)]
)
def test_hue_coverage_counts_equal_hues(chroma_by_hue, expected):
    assert ev.hue_coverage(chroma_by_hue) == pytest.approx(expected)


def test_a_trace_of_a_hue_counts_as_a_trace():
    assert 1 / 4 < ev.hue_coverage([1, 0.001, 0, 0]) < 1.01 / 4


def test_hue_coverage_of_several_at_once():
    assert ev.hue_coverage([[0, 0, 0, 0], [5, 0, 5, 0]]) == pytest.approx([0, 2 / 4])


def test_ssim_agrees_with_scikit_image_on_photographs(photos, rng):
    truth = photos[0]
    noisy = np.clip(truth + rng.normal(0, 20, truth.shape), 0, 255).astype("uint8")
    dull = np.repeat(truth.mean(axis=-1, keepdims=True).astype("uint8"), 3, axis=-1)
    for rgb in (noisy, dull, photos[1]):
        expected = structural_similarity(truth, rgb, channel_axis=-1, data_range=255)
        assert ev.ssim(rgb, truth) == pytest.approx(expected, abs=1e-5)
    assert ev.ssim(truth, truth) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(ev.ssim(photos[::-1], photos), [ev.ssim(photos[1], photos[0])] * 2, atol=1e-6)


def test_ab_distance_of_a_right_triangle():
    assert ev.ab_distance([30.0, 40.0], [0.0, 0.0]) == 50


def test_ciede2000_agrees_with_scikit_image_on_photographs(photos, rng):
    lab = rgb2lab(photos[0])
    others = [rgb2lab(photos[1])[..., 1:], lab[..., 1:] + rng.normal(0, 2, lab[..., 1:].shape), 0 * lab[..., 1:]]
    for ab in others:
        expected = deltaE_ciede2000(lab, np.concatenate([lab[..., :1], ab], axis=-1))
        np.testing.assert_allclose(ev.ciede2000(lab[..., 1:], ab), expected, atol=0.01)
        np.testing.assert_allclose(ev.ciede2000(ab, lab[..., 1:]), expected, atol=0.01)


# Pairs 1 to 16 of table 1 of Sharma, Wu & Dalal (2005): all of L = 50, chosen to find the mistakes that are usual. The
# tenth is left out: its hues are exactly opposite, and 7.1792 or 7.2195 by how a number is rounded.
SHARMA = [
    (2.6772, -79.7751, 0.0000, -82.7485, 2.0425),
    (3.1571, -77.2803, 0.0000, -82.7485, 2.8615),
    (2.8361, -74.0200, 0.0000, -82.7485, 3.4412),
    (-1.3802, -84.2814, 0.0000, -82.7485, 1.0000),
    (-1.1848, -84.8006, 0.0000, -82.7485, 1.0000),
    (-0.9009, -85.5211, 0.0000, -82.7485, 1.0000),
    (0.0000, 0.0000, -1.0000, 2.0000, 2.3669),
    (-1.0000, 2.0000, 0.0000, 0.0000, 2.3669),
    (2.4900, -0.0010, -2.4900, 0.0009, 7.1792),
    (2.4900, -0.0010, -2.4900, 0.0011, 7.2195),
    (2.4900, -0.0010, -2.4900, 0.0012, 7.2195),
    (-0.0010, 2.4900, 0.0009, -2.4900, 4.8045),
    (-0.0010, 2.4900, 0.0011, -2.4900, 4.7461),
    (2.5000, 0.0000, 0.0000, -2.5000, 4.3065),
]


@pytest.mark.parametrize(("a1", "b1", "a2", "b2", "expected"), SHARMA)
def test_ciede2000_of_the_published_pairs(a1, b1, a2, b2, expected):
    assert ev.ciede2000([a1, b1], [a2, b2]) == pytest.approx(expected, abs=2e-3)


def test_ciede2000_of_opposite_hues_is_one_of_two():
    value = ev.ciede2000([2.49, -0.001], [-2.49, 0.001])
    assert min(abs(value - expected) for expected in (7.1792, 7.2195)) < 2e-3

"""The accumulator against brute force on whole pictures, its bootstrap, and the collapse alarm."""

import numpy as np
import pytest
from PIL import Image
from skimage.color import deltaE_ciede2000, lab2rgb, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from rainbownet import buckets
from rainbownet import evaluation as ev

from .shared import real_photos


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def _natural_lab(rng, count=3, side=24):
    """Smooth photos with many hues inside the sRGB gamut."""
    small = rng.integers(0, 256, (count, 4, 4, 3), dtype="uint8")
    rgb = np.stack([np.asarray(Image.fromarray(x).resize((side, side), Image.Resampling.BICUBIC)) for x in small])
    return rgb, rgb2lab(rgb).astype("float32")


def _measured(ab, lab, **kwargs):
    measures = ev.Measures(**kwargs)
    measures.update(ab, lab[..., 1:], lab[..., :1])
    return measures.result()


def test_measures_agree_with_brute_force(rng):
    rgb, lab = _natural_lab(rng)
    truth = lab[..., 1:]
    ab = truth + rng.normal(0, 4, truth.shape).astype("float32")
    ab = 0.7 * ab  # toward gray, so that the predictions stay within the gamut
    result = _measured(ab, lab, accuracy_buckets=buckets.ab_112())

    error = np.sqrt(((ab - truth).astype("float64") ** 2).sum(-1))
    curve = np.array([error <= t for t in range(151)], "float64")
    assert result["auc"] == pytest.approx(100 * curve.mean(), abs=1e-9)
    index = np.asarray(buckets.ab_313().assign(truth))
    prior = np.bincount(index.ravel(), minlength=313) / index.size
    weights = 1 / prior[index]
    assert result["auc_balanced"] == pytest.approx(100 * (curve * weights).sum() / weights.sum() / 151, abs=1e-9)

    grid = buckets.ab_112()
    assert result["bucket_accuracy"] == np.mean(np.asarray(grid.assign(ab)) == np.asarray(grid.assign(truth)))

    shown = np.stack([lab2rgb(x) for x in np.concatenate([lab[..., :1], ab], -1)])
    shown = np.rint(shown * 255).astype("uint8")
    psnrs = [peak_signal_noise_ratio(t, p, data_range=255) for t, p in zip(rgb, shown, strict=True)]
    assert result["psnr"] == pytest.approx(np.mean(psnrs), abs=0.05)
    assert result["psnr_pooled"] == pytest.approx(peak_signal_noise_ratio(rgb, shown, data_range=255), abs=0.05)
    ssims = [structural_similarity(t, p, channel_axis=-1, data_range=255) for t, p in zip(rgb, shown, strict=True)]
    assert result["ssim"] == pytest.approx(np.mean(ssims), abs=1e-3)
    assert result["ab_distance"] == pytest.approx(error.mean(), rel=1e-5)
    difference = deltaE_ciede2000(lab, np.concatenate([lab[..., :1], ab], -1))
    assert result["ciede2000"] == pytest.approx(difference.mean(), abs=0.02)
    assert result["colorfulness"] == pytest.approx(np.mean([ev.colorfulness(x) for x in shown]), abs=0.2)
    assert result["colorfulness_ratio"] == result["colorfulness"] / result["truth_colorfulness"]
    assert result["truth_colorfulness"] == pytest.approx(np.mean([ev.colorfulness(x) for x in rgb]), abs=1e-6)

    for prefix, colors in (("", ab), ("truth_", truth)):
        chroma = np.hypot(colors[..., 0], colors[..., 1])
        mean = colors.reshape(-1, 2).mean(0)
        assert result[f"{prefix}chroma"] == pytest.approx(chroma.mean(), rel=1e-5)
        assert result[f"{prefix}cast"] == pytest.approx(np.hypot(*mean) / chroma.mean(), rel=1e-4)
        assert result[f"{prefix}cast_hue"] == pytest.approx(np.degrees(np.arctan2(*mean[::-1])) % 360, abs=1e-2)
        assert result[f"{prefix}near_gray"] == np.mean(chroma < 5)
        hue = np.degrees(np.arctan2(colors[..., 1], colors[..., 0])) % 360
        histogram, _ = np.histogram(hue, 24, (0, 360), weights=chroma * (chroma >= 5))
        shares = histogram[histogram > 0] / histogram.sum()
        assert result[f"{prefix}hue_coverage"] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()) / 24, rel=1e-4)


def test_measures_do_not_depend_on_how_photos_are_batched(rng):
    _, lab = _natural_lab(rng, count=5)
    ab = np.roll(lab[..., 1:], 1, axis=0)
    parts = ev.Measures()
    for some in (slice(0, 2), slice(2, 4)):
        parts.update(ab[some], lab[some][..., 1:], lab[some][..., :1])
    parts.update(ab[4], lab[4][..., 1:], lab[4][..., :1])  # one photo without the batch axis
    assert parts.result() == pytest.approx(_measured(ab, lab), rel=1e-6)


def test_a_perfect_prediction(rng):
    _, lab = _natural_lab(rng)
    result = _measured(lab[..., 1:], lab)
    assert result["psnr"] == pytest.approx(58.92, abs=0.01)
    assert result["psnr_pooled"] == pytest.approx(58.92, abs=0.01)
    assert result["auc"] == result["auc_balanced"] == 100
    assert result["bucket_accuracy"] == 1
    assert result["colorfulness"] == result["truth_colorfulness"]


def test_balanced_auc_gives_each_occurring_bucket_the_same_say():
    # Three pixels in bucket (0, 0), guessed right, and one in (50, 0), guessed 50 too far.
    truth = np.array([[[0, 0], [0, 0], [0, 0], [50, 0]]], "float32")
    ab = np.zeros_like(truth)
    result = _measured(ab, np.concatenate([np.full((1, 4, 1), 50, "float32"), truth], -1))
    assert result["auc"] == pytest.approx(100 * (3 + 101 / 151) / 4)
    assert result["auc_balanced"] == pytest.approx(100 * (1 + 101 / 151) / 2)


def test_real_photographs_agree_with_scikit_image():
    """From pictures alone: what is seen, of colours that sRGB cannot all show, against the true pictures."""
    rgb = real_photos()
    lab = rgb2lab(rgb).astype("float32")
    ab = np.roll(lab[..., 1:], 1, axis=0)
    result = _measured(ab, lab)
    from rainbownet import color

    shown = np.rint(np.asarray(color.lab_to_rgb(np.concatenate([lab[..., :1], ab], -1))) * 255).astype("uint8")
    pairs = list(zip(rgb, shown, strict=True))
    assert result["psnr"] == pytest.approx(np.mean([peak_signal_noise_ratio(t, p) for t, p in pairs]), abs=0.02)
    ssims = [structural_similarity(t, p, channel_axis=-1) for t, p in pairs]
    assert result["ssim"] == pytest.approx(np.mean(ssims), abs=1e-3)
    seen = rgb2lab(shown)
    seen[..., 0] = lab[..., 0]  # rounding to 8 bits moves L a little too
    assert result["ciede2000"] == pytest.approx(deltaE_ciede2000(lab, seen).mean(), abs=0.1)


def test_each_photo_has_the_figures_that_it_has_alone(rng):
    _, lab = _natural_lab(rng)
    ab = np.roll(lab[..., 1:], 1, axis=0)
    together = ev.Measures()
    together.update(ab, lab[..., 1:], lab[..., :1])
    for i, figures in enumerate(together.per_photo):
        alone = _measured(ab[i], lab[i])
        assert figures == pytest.approx({key: alone[key] for key in figures}, rel=1e-6)
    assert np.mean([photo["ciede2000"] for photo in together.per_photo]) == pytest.approx(
        together.result()["ciede2000"]
    )


def test_a_sample_of_photos_has_the_figures_of_these_photos(rng):
    """A bootstrap sample, two of one photo and one of another, against measuring just these."""
    _, lab = _natural_lab(rng)
    ab = np.roll(lab[..., 1:], 1, axis=0)
    measures = ev.Measures()
    measures.update(ab, lab[..., 1:], lab[..., :1])
    found = measures.resampled(np.array([[2, 0, 1], [1, 1, 1]]))
    expected = _measured(ab[[0, 0, 2]], lab[[0, 0, 2]])
    del expected["auc_balanced"]
    assert {key: found[key][0] for key in expected} == pytest.approx(expected, rel=1e-6)
    assert {key: values[1] for key, values in found.items()} == pytest.approx(measures.result(), rel=1e-6)


def test_a_bucket_that_a_sample_lacks_keeps_its_share():
    """Two photos of one pixel: gray guessed right, and (50, 0) guessed 50 too far, which is 101 of 151 thresholds."""
    lab = np.array([[[[50, 0, 0]]], [[[50, 50, 0]]]], "float32")
    measures = ev.Measures()
    measures.update(0 * lab[..., 1:], lab[..., 1:], lab[..., :1])
    found = measures.resampled(np.array([[1, 1], [2, 0], [0, 2]]))
    assert found["auc_balanced"] == pytest.approx([100 * (1 + 101 / 151) / 2] * 3)
    assert found["auc"] == pytest.approx([100 * (1 + 101 / 151) / 2, 100, 100 * 101 / 151])


def test_measuring_nothing_is_refused():
    with pytest.raises(ValueError, match="No photo was measured"):
        ev.Measures().result()


def test_predictions_that_are_no_numbers_are_refused(rng):
    _, lab = _natural_lab(rng)
    with pytest.raises(ValueError, match="not finite"):
        _measured(np.full_like(lab[..., 1:], np.nan), lab)


# The collapse alarm.


@pytest.fixture(scope="module")
def scenes():
    """Sixteen photos of blue skies over ground in many colours and gray streets, about as colourful as photographs."""
    rng = np.random.default_rng(3)
    ab = np.zeros((16, 24, 24, 2), "float32")
    hues = rng.uniform(-60, 170, 16)
    for photo, hue in zip(ab, hues, strict=True):
        photo[:8] = (-4, -18)  # sky
        angles = np.radians(hue + rng.normal(0, 20, (12, 24)))
        photo[8:20] = 26 * np.stack([np.cos(angles), np.sin(angles)], -1)
    l = rng.uniform(40, 75, (16, 24, 24, 1)).astype("float32")
    return np.concatenate([l, ab + rng.normal(0, 1, ab.shape).astype("float32")], -1)


def _alarm(ab, lab):
    return ev.diagnose(_measured(np.broadcast_to(np.float32(ab), lab[..., 1:].shape), lab))


def test_healthy_predictions_raise_no_alarm(scenes, rng):
    truth = scenes[..., 1:]
    assert _alarm(truth, scenes) is None
    assert _alarm(0.8 * truth, scenes) is None
    assert _alarm(truth + rng.normal(0, 6, truth.shape), scenes) is None
    assert _alarm(truth[:, ::-1], scenes) is None  # wrong everywhere, but as colourful as photos are


@pytest.mark.parametrize(
    ("ab", "word", "dial"),
    [
        ((0, 0), "gray", "--rebalance"),
        ((1, 2), "gray", "--rebalance"),
        ((8, 14), "brown", "--rebalance"),
        ((30, 50), "brown", "--rebalance"),
        ((-12, 10), "green", "--rebalance"),
        ((-3, -20), "blue", "--rebalance"),
        ((20, -1), "pink", "--rebalance"),
    ],
)
def test_one_color_everywhere_is_named(scenes, ab, word, dial):
    sentence = _alarm(ab, scenes)
    assert f"turning {word}" in sentence
    assert dial in sentence


def test_brown_that_varies_a_little_is_still_brown(scenes, rng):
    ab = np.array([8, 14]) + rng.normal(0, 4, scenes[..., 1:].shape) + 0.1 * scenes[..., 1:]
    assert "turning brown" in _alarm(ab, scenes)


def test_two_colors_are_noticed(scenes):
    ab = np.where(np.arange(24)[:, None, None] < 12, [-4, -24], [12, 22])
    assert "few colors (about 2 of 24 hues" in _alarm(ab, scenes)


def test_pale_predictions_are_noticed(scenes):
    ab = 0.42 * scenes[..., 1:]
    assert "pale" in _alarm(ab, scenes)


def test_garish_predictions_are_noticed(scenes):
    assert "garish" in _alarm(2 * scenes[..., 1:], scenes)
    assert "weaken the rebalancing" in _alarm(2 * scenes[..., 1:], scenes)


def test_gray_truth_cannot_raise_an_alarm(scenes):
    gray = np.concatenate([scenes[..., :1], np.zeros_like(scenes[..., 1:])], -1)
    assert _alarm((8, 14), gray) is None


def test_a_set_of_sunsets_is_no_collapse(scenes, rng):
    sunset = scenes.copy()
    sunset[..., 1:] = np.array([20, 35]) + rng.normal(0, 6, scenes[..., 1:].shape)
    assert _alarm(sunset[..., 1:], sunset) is None

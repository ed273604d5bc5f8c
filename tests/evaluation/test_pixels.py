"""The fast way from RGB to Lab and back, against `color`."""

import numpy as np

from rainbownet import color
from rainbownet.evaluation import pixels


def test_lab_is_that_of_the_color_module():
    levels = np.arange(0, 256, 15, dtype="uint8")
    rgb = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
    np.testing.assert_allclose(pixels.lab_from_rgb(rgb), color.rgb_to_lab(rgb), atol=5e-4)


def test_what_is_shown_is_that_of_the_color_module():
    lab = np.random.default_rng(0).uniform([0, -100, -100], [100, 100, 100], (90, 90, 3)).astype("float32")
    rgb, ab = pixels.shown(lab[..., :1], lab[..., 1:])
    expected = np.rint(np.asarray(color.lab_to_rgb(lab)) * 255)
    difference = np.abs(rgb - expected)
    assert difference.max() <= 1 and (difference > 0).mean() < 0.01  # the table has 20 steps for a level
    np.testing.assert_allclose(ab, np.asarray(color.fit_to_gamut(lab))[..., 1:], atol=0.05)


def test_colors_inside_are_left_alone():
    ab = np.float32([[10, -20], [0, 0]])
    _, seen = pixels.shown(np.full((2, 1), 60, "float32"), ab)
    np.testing.assert_array_equal(seen, ab)

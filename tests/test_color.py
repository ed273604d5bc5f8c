"""Expected values come from scikit-image, an independent implementation, and from the definitions."""

import numpy as np
import pytest
from keras import ops
from skimage.color import lab2rgb, rgb2lab, rgb2yuv, yuv2rgb

from rainbownet import color


def grid(step):
    levels = np.unique(np.append(np.arange(0, 256, step), 255)).astype("uint8")
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1)


def array(tensor):
    return ops.convert_to_numpy(tensor)


def test_lab_agrees_with_scikit_image_on_a_grid_and_all_corners():
    rgb = grid(8)  # 33 x 33 x 33
    assert np.abs(array(color.rgb_to_lab(rgb)) - rgb2lab(rgb)).max() < 1e-3


def test_lab_agrees_with_scikit_image_where_the_curves_have_their_straight_line():
    rgb = grid(1)[:24, :24, :24]
    assert np.abs(array(color.rgb_to_lab(rgb)) - rgb2lab(rgb)).max() < 1e-3


def test_uint8_and_float_photos_give_the_same_lab():
    rgb = grid(32)
    np.testing.assert_allclose(color.rgb_to_lab(rgb), color.rgb_to_lab(rgb / np.float32(255)), atol=1e-4)


def test_luminance_is_the_l_of_lab():
    rgb = grid(16)
    np.testing.assert_allclose(color.luminance(rgb), color.rgb_to_lab(rgb)[..., :1], atol=1e-5)


def test_black_and_white_have_no_color():
    lab = array(color.rgb_to_lab(np.array([[0, 0, 0], [255, 255, 255]], "uint8")))
    np.testing.assert_allclose(lab, [[0, 0, 0], [100, 0, 0]], atol=0.01)


@pytest.mark.parametrize("step", [17, pytest.param(1, marks=pytest.mark.slow)])
def test_8_bit_colors_survive_the_round_trip(step):
    for plane in grid(step):
        back = array(color.lab_to_rgb(color.rgb_to_lab(plane)))
        np.testing.assert_array_equal(np.round(back * 255).astype("uint8"), plane)


def test_lab_to_rgb_agrees_with_scikit_image_inside_the_gamut():
    lab = rgb2lab(grid(20))
    np.testing.assert_allclose(color.lab_to_rgb(lab), lab2rgb(lab), atol=2e-4)


def test_out_of_gamut_colors_keep_lightness_and_hue():
    lab = np.random.default_rng(0).uniform([1, -128, -128], [99, 128, 128], (5000, 3)).astype("float32")
    fitted = array(color.fit_to_gamut(lab))
    linear = array(color.lab_to_linear_rgb(fitted))
    assert linear.min() >= -1e-4 and linear.max() <= 1 + 1e-3
    np.testing.assert_array_equal(fitted[:, 0], lab[:, 0])
    factor = np.hypot(fitted[:, 1], fitted[:, 2]) / np.hypot(lab[:, 1], lab[:, 2])
    assert factor.max() <= 1 + 1e-6
    np.testing.assert_allclose(fitted[:, 1:], factor[:, None] * lab[:, 1:], atol=1e-3)
    # What comes out as RGB has the lightness that was asked for: clipping by channel would be off by tens of L.
    shown = rgb2lab(array(color.lab_to_rgb(lab)))
    assert np.abs(shown[:, 0] - lab[:, 0]).max() < 0.2


def test_the_neon_speck_of_other_tools_becomes_a_plain_green():
    red, green, blue = array(color.lab_to_rgb(np.array([[50.0, -170.0, 0.0]], "float32")))[0] * 255
    assert green < 145 and red < 5 and green > blue > 60


def test_colors_in_gamut_are_left_alone():
    lab = array(color.rgb_to_lab(grid(10)))
    np.testing.assert_array_equal(color.fit_to_gamut(lab), lab)


def test_gradients_are_finite_at_black_and_outside_the_gamut():
    tensorflow = pytest.importorskip("tensorflow")
    if ops.convert_to_tensor(0.0).__class__.__module__.split(".")[0] != "tensorflow":
        pytest.skip("gradients are taken with TensorFlow here")
    rgb = tensorflow.Variable([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0]])
    lab = tensorflow.Variable([[0.0, 0.0, 0.0], [0.0, 50.0, 50.0], [100.0, 90.0, -90.0], [50.0, -170.0, 0.0]])
    with tensorflow.GradientTape() as tape:
        total = tensorflow.reduce_sum(color.rgb_to_lab(rgb)) + tensorflow.reduce_sum(color.lab_to_rgb(lab))
    for gradient in tape.gradient(total, [rgb, lab]):
        assert np.isfinite(gradient).all()


def test_yuv_agrees_with_scikit_image_and_comes_back():
    rgb = grid(16)
    yuv = array(color.rgb_to_yuv(rgb))
    np.testing.assert_allclose(yuv, rgb2yuv(rgb), atol=1e-5)
    np.testing.assert_allclose(color.yuv_to_rgb(yuv), yuv2rgb(rgb2yuv(rgb)), atol=1e-5)
    np.testing.assert_array_equal(np.round(array(color.yuv_to_rgb(yuv)) * 255).astype("uint8"), rgb)


@pytest.mark.parametrize("shape", [(3,), (0, 3), (2, 5, 4, 3)])
def test_any_leading_shape(shape):
    assert tuple(color.rgb_to_lab(np.zeros(shape, "uint8")).shape) == shape
    assert tuple(color.lab_to_rgb(np.zeros(shape, "float32")).shape) == shape
    assert tuple(color.luminance(np.zeros(shape, "uint8")).shape) == (*shape[:-1], 1)


@pytest.mark.parametrize("convert", [color.rgb_to_lab, color.lab_to_rgb, color.luminance, color.rgb_to_yuv])
def test_a_wrong_last_axis_is_refused(convert):
    with pytest.raises(ValueError, match="must hold 3 channels"):
        convert(np.zeros((4, 4), "float32"))


def test_colors_as_plain_integers_are_refused():
    with pytest.raises(ValueError, match="uint8 in 0..255 or float"):
        color.rgb_to_lab(np.zeros((4, 3), "int64"))


def test_gray_of_a_luminance_has_that_luminance():
    gray = np.arange(256, dtype="uint8")
    l = array(color.luminance(np.repeat(gray[:, None], 3, -1)))[:, 0]
    np.testing.assert_allclose(array(color.gray_of_luminance(l)) * 255, gray, atol=0.01)

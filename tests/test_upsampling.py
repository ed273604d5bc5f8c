"""Chroma enlarged along the luminance: edges stay, nothing is invented, and strips are the layer."""

import numpy as np
import pytest
from keras import ops

from rainbownet import upsampling
from rainbownet.upsampling import JointBilateralUpsampling, places, strips


def enlarge(ab, low, l):
    """The layer on one photo of which the small grid is the whole."""
    sides = [places(l.shape[i], ab.shape[i] / l.shape[i], ab.shape[i]) for i in (0, 1)]
    return ops.convert_to_numpy(JointBilateralUpsampling()(ab[None], low[None], l[None], *sides))[0]


def shrunk(plane, factor):
    height, width = (side // factor for side in plane.shape[:2])
    return plane.reshape(height, factor, width, factor, -1).mean(axis=(1, 3))


def test_places_are_those_of_linear_interpolation():
    # A pixel of two lies in the middle of two of four: its center is at 0.25 and 0.75 between their centers.
    before, after, share = (ops.convert_to_numpy(array) for array in places(4, 0.5, 2))
    assert before.tolist() == [0, 0, 0, 1] and after.tolist() == [0, 1, 1, 1]
    np.testing.assert_allclose(share, [0.75, 0.25, 0.75, 0.25])


def test_without_edges_it_is_linear_interpolation():
    ab = np.random.default_rng(0).normal(0, 30, (6, 5, 2)).astype("float32")
    flat = enlarge(ab, np.full((6, 5, 1), 50, "float32"), np.full((24, 20, 1), 50, "float32"))
    linear = ops.convert_to_numpy(ops.image.resize(ab[None], (24, 20), interpolation="bilinear"))[0]
    np.testing.assert_allclose(flat, linear, atol=1e-4)


def test_at_its_own_size_chroma_stays_as_it_is():
    random = np.random.default_rng(0)
    ab = random.normal(0, 30, (6, 5, 2)).astype("float32")
    l = random.uniform(0, 100, (6, 5, 1)).astype("float32")
    np.testing.assert_allclose(enlarge(ab, l, l), ab, atol=1e-4)


@pytest.mark.parametrize("factor", [4, 8, 16])
def test_an_edge_of_luminance_is_an_edge_of_chroma(factor):
    # A dark red half and a bright blue half; the border lies inside of a pixel of the small grid.
    size, border = 6 * factor, 2 * factor + factor // 4
    red = (np.arange(size) < border)[None, :, None]
    l = np.broadcast_to(np.where(red, 30, 80), (size, size, 1)).astype("float32")
    truth = np.broadcast_to(np.where(red, (50, 40), (10, -50)), (size, size, 2)).astype("float32")
    small, low = shrunk(truth, factor), shrunk(l, factor)
    guided = np.abs(enlarge(small, low, l) - truth).mean()
    plain = np.abs(enlarge(small, low * 0, l * 0) - truth).mean()
    assert guided < 0.6 * plain


def test_no_color_is_invented_on_a_scratch():
    # Linear models of ab in L, as the guided filter's, go on beyond both; a mean cannot.
    random = np.random.default_rng(0)
    low = random.uniform(20, 60, (8, 8, 1)).astype("float32")
    ab = np.concatenate([low - 40, 40 - low], axis=-1)
    l = low.repeat(8, axis=0).repeat(8, axis=1)
    l[:, 30:32] = 100
    guided = enlarge(ab, low, l)
    assert guided.min() >= ab.min() - 1e-3 and guided.max() <= ab.max() + 1e-3


def test_strips_are_the_layer():
    random = np.random.default_rng(0)
    ab = random.normal(0, 30, (5, 7, 2)).astype("float32")
    low = random.uniform(0, 100, (5, 7, 1)).astype("float32")
    l = random.uniform(0, 100, (37, 50, 1)).astype("float32")
    # The small grid reaches further than the photo, as padding does.
    rows, columns = places(37, 4.6 / 37, 5), places(50, 6.1 / 50, 7)
    expected = ops.convert_to_numpy(JointBilateralUpsampling()(ab[None], low[None], l[None], rows, columns))[0]
    strip = strips(ab, low, rows, columns)
    for start, stop in ((0, 37), (0, 1), (3, 20), (36, 37)):
        part = strip(start, stop, l[start:stop, :, 0])
        np.testing.assert_allclose(np.moveaxis(part, 0, -1), expected[start:stop], atol=1e-3)


def test_the_layer_is_restored_from_its_configuration():
    layer = JointBilateralUpsampling(scale=5.0)
    assert JointBilateralUpsampling.from_config(layer.get_config()).scale == 5.0
    assert JointBilateralUpsampling().scale == upsampling.SCALE

import keras
import numpy as np
import pytest
from keras import ops
from sklearn.neighbors import NearestNeighbors

from rainbownet import buckets, color


@pytest.fixture(scope="module")
def ab():
    rgb = np.random.default_rng(0).integers(0, 256, (20_000, 3)).astype("uint8")
    return ops.convert_to_numpy(color.rgb_to_lab(rgb))[:, 1:]


def test_counts_are_the_published_ones():
    assert len(buckets.ab_112()) == 112
    assert len(buckets.ab_313()) == 313


def test_112_are_the_cells_of_8_bit_colors_by_truncation():
    """The rule itself, over the colours of the cube's faces, on which every extreme ab lies, and a grid inside."""
    level = np.arange(256, dtype="uint8")
    coarse = np.arange(0, 256, 3, dtype="uint8")
    faces = []
    for value in (0, 255):
        plane = np.stack(np.meshgrid(level, level, indexing="ij"), -1).reshape(-1, 2)
        faces += [np.insert(plane, axis, value, axis=1) for axis in range(3)]
    inside = np.stack(np.meshgrid(coarse, coarse, coarse, indexing="ij"), -1).reshape(-1, 3)
    lab = ops.convert_to_numpy(color.rgb_to_lab(np.concatenate([*faces, inside])))
    cells = np.unique((np.trunc(lab[:, 1:]).astype(int) + 128) // 16, axis=0)
    np.testing.assert_array_equal(buckets.ab_112().centers, cells * 16 - 128 + 8)  # unique sorts by a, then b


def test_112_assigns_by_cell(ab):
    grid = buckets.ab_112()
    expected = ((np.trunc(ab).astype(int) + 128) // 16) * 16 - 128 + 8
    np.testing.assert_array_equal(grid.centers[np.asarray(grid.assign(ab))], expected)


def test_313_assigns_the_nearest_center(ab):
    grid = buckets.ab_313()
    distances, nearest = NearestNeighbors(n_neighbors=1).fit(grid.centers).kneighbors(ab)
    np.testing.assert_array_equal(grid.assign(ab), nearest[:, 0])


def test_313_stand_in_the_published_order():
    centers = buckets.ab_313().centers
    assert centers[0].tolist() == [-90, 50] and centers[-1].tolist() == [100, 0]
    np.testing.assert_array_equal(centers, sorted(centers.tolist()))


@pytest.mark.parametrize("grid", [buckets.ab_112(), buckets.ab_313()])
def test_gray_falls_into_the_bucket_beside_zero(grid):
    noise = np.float32([[0, 0], [1e-6, -1e-6], [-1e-6, 1e-6]])
    assert np.abs(grid.centers[np.asarray(grid.assign(noise))]).max() <= 8


@pytest.mark.parametrize("grid", [buckets.ab_112(), buckets.ab_313()])
def test_soft_targets_are_the_gaussian_of_the_nearest(grid, ab):
    distances, _ = NearestNeighbors(n_neighbors=5).fit(grid.centers).kneighbors(ab[:5000])
    expected = np.exp(-np.square(distances) / (2 * 5.0**2))
    expected /= expected.sum(1, keepdims=True)
    indices, shares = (np.asarray(x) for x in grid.soft_assign(ab[:5000], 5, 5.0))
    np.testing.assert_allclose(np.sort(shares, 1), np.sort(expected, 1), atol=1e-5)
    own = np.linalg.norm(grid.centers[indices] - ab[:5000, None], axis=-1)
    np.testing.assert_allclose(own, distances, atol=1e-3)


def test_soft_targets_far_outside_are_finite():
    _, shares = buckets.ab_313().soft_assign(np.float32([[500, -500]]))
    np.testing.assert_allclose(np.sum(shares), 1, atol=1e-5)


@pytest.mark.parametrize("channels", [2, 3])
def test_a_palette_assigns_the_nearest_color(channels):
    random = np.random.default_rng(0)
    palette, colors = buckets.Palette(random.random((32, channels))), random.random((5000, channels))
    distances, nearest = NearestNeighbors(n_neighbors=1).fit(palette.centers).kneighbors(colors)
    assigned = np.asarray(palette.assign(colors.reshape(50, 100, channels))).ravel()
    own = np.linalg.norm(palette.centers[assigned] - colors, axis=-1)
    np.testing.assert_allclose(own, distances[:, 0], atol=1e-3)
    assert (assigned == nearest[:, 0]).mean() > 0.999


def test_restored_bit_for_bit():
    grid = buckets.Buckets(np.random.default_rng(1).normal(size=(9, 2)) * 40)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(grid))
    np.testing.assert_array_equal(again.centers, grid.centers)
    cells = buckets.ab_112()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(cells))
    np.testing.assert_array_equal(again._table, cells._table)


@pytest.mark.parametrize("centers", [np.zeros((5, 3)), np.zeros(4), np.zeros((1, 2))])
def test_centers_of_another_shape_are_refused(centers):
    with pytest.raises(ValueError, match=r"shape \(n, "):
        buckets.Buckets(centers)

"""The damages: each does what its name says, to any photo, and the same each time."""

import numpy as np
import pytest
from skimage import data

from rainbownet.damage import DAMAGES, blurred, crushed, faded, grainy, scratched, yellowed


@pytest.fixture(scope="module")
def photo():
    return np.ascontiguousarray(data.astronaut()[:200:2, :240:2])  # 100 x 120


def luminance(rgb):
    return rgb.astype("float64") @ [0.2126, 0.7152, 0.0722]


def detail(rgb):
    return np.abs(np.diff(luminance(rgb), axis=1)).mean()


@pytest.mark.parametrize("name", DAMAGES)
def test_each_gives_a_photo_of_the_same_kind_and_leaves_the_original_alone(name, photo):
    before = photo.copy()
    result = DAMAGES[name](photo, seed=3)
    assert result.shape == photo.shape and result.dtype == np.uint8
    assert np.abs(luminance(result) - luminance(photo)).mean() > 1
    np.testing.assert_array_equal(photo, before)
    np.testing.assert_array_equal(DAMAGES[name](photo, seed=3), result)


@pytest.mark.parametrize("damage", [grainy, yellowed, scratched])
def test_another_seed_damages_other_places(damage, photo):
    assert (damage(photo, seed=1) != damage(photo, seed=2)).any()


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize("shape", [(8, 8, 3), (9, 30, 3)])
def test_small_photos_are_taken(name, shape):
    assert DAMAGES[name](np.full(shape, 128, "uint8")).shape == shape


def test_fading_takes_black_and_white():
    ends = faded(np.array([[[0, 0, 0], [255, 255, 255]]], "uint8"))
    # 95 + 0.45 * 0 and 95 + 0.45 * 255 = 209.75
    np.testing.assert_array_equal(ends[0, :, 0], [95, 210])


def test_blurring_takes_detail_and_grain_adds_it(photo):
    assert detail(blurred(photo)) < 0.9 * detail(photo)
    assert detail(grainy(photo)) > 1.2 * detail(photo)


def test_grain_is_of_the_strength_that_is_told():
    gray = np.full((200, 200, 3), 128, "uint8")
    noise = luminance(grainy(gray)) - 128
    # At half light the factor is 1.2 - 0.6 * 128 / 255.
    assert noise.std() == pytest.approx(18 * 0.899, rel=0.05)
    assert abs(noise.mean()) < 0.5


def test_a_yellowed_print_has_no_colors_of_the_photo(photo):
    """What is left is one hue, and the lightness of the photo: gray photos of both are alike but for the stains."""
    red = photo * np.uint8([1, 0, 0])
    sepia = yellowed(photo).astype("int64")
    assert (sepia[..., 0] >= sepia[..., 1]).all() and (sepia[..., 1] >= sepia[..., 2]).all()
    assert np.corrcoef(luminance(sepia).ravel(), luminance(photo).ravel())[0, 1] > 0.97
    assert (yellowed(red)[..., 0] >= yellowed(red)[..., 2]).all()


def test_crushing_leaves_blocks(photo):
    """Steps between columns are larger at the borders of JPEG's 8 x 8 blocks than within them."""
    steps = np.abs(np.diff(luminance(crushed(photo)), axis=1)).mean(axis=0)
    borders = np.arange(len(steps)) % 8 == 7
    assert steps[borders].mean() > 1.3 * steps[~borders].mean()


def test_scratches_cover_a_small_part(photo):
    changed = np.abs(luminance(scratched(photo)) - luminance(photo)) > 8
    assert 0.01 < changed.mean() < 0.3


def test_damage_looks_alike_at_every_size():
    large = data.astronaut()
    small = np.ascontiguousarray(large[::2, ::2])
    for damage in (blurred, scratched):
        shares = [np.mean(np.abs(luminance(damage(x)) - luminance(x)) > 8) for x in (large, small)]
        assert shares[0] == pytest.approx(shares[1], rel=0.5)

import io

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from rainbownet.data.photos import decode_rgb, read_photo, write_photo
from tests.data.shared import ADOBE_RGB, GRAY_GAMMA_18, SRGB, encoded, gray, picture


def test_srgb_photos_are_left_alone(tmp_path):
    photo = read_photo(encoded(picture(), "png", icc_profile=SRGB))
    np.testing.assert_array_equal(photo.rgb, picture())
    write_photo(tmp_path / "a.png", photo.rgb, photo)
    with Image.open(tmp_path / "a.png") as image:
        assert image.info["icc_profile"] == SRGB
        np.testing.assert_array_equal(np.asarray(image), picture())


@pytest.mark.parametrize("kind", ["png", "webp", "tif"])
def test_another_rgb_profile_is_applied_and_kept(tmp_path, kind):
    photo = read_photo(encoded(picture(), kind, icc_profile=ADOBE_RGB))
    # The same numbers are more vivid in Adobe RGB: red of 255, 0, 0 lies outside of sRGB.
    assert np.ptp(photo.rgb.astype(int), axis=-1).mean() > np.ptp(picture().astype(int), axis=-1).mean() + 5
    path = tmp_path / f"a.{kind}"
    write_photo(path, photo.rgb, photo)
    with Image.open(path) as image:
        assert image.info["icc_profile"] == ADOBE_RGB
        # Some of these colours lie outside of sRGB and do not come back.
        assert np.median(np.abs(np.asarray(image).astype(int) - picture())) <= 1
    difference = np.abs(read_photo(path).rgb.astype(int) - photo.rgb)
    assert difference.mean() < 0.5 and difference.max() <= 8  # 8 bits are coarse near black


def test_grays_stay_gray_in_another_rgb_profile():
    pixels = np.repeat(gray()[..., None], 3, -1)
    rgb = read_photo(encoded(pixels, "png", icc_profile=ADOBE_RGB)).rgb
    assert np.ptp(rgb.astype(int), axis=-1).max() <= 1


def test_16_bits_are_converted_as_8_are(tmp_path):
    pixels = picture(40, 30)
    deep = pixels.astype(np.uint16) * 257
    file = io.BytesIO()
    tifffile.imwrite(file, deep, photometric="rgb", iccprofile=ADOBE_RGB)
    photo = read_photo(file.getvalue())
    want = read_photo(encoded(pixels, "png", icc_profile=ADOBE_RGB)).rgb
    assert photo.rgb.dtype == np.uint16
    np.testing.assert_allclose(photo.rgb / 257, want, atol=1.5)
    write_photo(tmp_path / "a.tif", photo.rgb, photo)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.pages[0].iccprofile == ADOBE_RGB
        inside = ((photo.rgb > 0) & (photo.rgb < 65535)).all(-1)
        assert inside.mean() > 0.5
        np.testing.assert_allclose(tiff.asarray()[inside].astype(int), deep[inside], atol=40)


@pytest.mark.parametrize("deep", [False, True])
def test_gray_profiles_are_applied_and_become_srgb(tmp_path, deep):
    levels = gray().astype(np.uint16) * 257 if deep else gray()
    photo = read_photo(encoded(levels, "tif", icc_profile=GRAY_GAMMA_18))
    assert photo.gray and np.ptp(photo.rgb, axis=-1).max() == 0
    linear = (gray() / 255) ** 1.8
    # IEC 61966-2-1.
    want = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    np.testing.assert_allclose(photo.rgb[..., 0] / (257 if deep else 1), want, atol=1)
    write_photo(tmp_path / "a.tif", photo.rgb, photo)
    with Image.open(tmp_path / "a.tif") as image:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        assert ImageCms.getProfileDescription(profile).startswith("sRGB")
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").rgb, photo.rgb)


def test_a_gray_photo_may_carry_an_rgb_profile(tmp_path):
    photo = read_photo(encoded(gray(), "jpg", icc_profile=ADOBE_RGB))
    assert photo.gray
    write_photo(tmp_path / "a.jpg", photo.rgb, photo)
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.info["icc_profile"] == ADOBE_RGB


@pytest.mark.parametrize("profile", [b"no profile", GRAY_GAMMA_18, ADOBE_RGB[:200]])
def test_unusable_profiles_are_passed_over(tmp_path, profile):
    photo = read_photo(encoded(picture(), "png", icc_profile=profile))
    np.testing.assert_array_equal(photo.rgb, picture())
    write_photo(tmp_path / "a.png", photo.rgb, photo)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png").rgb, picture())


def test_training_sees_srgb():
    data = encoded(picture(), "png", icc_profile=ADOBE_RGB)
    np.testing.assert_array_equal(decode_rgb(data, 48), read_photo(data).rgb)

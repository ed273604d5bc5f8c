import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from rainbownet.data.photos import Photo, PhotoError, decode_rgb, read_photo, write_photo
from tests.data.shared import ALL, GRAY_GAMMA_18, NOTE, camera_exif, encoded, gray, picture


@pytest.mark.parametrize("kind", ALL)
def test_gray_photos_become_color_photos_of_their_format(tmp_path, kind):
    photo = read_photo(encoded(gray(), kind))
    path = tmp_path / f"a.{kind}"
    write_photo(path, picture(), photo, NOTE)
    again = read_photo(path)
    assert again.format == photo.format and not again.gray
    assert np.abs(again.rgb.astype(int) - picture()).mean() <= 4


@pytest.mark.parametrize("kind", ["png", "gif"])
def test_one_bit_and_palettes_become_colors(tmp_path, kind):
    photo = read_photo(encoded(Image.fromarray(gray() > 128), kind))
    write_photo(tmp_path / f"a.{kind}", picture(), photo)
    assert np.abs(read_photo(tmp_path / f"a.{kind}").rgb.astype(int) - picture()).mean() <= 4


def test_a_gif_keeps_transparency_and_gets_the_note(tmp_path):
    alpha = np.where(gray() > 120, 255, 0).astype(np.uint8)
    photo = Photo(picture(), alpha, metadata={"comment": b"mine"})
    write_photo(tmp_path / "a.gif", picture(), photo, NOTE)
    again = read_photo(tmp_path / "a.gif")
    np.testing.assert_array_equal(again.alpha, alpha)
    assert np.abs(again.rgb.astype(int) - picture())[alpha > 0].mean() <= 4
    assert again.metadata["comment"] == f"mine ({NOTE})".encode()


def test_a_gray_jpeg_keeps_its_luminance_table(tmp_path):
    data = encoded(gray(), "jpg", quality=40)
    write_photo(tmp_path / "a.jpg", picture(), read_photo(data))
    with Image.open(io.BytesIO(data)) as before, Image.open(tmp_path / "a.jpg") as after:
        assert after.quantization[0] == before.quantization[0]
        # Colours were not in the original: they are not spoilt as it was.
        assert sum(after.quantization[1]) < sum(before.quantization[0])
        assert JpegImagePlugin.get_sampling(after) == 0


def test_a_color_jpeg_keeps_its_tables(tmp_path):
    data = encoded(picture(), "jpg", quality=80, subsampling=1, progressive=True)
    photo = read_photo(data)
    write_photo(tmp_path / "a.jpg", photo.rgb, photo)
    with Image.open(io.BytesIO(data)) as before, Image.open(tmp_path / "a.jpg") as after:
        assert after.quantization == before.quantization
        assert JpegImagePlugin.get_sampling(after) == 1
        assert after.info["progressive"]


def test_a_large_gray_jpeg_gets_halved_chroma(tmp_path):
    pixels = np.full((1500, 2000, 3), 90, np.uint8)
    write_photo(tmp_path / "a.jpg", pixels, read_photo(encoded(pixels[..., 0], "jpg")))
    with Image.open(tmp_path / "a.jpg") as image:
        assert JpegImagePlugin.get_sampling(image) == 2


@pytest.mark.parametrize("lossless", [False, True])
def test_a_webp_stays_lossless_or_not(tmp_path, lossless):
    exif = camera_exif()  # puts chunks before the pixels
    photo = read_photo(encoded(picture(), "webp", lossless=lossless, exif=exif))
    write_photo(tmp_path / "a.webp", picture(), photo)
    again = read_photo(tmp_path / "a.webp")
    assert (again.rgb == picture()).all() == lossless
    assert again.metadata.get("lossless", False) == lossless


@pytest.mark.parametrize("kind", ["jpg", "bmp"])
def test_transparency_becomes_white_where_there_is_none(tmp_path, kind):
    photo = Photo(np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16), np.uint8))
    write_photo(tmp_path / f"a.{kind}", photo.rgb, photo)
    assert (read_photo(tmp_path / f"a.{kind}").rgb > 250).all()


def test_transparency_of_another_size_is_left_out(tmp_path):
    photo = Photo(picture(), gray())
    write_photo(tmp_path / "a.png", np.concatenate([picture(), picture()], 1), photo)
    assert read_photo(tmp_path / "a.png").alpha is None


def test_the_same_photo_gives_the_same_file(tmp_path):
    for kind in ("jpg", "png", "tif"):
        data = encoded(gray(), kind, icc_profile=GRAY_GAMMA_18, exif=camera_exif())
        for name in "ab":
            write_photo(tmp_path / f"{name}.{kind}", picture(), read_photo(data), NOTE)
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


@pytest.mark.parametrize("kind", ALL)
def test_one_pixel_is_a_photo(tmp_path, kind):
    pixel = np.array([[[200, 100, 50]]], np.uint8)
    path = tmp_path / f"a.{kind}"
    write_photo(path, pixel, Photo(pixel), NOTE)
    photo = read_photo(path)
    assert photo.rgb.shape == (1, 1, 3)
    assert np.abs(photo.rgb.astype(int) - pixel).max() <= 8
    assert decode_rgb(path.read_bytes(), 4).shape == (4, 4, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_one_pixel_of_16_bits(tmp_path, dtype):
    pixel = np.array([[[7, 8, 9]]], dtype)
    for kind in ("png", "tif"):
        write_photo(tmp_path / f"a.{kind}", pixel, Photo(pixel))
        np.testing.assert_array_equal(read_photo(tmp_path / f"a.{kind}").rgb, pixel)


def test_a_format_that_is_not_known_is_refused(tmp_path):
    with pytest.raises(PhotoError, match=r"a\.psd does not say in which format"):
        write_photo(tmp_path / "a.psd", picture(), Photo(picture()))


@pytest.mark.parametrize("rgb", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)])
def test_what_is_no_photo_is_refused(tmp_path, rgb):
    with pytest.raises(ValueError, match="rgb has to be"):
        write_photo(tmp_path / "a.png", rgb, Photo(picture()))


def test_a_photo_too_large_for_its_format_is_refused(tmp_path):
    long = np.zeros((1, 20000, 3), np.uint8)
    with pytest.raises(PhotoError, match="a.webp cannot be written as WEBP"):
        write_photo(tmp_path / "a.webp", long, Photo(long))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ValueError, match="cannot be written .*choose a folder"):
        write_photo(tmp_path / "out" / "a.png", picture(), Photo(picture()))


def test_a_full_disk_leaves_the_old_photo(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_photo(path, picture(), Photo(picture()))

    def fill(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(ValueError, match="No space left"):
        write_photo(path, picture()[::-1], Photo(picture()))
    np.testing.assert_array_equal(read_photo(path).rgb, picture())
    assert os.listdir(tmp_path) == ["a.png"]

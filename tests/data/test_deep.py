import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from rainbownet.data.photos import Photo, PhotoError, decode_rgb, read_photo, write_photo
from tests.data.shared import NOTE, encoded, gray, noise, picture


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_16_bits_are_written_and_read_exactly(tmp_path, kind, channels):
    pixels = noise(33, 47, channels)
    photo = Photo(pixels[..., :3], pixels[..., 3] if channels == 4 else None)
    path = tmp_path / f"a.{kind}"
    write_photo(path, photo.rgb, photo, NOTE)
    again = read_photo(path)
    assert again.rgb.dtype == np.uint16
    np.testing.assert_array_equal(again.rgb, photo.rgb)
    if channels == 4:
        np.testing.assert_array_equal(again.alpha, photo.alpha)
    else:
        assert again.alpha is None
    with Image.open(path) as image:
        image.verify()


def test_16_bit_png_agrees_with_tensorflow(tmp_path):
    tf = pytest.importorskip("tensorflow")
    for channels in (1, 2, 3, 4):
        pixels = noise(21, 30, channels)
        photo = read_photo(tf.io.encode_png(pixels).numpy())
        np.testing.assert_array_equal(photo.rgb, pixels[..., :3] if channels > 2 else pixels[..., [0, 0, 0]])
        assert photo.gray == (channels < 3)
        if channels in (2, 4):
            np.testing.assert_array_equal(photo.alpha, pixels[..., -1])
    write_photo(tmp_path / "a.png", pixels[..., :3], Photo(pixels[..., :3]))
    again = tf.io.decode_png((tmp_path / "a.png").read_bytes(), dtype=tf.uint16).numpy()
    np.testing.assert_array_equal(again, pixels[..., :3])


def test_16_bit_tiff_agrees_with_tifffile(tmp_path):
    pixels = noise(300, 500, 3)  # several strips
    for compression in ("raw", "tiff_lzw"):
        path = tmp_path / f"{compression}.tif"
        write_photo(path, pixels, Photo(pixels, metadata={"compression": compression}))
        np.testing.assert_array_equal(tifffile.imread(path), pixels)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("layout", ["contig", "separate"])
def test_16_bit_tiffs_of_all_layouts(channels, order, compression, layout):
    pixels = noise(20, 31, channels)
    options = {"photometric": "minisblack" if channels == 1 else "rgb"}
    if channels > 1:
        options["planarconfig"] = layout
    if channels == 4:
        options["extrasamples"] = ["unassalpha"]
    stored = pixels[..., 0] if channels == 1 else np.moveaxis(pixels, -1, 0) if layout == "separate" else pixels
    file = io.BytesIO()
    tifffile.imwrite(file, stored, byteorder=order, compression=compression, **options)
    photo = read_photo(file.getvalue())
    np.testing.assert_array_equal(photo.rgb, pixels[..., :3] if channels > 1 else pixels[..., [0, 0, 0]])
    assert decode_rgb(file.getvalue(), 20).shape == (20, 31, 3)


def test_16_bit_gray_is_scaled_to_8_for_training():
    data = encoded(Image.fromarray(gray().astype(np.uint16) * 257), "png")
    np.testing.assert_array_equal(decode_rgb(data, 48)[..., 0], gray())


def test_16_bits_are_rounded_to_8_where_a_format_has_no_more(tmp_path):
    pixels = picture().astype(np.uint16) * 257 + 100
    write_photo(tmp_path / "a.bmp", pixels, Photo(pixels))
    np.testing.assert_array_equal(read_photo(tmp_path / "a.bmp").rgb, picture())


@pytest.mark.parametrize("top", [1, 255, 65535])
def test_floats_in_a_usual_range_are_scaled(top):
    values = gray() / np.float32(255) * top
    photo = read_photo(encoded(Image.fromarray(values.astype(np.float32)), "tif"))
    assert photo.gray and photo.rgb.dtype == np.uint16
    np.testing.assert_allclose(photo.rgb[..., 0], gray() * 257.0, atol=1)


def test_float_colors_are_scaled():
    file = io.BytesIO()
    tifffile.imwrite(file, (picture() / 255).astype(np.float32), photometric="rgb")
    np.testing.assert_allclose(read_photo(file.getvalue()).rgb, picture() * 257.0, atol=1)
    np.testing.assert_array_equal(decode_rgb(file.getvalue(), 48), picture())


@pytest.mark.parametrize("values", [(-1, 5), (0, 1e6), (0, np.nan)])
def test_floats_of_unknown_range_are_refused(values):
    data = encoded(Image.fromarray(np.array([values], np.float32)), "tif")
    with pytest.raises(PhotoError, match="holds numbers from .*; expected 0 to 1"):
        read_photo(data)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_white_may_be_zero(dtype):
    file = io.BytesIO()
    values = gray().astype(np.uint16) * 257
    stored = (65535 - values).astype(dtype) / (65535 if dtype == np.float32 else 1)
    tifffile.imwrite(file, stored.astype(dtype), photometric="miniswhite")
    np.testing.assert_allclose(read_photo(file.getvalue()).rgb[..., 0], values, atol=1)


def test_a_transparent_color_of_16_bits():
    pixels = noise(9, 9, 3)
    write = io.BytesIO()
    tf = pytest.importorskip("tensorflow")
    data = tf.io.encode_png(pixels).numpy()
    key = b"tRNS" + struct.pack(">3H", *pixels[4, 5].tolist())
    write.write(data[:33] + struct.pack(">I", 6) + key + struct.pack(">I", zlib.crc32(key)) + data[33:])
    alpha = read_photo(write.getvalue()).alpha
    assert alpha[4, 5] == 0 and (alpha == 65535).sum() == 80

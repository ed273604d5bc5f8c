import errno
import io
import os
import struct
import sys
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps, JpegImagePlugin

from rainbownet.data.files import find_photos
from rainbownet.data.photos import MAX_PIXELS, Photo, PhotoError, decode_rgb, read_photo, read_size, write_photo

NOTE = "colorized by rainbownet 0.1, model plain"
LOSSLESS = ["png", "webp", "bmp", "tif"]
ALL = [*LOSSLESS, "jpg", "gif", "avif", "heic"]


def picture(width=64, height=48):
    """A smooth picture (height, width, 3) uint8 that any format keeps well, all its corners different."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return np.rint(np.stack([40 + 180 * x, 60 + 150 * y, 200 - 120 * x * y], -1)).astype(np.uint8)


def gray(width=64, height=48):
    return np.asarray(Image.fromarray(picture(width, height)).convert("L"))


def noise(*shape):
    return np.random.default_rng(0).integers(0, 65536, shape, dtype=np.uint16)


def encoded(image, kind, **options):
    """Bytes of a PIL image or array."""
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    kind = {"jpg": "JPEG", "tif": "TIFF", "heic": "HEIF"}.get(kind, kind)
    file = io.BytesIO()
    if kind == "HEIF":
        heif = pytest.importorskip("pillow_heif").from_pillow(image)
        heif.save(file, quality=95, **options)
        return file.getvalue()
    if kind == "webp":
        options = {"lossless": True, **options}
    image.save(file, kind, **options)
    return file.getvalue()


def camera_exif(orientation=1, description="", thumbnail=b""):
    """An EXIF block as a camera writes it, little-endian, with date, place, a maker's note and a thumbnail."""
    exif = Image.Exif()
    exif.endian = "<"
    exif[0x010F] = "Maker"
    exif[0x0112] = orientation
    if description:
        exif[0x010E] = description
    exif.get_ifd(0x8769)[0x9003] = "1999:12:31 23:59:59"
    exif.get_ifd(0x8769)[0x927C] = b"secret of the maker"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 15.0), 3: "E", 4: (13.0, 24.0, 0.0)})
    block = exif.tobytes()[6:]
    if thumbnail:
        # A second IFD after the first one: compression, offset and length of a JPEG.
        (first,) = struct.unpack_from("<I", block, 4)
        (count,) = struct.unpack_from("<H", block, first)
        pointer = first + 2 + 12 * count
        block += b"\0" * (len(block) % 2)
        start = len(block) + 2 + 3 * 12 + 4
        second = struct.pack("<H", 3)
        for tag, kind, value in ((259, 3, 6), (513, 4, start), (514, 4, len(thumbnail))):
            second += struct.pack("<HHII", tag, kind, 1, value)
        block = block[:pointer] + struct.pack("<I", len(block)) + block[pointer + 4 :] + second + bytes(4) + thumbnail
    return block


def exif_of(path):
    if path.suffix == ".heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    with Image.open(path) as image:
        image.load()
        return image.getexif()


def icc_profile(space, gamma, columns=None):
    """A small ICC profile of version 2: curves that are powers, and the columns of a matrix to XYZ (D50)."""

    def xyz(values):
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    tags = {b"wtpt": xyz((0.9642, 1, 0.8249))}
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        tags |= {bytes([color]) + b"XYZ": xyz(column) for color, column in zip(b"rgb", columns, strict=True)}
        tags |= {bytes([color]) + b"TRC": curve for color in b"rgb"}
    table, data = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(data), len(content))
        data += content
    header = bytearray(128)
    header[4:24] = b"test\x02\x10\0\0mntr" + space + b"XYZ "
    header[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    header[36:40] = b"acsp"
    header[68:80] = struct.pack(">3i", 63190, 65536, 54061)
    profile = bytes(header) + table + data
    return struct.pack(">I", len(profile)) + profile[4:]


# Adobe RGB (1998), version 2005-05, section 4.3: its primaries adapted to D50; its curve is a power of 563/256.
ADOBE_RGB = icc_profile(
    b"RGB ", 563 / 256, [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)]
)
GRAY_GAMMA_18 = icc_profile(b"GRAY", 1.8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


class TestFormats:
    @pytest.mark.parametrize("kind", ALL)
    def test_color_photos_are_read(self, kind):
        photo = read_photo(encoded(picture(), kind))
        assert photo.rgb.shape == (48, 64, 3) and photo.rgb.dtype == np.uint8
        assert photo.alpha is None and not photo.gray
        tolerance = 0 if kind in LOSSLESS else 3
        assert np.abs(photo.rgb.astype(int) - picture()).mean() <= tolerance

    @pytest.mark.parametrize("kind", ALL)
    def test_gray_photos_are_read(self, kind):
        photo = read_photo(encoded(gray(), kind))
        assert np.abs(photo.rgb.astype(int) - gray()[..., None]).mean() <= 2
        # WebP has no gray; older versions of Pillow write no gray AVIF.
        assert photo.gray or kind in ("webp", "avif")
        if photo.gray:
            assert np.ptp(photo.rgb, axis=-1).max() == 0

    def test_format_is_known_by_content(self, tmp_path):
        path = tmp_path / "a.jpg"
        path.write_bytes(encoded(picture(), "png"))
        assert read_photo(path).format == "PNG"

    def test_photos_come_as_path_bytes_or_file(self, tmp_path):
        path = tmp_path / "a.png"
        path.write_bytes(encoded(picture(), "png"))
        for source in (path, str(path), path.read_bytes(), *find_photos(path)):
            np.testing.assert_array_equal(read_photo(source).rgb, picture())

    @pytest.mark.parametrize("kind", ["gif", "webp", "png", "tif"])
    def test_of_an_animation_the_first_frame_is_read(self, kind):
        frames = [Image.fromarray(np.full((48, 64, 3), value, np.uint8)) for value in (200, 30, 90)]
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert (read_photo(data).rgb == 200).all()
        assert (decode_rgb(data, 8) == 200).all()

    @pytest.mark.parametrize("transparent", [False, True])
    def test_palettes_are_resolved(self, transparent):
        image = Image.fromarray(picture()).quantize(32)
        want = np.asarray(image.convert("RGB"))
        options = {"transparency": bytes([0, 128, *[255] * 30])} if transparent else {}
        photo = read_photo(encoded(image, "png", **options))
        np.testing.assert_array_equal(photo.rgb, want)
        if transparent:
            assert set(np.unique(photo.alpha)) == {0, 128, 255}
            np.testing.assert_array_equal(photo.alpha == 0, np.asarray(image) == 0)
        else:
            assert photo.alpha is None

    def test_a_palette_of_grays_is_gray(self):
        image = Image.fromarray(gray()).convert("P")
        photo = read_photo(encoded(image, "gif"))
        assert photo.gray
        np.testing.assert_array_equal(photo.rgb[..., 1], gray())

    @pytest.mark.parametrize("kind", ["png", "tif"])
    def test_one_bit_is_black_and_white(self, kind):
        photo = read_photo(encoded(Image.fromarray(gray() > 128), kind))
        assert photo.gray
        np.testing.assert_array_equal(photo.rgb[..., 0], np.where(gray() > 128, 255, 0))

    @pytest.mark.parametrize("kind", ["png", "webp", "tif", "avif", "heic"])
    def test_transparency_is_kept_aside(self, kind):
        alpha = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
        photo = read_photo(encoded(np.dstack([picture(), alpha]), kind, **({"exact": True} if kind == "webp" else {})))
        assert np.abs(photo.alpha.astype(int) - alpha).max() <= 3
        assert np.abs(photo.rgb.astype(int) - picture()).mean() <= 3

    def test_gray_with_transparency(self):
        photo = read_photo(encoded(np.dstack([gray(), gray()]), "png"))
        assert photo.gray
        np.testing.assert_array_equal(photo.alpha, gray())

    def test_one_transparent_color(self):
        image = Image.fromarray(picture())
        photo = read_photo(encoded(image, "png", transparency=tuple(picture()[5, 7].tolist())))
        assert photo.alpha[5, 7] == 0
        assert (photo.alpha == 0).sum() == (picture() == picture()[5, 7]).all(-1).sum()

    @pytest.mark.parametrize("kind", ["jpg", "tif"])
    def test_inks_become_colors(self, kind):
        photo = read_photo(encoded(Image.fromarray(picture()).convert("CMYK"), kind))
        assert photo.rgb.shape == (48, 64, 3)
        assert np.abs(photo.rgb.astype(int) - picture()).mean() <= 3

    def test_inks_that_are_not_inverted(self):
        # Pillow writes inks inverted, as Adobe's programs do, with their marker; without it they are not.
        data = encoded(ImageOps.invert(Image.fromarray(picture())).convert("CMYK"), "jpg")
        start = data.index(b"\xff\xee")
        data = data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]
        inks = 255 - np.asarray(ImageOps.invert(Image.fromarray(picture())).convert("CMYK")).astype(int)
        want = np.asarray(Image.fromarray(inks.astype(np.uint8), "CMYK").convert("RGB")).astype(int)
        assert np.abs(read_photo(data).rgb - want).mean() <= 3

    def test_lab_becomes_rgb(self):
        lab = ImageCms.profileToProfile(
            Image.fromarray(picture()),
            ImageCms.createProfile("sRGB"),
            ImageCms.createProfile("LAB"),
            outputMode="LAB",
        )
        assert np.abs(read_photo(encoded(lab, "tif")).rgb.astype(int) - picture()).mean() <= 2

    def test_reduced_reading_keeps_the_short_side(self):
        data = encoded(picture(900, 640), "jpg")
        assert read_photo(data, side=150).rgb.shape == (160, 225, 3)
        assert read_photo(data, side=200).rgb.shape == (320, 450, 3)
        assert read_photo(data, side=700).rgb.shape == (640, 900, 3)

    def test_size_is_read_from_the_header(self):
        assert read_size(encoded(picture(), "png")[:60]) == (64, 48)


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tif", "avif", "heic"])
    def test_photos_stand_upright(self, tmp_path, kind, orientation):
        exif = camera_exif(orientation)
        if kind == "tif":
            data = encoded(picture(), kind, tiffinfo={0x0112: orientation})
        else:
            data = encoded(picture(), kind, exif=b"Exif\0\0" + exif)
        image = Image.fromarray(picture())
        image.getexif()[0x0112] = orientation
        want = np.asarray(ImageOps.exif_transpose(image)).astype(int)
        photo = read_photo(data)
        assert photo.rgb.shape == want.shape
        assert np.abs(photo.rgb - want).mean() <= 3
        small = decode_rgb(data, 48)
        assert small.shape == want.shape and np.abs(small - want).mean() <= 3
        # Once is enough: what is written lies as it is.
        path = tmp_path / f"a.{kind}"
        write_photo(path, photo.rgb, photo, NOTE)
        assert exif_of(path).get(0x0112, 1) == 1
        assert np.abs(read_photo(path).rgb - want).mean() <= 4

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_transparency_turns_with_the_photo(self, tmp_path, dtype):
        pixels = np.dstack([picture(), gray()]).astype(dtype) * np.iinfo(dtype).max // 255
        upright = Photo(pixels[..., :3], pixels[..., 3], metadata={"exif": camera_exif()})
        write_photo(tmp_path / "a.png", upright.rgb, upright)
        data = bytearray((tmp_path / "a.png").read_bytes())
        # The EXIF's orientation was left out on writing; a chunk with one comes first.
        block = camera_exif(6)
        chunk = b"eXIf" + block
        data[33:33] = struct.pack(">I", len(block)) + chunk + struct.pack(">I", zlib.crc32(chunk))
        at = data.index(b"eXIf", 33 + len(chunk))
        (length,) = struct.unpack_from(">I", data, at - 4)
        del data[at - 4 : at + 8 + length]
        photo = read_photo(bytes(data))
        np.testing.assert_array_equal(photo.rgb, np.rot90(pixels[..., :3], -1))
        np.testing.assert_array_equal(photo.alpha, np.rot90(pixels[..., 3], -1))

    def test_orientation_that_stands_in_the_xmp_only(self, tmp_path):
        xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="3" dc:title="kept"/></x:xmpmeta>'
        photo = read_photo(encoded(picture(), "webp", xmp=xmp))
        np.testing.assert_array_equal(photo.rgb, picture()[::-1, ::-1])
        write_photo(tmp_path / "a.webp", photo.rgb, photo)
        np.testing.assert_array_equal(read_photo(tmp_path / "a.webp").rgb, photo.rgb)
        with Image.open(tmp_path / "a.webp") as image:
            assert image.info["xmp"] == xmp.replace(b'"3"', b'"1"')


class TestDeep:
    """More than 8 bits a channel."""

    @pytest.mark.parametrize("channels", [3, 4])
    @pytest.mark.parametrize("kind", ["png", "tif"])
    def test_16_bits_are_written_and_read_exactly(self, tmp_path, kind, channels):
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

    def test_16_bit_png_agrees_with_tensorflow(self, tmp_path):
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

    def test_16_bit_tiff_agrees_with_tifffile(self, tmp_path):
        pixels = noise(300, 500, 3)  # several strips
        for compression in ("raw", "tiff_lzw"):
            path = tmp_path / f"{compression}.tif"
            write_photo(path, pixels, Photo(pixels, metadata={"compression": compression}))
            np.testing.assert_array_equal(tifffile.imread(path), pixels)

    @pytest.mark.parametrize("channels", [1, 3, 4])
    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("compression", [None, "zlib"])
    @pytest.mark.parametrize("layout", ["contig", "separate"])
    def test_16_bit_tiffs_of_all_layouts(self, channels, order, compression, layout):
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

    def test_16_bit_gray_is_scaled_to_8_for_training(self):
        data = encoded(Image.fromarray(gray().astype(np.uint16) * 257), "png")
        np.testing.assert_array_equal(decode_rgb(data, 48)[..., 0], gray())

    def test_16_bits_are_rounded_to_8_where_a_format_has_no_more(self, tmp_path):
        pixels = picture().astype(np.uint16) * 257 + 100
        write_photo(tmp_path / "a.bmp", pixels, Photo(pixels))
        np.testing.assert_array_equal(read_photo(tmp_path / "a.bmp").rgb, picture())

    @pytest.mark.parametrize("top", [1, 255, 65535])
    def test_floats_in_a_usual_range_are_scaled(self, top):
        values = gray() / np.float32(255) * top
        photo = read_photo(encoded(Image.fromarray(values.astype(np.float32)), "tif"))
        assert photo.gray and photo.rgb.dtype == np.uint16
        np.testing.assert_allclose(photo.rgb[..., 0], gray() * 257.0, atol=1)

    def test_float_colors_are_scaled(self):
        file = io.BytesIO()
        tifffile.imwrite(file, (picture() / 255).astype(np.float32), photometric="rgb")
        np.testing.assert_allclose(read_photo(file.getvalue()).rgb, picture() * 257.0, atol=1)
        np.testing.assert_array_equal(decode_rgb(file.getvalue(), 48), picture())

    @pytest.mark.parametrize("values", [(-1, 5), (0, 1e6), (0, np.nan)])
    def test_floats_of_unknown_range_are_refused(self, values):
        data = encoded(Image.fromarray(np.array([values], np.float32)), "tif")
        with pytest.raises(PhotoError, match="holds numbers from .*; expected 0 to 1"):
            read_photo(data)

    @pytest.mark.parametrize("dtype", [np.uint16, np.float32])
    def test_white_may_be_zero(self, dtype):
        file = io.BytesIO()
        values = gray().astype(np.uint16) * 257
        stored = (65535 - values).astype(dtype) / (65535 if dtype == np.float32 else 1)
        tifffile.imwrite(file, stored.astype(dtype), photometric="miniswhite")
        np.testing.assert_allclose(read_photo(file.getvalue()).rgb[..., 0], values, atol=1)

    def test_a_transparent_color_of_16_bits(self):
        pixels = noise(9, 9, 3)
        write = io.BytesIO()
        tf = pytest.importorskip("tensorflow")
        data = tf.io.encode_png(pixels).numpy()
        key = b"tRNS" + struct.pack(">3H", *pixels[4, 5].tolist())
        write.write(data[:33] + struct.pack(">I", 6) + key + struct.pack(">I", zlib.crc32(key)) + data[33:])
        alpha = read_photo(write.getvalue()).alpha
        assert alpha[4, 5] == 0 and (alpha == 65535).sum() == 80


class TestProfiles:
    def test_srgb_photos_are_left_alone(self, tmp_path):
        photo = read_photo(encoded(picture(), "png", icc_profile=SRGB))
        np.testing.assert_array_equal(photo.rgb, picture())
        write_photo(tmp_path / "a.png", photo.rgb, photo)
        with Image.open(tmp_path / "a.png") as image:
            assert image.info["icc_profile"] == SRGB
            np.testing.assert_array_equal(np.asarray(image), picture())

    @pytest.mark.parametrize("kind", ["png", "webp", "tif"])
    def test_another_rgb_profile_is_applied_and_kept(self, tmp_path, kind):
        photo = read_photo(encoded(picture(), kind, icc_profile=ADOBE_RGB))
        # The same numbers are more vivid in Adobe RGB: red of 255, 0, 0 lies outside of sRGB.
        assert np.ptp(photo.rgb.astype(int), axis=-1).mean() > np.ptp(picture().astype(int), axis=-1).mean() + 5
        path = tmp_path / f"a.{kind}"
        write_photo(path, photo.rgb, photo)
        with Image.open(path) as image:
            assert image.info["icc_profile"] == ADOBE_RGB
            # Some of these colors lie outside of sRGB and do not come back.
            assert np.median(np.abs(np.asarray(image).astype(int) - picture())) <= 1
        difference = np.abs(read_photo(path).rgb.astype(int) - photo.rgb)
        assert difference.mean() < 0.5 and difference.max() <= 8  # 8 bits are coarse near black

    def test_grays_stay_gray_in_another_rgb_profile(self):
        pixels = np.repeat(gray()[..., None], 3, -1)
        rgb = read_photo(encoded(pixels, "png", icc_profile=ADOBE_RGB)).rgb
        assert np.ptp(rgb.astype(int), axis=-1).max() <= 1

    def test_16_bits_are_converted_as_8_are(self, tmp_path):
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
    def test_gray_profiles_are_applied_and_become_srgb(self, tmp_path, deep):
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

    def test_a_gray_photo_may_carry_an_rgb_profile(self, tmp_path):
        photo = read_photo(encoded(gray(), "jpg", icc_profile=ADOBE_RGB))
        assert photo.gray
        write_photo(tmp_path / "a.jpg", photo.rgb, photo)
        with Image.open(tmp_path / "a.jpg") as image:
            assert image.info["icc_profile"] == ADOBE_RGB

    @pytest.mark.parametrize("profile", [b"no profile", GRAY_GAMMA_18, ADOBE_RGB[:200]])
    def test_unusable_profiles_are_passed_over(self, tmp_path, profile):
        photo = read_photo(encoded(picture(), "png", icc_profile=profile))
        np.testing.assert_array_equal(photo.rgb, picture())
        write_photo(tmp_path / "a.png", photo.rgb, photo)
        np.testing.assert_array_equal(read_photo(tmp_path / "a.png").rgb, picture())

    def test_training_sees_srgb(self):
        data = encoded(picture(), "png", icc_profile=ADOBE_RGB)
        np.testing.assert_array_equal(decode_rgb(data, 48), read_photo(data).rgb)


class TestMetadata:
    @pytest.mark.parametrize("kind", ["jpg", "png", "webp", "avif", "heic"])
    def test_date_place_and_makers_note_are_kept(self, tmp_path, kind):
        data = encoded(gray(), kind, exif=b"Exif\0\0" + camera_exif(6))
        photo = read_photo(data)
        path = tmp_path / f"a.{kind}"
        write_photo(path, photo.rgb, photo, NOTE)
        exif = exif_of(path)
        assert exif[0x010F] == "Maker"
        assert exif[0x010E] == NOTE
        assert exif.get_ifd(0x8769)[0x9003] == "1999:12:31 23:59:59"
        assert exif.get_ifd(0x8769)[0x927C] == b"secret of the maker"
        assert exif.get_ifd(0x8825)[2] == (52.0, 30.0, 15.0)

    @pytest.mark.parametrize("source", ["tif", "jpg"])
    def test_tiff_keeps_its_tags(self, tmp_path, source):
        exif = Image.Exif()
        exif.load(camera_exif(6))
        exif.get_ifd(0x8769), exif.get_ifd(0x8825)
        photo = read_photo(encoded(gray(), source, exif=exif, dpi=(600, 600)))
        write_photo(tmp_path / "a.tif", photo.rgb, photo, NOTE)
        with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
            tags = tiff.pages[0].tags
            assert tags[271].value == "Maker"
            assert tags[270].value == NOTE
            assert 274 not in tags
            assert tags[282].value == (600, 1)
            assert tags[34665].value["DateTimeOriginal"] == "1999:12:31 23:59:59"
            assert tags[34665].value["MakerNote"] == b"secret of the maker"
            assert tags[34853].value["GPSLatitude"] == (52, 1, 30, 1, 15, 1)

    def test_tags_of_a_tiff_go_to_a_jpeg(self, tmp_path):
        photo = read_photo(encoded(gray(), "tif", tiffinfo={271: "Maker", 306: "1999:12:31 23:59:59", 274: 3}))
        write_photo(tmp_path / "a.jpg", photo.rgb, photo)
        exif = exif_of(tmp_path / "a.jpg")
        assert (exif[271], exif[306]) == ("Maker", "1999:12:31 23:59:59")
        assert set(exif) == {271, 306}

    def test_makers_notes_stay_where_they_are(self, tmp_path):
        # They point to places of the EXIF block, which nobody can correct.
        block = camera_exif()
        photo = read_photo(encoded(gray(), "jpg", exif=b"Exif\0\0" + block))
        write_photo(tmp_path / "a.jpg", photo.rgb, photo, NOTE)
        with Image.open(tmp_path / "a.jpg") as image:
            written = image.info["exif"][6:]
        assert written.index(b"secret of the maker") == block.index(b"secret of the maker")

    def test_a_description_is_kept_before_the_note(self, tmp_path):
        block = camera_exif(description="Grandmother, 1932")
        photo = read_photo(encoded(gray(), "jpg", exif=b"Exif\0\0" + block))
        write_photo(tmp_path / "a.jpg", photo.rgb, photo, NOTE)
        assert exif_of(tmp_path / "a.jpg")[0x010E] == f"Grandmother, 1932 ({NOTE})"
        # Coloring it again says nothing new.
        photo = read_photo(tmp_path / "a.jpg")
        write_photo(tmp_path / "b.jpg", photo.rgb, photo, NOTE)
        assert exif_of(tmp_path / "b.jpg")[0x010E] == f"Grandmother, 1932 ({NOTE})"

    def test_letters_outside_of_ascii_are_kept(self, tmp_path):
        block = camera_exif(description="Gr.nmutter").replace(b"Gr.nmutter", "Gr\u00fcnutte".encode() + b"r")
        photo = read_photo(encoded(gray(), "jpg", exif=b"Exif\0\0" + block))
        write_photo(tmp_path / "a.jpg", photo.rgb, photo, "mod\u00e8le")
        with Image.open(tmp_path / "a.jpg") as image:
            assert "Gr\u00fcnutter (mod\u00e8le)".encode() in image.info["exif"]

    def test_without_a_note_nothing_is_said(self, tmp_path):
        write_photo(tmp_path / "a.jpg", picture(), Photo(picture()))
        assert not exif_of(tmp_path / "a.jpg")

    @pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
    def test_photos_without_exif_get_the_note(self, tmp_path, kind):
        write_photo(tmp_path / f"a.{kind}", picture(), Photo(picture()), NOTE)
        assert exif_of(tmp_path / f"a.{kind}")[0x010E] == NOTE

    @pytest.mark.parametrize("after", [b"", b"more of the EXIF"])
    def test_the_gray_thumbnail_is_dropped(self, tmp_path, after):
        thumbnail = encoded(gray(16, 12), "jpg")
        block = camera_exif(thumbnail=thumbnail) + after
        photo = read_photo(encoded(gray(), "jpg", exif=b"Exif\0\0" + block))
        write_photo(tmp_path / "a.jpg", photo.rgb, photo)
        with Image.open(tmp_path / "a.jpg") as image:
            written = image.info["exif"]
            assert thumbnail[:40] not in written and after in written
            assert not image.getexif().get_ifd(1)
            assert image.getexif().get_ifd(0x8769)[0x9003] == "1999:12:31 23:59:59"

    @pytest.mark.parametrize("damage", [b"II*\0\xff\xff\xff\xff", b"II*\0", b"nothing", b"MM\0*\0\0\0\x08\xff\xff1234"])
    def test_damaged_exif_does_no_harm(self, tmp_path, damage):
        photo = read_photo(encoded(gray(), "png", exif=damage))
        write_photo(tmp_path / "a.png", photo.rgb, photo, NOTE)
        assert exif_of(tmp_path / "a.png")[0x010E] == NOTE

    def test_exif_that_is_too_long_for_a_jpeg_is_shortened(self, tmp_path):
        exif = Image.Exif()
        exif.load(camera_exif())
        exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0" + b"x" * 70000
        exif.get_ifd(0x8825)
        photo = read_photo(encoded(gray(), "png", exif=exif.tobytes()))
        write_photo(tmp_path / "a.jpg", photo.rgb, photo, NOTE)
        exif = exif_of(tmp_path / "a.jpg")
        assert exif.get_ifd(0x8769)[0x9003] == "1999:12:31 23:59:59"
        assert exif.get_ifd(0x8825)[1] == "N"

    @pytest.mark.parametrize("kind", ["jpg", "png", "bmp", "tif"])
    def test_resolution_is_kept(self, tmp_path, kind):
        photo = read_photo(encoded(gray(), kind, dpi=(300, 150)))
        write_photo(tmp_path / f"a.{kind}", photo.rgb, photo)
        with Image.open(tmp_path / f"a.{kind}") as image:
            assert image.info["dpi"] == pytest.approx((300, 150), rel=1e-3)

    @pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif"])
    def test_no_resolution_is_made_up(self, tmp_path, kind):
        photo = read_photo(encoded(gray(), kind, exif=b"Exif\0\0" + camera_exif()))
        assert "dpi" not in photo.metadata

    @pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif", "avif"])
    def test_xmp_is_kept(self, tmp_path, kind):
        xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">title</x:xmpmeta>'
        photo = Photo(picture(), metadata={"xmp": xmp})
        for _ in range(2):
            write_photo(tmp_path / f"a.{kind}", photo.rgb, photo)
            photo = read_photo(tmp_path / f"a.{kind}")
            assert photo.metadata["xmp"] == xmp

    def test_text_of_a_png_is_kept(self, tmp_path):
        photo = Photo(picture(), metadata={"text": {"Title": "\u0444\u043e\u0442\u043e", "Comment": "mine"}})
        write_photo(tmp_path / "a.png", photo.rgb, photo, NOTE)
        with Image.open(tmp_path / "a.png") as image:
            image.load()
            assert image.text == {"Title": "\u0444\u043e\u0442\u043e", "Comment": f"mine ({NOTE})"}
        assert read_photo(tmp_path / "a.png").metadata["text"]["Title"] == "\u0444\u043e\u0442\u043e"

    def test_16_bit_png_carries_the_same_metadata(self, tmp_path):
        metadata = {"text": {"Title": "IDAT"}, "dpi": (300.0, 300.0), "icc": SRGB, "exif": camera_exif()}
        pixels = noise(20, 20, 3)
        write_photo(tmp_path / "a.png", pixels, Photo(pixels, metadata=metadata), NOTE)
        photo = read_photo(tmp_path / "a.png")
        np.testing.assert_array_equal(photo.rgb, pixels)
        assert photo.metadata["text"] == {"Title": "IDAT", "Comment": NOTE}
        assert photo.metadata["icc"] == SRGB
        assert photo.metadata["dpi"] == pytest.approx((300, 300), rel=1e-4)
        assert exif_of(tmp_path / "a.png").get_ifd(0x8825)[1] == "N"

    def test_exif_that_a_png_keeps_as_text_is_found(self, tmp_path):
        # As ImageMagick wrote it before PNG had a chunk for it.
        block = b"Exif\0\0" + camera_exif(6)
        text = f"\nexif\n{len(block):8}\n" + "\n".join(block.hex()[i : i + 72] for i in range(0, 2 * len(block), 72))
        photo = Photo(picture(), metadata={"text": {"Raw profile type exif": text}})
        write_photo(tmp_path / "a.png", photo.rgb, photo)
        again = read_photo(tmp_path / "a.png")
        np.testing.assert_array_equal(again.rgb, np.rot90(picture(), -1))
        assert again.metadata["exif"] == block[6:]

    def test_iptc_and_comment_of_a_jpeg_are_kept(self, tmp_path):
        iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0d\x1c\x02\x05\0\x08portrait\0"
        marker = b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc
        photo = read_photo(encoded(gray(), "jpg", extra=marker, comment=b"by the archive"))
        write_photo(tmp_path / "a.jpg", photo.rgb, photo)
        assert marker in (tmp_path / "a.jpg").read_bytes()
        with Image.open(tmp_path / "a.jpg") as image:
            assert image.info["comment"] == b"by the archive"


class TestWriting:
    @pytest.mark.parametrize("kind", ALL)
    def test_gray_photos_become_color_photos_of_their_format(self, tmp_path, kind):
        photo = read_photo(encoded(gray(), kind))
        path = tmp_path / f"a.{kind}"
        write_photo(path, picture(), photo, NOTE)
        again = read_photo(path)
        assert again.format == photo.format and not again.gray
        assert np.abs(again.rgb.astype(int) - picture()).mean() <= 4

    @pytest.mark.parametrize("kind", ["png", "gif"])
    def test_one_bit_and_palettes_become_colors(self, tmp_path, kind):
        photo = read_photo(encoded(Image.fromarray(gray() > 128), kind))
        write_photo(tmp_path / f"a.{kind}", picture(), photo)
        assert np.abs(read_photo(tmp_path / f"a.{kind}").rgb.astype(int) - picture()).mean() <= 4

    def test_a_gif_keeps_transparency_and_gets_the_note(self, tmp_path):
        alpha = np.where(gray() > 120, 255, 0).astype(np.uint8)
        photo = Photo(picture(), alpha, metadata={"comment": b"mine"})
        write_photo(tmp_path / "a.gif", picture(), photo, NOTE)
        again = read_photo(tmp_path / "a.gif")
        np.testing.assert_array_equal(again.alpha, alpha)
        assert np.abs(again.rgb.astype(int) - picture())[alpha > 0].mean() <= 4
        assert again.metadata["comment"] == f"mine ({NOTE})".encode()

    def test_a_gray_jpeg_keeps_its_luminance_table(self, tmp_path):
        data = encoded(gray(), "jpg", quality=40)
        write_photo(tmp_path / "a.jpg", picture(), read_photo(data))
        with Image.open(io.BytesIO(data)) as before, Image.open(tmp_path / "a.jpg") as after:
            assert after.quantization[0] == before.quantization[0]
            # Colors were not in the original: they are not spoilt as it was.
            assert sum(after.quantization[1]) < sum(before.quantization[0])
            assert JpegImagePlugin.get_sampling(after) == 0

    def test_a_color_jpeg_keeps_its_tables(self, tmp_path):
        data = encoded(picture(), "jpg", quality=80, subsampling=1, progressive=True)
        photo = read_photo(data)
        write_photo(tmp_path / "a.jpg", photo.rgb, photo)
        with Image.open(io.BytesIO(data)) as before, Image.open(tmp_path / "a.jpg") as after:
            assert after.quantization == before.quantization
            assert JpegImagePlugin.get_sampling(after) == 1
            assert after.info["progressive"]

    def test_a_large_gray_jpeg_gets_halved_chroma(self, tmp_path):
        pixels = np.full((1500, 2000, 3), 90, np.uint8)
        write_photo(tmp_path / "a.jpg", pixels, read_photo(encoded(pixels[..., 0], "jpg")))
        with Image.open(tmp_path / "a.jpg") as image:
            assert JpegImagePlugin.get_sampling(image) == 2

    @pytest.mark.parametrize("lossless", [False, True])
    def test_a_webp_stays_lossless_or_not(self, tmp_path, lossless):
        exif = camera_exif()  # puts chunks before the pixels
        photo = read_photo(encoded(picture(), "webp", lossless=lossless, exif=exif))
        write_photo(tmp_path / "a.webp", picture(), photo)
        again = read_photo(tmp_path / "a.webp")
        assert (again.rgb == picture()).all() == lossless
        assert again.metadata.get("lossless", False) == lossless

    @pytest.mark.parametrize("kind", ["jpg", "bmp"])
    def test_transparency_becomes_white_where_there_is_none(self, tmp_path, kind):
        photo = Photo(np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16), np.uint8))
        write_photo(tmp_path / f"a.{kind}", photo.rgb, photo)
        assert (read_photo(tmp_path / f"a.{kind}").rgb > 250).all()

    def test_transparency_of_another_size_is_left_out(self, tmp_path):
        photo = Photo(picture(), gray())
        write_photo(tmp_path / "a.png", np.concatenate([picture(), picture()], 1), photo)
        assert read_photo(tmp_path / "a.png").alpha is None

    def test_the_same_photo_gives_the_same_file(self, tmp_path):
        for kind in ("jpg", "png", "tif"):
            data = encoded(gray(), kind, icc_profile=GRAY_GAMMA_18, exif=camera_exif())
            for name in "ab":
                write_photo(tmp_path / f"{name}.{kind}", picture(), read_photo(data), NOTE)
            assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()

    @pytest.mark.parametrize("kind", ALL)
    def test_one_pixel_is_a_photo(self, tmp_path, kind):
        pixel = np.array([[[200, 100, 50]]], np.uint8)
        path = tmp_path / f"a.{kind}"
        write_photo(path, pixel, Photo(pixel), NOTE)
        photo = read_photo(path)
        assert photo.rgb.shape == (1, 1, 3)
        assert np.abs(photo.rgb.astype(int) - pixel).max() <= 8
        assert decode_rgb(path.read_bytes(), 4).shape == (4, 4, 3)

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_one_pixel_of_16_bits(self, tmp_path, dtype):
        pixel = np.array([[[7, 8, 9]]], dtype)
        for kind in ("png", "tif"):
            write_photo(tmp_path / f"a.{kind}", pixel, Photo(pixel))
            np.testing.assert_array_equal(read_photo(tmp_path / f"a.{kind}").rgb, pixel)

    def test_a_format_that_is_not_known_is_refused(self, tmp_path):
        with pytest.raises(PhotoError, match=r"a\.psd does not say in which format"):
            write_photo(tmp_path / "a.psd", picture(), Photo(picture()))

    @pytest.mark.parametrize("rgb", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)])
    def test_what_is_no_photo_is_refused(self, tmp_path, rgb):
        with pytest.raises(ValueError, match="rgb has to be"):
            write_photo(tmp_path / "a.png", rgb, Photo(picture()))

    def test_a_photo_too_large_for_its_format_is_refused(self, tmp_path):
        long = np.zeros((1, 20000, 3), np.uint8)
        with pytest.raises(PhotoError, match="a.webp cannot be written as WEBP"):
            write_photo(tmp_path / "a.webp", long, Photo(long))
        assert not list(tmp_path.iterdir())

    def test_a_folder_that_cannot_be_written_to_is_refused(self, tmp_path):
        (tmp_path / "out").write_text("a file")
        with pytest.raises(ValueError, match="cannot be written .*choose a folder"):
            write_photo(tmp_path / "out" / "a.png", picture(), Photo(picture()))

    def test_a_full_disk_leaves_the_old_photo(self, tmp_path, monkeypatch):
        path = tmp_path / "a.png"
        write_photo(path, picture(), Photo(picture()))

        def fill(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", fill)
        with pytest.raises(ValueError, match="No space left"):
            write_photo(path, picture()[::-1], Photo(picture()))
        np.testing.assert_array_equal(read_photo(path).rgb, picture())
        assert os.listdir(tmp_path) == ["a.png"]


class TestDecodeRgb:
    @pytest.mark.parametrize("kind", ALL)
    @pytest.mark.parametrize("side", [16, 48, 75])
    def test_the_short_side_is_as_wanted(self, kind, side):
        rgb = decode_rgb(encoded(picture(), kind), side)
        assert rgb.shape == (side, round(64 * side / 48), 3) and rgb.dtype == np.uint8
        want = np.asarray(Image.fromarray(picture()).resize(rgb.shape[1::-1], Image.Resampling.BILINEAR))
        assert np.abs(rgb.astype(int) - want).mean() <= 3

    def test_a_shrunk_photo_has_no_moire(self):
        stripes = np.zeros((480, 640, 3), np.uint8)
        stripes[:, ::2] = 255
        for kind in ("png", "jpg"):
            assert np.abs(decode_rgb(encoded(stripes, kind), 48).astype(int) - 127.5).max() < 6

    def test_transparent_parts_are_white(self):
        pixels = np.dstack([picture(), np.zeros((48, 64), np.uint8)])
        assert (decode_rgb(encoded(pixels, "png"), 24) == 255).all()

    def test_threads_do_not_disturb_each_other(self):
        data = [
            encoded(picture(), kind, **options)
            for kind in ("jpg", "png", "webp")
            for options in ({}, {"icc_profile": ADOBE_RGB})
        ]
        want = [decode_rgb(each, 24) for each in data]
        with ThreadPoolExecutor(8) as pool:
            for i, rgb in enumerate(pool.map(lambda i: decode_rgb(data[i % 6], 24), range(300))):
                np.testing.assert_array_equal(rgb, want[i % 6])


class TestBadInput:
    @pytest.fixture(params=[read_photo, lambda data: decode_rgb(data, 32)], ids=["read_photo", "decode_rgb"])
    def read(self, request):
        return request.param

    @pytest.mark.parametrize("kind", ALL)
    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    def test_photos_that_are_cut_off(self, read, kind, share):
        data = encoded(noise(120, 160, 3).astype(np.uint8), kind)
        with pytest.raises(PhotoError, match="the photo is (damaged or cut off|no photo)"):
            read(data[: int(len(data) * share)])

    @pytest.mark.parametrize("kind", ALL)
    def test_damaged_photos_end_in_a_sentence_or_a_photo(self, read, kind):
        data = encoded(picture(), kind)
        rng = np.random.default_rng(1)
        for _ in range(60):
            damaged = bytearray(data)
            for place in rng.integers(0, len(data), 4):
                damaged[place] = rng.integers(256)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    read(bytes(damaged))
                except PhotoError as error:
                    assert str(error).startswith("the photo")

    def test_a_text_file(self, tmp_path):
        path = tmp_path / "a.jpg"
        path.write_text("this is no photo")
        with pytest.raises(PhotoError, match=r"a\.jpg is no photo; expected JPEG"):
            read_photo(path)

    def test_an_empty_file(self, read):
        with pytest.raises(PhotoError, match="is empty"):
            read(b"")

    def test_a_path_that_does_not_exist(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="does not exist; expected a photo"):
            read_photo(tmp_path / "a.jpg")

    def test_a_photo_that_has_gone(self, tmp_path):
        (tmp_path / "a.png").write_bytes(encoded(picture(), "png"))
        (photo,) = find_photos(tmp_path)
        photo.path.unlink()
        with pytest.raises(FileNotFoundError, match="a.png does not exist; expected a photo"):
            read_photo(photo)

    def test_a_folder(self, tmp_path):
        with pytest.raises(PhotoError, match="is a folder"):
            read_photo(tmp_path)

    def test_a_very_wide_photo(self, tmp_path):
        wide = picture(30000, 20)
        for kind in ("jpg", "png"):
            data = encoded(wide, kind)
            photo = read_photo(data)
            assert photo.rgb.shape == (20, 30000, 3)
            assert decode_rgb(data, 16).shape == (16, 24000, 3)
            write_photo(tmp_path / f"a.{kind}", photo.rgb, photo)
            assert read_size((tmp_path / f"a.{kind}").read_bytes()) == (30000, 20)

    def test_a_line_is_not_enlarged_beyond_memory(self):
        with pytest.raises(PhotoError, match="too long and narrow"):
            decode_rgb(encoded(picture(30000, 1), "png"), 256)

    def claim(self, kind, width, height):
        """A small file that says it is larger than it is."""
        data = bytearray(encoded(picture(), kind))
        if kind == "png":
            header = b"IHDR" + struct.pack(">II", width, height) + bytes(data[24:29])
            data[12:33] = header + struct.pack(">I", zlib.crc32(header))
        elif kind == "jpg":
            at = data.index(b"\xff\xc0")
            data[at + 5 : at + 9] = struct.pack(">HH", height, width)
        elif kind == "gif":
            data[6:10] = struct.pack("<HH", width, height)
        elif kind == "bmp":
            data[18:26] = struct.pack("<ii", width, height)
        elif kind == "tif":
            for tag, value in ((256, width), (257, height)):
                at = data.index(struct.pack("<HHI", tag, 4, 1))
                data[at + 8 : at + 12] = struct.pack("<I", value)
        return bytes(data)

    @pytest.mark.parametrize("kind", ["png", "jpg", "gif", "bmp", "tif"])
    def test_a_decompression_bomb_is_refused_at_once(self, read, kind):
        data = self.claim(kind, 60000, 60000)
        start = time.perf_counter()
        with pytest.raises(PhotoError, match="claims 60000 x 60000 pixels; expected at most 200 million"):
            read(data)
        assert time.perf_counter() - start < 1

    def test_a_bomb_that_unpacks_too_much_text_is_refused(self, read):
        chunk = b"zTXtComment\0\0" + zlib.compress(bytes(300_000_000), 9)
        data = encoded(picture(), "png")
        data = data[:33] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
        with pytest.raises(PhotoError):
            read(data)

    def test_large_photos_are_no_bombs(self):
        # Pillow itself warns from 89 million pixels on and refuses 179 million.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert read_size(self.claim("png", 20000, MAX_PIXELS // 20000)) == (20000, 10000)

    def test_heic_without_its_package(self, monkeypatch):
        data = encoded(picture(), "heic")
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
        with pytest.raises(PhotoError, match="pip install 'rainbownet.heif.'"):
            read_photo(data)

    def test_a_tiff_of_an_unknown_kind(self, read):
        file = io.BytesIO()
        tifffile.imwrite(file, np.zeros((5, 5, 7), np.uint8), photometric="minisblack", planarconfig="contig")
        with pytest.raises(PhotoError, match="the photo is"):
            read(file.getvalue())

    def test_running_out_of_memory_is_not_taken_for_a_damaged_photo(self, monkeypatch):
        def fail(*_):
            raise MemoryError

        monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", fail)
        with pytest.raises(MemoryError):
            read_photo(encoded(picture(), "jpg"))

import io
import struct
import sys
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps, JpegImagePlugin

from rainbownet.data.files import find_photos
from rainbownet.data.photos import MAX_PIXELS, Photo, PhotoError, decode_rgb, read_photo, read_size, write_photo
from tests.data.shared import ADOBE_RGB, ALL, LOSSLESS, NOTE, camera_exif, encoded, exif_of, gray, noise, picture


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
        with warnings.catch_warnings(record=True) as told:
            assert (read_photo(data).rgb == 200).all()
        # The pages of a TIFF are photos of their own, such as those of a scanner.
        assert [str(warning.message) for warning in told] == (
            ["the photo has 3 pages, of which only the first is read; save each as a photo."] if kind == "tif" else []
        )
        assert (decode_rgb(data, 8) == 200).all()

    def test_a_smaller_copy_in_a_tiff_is_no_page(self):
        file = io.BytesIO()
        with tifffile.TiffWriter(file) as tiff:
            tiff.write(picture(), photometric="rgb")
            tiff.write(picture()[::2, ::2].copy(), photometric="rgb", subfiletype=1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.testing.assert_array_equal(read_photo(file.getvalue()).rgb, picture())

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

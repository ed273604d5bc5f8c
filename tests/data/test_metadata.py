import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from rainbownet.data.photos import Photo, read_photo, write_photo
from tests.data.shared import NOTE, SRGB, camera_exif, encoded, exif_of, gray, noise, picture


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "avif", "heic"])
def test_date_place_and_makers_note_are_kept(tmp_path, kind):
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
def test_tiff_keeps_its_tags(tmp_path, source):
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


def test_tags_of_a_tiff_go_to_a_jpeg(tmp_path):
    photo = read_photo(encoded(gray(), "tif", tiffinfo={271: "Maker", 306: "1999:12:31 23:59:59", 274: 3}))
    write_photo(tmp_path / "a.jpg", photo.rgb, photo)
    exif = exif_of(tmp_path / "a.jpg")
    assert (exif[271], exif[306]) == ("Maker", "1999:12:31 23:59:59")
    assert set(exif) == {271, 306}


def test_makers_notes_stay_where_they_are(tmp_path):
    # They point to places of the EXIF block, which nobody can correct.
    block = camera_exif()
    photo = read_photo(encoded(gray(), "jpg", exif=b"Exif\0\0" + block))
    write_photo(tmp_path / "a.jpg", photo.rgb, photo, NOTE)
    with Image.open(tmp_path / "a.jpg") as image:
        written = image.info["exif"][6:]
    assert written.index(b"secret of the maker") == block.index(b"secret of the maker")


def test_a_description_is_kept_before_the_note(tmp_path):
    block = camera_exif(description="Grandmother, 1932")
    photo = read_photo(encoded(gray(), "jpg", exif=b"Exif\0\0" + block))
    write_photo(tmp_path / "a.jpg", photo.rgb, photo, NOTE)
    assert exif_of(tmp_path / "a.jpg")[0x010E] == f"Grandmother, 1932 ({NOTE})"
    # Colouring it again says nothing new.
    photo = read_photo(tmp_path / "a.jpg")
    write_photo(tmp_path / "b.jpg", photo.rgb, photo, NOTE)
    assert exif_of(tmp_path / "b.jpg")[0x010E] == f"Grandmother, 1932 ({NOTE})"


def test_letters_outside_of_ascii_are_kept(tmp_path):
    block = camera_exif(description="Gr.nmutter").replace(b"Gr.nmutter", "Gr\u00fcnutte".encode() + b"r")
    photo = read_photo(encoded(gray(), "jpg", exif=b"Exif\0\0" + block))
    write_photo(tmp_path / "a.jpg", photo.rgb, photo, "mod\u00e8le")
    with Image.open(tmp_path / "a.jpg") as image:
        assert "Gr\u00fcnutter (mod\u00e8le)".encode() in image.info["exif"]


def test_without_a_note_nothing_is_said(tmp_path):
    write_photo(tmp_path / "a.jpg", picture(), Photo(picture()))
    assert not exif_of(tmp_path / "a.jpg")


@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
def test_photos_without_exif_get_the_note(tmp_path, kind):
    write_photo(tmp_path / f"a.{kind}", picture(), Photo(picture()), NOTE)
    assert exif_of(tmp_path / f"a.{kind}")[0x010E] == NOTE


@pytest.mark.parametrize("after", [b"", b"more of the EXIF"])
def test_the_gray_thumbnail_is_dropped(tmp_path, after):
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
def test_damaged_exif_does_no_harm(tmp_path, damage):
    photo = read_photo(encoded(gray(), "png", exif=damage))
    write_photo(tmp_path / "a.png", photo.rgb, photo, NOTE)
    assert exif_of(tmp_path / "a.png")[0x010E] == NOTE


def test_exif_that_is_too_long_for_a_jpeg_is_shortened(tmp_path):
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
def test_resolution_is_kept(tmp_path, kind):
    photo = read_photo(encoded(gray(), kind, dpi=(300, 150)))
    write_photo(tmp_path / f"a.{kind}", photo.rgb, photo)
    with Image.open(tmp_path / f"a.{kind}") as image:
        assert image.info["dpi"] == pytest.approx((300, 150), rel=1e-3)


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif"])
def test_no_resolution_is_made_up(tmp_path, kind):
    photo = read_photo(encoded(gray(), kind, exif=b"Exif\0\0" + camera_exif()))
    assert "dpi" not in photo.metadata


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif", "avif"])
def test_xmp_is_kept(tmp_path, kind):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">title</x:xmpmeta>'
    photo = Photo(picture(), metadata={"xmp": xmp})
    for _ in range(2):
        write_photo(tmp_path / f"a.{kind}", photo.rgb, photo)
        photo = read_photo(tmp_path / f"a.{kind}")
        assert photo.metadata["xmp"] == xmp


def test_text_of_a_png_is_kept(tmp_path):
    photo = Photo(picture(), metadata={"text": {"Title": "\u0444\u043e\u0442\u043e", "Comment": "mine"}})
    write_photo(tmp_path / "a.png", photo.rgb, photo, NOTE)
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert image.text == {"Title": "\u0444\u043e\u0442\u043e", "Comment": f"mine ({NOTE})"}
    assert read_photo(tmp_path / "a.png").metadata["text"]["Title"] == "\u0444\u043e\u0442\u043e"


def test_16_bit_png_carries_the_same_metadata(tmp_path):
    metadata = {"text": {"Title": "IDAT"}, "dpi": (300.0, 300.0), "icc": SRGB, "exif": camera_exif()}
    pixels = noise(20, 20, 3)
    write_photo(tmp_path / "a.png", pixels, Photo(pixels, metadata=metadata), NOTE)
    photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.rgb, pixels)
    assert photo.metadata["text"] == {"Title": "IDAT", "Comment": NOTE}
    assert photo.metadata["icc"] == SRGB
    assert photo.metadata["dpi"] == pytest.approx((300, 300), rel=1e-4)
    assert exif_of(tmp_path / "a.png").get_ifd(0x8825)[1] == "N"


def test_exif_that_a_png_keeps_as_text_is_found(tmp_path):
    # As ImageMagick wrote it before PNG had a chunk for it.
    block = b"Exif\0\0" + camera_exif(6)
    text = f"\nexif\n{len(block):8}\n" + "\n".join(block.hex()[i : i + 72] for i in range(0, 2 * len(block), 72))
    photo = Photo(picture(), metadata={"text": {"Raw profile type exif": text}})
    write_photo(tmp_path / "a.png", photo.rgb, photo)
    again = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(again.rgb, np.rot90(picture(), -1))
    assert again.metadata["exif"] == block[6:]


def test_iptc_and_comment_of_a_jpeg_are_kept(tmp_path):
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0d\x1c\x02\x05\0\x08portrait\0"
    marker = b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc
    photo = read_photo(encoded(gray(), "jpg", extra=marker, comment=b"by the archive"))
    write_photo(tmp_path / "a.jpg", photo.rgb, photo)
    assert marker in (tmp_path / "a.jpg").read_bytes()
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.info["comment"] == b"by the archive"

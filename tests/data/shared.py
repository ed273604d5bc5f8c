"""Photos to test with, made as cameras and programs make them, and what their files say."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

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

"""Reads photos of any usual format, and writes them back in color with what their files said about them."""

import contextlib
import functools
import io
import re
import struct
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageCms,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from rainbownet.data.files import PhotoFile, write_atomically

MAX_PIXELS = 200_000_000
"""A photo that claims more pixels is refused before any memory is taken for it: it may be made to exhaust memory."""

_PLUGINS = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
}
_KIND_OF_SUFFIX = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **dict.fromkeys((".heic", ".heif"), "HEIF"),
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".avif": "AVIF",
}
_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # the variant for files beyond 4 GB
    b"MM\0+": "TIFF",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}

# Qualities at which a photo cannot be told from its original beside it.
_QUALITY = {"JPEG": 93, "WEBP": 92, "AVIF": 85, "HEIF": 85}
# From here on halved chroma (4:2:0) cannot be seen at the sizes that photos are viewed at.
_PIXELS_FOR_HALVED_CHROMA = 2_000_000
# Chroma that was predicted gets at least the tables of quality 85, however coarse the original's luminance is.
_COARSEST_CHROMA = 0.3
_LONGEST_EXIF = 65533 - 6  # of a JPEG marker, less "Exif\0\0"

# Tags of TIFF 6.0 and EXIF 2.32.
_DESCRIPTION, _ORIENTATION, _XMP, _ICC = 270, 274, 700, 34675
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_EXIF_IFD, _GPS_IFD, _INTEROP_IFD, _MAKER_NOTE = 34665, 34853, 40965, 37500
_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH = 513, 514
_SUB_IFDS = {_EXIF_IFD: {_INTEROP_IFD: {}}, _GPS_IFD: {}}
# What tells how a TIFF's pixels are laid out, or what belongs to its old pixels only; a new file has its own.
_LAYOUT_TAGS = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, _ORIENTATION, 277, 278, 279, 280, 281, 284, 288, 289),
    *(290, 291, 292, 293, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 326, 327, 328, 330, 332, 333, 334, 336),
    *(337, 338, 339, 340, 341, 342, 343, 344, 345, 347, *range(512, 522), 529, 530, 531, 532, _XMP, _ICC),
}
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_ASCII, _SHORT, _LONG, _RATIONAL, _UNDEFINED = 2, 3, 4, 5, 7

# A tag's type, its number of values and their bytes, or the IFD that the tag points to.
_Tags = dict[int, "tuple[int, int, bytes | _Tags]"]


class PhotoError(ValueError):
    """A photo that cannot be read or written; its text is one sentence for the user."""


@dataclass
class Photo:
    """A photo, upright and in sRGB.

    Args:
        rgb: (height, width, 3) uint8 or uint16, not to be changed in place.
        alpha: (height, width), 0 where transparent, of the type of `rgb`; `None` for an opaque photo.
        gray: whether it is stored as gray; one stored in color may still show no color.
        format: "JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF" or "HEIF".
        metadata: what `write_photo` needs beside the pixels, each only where the file has it: `exif` (an EXIF block
            without "Exif" before it), `icc` (the profile to write), `dpi`, `xmp`, `text` (of a PNG), `comment` (of a
            JPEG or GIF), `iptc` and `tables` (of a JPEG), `compression` (of a TIFF), `lossless` (of a WebP).
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    gray: bool = False
    format: str = "PNG"
    metadata: dict = field(default_factory=dict)


def read_photo(source: str | Path | bytes | PhotoFile, side: int | None = None) -> Photo:
    """Reads a photo; of an animation, the first frame.

    The EXIF orientation is applied. Colors are converted to sRGB from the profile that the file carries. More than
    8 bits a channel are kept as uint16 for PNG and TIFF, and read as 8 bits from AVIF and HEIC.

    Args:
        source: a path, the bytes of a file, or a `PhotoFile`.
        side: a JPEG may be decoded at a half, a quarter or an eighth of its size for speed, as long as its short side
            stays at least this many pixels.

    Returns:
        The `Photo`.

    Raises:
        FileNotFoundError: if there is no such file.
        PhotoError: if it is no photo, or damaged, or claims more than `MAX_PIXELS`.
    """
    data, name = _content(source)
    image = _open(data, name)
    with _decoding(name):
        if side is not None and image.format == "JPEG":
            image.draft("RGB", (side, side))
        channels = _deep_channels(image, data, name)
        image.load()
        icc = image.info.get("icc_profile") or b""
        if channels is None:
            plain = _plain(image, name)
            gray = plain.mode in ("L", "LA")
            alpha = np.asarray(plain.getchannel("A")) if plain.mode in ("LA", "RGBA") else None
            rgb = np.atleast_3d(np.asarray(_in_srgb(plain, icc)))
        else:
            count = channels.shape[-1]
            gray = count < 3
            alpha = channels[..., -1] if count in (2, 4) else None
            rgb = _deep_converted(channels[..., : 1 if gray else 3], icc, b"")
        if rgb.shape[-1] == 1:
            rgb = np.repeat(rgb, 3, axis=-1)
        orientation = _orientation(image)
        if alpha is not None:
            alpha = _upright(alpha, orientation)
        return Photo(_upright(rgb, orientation), alpha, gray, image.format, _metadata(image, data, icc))


def read_size(data: bytes, name: str = "the photo") -> tuple[int, int]:
    """Reads the size of a photo from its header, without decoding its pixels.

    Args:
        data: bytes of the file.
        name: what the photo is called in an error.

    Returns:
        Width and height in pixels as stored, before the EXIF orientation.

    Raises:
        PhotoError: if it is no photo, or claims more than `MAX_PIXELS`.
    """
    return _open(data, name).size


def decode_rgb(data: bytes, short_side: int, name: str = "the photo") -> np.ndarray:
    """Decodes a photo at the size that is wanted: the fast path, for training.

    The result is upright, in sRGB, of an animation the first frame, with white behind what is transparent. A JPEG is
    decoded at a reduced scale. Larger photos are shrunk with antialiasing, smaller ones enlarged bicubically.

    Args:
        data: bytes of the file.
        short_side: short side of the result in pixels.
        name: what the photo is called in an error.

    Returns:
        (height, width, 3) uint8, not to be changed in place.

    Raises:
        PhotoError: if it is no photo, or damaged, or claims more than `MAX_PIXELS`.
    """
    image = _open(data, name)
    width, height = image.size
    scale = short_side / min(width, height)
    size = (max(short_side, round(width * scale)), max(short_side, round(height * scale)))
    if size[0] * size[1] > MAX_PIXELS:
        raise PhotoError(
            f"{name} has {width} x {height} pixels, too long and narrow for a short side of {short_side}; "
            "cut it or leave it out."
        )
    with _decoding(name):
        if image.format == "JPEG":
            image.draft("RGB", (short_side, short_side))
        image.load()
        plain = _plain(image, name)
        if size != plain.size:
            resample, gap = (Image.Resampling.HAMMING, 2.0) if scale < 1 else (Image.Resampling.BICUBIC, None)
            plain = plain.resize(size, resample, reducing_gap=gap)
        rgb = _in_srgb(plain, image.info.get("icc_profile") or b"").convert("RGB")
        if plain.mode in ("LA", "RGBA"):
            rgb = _on_white(rgb, plain.getchannel("A"))
        return _upright(np.asarray(rgb), _orientation(image))


def write_photo(path: str | Path, rgb: np.ndarray, like: Photo, note: str | None = None) -> None:
    """Writes a photo whole or not at all, in the format that the suffix of `path` names.

    EXIF with date and place, ICC profile, resolution, XMP, text and transparency are those of `like`, as far as the
    format has a place for them. The orientation is left out, since the pixels are upright, and so is the EXIF's
    thumbnail. 16 bits are written to PNG and TIFF. A JPEG made from a JPEG keeps its quantization tables.

    Args:
        path: file to write. Missing folders are made, a file of this name is replaced.
        rgb: (height, width, 3) uint8 or uint16, sRGB, upright.
        like: the photo whose metadata are written. Its `alpha` is written where it has the size of `rgb`.
        note: how the photo was colored. It is added to the EXIF's description, after one that is there, and to the
            comment of a PNG or GIF. BMP has no place for it.

    Raises:
        PhotoError: if the format cannot be written, or cannot hold a photo of this size.
        ValueError: if `rgb` is no photo, or the folder cannot be written to.
    """
    path = Path(path)
    kind = _KIND_OF_SUFFIX.get(path.suffix.lower())
    if kind is None:
        raise PhotoError(
            f"{path} does not say in which format to write; expected a name that ends in "
            f"{', '.join(sorted(_KIND_OF_SUFFIX))}."
        )
    if rgb.dtype not in (np.uint8, np.uint16) or rgb.ndim != 3 or rgb.shape[-1] != 3:
        raise ValueError(f"rgb has to be (height, width, 3) uint8 or uint16; received {rgb.shape} {rgb.dtype}.")
    metadata = {**like.metadata, "exif": _edit_exif(like.metadata.get("exif", b""), note), "note": note}
    icc = metadata.get("icc", b"") if kind not in ("BMP", "GIF") else b""
    alpha = like.alpha if like.alpha is not None and like.alpha.shape == rgb.shape[:2] else None
    encoded = io.BytesIO()
    with _encoding(path, kind):
        if kind in ("PNG", "TIFF") and rgb.dtype == np.uint16:
            pixels = _deep_converted(rgb, b"", icc)
        else:
            image = Image.fromarray(_to_8_bit(rgb))
            transform = _transform(b"", icc, "RGB")
            if transform is not None:
                image = transform.apply(image)
            if alpha is not None and kind in ("JPEG", "BMP"):
                image, alpha = _on_white(image, Image.fromarray(_to_8_bit(alpha))), None
            pixels = np.asarray(image)
        if alpha is not None:
            alpha = _to_8_bit(alpha) if pixels.dtype == np.uint8 else _to_16_bit(alpha)
            pixels = np.concatenate([pixels, alpha[..., None]], axis=-1)
        # Encoded in memory first: the encoders' own writing to a file loses the reason when the disk is full.
        _WRITERS.get(kind, functools.partial(_write_by_pillow, kind=kind))(encoded, pixels, metadata)
    with write_atomically(path) as temporary:
        temporary.write_bytes(encoded.getbuffer())


def _content(source: str | Path | bytes | PhotoFile) -> tuple[bytes, str]:
    """The bytes of a photo, and what it is called."""
    if isinstance(source, bytes):
        return source, "the photo"
    name, path = (source.name, source.path) if isinstance(source, PhotoFile) else (str(source), Path(source))
    if path.is_dir():
        raise PhotoError(f"{name} is a folder; expected a photo.")
    try:
        return source.read() if isinstance(source, PhotoFile) else path.read_bytes(), name
    except FileNotFoundError:
        raise FileNotFoundError(f"{name} does not exist; expected a photo.") from None
    except OSError as error:
        raise PhotoError(f"{name} cannot be read ({error.strerror}).") from error


def _kind(data: bytes) -> str | None:
    """The format of a file by its first bytes, whatever its name says."""
    if data[4:8] == b"ftyp":
        # The brand comes first, then those that the file is compatible with; AVIF files may name themselves "mif1".
        length = min(int.from_bytes(data[:4], "big"), 256)
        brands = {data[at : at + 4] for at in (8, *range(16, length, 4))}
        return "AVIF" if brands & _AVIF_BRANDS else "HEIF" if brands & _HEIF_BRANDS else None
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return next((kind for signature, kind in _SIGNATURES.items() if data.startswith(signature)), None)


def _open(data: bytes, name: str) -> Image.Image:
    """Reads the header of a photo. Nothing of its pixels is decoded, no memory is taken for them.

    The plugins are called themselves, since `Image.open` warns of photos above 89 million pixels, and its limit can be
    changed for the whole process only.
    """
    if not data:
        raise PhotoError(f"{name} is empty (0 bytes); expected a photo.")
    kind = _kind(data)
    if kind is None:
        raise PhotoError(f"{name} is no photo; expected JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF or HEIC.")
    plugin = _heif_plugin(name).HeifImageFile if kind == "HEIF" else _PLUGINS[kind]
    with _decoding(name):
        try:
            image = plugin(io.BytesIO(data))
            # Pillow would cut channels of 16 bits that lie apart (planar configuration 2) to 8 bits.
            by_tifffile = kind == "TIFF" and image.tag_v2.get(284) == 2 and 16 in image.tag_v2.get(258, ())
        except SyntaxError:
            by_tifffile = kind == "TIFF"
            if not by_tifffile:
                raise
        if by_tifffile:
            image = _open_by_tifffile(data, name)
    _check_size(image.size, name)
    return image


def _heif_plugin(name: str):
    try:
        import pillow_heif
    except ImportError:
        raise PhotoError(f"{name} is HEIC, which needs one more package: pip install 'rainbownet[heif]'.") from None
    return pillow_heif


def _check_size(size: tuple[int, int], name: str) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise PhotoError(
            f"{name} claims {size[0]} x {size[1]} pixels; expected at most {MAX_PIXELS // 10**6} million in all: make "
            "it smaller first."
        )


@contextlib.contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turns whatever a damaged file makes a decoder raise into a sentence."""
    try:
        yield
    except (PhotoError, MemoryError):
        raise
    except Exception as error:
        raise PhotoError(f"{name} is damaged or cut off and cannot be read ({_reason(error)}).") from error


@contextlib.contextmanager
def _encoding(path: Path, kind: str) -> Iterator[None]:
    try:
        yield
    except (PhotoError, MemoryError):
        raise
    except Exception as error:
        raise PhotoError(f"{path} cannot be written as {kind} ({_reason(error)}).") from error


def _reason(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


# Pixels of 8 bits.


def _plain(image: Image.Image, name: str) -> Image.Image:
    """The photo in 8 bits a channel: L, LA, RGB, RGBA, CMYK or LAB."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        channels = _to_8_bit(_gray_channels(image, name))
        return Image.fromarray(channels[..., 0] if channels.shape[-1] == 1 else channels)
    if image.mode in ("La", "RGBa"):
        return image.convert(image.mode.upper())
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        # Pillow takes the inks of every JPEG as inverted, as Adobe's programs write them; others do not.
        return image.point(lambda ink: 255 - ink)
    if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK", "LAB") and "transparency" not in image.info:
        return image
    gray = image.mode in ("1", "L")
    if image.mode in ("P", "PA"):
        palette = np.reshape(image.getpalette("RGB"), (-1, 3))
        gray = bool(np.all(palette == palette[:, :1]))
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image.convert(image.mode.replace("RGB", "L")) if gray else image


def _on_white(rgb: Image.Image, alpha: Image.Image) -> Image.Image:
    return Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns and mirrors (height, width, ...) pixels as EXIF's orientation (1..8) says."""
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


# Pixels of 16 bits, which Pillow knows for gray only.


def _to_8_bit(values: np.ndarray) -> np.ndarray:
    """uint8 of uint8 or uint16, rounded."""
    if values.dtype == np.uint8:
        return values
    return np.concatenate([((rows.astype(np.uint32) * 255 + 32895) >> 16).astype(np.uint8) for rows in _strips(values)])


def _to_16_bit(values: np.ndarray) -> np.ndarray:
    return values.astype(np.uint16) * 257 if values.dtype == np.uint8 else values


def _strips(values: np.ndarray) -> list[np.ndarray]:
    """Strips of some rows each, so that what is computed from one of them takes little memory."""
    rows = max(1, (1 << 20) // max(1, values[0].size))
    return [values[start : start + rows] for start in range(0, len(values), rows)]


def _deep_channels(image: Image.Image, data: bytes, name: str) -> np.ndarray | None:
    """The channels of a photo with more than 8 bits each.

    Args:
        image: the photo as `_open` gives it.
        data: bytes of the file.
        name: what the photo is called in an error.

    Returns:
        (height, width, channels) uint16: gray, gray and alpha, RGB, or RGB and alpha. `None` for other photos.
    """
    if "channels" in image.info:
        return image.info["channels"]
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _gray_channels(image, name)
    # Pillow has no image of 16-bit colors, but its decoders name the layout of a file's pixels (the raw mode) and keep
    # the high byte of each value. Decoded once more, the layout named in the other byte order, they give the low bytes.
    if image.format not in ("PNG", "TIFF") or len({tile.codec_name for tile in image.tile}) != 1:
        return None
    arguments = image.tile[0].args
    layout = arguments if isinstance(arguments, str) else arguments[0]
    if layout == "LA;16B":
        # Two values of two bytes each are a pixel of four bytes.
        four = np.asarray(_with_layout(data, image.format, "RGBA"))
        return four.view(">u2").astype(np.uint16)
    channels, _, order = layout.partition(";16")
    if channels not in ("RGB", "RGBX", "RGBA") or order not in ("L", "B", "N"):
        return None
    little = order == "L" or (order == "N" and sys.byteorder == "little")
    low = np.asarray(_with_layout(data, image.format, f"{channels};16{'B' if little else 'L'}"))
    high = np.asarray(image)
    deep = high.astype(np.uint16)
    deep <<= 8
    deep |= low
    key = image.info.get("transparency")
    if key is not None and deep.shape[-1] == 3:
        opaque = np.any(deep != np.array(key, np.uint16), axis=-1)
        deep = np.concatenate([deep, opaque[..., None] * np.uint16(65535)], axis=-1)
    return deep


def _with_layout(data: bytes, kind: str, layout: str) -> Image.Image:
    """The photo, its pixels taken as laid out in another way."""
    image = _PLUGINS[kind](io.BytesIO(data))
    image.tile = [
        tile._replace(args=layout if isinstance(tile.args, str) else (layout, *tile.args[1:])) for tile in image.tile
    ]
    image.load()
    return image


def _gray_channels(image: Image.Image, name: str) -> np.ndarray:
    """(height, width, 1 or 2) uint16 of a gray photo of 16 or 32 bits, the second channel alpha."""
    image.load()
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        values = values.astype(np.uint16)
        bits = image.tag_v2.get(258, (16,))[0] if image.format == "TIFF" else 16
        if bits < 16:
            values = _scaled(values, name, 2**bits - 1)
    else:
        values = _scaled(values, name)
    if image.format == "TIFF" and image.tag_v2.get(262) == 0:
        values = 65535 - values  # the photometric interpretation says that 0 is white
    key = image.info.get("transparency")
    channels = [values] if key is None else [values, (values != key) * np.uint16(65535)]
    return np.stack(channels, axis=-1)


def _scaled(values: np.ndarray, name: str, top: int | None = None) -> np.ndarray:
    """uint16 of numbers from 0 to `top`; default, the usual range that they fit in."""
    lowest, highest = values.min(), values.max()
    if top is None:
        top = next((top for top in (1, 255, 65535) if highest <= top), None)
    # "not" in this way, so that NaN is refused too.
    if top is None or not lowest >= 0:
        raise PhotoError(
            f"{name} holds numbers from {lowest:g} to {highest:g}; expected 0 to 1, 0 to 255 or 0 to 65535: scale "
            "them first."
        )
    return np.concatenate([np.rint(rows * (65535 / top)).astype(np.uint16) for rows in _strips(values)])


def _open_by_tifffile(data: bytes, name: str) -> Image.Image:
    """A TIFF of a kind that Pillow does not know, such as colors in floating point."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page = tiff.pages[0]
        _check_size((page.imagewidth, page.imagelength), name)
        channels = page.asarray()
        tags = {code: page.tags[code].value for code in (_ORIENTATION, _ICC, _XMP) if code in page.tags}
        inverted = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        known = inverted or page.photometric in (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB)
        separate = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
    if channels.ndim == 2:
        channels = channels[..., None]
    elif separate:
        channels = np.moveaxis(channels, 0, -1)
    if not known or channels.ndim != 3 or channels.shape[-1] > 4:
        raise PhotoError(f"{name} is a TIFF of a kind that is not read; convert it to RGB first.")
    channels = _to_16_bit(channels) if channels.dtype in (np.uint8, np.uint16) else _scaled(channels, name)
    if inverted:
        channels = 65535 - channels
    image = Image.fromarray(np.squeeze(_to_8_bit(channels), -1) if channels.shape[-1] == 1 else _to_8_bit(channels))
    image.format = "TIFF"
    image.info = {"channels": channels, "orientation": tags.get(_ORIENTATION, 1)}
    image.info.update({key: tags[code] for key, code in (("icc_profile", _ICC), ("xmp", _XMP)) if code in tags})
    return image


# Color profiles. 8 bits go through LittleCMS, which Pillow brings. Through Pillow it takes no 16-bit colors: they are
# converted here by the profile's own curves and matrix (ICC.1:2010, sections 8.3.3, 10.5 and 10.15).


@functools.cache
def _srgb_profile() -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # the time of its making: output should not depend on it
    return bytes(profile)


def _in_srgb(image: Image.Image, icc: bytes) -> Image.Image:
    """The photo as L or RGB in sRGB, without its alpha.

    Args:
        image: L, LA, RGB, RGBA, CMYK or LAB.
        icc: the profile that its file carries, or nothing.
    """
    if image.mode == "LAB":
        return ImageCms.profileToProfile(image, ImageCms.createProfile("LAB"), _srgb(), outputMode="RGB")
    if image.mode in ("LA", "RGBA"):
        image = image.convert(image.mode[:-1])
    if image.mode == "L" and icc[16:20] == b"RGB ":
        image = image.convert("RGB")  # gray photos with the profile of a screen or of a scanner
    transform = _transform(icc, b"", image.mode)
    if transform is None:
        return image.convert("RGB") if image.mode == "CMYK" else image
    converted = transform.apply(image)
    return converted.getchannel("G") if image.mode == "L" else converted


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(_srgb_profile()))


@functools.lru_cache(maxsize=64)
def _transform(source: bytes, target: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The conversion from one profile to another.

    Args:
        source: ICC profile; empty, sRGB.
        target: ICC profile of an RGB space; empty, sRGB.
        mode: L, RGB or CMYK, the mode of the photos to convert.

    Returns:
        A transform to RGB. `None` where it would change nothing that can be seen, or cannot be made: the profile is
        damaged, is of another kind of photo, or converts in the other direction only.
    """
    if source == target or (source and source[16:20] != {"L": b"GRAY", "RGB": b"RGB ", "CMYK": b"CMYK"}[mode]):
        return None
    try:
        profiles = [ImageCms.ImageCmsProfile(io.BytesIO(icc)) if icc else _srgb() for icc in (source, target)]
        transform = ImageCms.buildTransform(
            *profiles,
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError):
        return None
    if mode != "CMYK":
        # There are many profiles for sRGB; most photos carry one of them.
        levels = np.arange(256, dtype=np.uint8)[:, None] if mode == "L" else _colors()
        before = Image.fromarray(levels)
        after = np.asarray(transform.apply(before), np.int16)
        if np.abs(after - np.asarray(before.convert("RGB"))).max() <= 2:
            return None
    return transform


def _colors() -> np.ndarray:
    """(512, 1, 3) uint8: a grid over all colors."""
    steps = np.linspace(0, 255, 8).astype(np.uint8)
    return np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 1, 3)


def _profile_to_write(icc: bytes) -> bytes:
    """The profile of the photo in color: its own, or sRGB where that cannot describe colors or be converted to."""
    if not icc or icc[16:20] not in (b"RGB ", b"GRAY", b"CMYK"):
        return b""
    there, back = _transform(icc, b"", "RGB"), _transform(b"", icc, "RGB")
    return icc if icc[16:20] == b"RGB " and (there is None) == (back is None) else _srgb_profile()


def _deep_converted(channels: np.ndarray, source: bytes, target: bytes) -> np.ndarray:
    """Converts 16-bit pixels from one profile to another.

    Args:
        channels: (height, width, 1 or 3) uint16.
        source: ICC profile; empty, sRGB.
        target: ICC profile; empty, sRGB.

    Returns:
        uint16 of the same shape. The same numbers where a profile is like sRGB, of another kind of photo, or made of
        tables instead of curves and a matrix.
    """
    mode = "RGB" if channels.shape[-1] == 3 else "L"
    if mode == "L" and source[16:20] == b"RGB ":
        return _deep_converted(np.repeat(channels, 3, axis=-1), source, target)
    if _transform(source, target, mode) is None:
        return channels
    try:
        from_curves, from_matrix = _curves(source or _srgb_profile())
        to_curves, to_matrix = _curves(target or _srgb_profile())
    except (LookupError, ValueError, struct.error):
        return channels
    steps = np.linspace(0, 1, 65536)
    if mode == "L":
        levels = np.interp(from_curves[0], to_curves[0], steps)
        return np.rint(levels * 65535).astype(np.uint16)[channels]
    matrix = np.linalg.solve(to_matrix, from_matrix).T
    converted = np.empty_like(channels)
    for rows, result in zip(_strips(channels), _strips(converted), strict=True):
        linear = np.stack([curve[rows[..., i]] for i, curve in enumerate(from_curves)], axis=-1) @ matrix
        for i, curve in enumerate(to_curves):
            result[..., i] = np.rint(np.interp(linear[..., i], curve, steps) * 65535)
    return converted


def _curves(icc: bytes) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Curves of an ICC profile, each at 65,536 levels from 0 to 1, and its (3, 3) matrix from linear RGB to XYZ."""
    tags = {}
    for at in range(132, 132 + 12 * int.from_bytes(icc[128:132], "big"), 12):
        signature, offset, size = struct.unpack_from(">4sII", icc, at)
        tags[signature] = icc[offset : offset + size]
    if icc[16:20] == b"GRAY":
        return [_curve(tags[b"kTRC"])], None
    columns = [struct.unpack_from(">3i", tags[name], 8) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    return [_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")], np.array(columns).T / 65536


def _curve(tag: bytes) -> np.ndarray:
    x = np.linspace(0, 1, 65536)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        values = np.frombuffer(tag, ">u2", count, 12)
        if count < 2:
            return x ** (values[0] / 256) if count else x
        return np.interp(x, np.linspace(0, 1, count), values / 65535)
    if tag[:4] != b"para":
        raise ValueError(f"an unknown kind of curve, {tag[:4]}")
    (kind,) = struct.unpack_from(">H", tag, 8)
    count = (1, 3, 4, 5, 7)[kind]
    numbers = np.zeros(7)
    numbers[:count] = np.frombuffer(tag, ">i4", count, 12) / 65536
    g, a, b, c, d, e, f = numbers
    if kind == 0:
        a = 1.0
    elif kind < 3:
        c, d, e, f = 0.0, -b / a, c, c
    return np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f).clip(0, 1)


# What a file says beside its pixels.


def _metadata(image: Image.Image, data: bytes, icc: bytes) -> dict:
    """What `Photo.metadata` holds."""
    info = image.info
    found = {
        "exif": _exif_of_tiff(data) if image.format == "TIFF" else _exif(info),
        "icc": _profile_to_write(icc),
        "dpi": _dpi(info),
        "xmp": _xmp(info),
        "comment": info.get("comment"),
    }
    if image.format == "JPEG":
        found["iptc"] = next((part for mark, part in image.applist if mark == "APP13"), None)
        found["tables"] = _tables(image)
    elif image.format == "PNG":
        # A profile that is written as text is that of EXIF or ICC, which are written in their own places.
        found["text"] = {
            key: value
            for key, value in info.items()
            if isinstance(value, str) and not key.startswith(("XML:com.adobe.xmp", "Raw profile type"))
        }
    elif image.format == "TIFF":
        found["compression"] = info.get("compression")
    elif image.format == "WEBP":
        found["lossless"] = _is_lossless_webp(data)
    return {key: value for key, value in found.items() if value}


def _exif(info: dict) -> bytes:
    """The EXIF block of a photo, a small TIFF, empty where there is none."""
    exif = info.get("exif") or b""
    raw = info.get("Raw profile type exif")  # how PNG held EXIF before 2017: a name, a length, hexadecimal digits
    if raw and not exif:
        with contextlib.suppress(ValueError):
            exif = bytes.fromhex("".join(raw.split("\n")[3:]))
    while exif.startswith(b"Exif\0\0"):
        exif = exif[6:]
    return exif if exif[:4] in (b"II*\0", b"MM\0*") else b""


def _exif_of_tiff(data: bytes) -> bytes:
    """The tags of a TIFF that do not belong to its pixels, as an EXIF block."""
    try:
        order, offset, big = _tiff_header(data)
        tags, _ = _read_ifd(data, offset, order, _SUB_IFDS, big)
    except struct.error:
        return b""
    return _pack_tiff({tag: value for tag, value in tags.items() if tag not in _LAYOUT_TAGS}, order)


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1..8, that still has to be applied; also where it stands in the XMP only."""
    if image.format == "TIFF":
        return image.info.get("orientation", 1)  # Pillow applies it
    exif = _exif(image.info)
    if exif:
        with contextlib.suppress(struct.error):
            order, offset, _ = _tiff_header(exif)
            tags, _ = _read_ifd(exif, offset, order)
            if _ORIENTATION in tags:
                return int.from_bytes(tags[_ORIENTATION][2][:2], "little" if order == "<" else "big")
    found = re.search(rb'tiff:Orientation(?:="|>)([1-8])', _as_bytes(image.info.get("xmp")))
    return int(found[1]) if found else 1


def _xmp(info: dict) -> bytes:
    return re.sub(rb'(tiff:Orientation(?:="|>))[2-8]', rb"\g<1>1", _as_bytes(info.get("xmp")))


def _as_bytes(text: bytes | str | None) -> bytes:
    return text.encode() if isinstance(text, str) else text or b""


def _dpi(info: dict) -> tuple[float, float] | None:
    dpi = info.get("dpi")
    if dpi == (72, 72) and info.get("jfif_unit", 1) not in (1, 2):
        return None  # Pillow's guess for a JPEG that does not say it
    with contextlib.suppress(TypeError, ValueError, ZeroDivisionError):
        x, y = (float(value) for value in dpi)
        if 1 < x < 65535 and 1 < y < 65535:  # 1 is Pillow's guess for a TIFF that does not say it
            return x, y
    return None


def _tables(image: JpegImagePlugin.JpegImageFile) -> dict:
    """Options that make Pillow write a color JPEG as finely as this one."""
    options = {"progressive": bool(image.info.get("progressive"))}
    tables = [list(table) for _, table in sorted(image.quantization.items())]
    if image.layers == 1 and tables:
        luma = tables[0]
        standard_luma, standard_chroma = _standard_tables()
        scale = min(sum(luma) / sum(standard_luma), _COARSEST_CHROMA)
        chroma = [min(max(round(step * scale), 1), 255) for step in standard_chroma]
        return {**options, "qtables": [luma, chroma]}
    if image.layers == 3 and tables:
        return {**options, "qtables": tables, "subsampling": JpegImagePlugin.get_sampling(image)}
    return options


@functools.cache
def _standard_tables() -> tuple[list[int], list[int]]:
    """Quantization tables of the JPEG standard (ITU-T T.81, annex K.1), for luminance and chroma."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", quality=50)  # where libjpeg takes them as they are
    tables = JpegImagePlugin.JpegImageFile(io.BytesIO(file.getvalue())).quantization
    return list(tables[0]), list(tables[1])


def _is_lossless_webp(data: bytes) -> bool:
    at = 12
    while at + 8 <= len(data):
        chunk, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if chunk in (b"VP8L", b"VP8 "):
            return chunk == b"VP8L"
        # The frame of an animation begins with 16 bytes of its own, then come its chunks.
        at += 8 + (16 if chunk == b"ANMF" else size + size % 2)
    return False


# EXIF and TIFF are the same structure: IFDs, which are tables of tags. Values stay the bytes that they are, so that
# nothing is lost on the way: neither their types, nor letters outside of ASCII, nor what only a camera knows.


def _tiff_header(data: bytes) -> tuple[str, int, bool]:
    """The byte order (for `struct`), the offset of the first IFD, and whether it is a BigTIFF."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    (offset,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    return order, offset, big


def _read_ifd(
    data: bytes, offset: int, order: str, pointers: dict | None = None, big: bool = False
) -> tuple[_Tags, int]:
    """Reads an IFD.

    Args:
        data: the file, or EXIF block.
        offset: where the IFD begins.
        order: "<" or ">".
        pointers: tags to follow, each with those to follow in the IFD that it points to.
        big: whether it is a BigTIFF.

    Returns:
        Its tags, without those that are damaged, and the offset of the next IFD, or 0.
    """
    count_format, entry_format, size_of_entry = ("Q", "HHQ8s", 20) if big else ("H", "HHI4s", 12)
    (count,) = struct.unpack_from(order + count_format, data, offset)
    start = offset + struct.calcsize(order + count_format)
    byte_order = "little" if order == "<" else "big"
    tags: _Tags = {}
    for at in range(start, start + count * size_of_entry, size_of_entry):
        tag, kind, number, value = struct.unpack_from(order + entry_format, data, at)
        size = number * _TYPE_SIZES.get(kind, 0)
        if size > len(value):
            place = int.from_bytes(value, byte_order)
            value = data[place : place + size]
        if not size or len(value) < size:
            continue
        if pointers and tag in pointers:
            with contextlib.suppress(struct.error):
                place = int.from_bytes(value[:size], byte_order)
                tags[tag] = (_LONG, 1, _read_ifd(data, place, order, pointers[tag], big)[0])
        elif kind not in (16, 17, 18):  # 64-bit numbers, which only a BigTIFF may hold
            tags[tag] = (kind, number, value[:size])
    end = start + count * size_of_entry
    pointer = data[end : end + (8 if big else 4)]
    return tags, int.from_bytes(pointer, byte_order)


def _pack_ifd(tags: _Tags, order: str, offset: int) -> bytes:
    """An IFD and the values of its tags, to stand at an even offset of a file."""
    entries, values = b"", b""
    values_offset = offset + 2 + 12 * len(tags) + 4
    for tag in sorted(tags):
        kind, number, value = tags[tag]
        place = values_offset + len(values)
        if isinstance(value, dict):
            values += _pack_ifd(value, order, place)
            value = struct.pack(order + "I", place)
        elif len(value) > 4:
            values += value + b"\0" * (len(value) % 2)
            value = struct.pack(order + "I", place)
        entries += struct.pack(order + "HHI4s", tag, kind, number, value)
    return struct.pack(order + "H", len(tags)) + entries + bytes(4) + values


def _pack_tiff(tags: _Tags, order: str) -> bytes:
    """An EXIF block of these tags, empty where there are none."""
    if not tags:
        return b""
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8) + _pack_ifd(tags, order, 8)


def _edit_exif(exif: bytes, note: str | None) -> bytes:
    """Takes the orientation and the thumbnail out of an EXIF block, and adds a note to the description.

    What is there stays in its place and a new first IFD is appended: makers' notes point to places of the block in ways
    that nobody else knows.
    """
    if not exif:
        return _pack_tiff({_DESCRIPTION: _described(b"", note)}, "<") if note else b""
    try:
        order, offset, _ = _tiff_header(exif)
        tags, next_offset = _read_ifd(exif, offset, order)
    except struct.error:
        return _edit_exif(b"", note)  # damaged
    tags.pop(_ORIENTATION, None)
    if note:
        tags[_DESCRIPTION] = _described(tags.get(_DESCRIPTION, (_ASCII, 0, b""))[2], note)
    exif = _without_thumbnail(exif, next_offset, order)
    exif += b"\0" * (len(exif) % 2)
    return exif[:4] + struct.pack(order + "I", len(exif)) + exif[8:] + _pack_ifd(tags, order, len(exif))


def _without_thumbnail(exif: bytes, offset: int, order: str) -> bytes:
    """Cuts off or blanks the thumbnail that the second IFD describes."""
    try:
        tags, _ = _read_ifd(exif, offset, order) if offset else ({}, 0)
        start, length = (
            int.from_bytes(tags[tag][2], "little" if order == "<" else "big")
            for tag in (_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH)
        )
    except (struct.error, KeyError):
        return exif
    if exif[start : start + 2] != b"\xff\xd8":
        return exif  # a damaged pointer: who knows what is there
    rest = exif[start + length :]
    return exif[:start] + (bytes(length) + rest if rest.strip(b"\0") else b"")


def _described(description: bytes, note: str) -> tuple[int, int, bytes]:
    """The tag of a description with a note after it. EXIF says ASCII; UTF-8 is what programs read and write."""
    text = description.rstrip(b"\0 ").decode("utf-8", "surrogateescape")
    noted = _noted(text, note).encode("utf-8", "surrogateescape") + b"\0"
    return _ASCII, len(noted), noted


def _noted(text: str, note: str | None) -> str:
    if not note or note in text:
        return text
    return f"{text} ({note})" if text.strip() else note


# Writers: of (height, width, 3 or 4) pixels, in the colors of the profile `icc` of the metadata.


def _write_by_pillow(file: io.BytesIO, pixels: np.ndarray, metadata: dict, kind: str) -> None:
    options = {"icc_profile": metadata.get("icc"), "exif": metadata["exif"], "xmp": metadata.get("xmp", b"")}
    halved = pixels.shape[0] * pixels.shape[1] >= _PIXELS_FOR_HALVED_CHROMA
    if kind == "JPEG":
        options["exif"] = _short_exif(metadata["exif"])
        if len(options["xmp"]) > 65000:
            del options["xmp"]  # longer than a JPEG can hold
        if "iptc" in metadata:
            part = metadata["iptc"]
            options["extra"] = b"\xff\xed" + struct.pack(">H", len(part) + 2) + part
        options["comment"] = metadata.get("comment", b"")
        options["subsampling"] = "4:2:0" if halved else "4:4:4"
        options.update(metadata.get("tables", {}))
    elif kind == "AVIF":
        options["subsampling"] = "4:2:0" if halved else "4:4:4"
    elif kind == "WEBP":
        options["lossless"] = metadata.get("lossless", False)
        options["exact"] = True  # colors stay where the photo is transparent
    if "dpi" in metadata:
        options["dpi"] = metadata["dpi"]
    if "qtables" not in options and not options.get("lossless"):
        options["quality"] = _QUALITY.get(kind)
    Image.fromarray(pixels).save(file, kind, **{name: value for name, value in options.items() if value is not None})


def _short_exif(exif: bytes) -> bytes:
    """The EXIF block with its marker, in the 64 KiB of a JPEG; where it is longer, without its longest values."""
    if len(exif) > _LONGEST_EXIF:
        order, offset, _ = _tiff_header(exif)
        tags, _ = _read_ifd(exif, offset, order, _SUB_IFDS)
        exif = _pack_tiff(_without_long(tags), order)
    return b"Exif\0\0" + exif if 0 < len(exif) <= _LONGEST_EXIF else b""


def _without_long(tags: _Tags) -> _Tags:
    return {
        tag: (kind, number, _without_long(value) if isinstance(value, dict) else value)
        for tag, (kind, number, value) in tags.items()
        if len(value) <= 4096
    }


def _write_png(file: io.BytesIO, pixels: np.ndarray, metadata: dict) -> None:
    text = PngImagePlugin.PngInfo()
    for key, value in metadata.get("text", {}).items():
        if key != "Comment":
            text.add_text(key, value)
    comment = _noted(metadata.get("text", {}).get("Comment", ""), metadata["note"])
    if comment:
        text.add_text("Comment", comment)
    if "xmp" in metadata:
        text.add_itxt("XML:com.adobe.xmp", metadata["xmp"])
    options = {"pnginfo": text, "exif": metadata["exif"]}
    options |= {"icc_profile": metadata.get("icc"), "dpi": metadata.get("dpi")}
    if pixels.dtype == np.uint8:
        Image.fromarray(pixels).save(file, "PNG", **options)
        return
    # Pillow cannot write 16-bit colors. It writes a photo of one pixel, of which all but the pixel is taken.
    small = io.BytesIO()
    Image.new("RGB", (1, 1)).save(small, "PNG", **options)
    chunks = small.getvalue()
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, 2 if channels == 3 else 6, 0, 0, 0)
    file.write(chunks[:8] + _png_chunk(b"IHDR", header))
    file.write(chunks[8 + 25 : chunks.rindex(b"IDAT") - 4])
    packer = zlib.compressobj(6, zlib.DEFLATED, 15, 9, zlib.Z_FILTERED)
    above = np.zeros((1, width, channels * 2), np.uint8)
    for rows in _strips(pixels):
        values = rows.astype(">u2").view(np.uint8)
        filtered = _png_filtered(values, np.concatenate([above, values[:-1]]))
        above = values[-1:]
        file.write(_png_chunk(b"IDAT", packer.compress(filtered)))
    file.write(_png_chunk(b"IDAT", packer.flush()))
    file.write(_png_chunk(b"IEND", b""))


def _png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _png_filtered(values: np.ndarray, above: np.ndarray) -> bytes:
    """Rows of a PNG, each as the difference to its neighbors that promises to be packed best.

    Args:
        values: (rows, width, bytes of a pixel) uint8.
        above: the rows above them, likewise.
    """
    left, above_left = (np.pad(rows[:, :-1], ((0, 0), (1, 0), (0, 0))) for rows in (values, above))
    average = ((left.astype(np.uint16) + above) >> 1).astype(np.uint8)
    # The PNG specification's types 1, 2 and 3, and 4, "Paeth": the neighbor nearest to left + above - above left.
    to_left, to_above = (rows.astype(np.int16) - above_left for rows in (above, left))
    to_both = np.abs(to_left + to_above)
    to_left, to_above = np.abs(to_left), np.abs(to_above)
    paeth = np.where(to_above <= to_both, above, above_left)
    paeth = np.where((to_left <= to_above) & (to_left <= to_both), left, paeth)
    candidates = np.stack([values - near for near in (left, above, average, paeth)])
    # The usual rule of thumb: the smallest sum of the differences, taken as signed.
    cost = np.abs(candidates.view(np.int8).astype(np.int16)).sum(axis=(2, 3), dtype=np.int64)
    best = cost.argmin(axis=0)
    rows = candidates[best, np.arange(len(values))].reshape(len(values), -1)
    return np.concatenate([(best + 1).astype(np.uint8)[:, None], rows], axis=1).tobytes()


def _write_tiff(file: io.BytesIO, pixels: np.ndarray, metadata: dict) -> None:
    """Writes a TIFF of baseline layout (TIFF 6.0, part 1), packed by Deflate unless the original was not packed."""
    exif = metadata["exif"]
    order, tags = "<", {}
    if exif:
        order, offset, _ = _tiff_header(exif)
        tags = _read_ifd(exif, offset, order, _SUB_IFDS)[0]
        tags = {tag: value for tag, value in tags.items() if tag not in _LAYOUT_TAGS}
    height, width, channels = pixels.shape
    packed = metadata.get("compression") != "raw"
    rows_per_strip = max(1, (1 << 18) // (width * channels * pixels.itemsize))
    file.write((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))
    offsets, lengths = [], []
    for start in range(0, height, rows_per_strip):
        rows = pixels[start : start + rows_per_strip]
        if packed:
            rows = np.concatenate([rows[:, :1], rows[:, 1:] - rows[:, :-1]], axis=1)  # predictor 2
        strip = rows.astype(rows.dtype.newbyteorder(order)).tobytes()
        offsets.append(file.tell())
        lengths.append(file.write(zlib.compress(strip) if packed else strip))

    def shorts(*values):
        return _SHORT, len(values), struct.pack(f"{order}{len(values)}H", *values)

    def longs(*values):
        return _LONG, len(values), struct.pack(f"{order}{len(values)}I", *values)

    tags |= {
        256: longs(width),
        257: longs(height),
        258: shorts(*[8 * pixels.itemsize] * channels),
        259: shorts(8 if packed else 1),
        262: shorts(2),  # RGB
        273: longs(*offsets),
        277: shorts(channels),
        278: longs(rows_per_strip),
        279: longs(*lengths),
        284: shorts(1),
    }
    if packed:
        tags[317] = shorts(2)
    if channels == 4:
        tags[338] = shorts(2)  # alpha, with which the colors were not multiplied
    if "dpi" in metadata and _X_RESOLUTION not in tags:
        for tag, value in zip((_X_RESOLUTION, _Y_RESOLUTION), metadata["dpi"], strict=True):
            ratio = Fraction(value).limit_denominator(1000)
            tags[tag] = (_RATIONAL, 1, struct.pack(order + "II", ratio.numerator, ratio.denominator))
        tags[_RESOLUTION_UNIT] = shorts(2)
    for tag, kind, key in ((_ICC, _UNDEFINED, "icc"), (_XMP, 1, "xmp")):
        if metadata.get(key):
            tags[tag] = (kind, len(metadata[key]), metadata[key])
    file.write(bytes(file.tell() % 2))
    place = file.tell()
    file.write(_pack_ifd(tags, order, place))
    file.seek(4)
    file.write(struct.pack(order + "I", place))


def _write_gif(file: io.BytesIO, pixels: np.ndarray, metadata: dict) -> None:
    image = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
    palette = image.quantize(255, Image.Quantize.MEDIANCUT)
    image = image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    options = {"comment": _noted(_as_bytes(metadata.get("comment")).decode(errors="replace"), metadata["note"])}
    if pixels.shape[-1] == 4:
        transparent = Image.fromarray(np.where(pixels[..., 3] < 128, 255, 0).astype(np.uint8))
        image.paste(255, mask=transparent)
        options["transparency"] = 255
    image.save(file, "GIF", optimize=False, **options)


def _write_heif(file: io.BytesIO, pixels: np.ndarray, metadata: dict) -> None:
    image = Image.fromarray(pixels)
    image.info = {"exif": metadata["exif"], "xmp": metadata.get("xmp"), "icc_profile": metadata.get("icc")}
    image.info = {key: value for key, value in image.info.items() if value}
    halved = pixels.shape[0] * pixels.shape[1] >= _PIXELS_FOR_HALVED_CHROMA
    chroma = 420 if halved else 444
    _heif_plugin("the photo").from_pillow(image).save(file, quality=_QUALITY["HEIF"], chroma=chroma)


_WRITERS = {"PNG": _write_png, "TIFF": _write_tiff, "GIF": _write_gif, "HEIF": _write_heif}

"""Reads photos of any usual format, and writes them back in colour with what their files said about them."""

import contextlib
import io
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from rainbownet.data.deep import deep_channels, gray_channels, is_deep_gray, open_by_tifffile, to_8_bit, to_16_bit
from rainbownet.data.files import PhotoFile, write_atomically
from rainbownet.data.formats import (
    KIND_OF_SUFFIX,
    MAX_PIXELS,
    PLUGINS,
    PhotoError,
    check_size,
    errors_told,
    heif_plugin,
    kind_of,
)
from rainbownet.data.metadata import read_metadata, read_orientation
from rainbownet.data.profiles import convert_deep, from_srgb, in_srgb
from rainbownet.data.writers import encode

_SUBFILE = 254  # TIFF's tag for what a page is; its first bit, for a smaller copy of another


@dataclass
class Photo:
    """A photo, upright and in sRGB.

    Args:
        rgb: (height, width, 3) uint8 or uint16, not to be changed in place.
        alpha: (height, width), 0 where transparent, of the type of `rgb`; `None` for an opaque photo.
        gray: whether it is stored as gray; one stored in colour may still show no colour.
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
    """Reads a photo; of an animation, the first frame, and of a TIFF of several pages the first, with a warning.

    The EXIF orientation is applied. Colours are converted to sRGB from the profile that the file carries. More than
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
        if (pages := _pages(image)) > 1:
            warnings.warn(
                f"{name} has {pages} pages, of which only the first is read; save each as a photo.", stacklevel=2
            )
        if side is not None and image.format == "JPEG":
            image.draft("RGB", (side, side))
        channels = deep_channels(image, data, name)
        image.load()
        icc = image.info.get("icc_profile") or b""
        if channels is None:
            plain = _plain(image, name)
            gray = plain.mode in ("L", "LA")
            rgb, alpha = _channels(plain, icc)
        else:
            count = channels.shape[-1]
            gray = count < 3
            alpha = channels[..., -1] if count in (2, 4) else None
            rgb = convert_deep(channels[..., : 1 if gray else 3], icc, b"")
        if rgb.shape[-1] == 1:
            rgb = np.repeat(rgb, 3, axis=-1)
        orientation = read_orientation(image)
        if alpha is not None:
            alpha = _upright(alpha, orientation)
        return Photo(_upright(rgb, orientation), alpha, gray, image.format, read_metadata(image, data))


def read_image(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Reads a photo that is open in Pillow, as `read_photo` reads a file.

    Args:
        image: the photo.

    Returns:
        (height, width, 3 or, of gray photos, 1) uint8 or uint16, upright and in sRGB, and (height, width) uint8, 0
        where it is transparent, `None` for an opaque photo.

    Raises:
        PhotoError: it holds numbers of an unknown range.
    """
    image.load()
    if is_deep_gray(image):
        channels = gray_channels(image, "the image")
        rgb, alpha = channels[..., :1], to_8_bit(channels[..., 1]) if channels.shape[-1] == 2 else None
    else:
        rgb, alpha = _channels(_plain(image, "the image"), image.info.get("icc_profile") or b"")
    orientation = read_orientation(image)
    return _upright(rgb, orientation), None if alpha is None else _upright(alpha, orientation)


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
        rgb = in_srgb(plain, image.info.get("icc_profile") or b"").convert("RGB")
        if plain.mode in ("LA", "RGBA"):
            rgb = _on_white(rgb, plain.getchannel("A"))
        return _upright(np.asarray(rgb), read_orientation(image))


def write_photo(path: str | Path, rgb: np.ndarray, like: Photo, note: str | None = None) -> None:
    """Writes a photo whole or not at all, in the format that the suffix of `path` names.

    EXIF with date and place, ICC profile, resolution, XMP, text and transparency are those of `like`, as far as the
    format has a place for them. The orientation is left out, since the pixels are upright, and so is the EXIF's
    thumbnail. 16 bits are written to PNG and TIFF. A JPEG made from a JPEG keeps its quantization tables.

    Args:
        path: file to write. Missing folders are made, a file of this name is replaced.
        rgb: (height, width, 3) uint8 or uint16, sRGB, upright.
        like: the photo whose metadata are written. Its `alpha` is written where it has the size of `rgb`.
        note: how the photo was coloured. It is added to the EXIF's description, after one that is there, and to the
            comment of a PNG or GIF. BMP has no place for it.

    Raises:
        PhotoError: if the format cannot be written, or cannot hold a photo of this size.
        ValueError: if `rgb` is no photo, or the folder cannot be written to.
    """
    path = Path(path)
    kind = KIND_OF_SUFFIX.get(path.suffix.lower())
    if kind is None:
        raise PhotoError(
            f"{path} does not say in which format to write; expected a name that ends in "
            f"{', '.join(sorted(KIND_OF_SUFFIX))}."
        )
    if rgb.dtype not in (np.uint8, np.uint16) or rgb.ndim != 3 or rgb.shape[-1] != 3:
        raise ValueError(f"rgb has to be (height, width, 3) uint8 or uint16; received {rgb.shape} {rgb.dtype}.")
    icc = like.metadata.get("icc", b"") if kind not in ("BMP", "GIF") else b""
    alpha = like.alpha if like.alpha is not None and like.alpha.shape == rgb.shape[:2] else None
    with errors_told(f"{path} cannot be written as {kind}"):
        if kind in ("PNG", "TIFF") and rgb.dtype == np.uint16:
            pixels = convert_deep(rgb, b"", icc)
        else:
            image = from_srgb(Image.fromarray(to_8_bit(rgb)), icc)
            if alpha is not None and kind in ("JPEG", "BMP"):
                image, alpha = _on_white(image, Image.fromarray(to_8_bit(alpha))), None
            pixels = np.asarray(image)
        if alpha is not None:
            alpha = to_8_bit(alpha) if pixels.dtype == np.uint8 else to_16_bit(alpha)
            pixels = np.concatenate([pixels, alpha[..., None]], axis=-1)
        # Encoded in memory first: the encoders' own writing to a file loses the reason when the disk is full.
        encoded = encode(pixels, kind, like.metadata, note)
    with write_atomically(path) as temporary:
        temporary.write_bytes(encoded)


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


def _open(data: bytes, name: str) -> Image.Image:
    """Reads the header of a photo. Its pixels are not decoded and no memory is taken for them, but for rare TIFFs.

    The plugins are called themselves, since `Image.open` warns of photos above 89 million pixels, and its limit can be
    changed for the whole process only.
    """
    if not data:
        raise PhotoError(f"{name} is empty (0 bytes); expected a photo.")
    kind = kind_of(data)
    if kind is None:
        raise PhotoError(f"{name} is no photo; expected JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF or HEIC.")
    plugin = heif_plugin(name).HeifImageFile if kind == "HEIF" else PLUGINS[kind]
    with _decoding(name):
        try:
            image = plugin(io.BytesIO(data))
        except SyntaxError:
            if kind != "TIFF":
                raise
            image = open_by_tifffile(data, name)
        else:
            # Pillow would cut channels of 16 bits that lie apart (planar configuration 2) to 8 bits.
            if kind == "TIFF" and image.tag_v2.get(284) == 2 and 16 in image.tag_v2.get(258, ()):
                image = open_by_tifffile(data, name)
    check_size(image.size, name)
    return image


def _decoding(name: str) -> contextlib.AbstractContextManager[None]:
    return errors_told(f"{name} is damaged or cut off and cannot be read")


def _plain(image: Image.Image, name: str) -> Image.Image:
    """The photo in 8 bits a channel: L, LA, RGB, RGBA, CMYK or LAB."""
    if is_deep_gray(image):
        channels = to_8_bit(gray_channels(image, name))
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


def _channels(plain: Image.Image, icc: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """What `_plain` gave in sRGB, (height, width, 1 or 3) uint8, and its alpha."""
    alpha = np.asarray(plain.getchannel("A")) if plain.mode in ("LA", "RGBA") else None
    return np.atleast_3d(np.asarray(in_srgb(plain, icc))), alpha


def _pages(image: Image.Image) -> int:
    """Pages of a TIFF, without the smaller copies of a page that it may hold; 1 for other photos."""
    if image.format != "TIFF" or getattr(image, "n_frames", 1) == 1:
        return 1
    pages = 0
    for place in range(image.n_frames):
        image.seek(place)
        pages += not image.tag_v2.get(_SUBFILE, 0) & 1
    image.seek(0)
    return pages


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

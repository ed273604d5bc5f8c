"""Pixels of 16 bits a channel. Pillow knows them for gray only; those of colours are taken from its decoders here."""

import io
import sys

import numpy as np
from PIL import Image

from rainbownet.data.exif import ICC, ORIENTATION, XMP
from rainbownet.data.formats import PLUGINS, PhotoError, check_size

# Tags of TIFF 6.0.
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262


def to_8_bit(values: np.ndarray) -> np.ndarray:
    """Gives uint8 of uint8 or uint16, rounded."""
    if values.dtype == np.uint8:
        return values
    return np.concatenate([((rows.astype(np.uint32) * 255 + 32895) >> 16).astype(np.uint8) for rows in strips(values)])


def to_16_bit(values: np.ndarray) -> np.ndarray:
    """Gives uint16 of uint8 or uint16."""
    return values.astype(np.uint16) * 257 if values.dtype == np.uint8 else values


def strips(values: np.ndarray) -> list[np.ndarray]:
    """Cuts (height, width, ...) pixels into strips of some rows each: what is made of one takes little memory."""
    rows = max(1, (1 << 20) // max(1, values[0].size))
    return [values[start : start + rows] for start in range(0, len(values), rows)]


def is_deep_gray(image: Image.Image) -> bool:
    """Tells whether Pillow holds a photo as gray of more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def deep_channels(image: Image.Image, data: bytes, name: str) -> np.ndarray | None:
    """Reads the channels of a photo with more than 8 bits each.

    Args:
        image: the photo with its header read and its pixels not yet decoded.
        data: bytes of the file.
        name: what the photo is called in an error.

    Returns:
        (height, width, channels) uint16: gray, gray and alpha, RGB, or RGB and alpha. `None` for other photos.

    Raises:
        PhotoError: if it holds numbers of an unknown range.
    """
    if "channels" in image.info:
        return image.info["channels"]
    if is_deep_gray(image):
        return gray_channels(image, name)
    # Pillow has no image of 16-bit colours, but its decoders name the layout of a file's pixels (the raw mode) and keep
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


def gray_channels(image: Image.Image, name: str) -> np.ndarray:
    """Reads a photo that `is_deep_gray`.

    Args:
        image: the photo.
        name: what it is called in an error.

    Returns:
        (height, width, 1 or 2) uint16, the second channel alpha.

    Raises:
        PhotoError: if it holds numbers of an unknown range.
    """
    image.load()
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        values = values.astype(np.uint16)
        bits = image.tag_v2.get(_BITS_PER_SAMPLE, (16,))[0] if image.format == "TIFF" else 16
        if bits < 16:
            values = _scaled(values, name, 2**bits - 1)
    else:
        values = _scaled(values, name)
    if image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == 0:
        values = 65535 - values  # 0 is white
    key = image.info.get("transparency")
    channels = [values] if key is None else [values, (values != key) * np.uint16(65535)]
    return np.stack(channels, axis=-1)


def open_by_tifffile(data: bytes, name: str) -> Image.Image:
    """Reads a TIFF of a kind that Pillow does not know, such as colours in floating point.

    Args:
        data: bytes of the file.
        name: what the photo is called in an error.

    Returns:
        The photo in 8 bits. Its `info` holds what `deep_channels` gives.

    Raises:
        PhotoError: if it is too large, neither gray nor RGB, or holds numbers of an unknown range.
    """
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page = tiff.pages[0]
        check_size((page.imagewidth, page.imagelength), name)
        channels = page.asarray()
        tags = {code: page.tags[code].value for code in (ORIENTATION, ICC, XMP) if code in page.tags}
        inverted = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        known = inverted or page.photometric in (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB)
        separate = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
    if channels.ndim == 2:
        channels = channels[..., None]
    elif separate:
        channels = np.moveaxis(channels, 0, -1)
    if not known or channels.ndim != 3 or channels.shape[-1] > 4:
        raise PhotoError(f"{name} is a TIFF of a kind that is not read; convert it to RGB first.")
    channels = to_16_bit(channels) if channels.dtype in (np.uint8, np.uint16) else _scaled(channels, name)
    if inverted:
        channels = 65535 - channels
    image = Image.fromarray(np.squeeze(to_8_bit(channels), -1) if channels.shape[-1] == 1 else to_8_bit(channels))
    image.format = "TIFF"
    image.info = {"channels": channels, "orientation": tags.get(ORIENTATION, 1)}
    image.info.update({key: tags[code] for key, code in (("icc_profile", ICC), ("xmp", XMP)) if code in tags})
    return image


def _with_layout(data: bytes, kind: str, layout: str) -> Image.Image:
    """The photo, its pixels taken as laid out in another way."""
    image = PLUGINS[kind](io.BytesIO(data))
    image.tile = [
        tile._replace(args=layout if isinstance(tile.args, str) else (layout, *tile.args[1:])) for tile in image.tile
    ]
    image.load()
    return image


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
    return np.concatenate([np.rint(rows * (65535 / top)).astype(np.uint16) for rows in strips(values)])

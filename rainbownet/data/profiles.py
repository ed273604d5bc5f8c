"""Colour profiles (ICC): pixels to sRGB and back.

8 bits go through LittleCMS, which Pillow brings. Through Pillow it takes no 16-bit colours: they are converted here by
the profile's own curves and matrix (ICC.1:2010, sections 8.3.3, 10.5 and 10.15).
"""

import functools
import io
import struct

import numpy as np
from PIL import Image, ImageCms

from rainbownet.data.deep import strips


def in_srgb(image: Image.Image, icc: bytes) -> Image.Image:
    """Converts a photo to L or RGB in sRGB, without its alpha.

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


def from_srgb(image: Image.Image, icc: bytes) -> Image.Image:
    """Converts an RGB photo in sRGB to the colours of a profile; to the same where that is empty or cannot be used."""
    transform = _transform(b"", icc, "RGB")
    return image if transform is None else transform.apply(image)


def convert_deep(channels: np.ndarray, source: bytes, target: bytes) -> np.ndarray:
    """Converts 16-bit pixels from one profile to another.

    Args:
        channels: (height, width, 1 or 3) uint16.
        source: ICC profile; empty, sRGB.
        target: ICC profile; empty, sRGB.

    Returns:
        uint16 of the same shape, but (height, width, 3) of gray with an RGB profile. The same numbers where a profile
        is like sRGB, of another kind of photo, or made of tables instead of curves and a matrix.
    """
    if channels.shape[-1] == 1 and source[16:20] == b"RGB ":
        channels = np.repeat(channels, 3, axis=-1)
    mode = "RGB" if channels.shape[-1] == 3 else "L"
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
    for rows, result in zip(strips(channels), strips(converted), strict=True):
        linear = np.stack([curve[rows[..., i]] for i, curve in enumerate(from_curves)], axis=-1) @ matrix
        for i, curve in enumerate(to_curves):
            result[..., i] = np.rint(np.interp(linear[..., i], curve, steps) * 65535)
    return converted


def profile_to_write(icc: bytes) -> bytes:
    """Gives the profile for a photo in colour: its own, or sRGB where that cannot describe colours or be converted to.

    Args:
        icc: the profile that the photo's file carries, or nothing.

    Returns:
        An ICC profile of an RGB space; empty where the file has none, or one that is damaged.
    """
    if icc[16:20] not in (b"RGB ", b"GRAY", b"CMYK"):
        return b""
    there, back = _transform(icc, b"", "RGB"), _transform(b"", icc, "RGB")
    return icc if icc[16:20] == b"RGB " and (there is None) == (back is None) else _srgb_profile()


@functools.cache
def _srgb_profile() -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # the time of its making: output should not depend on it
    return bytes(profile)


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
    """(512, 1, 3) uint8: a grid over all colours."""
    steps = np.linspace(0, 255, 8).astype(np.uint8)
    return np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 1, 3)


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

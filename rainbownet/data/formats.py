"""The formats of photos: how they are told apart, and what is refused of any of them."""

import contextlib
from collections.abc import Iterator

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

MAX_PIXELS = 200_000_000
"""A photo that claims more pixels is refused before any memory is taken for it: it may be made to exhaust memory."""

PLUGINS = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
}
"""Pillow's readers. HEIF has its own package, see `heif_plugin`."""

KIND_OF_SUFFIX = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **dict.fromkeys((".heic", ".heif"), "HEIF"),
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".avif": "AVIF",
}
"""The format to write by the suffix of a name, in lower case."""

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


class PhotoError(ValueError):
    """A photo that cannot be read or written; its text is one sentence for the user."""


def kind_of(data: bytes) -> str | None:
    """Gives the format of a file by its first bytes, whatever its name says; `None` if it is no photo."""
    if data[4:8] == b"ftyp":
        # The brand comes first, then those that the file is compatible with; AVIF files may name themselves "mif1".
        length = min(int.from_bytes(data[:4], "big"), 256)
        brands = {data[at : at + 4] for at in (8, *range(16, length, 4))}
        return "AVIF" if brands & _AVIF_BRANDS else "HEIF" if brands & _HEIF_BRANDS else None
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return next((kind for signature, kind in _SIGNATURES.items() if data.startswith(signature)), None)


def heif_plugin(name: str):
    """Imports the package for HEIC, which not everyone has.

    Args:
        name: what the photo is called in an error.

    Raises:
        PhotoError: if the package is not installed.
    """
    try:
        import pillow_heif
    except ImportError:
        raise PhotoError(f"{name} is HEIC, which needs one more package: pip install 'rainbownet[heif]'.") from None
    return pillow_heif


def check_size(size: tuple[int, int], name: str) -> None:
    """Refuses a photo of more than `MAX_PIXELS`.

    Args:
        size: width and height in pixels.
        name: what the photo is called in an error.

    Raises:
        PhotoError: if it is too large.
    """
    if size[0] * size[1] > MAX_PIXELS:
        raise PhotoError(
            f"{name} claims {size[0]} x {size[1]} pixels; expected at most {MAX_PIXELS // 10**6} million in all: make "
            "it smaller first."
        )


@contextlib.contextmanager
def errors_told(sentence: str) -> Iterator[None]:
    """Turns whatever a decoder or an encoder raises into a `PhotoError`: the sentence, and the reason in brackets."""
    try:
        yield
    except (PhotoError, MemoryError):
        raise
    except Exception as error:
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise PhotoError(f"{sentence} ({reason}).") from error

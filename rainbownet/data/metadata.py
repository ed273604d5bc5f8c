"""What a photo's file says beside its pixels, gathered from where each format keeps it."""

import contextlib
import functools
import io
import re

from PIL import Image, JpegImagePlugin

from rainbownet.data.exif import SIGNATURES, exif_of_tiff, orientation_of
from rainbownet.data.profiles import profile_to_write

# Chroma that was predicted gets at least the tables of quality 85, however coarse the original's luminance is.
_COARSEST_CHROMA = 0.3


def read_metadata(image: Image.Image, data: bytes) -> dict:
    """Reads what is needed to write a photo again.

    Args:
        image: the photo, its pixels decoded: some formats have text after them.
        data: bytes of its file.

    Returns:
        What `Photo.metadata` holds.
    """
    info = image.info
    found = {
        "exif": exif_of_tiff(data) if image.format == "TIFF" else _exif(info),
        "icc": profile_to_write(info.get("icc_profile") or b""),
        "dpi": _dpi(info),
        "xmp": re.sub(rb'(tiff:Orientation(?:="|>))[2-8]', rb"\g<1>1", _as_bytes(info.get("xmp"))),
        "comment": _as_bytes(info.get("comment")),
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


def read_orientation(image: Image.Image) -> int:
    """Reads EXIF's orientation, 1..8, that still has to be applied; also where it stands in the XMP only.

    Args:
        image: the photo, its pixels decoded.
    """
    if image.format == "TIFF":
        return image.info.get("orientation", 1)  # Pillow applies it
    stated = orientation_of(_exif(image.info))
    if stated is not None:
        return stated
    found = re.search(rb'tiff:Orientation(?:="|>)([1-8])', _as_bytes(image.info.get("xmp")))
    return int(found[1]) if found else 1


def _exif(info: dict) -> bytes:
    """The EXIF block of a photo, a small TIFF, empty where there is none."""
    exif = info.get("exif") or b""
    raw = info.get("Raw profile type exif")  # how PNG held EXIF before 2017: a name, a length, hexadecimal digits
    if raw and not exif:
        with contextlib.suppress(ValueError):
            exif = bytes.fromhex("".join(raw.split("\n")[3:]))
    while exif.startswith(b"Exif\0\0"):
        exif = exif[6:]
    return exif if exif.startswith(tuple(SIGNATURES.values())) else b""


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
    """Options that make Pillow write a colour JPEG as finely as this one."""
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

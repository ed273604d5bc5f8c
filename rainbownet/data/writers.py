"""Encodes photos, in the way of each format."""

import io
import struct
import zlib
from fractions import Fraction

import numpy as np
from PIL import Image, PngImagePlugin

from rainbownet.data import exif
from rainbownet.data.deep import strips
from rainbownet.data.formats import heif_plugin

# Qualities at which a photo cannot be told from its original beside it.
_QUALITY = {"JPEG": 93, "WEBP": 92, "AVIF": 85, "HEIF": 85}
# From here on halved chroma (4:2:0) cannot be seen at the sizes that photos are viewed at.
_PIXELS_FOR_HALVED_CHROMA = 2_000_000


def encode(pixels: np.ndarray, kind: str, metadata: dict, note: str | None) -> memoryview:
    """Encodes a photo.

    Args:
        pixels: (height, width, 3 or 4) uint8, in the colours of the profile that is written. The fourth channel is
            alpha, which a JPEG or BMP cannot hold. PNG and TIFF take uint16 too.
        kind: the format, as `formats.KIND_OF_SUFFIX` names it.
        metadata: `Photo.metadata` of the original.
        note: see `write_photo`.

    Returns:
        The bytes of the file.
    """
    metadata = {**metadata, "exif": exif.edit(metadata.get("exif", b""), note), "note": note}
    file = io.BytesIO()
    if kind in _WRITERS:
        _WRITERS[kind](file, pixels, metadata)
    else:
        _write_by_pillow(file, pixels, metadata, kind)
    return file.getbuffer()


def _write_by_pillow(file: io.BytesIO, pixels: np.ndarray, metadata: dict, kind: str) -> None:
    options = {"icc_profile": metadata.get("icc"), **{key: metadata.get(key) for key in ("exif", "xmp", "dpi")}}
    subsampling = "4:2:0" if _halves_chroma(pixels) else "4:4:4"
    if kind == "JPEG":
        options["exif"] = exif.fit_to_jpeg(metadata["exif"])
        if len(metadata.get("xmp", b"")) > 65000:
            del options["xmp"]  # longer than a JPEG can hold
        if "iptc" in metadata:
            part = metadata["iptc"]
            options["extra"] = b"\xff\xed" + struct.pack(">H", len(part) + 2) + part
        options |= {"comment": metadata.get("comment"), "subsampling": subsampling, **metadata.get("tables", {})}
    elif kind == "AVIF":
        options["subsampling"] = subsampling
    elif kind == "WEBP":
        options["lossless"] = metadata.get("lossless", False)
        options["exact"] = True  # colours stay where the photo is transparent
    if "qtables" not in options and not options.get("lossless"):
        options["quality"] = _QUALITY.get(kind)
    Image.fromarray(pixels).save(file, kind, **{name: value for name, value in options.items() if value is not None})


def _halves_chroma(pixels: np.ndarray) -> bool:
    return pixels.shape[0] * pixels.shape[1] >= _PIXELS_FOR_HALVED_CHROMA


def _write_png(file: io.BytesIO, pixels: np.ndarray, metadata: dict) -> None:
    texts = dict(metadata.get("text", {}))
    comment = exif.with_note(texts.pop("Comment", ""), metadata["note"])
    text = PngImagePlugin.PngInfo()
    for key, value in texts.items():
        text.add_text(key, value)
    if comment:
        text.add_text("Comment", comment)
    if "xmp" in metadata:
        text.add_itxt("XML:com.adobe.xmp", metadata["xmp"])
    options = {"pnginfo": text, "exif": metadata["exif"]}
    options |= {"icc_profile": metadata.get("icc"), "dpi": metadata.get("dpi")}
    if pixels.dtype == np.uint8:
        Image.fromarray(pixels).save(file, "PNG", **options)
    else:
        _write_deep_png(file, pixels, options)


def _write_deep_png(file: io.BytesIO, pixels: np.ndarray, options: dict) -> None:
    # Pillow cannot write 16-bit colours. It writes a photo of one pixel, of which all but the pixel is taken.
    small = io.BytesIO()
    Image.new("RGB", (1, 1)).save(small, "PNG", **options)
    chunks = small.getvalue()
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, 2 if channels == 3 else 6, 0, 0, 0)
    file.write(chunks[:8] + _png_chunk(b"IHDR", header))
    file.write(chunks[8 + 25 : chunks.rindex(b"IDAT") - 4])
    packer = zlib.compressobj(6, zlib.DEFLATED, 15, 9, zlib.Z_FILTERED)
    above = np.zeros((1, width, channels * 2), np.uint8)
    for rows in strips(pixels):
        values = rows.astype(">u2").view(np.uint8)
        filtered = _png_filtered(values, np.concatenate([above, values[:-1]]))
        above = values[-1:]
        file.write(_png_chunk(b"IDAT", packer.compress(filtered)))
    file.write(_png_chunk(b"IDAT", packer.flush()))
    file.write(_png_chunk(b"IEND", b""))


def _png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _png_filtered(values: np.ndarray, above: np.ndarray) -> bytes:
    """Rows of a PNG, each as the difference to its neighbours that promises to be packed best.

    Args:
        values: (rows, width, bytes of a pixel) uint8.
        above: the rows above them, likewise.
    """
    left, above_left = (np.pad(rows[:, :-1], ((0, 0), (1, 0), (0, 0))) for rows in (values, above))
    average = ((left.astype(np.uint16) + above) >> 1).astype(np.uint8)
    # The PNG specification's types 1, 2 and 3, and 4, "Paeth": the neighbour nearest to left + above - above left.
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
    tags, order = exif.tags_beside_pixels(metadata["exif"]) if metadata["exif"] else ({}, "<")
    height, width, channels = pixels.shape
    packed = metadata.get("compression") != "raw"
    rows_per_strip = max(1, (1 << 18) // (width * channels * pixels.itemsize))
    file.write(exif.SIGNATURES[order] + bytes(4))
    offsets, lengths = [], []
    for start in range(0, height, rows_per_strip):
        rows = pixels[start : start + rows_per_strip]
        if packed:
            rows = np.concatenate([rows[:, :1], rows[:, 1:] - rows[:, :-1]], axis=1)  # predictor 2
        strip = rows.astype(rows.dtype.newbyteorder(order)).tobytes()
        offsets.append(file.tell())
        lengths.append(file.write(zlib.compress(strip) if packed else strip))

    def shorts(*values):
        return exif.SHORT, len(values), struct.pack(f"{order}{len(values)}H", *values)

    def longs(*values):
        return exif.LONG, len(values), struct.pack(f"{order}{len(values)}I", *values)

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
        tags[338] = shorts(2)  # alpha, with which the colours were not multiplied
    if "dpi" in metadata and exif.X_RESOLUTION not in tags:
        for tag, value in zip((exif.X_RESOLUTION, exif.Y_RESOLUTION), metadata["dpi"], strict=True):
            ratio = Fraction(value).limit_denominator(1000)
            tags[tag] = (exif.RATIONAL, 1, struct.pack(order + "II", ratio.numerator, ratio.denominator))
        tags[exif.RESOLUTION_UNIT] = shorts(2)
    for tag, kind, key in ((exif.ICC, exif.UNDEFINED, "icc"), (exif.XMP, exif.BYTE, "xmp")):
        if metadata.get(key):
            tags[tag] = (kind, len(metadata[key]), metadata[key])
    file.write(bytes(file.tell() % 2))
    place = file.tell()
    file.write(exif.pack_ifd(tags, order, place))
    file.seek(4)
    file.write(struct.pack(order + "I", place))


def _write_gif(file: io.BytesIO, pixels: np.ndarray, metadata: dict) -> None:
    image = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
    palette = image.quantize(255, Image.Quantize.MEDIANCUT)
    image = image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    options = {"comment": exif.with_note(metadata.get("comment", b"").decode(errors="replace"), metadata["note"])}
    if pixels.shape[-1] == 4:
        transparent = Image.fromarray(np.where(pixels[..., 3] < 128, 255, 0).astype(np.uint8))
        image.paste(255, mask=transparent)
        options["transparency"] = 255
    image.save(file, "GIF", optimize=False, **options)


def _write_heif(file: io.BytesIO, pixels: np.ndarray, metadata: dict) -> None:
    image = Image.fromarray(pixels)
    image.info = {"exif": metadata["exif"], "xmp": metadata.get("xmp"), "icc_profile": metadata.get("icc")}
    image.info = {key: value for key, value in image.info.items() if value}
    chroma = 420 if _halves_chroma(pixels) else 444
    heif_plugin("the photo").from_pillow(image).save(file, quality=_QUALITY["HEIF"], chroma=chroma)


_WRITERS = {"PNG": _write_png, "TIFF": _write_tiff, "GIF": _write_gif, "HEIF": _write_heif}

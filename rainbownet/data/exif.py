"""The tags of EXIF and TIFF: read, edited and packed again.

Both are the same structure: IFDs, which are tables of tags. Values stay the bytes that they are, so that nothing is
lost on the way: neither their types, nor letters outside of ASCII, nor what only a camera knows.
"""

import contextlib
import struct

# Tags and types of TIFF 6.0 and EXIF 2.32.
ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, XMP, ICC = 274, 282, 283, 296, 700, 34675
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7

SIGNATURES = {"<": b"II*\0", ">": b"MM\0*"}
"""The first bytes of a TIFF or EXIF block by its byte order, which is named as `struct` does."""

Tags = dict[int, "tuple[int, int, bytes | Tags]"]
"""By tag its type, its number of values and their bytes, or the IFD that the tag points to."""

_DESCRIPTION, _EXIF_IFD, _GPS_IFD, _INTEROP_IFD = 270, 34665, 34853, 40965
_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH = 513, 514
_SUB_IFDS = {_EXIF_IFD: {_INTEROP_IFD: {}}, _GPS_IFD: {}}
# What tells how a TIFF's pixels are laid out, or what belongs to its old pixels only; a new file has its own.
_LAYOUT_TAGS = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, ORIENTATION, 277, 278, 279, 280, 281, 284, 288, 289),
    *(290, 291, 292, 293, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 326, 327, 328, 330, 332, 333, 334, 336),
    *(337, 338, 339, 340, 341, 342, 343, 344, 345, 347, *range(512, 522), 529, 530, 531, 532, XMP, ICC),
}
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_LONGEST_IN_JPEG = 65533 - 6  # of a marker, less "Exif\0\0"


def tags_beside_pixels(data: bytes) -> tuple[Tags, str]:
    """Reads the tags of a TIFF, or of an EXIF block, that do not belong to its pixels.

    Args:
        data: the file or the block.

    Returns:
        The tags, with the IFDs that they point to, and the byte order of their values, "<" or ">".

    Raises:
        struct.error: if it is damaged.
    """
    tags, order, _ = _read_tiff(data, _SUB_IFDS)
    return {tag: value for tag, value in tags.items() if tag not in _LAYOUT_TAGS}, order


def exif_of_tiff(data: bytes) -> bytes:
    """Gives the tags of a TIFF that do not belong to its pixels as an EXIF block, empty where there are none."""
    try:
        return _pack_tiff(*tags_beside_pixels(data))
    except struct.error:
        return b""


def orientation_of(exif: bytes) -> int | None:
    """Reads the orientation, 1..8, that an EXIF block states; `None` if it states none."""
    with contextlib.suppress(struct.error):
        tags, order, _ = _read_tiff(exif)
        if ORIENTATION in tags:
            return _number(tags[ORIENTATION][2][:2], order)
    return None


def edit(exif: bytes, note: str | None) -> bytes:
    """Takes the orientation and the thumbnail out of an EXIF block, and adds a note to the description.

    What is there stays in its place and a new first IFD is appended: makers' notes point to places of the block in ways
    that nobody else knows.

    Args:
        exif: the block without "Exif" before it, or nothing.
        note: what to add after the description, or `None`.

    Returns:
        The new block; empty if there is neither a block nor a note.
    """
    try:
        tags, order, next_offset = _read_tiff(exif)
    except struct.error:  # none, or damaged
        return _pack_tiff({_DESCRIPTION: _described(b"", note)}, "<") if note else b""
    tags.pop(ORIENTATION, None)
    if note:
        tags[_DESCRIPTION] = _described(tags.get(_DESCRIPTION, (ASCII, 0, b""))[2], note)
    exif = _without_thumbnail(exif, next_offset, order)
    exif += b"\0" * (len(exif) % 2)
    return exif[:4] + struct.pack(order + "I", len(exif)) + exif[8:] + pack_ifd(tags, order, len(exif))


def fit_to_jpeg(exif: bytes) -> bytes:
    """Gives an EXIF block with "Exif" before it, as long as the 64 KiB of a JPEG's marker allow.

    Args:
        exif: a block as `edit` gives it.

    Returns:
        The block; where it is too long, without its longest values; empty if that does not help or there is none.
    """
    if len(exif) > _LONGEST_IN_JPEG:
        tags, order, _ = _read_tiff(exif, _SUB_IFDS)
        exif = _pack_tiff(_without_long(tags), order)
    return b"Exif\0\0" + exif if 0 < len(exif) <= _LONGEST_IN_JPEG else b""


def with_note(text: str, note: str | None) -> str:
    """Adds a note after a text, unless it says so already."""
    if not note or note in text:
        return text
    return f"{text} ({note})" if text.strip() else note


def pack_ifd(tags: Tags, order: str, offset: int) -> bytes:
    """Packs an IFD and the values of its tags.

    Args:
        tags: its tags.
        order: byte order of their values, "<" or ">".
        offset: where in the file it will stand; an even number.
    """
    entries, values = b"", b""
    values_offset = offset + 2 + 12 * len(tags) + 4
    for tag in sorted(tags):
        kind, number, value = tags[tag]
        place = values_offset + len(values)
        if isinstance(value, dict):
            values += pack_ifd(value, order, place)
            value = struct.pack(order + "I", place)
        elif len(value) > 4:
            values += value + b"\0" * (len(value) % 2)
            value = struct.pack(order + "I", place)
        entries += struct.pack(order + "HHI4s", tag, kind, number, value)
    return struct.pack(order + "H", len(tags)) + entries + bytes(4) + values


def _pack_tiff(tags: Tags, order: str) -> bytes:
    """An EXIF block of these tags, empty where there are none."""
    return SIGNATURES[order] + struct.pack(order + "I", 8) + pack_ifd(tags, order, 8) if tags else b""


def _read_tiff(data: bytes, pointers: dict | None = None) -> tuple[Tags, str, int]:
    """The first IFD of a TIFF or EXIF block: its tags, their byte order, and the offset of the next IFD, or 0."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43  # a BigTIFF
    (offset,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    tags, next_offset = _read_ifd(data, offset, order, pointers, big)
    return tags, order, next_offset


def _read_ifd(
    data: bytes, offset: int, order: str, pointers: dict | None = None, big: bool = False
) -> tuple[Tags, int]:
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
    end = start + count * size_of_entry
    tags: Tags = {}
    for at in range(start, end, size_of_entry):
        tag, kind, number, value = struct.unpack_from(order + entry_format, data, at)
        size = number * _TYPE_SIZES.get(kind, 0)
        if size > len(value):
            place = _number(value, order)
            value = data[place : place + size]
        if not size or len(value) < size:
            continue
        value = value[:size]
        if pointers and tag in pointers:
            with contextlib.suppress(struct.error):
                tags[tag] = (LONG, 1, _read_ifd(data, _number(value, order), order, pointers[tag], big)[0])
        elif kind not in (16, 17, 18):  # 64-bit numbers, which only a BigTIFF may hold
            tags[tag] = (kind, number, value)
    return tags, _number(data[end : end + (8 if big else 4)], order)


def _number(value: bytes, order: str) -> int:
    return int.from_bytes(value, "little" if order == "<" else "big")


def _without_thumbnail(exif: bytes, offset: int, order: str) -> bytes:
    """Cuts off or blanks the thumbnail that the second IFD describes."""
    if not offset:
        return exif
    try:
        tags, _ = _read_ifd(exif, offset, order)
        start, length = (_number(tags[tag][2], order) for tag in (_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH))
    except (struct.error, KeyError):
        return exif
    if exif[start : start + 2] != b"\xff\xd8":
        return exif  # a damaged pointer: who knows what is there
    rest = exif[start + length :]
    return exif[:start] + (bytes(length) + rest if rest.strip(b"\0") else b"")


def _described(description: bytes, note: str) -> tuple[int, int, bytes]:
    """The tag of a description with a note after it. EXIF says ASCII; UTF-8 is what programs read and write."""
    text = description.rstrip(b"\0 ").decode("utf-8", "surrogateescape")
    noted = with_note(text, note).encode("utf-8", "surrogateescape") + b"\0"
    return ASCII, len(noted), noted


def _without_long(tags: Tags) -> Tags:
    return {
        tag: (kind, number, _without_long(value) if isinstance(value, dict) else value)
        for tag, (kind, number, value) in tags.items()
        if len(value) <= 4096
    }

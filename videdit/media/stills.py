"""Pictures: which sources are one, and where the first of several in a file ends."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from videdit.errors import InputError

MAX_BYTES = 2 << 30
"""Largest file of a picture, which is read whole: more than its pixels can take uncompressed."""

# Major brands of ISO base media files that hold a picture rather than a sequence of them (HEIF,
# ISO/IEC 23008-12; AVIF).
_STILL_BRANDS = {"heic", "heix", "heim", "heis", "mif1", "mif2", "miaf", "avif", "jxl "}
# What HEIF and AVIF files hold besides, by a word that is in them then.
_IN_HEIF = {
    b"Exif": "EXIF (not read from HEIF and AVIF)",
    b"urn:mpeg:hevc:2015:auxid:1": "alpha channel (not read from HEIF)",
    b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha": "alpha channel (not read from HEIF and AVIF)",
    b"hdrgainmap": "the gain map of an HDR picture",
}
# Of these suffixes a file that begins like a JPEG is a video of them.
_MOTION_JPEG = {".mjpeg", ".mjpg"}


def read_whole(path: Path, file: BinaryIO | None = None) -> bytes:
    """A picture's file.

    Args:
        file: the open file, read from its beginning; opened here if not given.

    Raises:
        InputError: it is larger than `MAX_BYTES`.
    """
    if path.stat().st_size > MAX_BYTES:
        raise InputError(
            f"{path} has more than {MAX_BYTES >> 30} GiB, which no picture needs",
            "Write it anew with another program",
        )
    return path.read_bytes() if file is None else file.read()


def declared_size(file: BinaryIO) -> tuple[int, int] | None:
    """Width and height that a picture's header states, before anything is made room for.

    Args:
        file: read from its beginning, and left there.

    Returns:
        None for what is no JPEG, PNG, WebP, TIFF or BMP, or one with a damaged header.
    """
    head = file.read(32)
    found: tuple[int, int] | None = None
    try:
        if head[:8] == b"\x89PNG\r\n\x1a\n":
            found = struct.unpack_from(">II", head, 16)
        elif head[:2] == b"BM":
            width, height = struct.unpack_from("<ii", head, 18)
            found = abs(width), abs(height)
        elif head[:3] == b"\xff\xd8\xff":
            found = _jpeg_size(file)
        elif head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) == 32:
            found = (
                1 + int.from_bytes(head[24:27], "little"),
                1 + int.from_bytes(head[27:30], "little"),
            )
        elif head[:4] in (b"II*\x00", b"MM\x00*"):
            found = _tiff_size(file, "<" if head[:1] == b"I" else ">")
    except (struct.error, OverflowError, OSError):
        found = None
    file.seek(0)
    return found


def _jpeg_size(file: BinaryIO) -> tuple[int, int] | None:
    """Of the first frame header (ITU-T T.81, B.2.2)."""
    at = 2
    while True:
        file.seek(at)
        begin, marker, length = struct.unpack(">BBH", file.read(4))
        if begin != 0xFF or marker in (0xD9, 0xDA):
            return None
        if marker == 0xFF:  # fill
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">xHH", file.read(5))
            return width, height
        else:
            at += 2 + length


def _tiff_size(file: BinaryIO, order: str) -> tuple[int, int] | None:
    """Tags 256 and 257 of the first directory."""
    file.seek(4)
    (first,) = struct.unpack(order + "I", file.read(4))
    file.seek(first)
    (count,) = struct.unpack(order + "H", file.read(2))
    sizes: dict[int, int] = {}
    for _ in range(count):
        entry = file.read(12)
        name, kind = struct.unpack_from(order + "HH", entry)
        if name in (256, 257) and kind in (3, 4):
            sizes[name] = struct.unpack_from(order + ("H" if kind == 3 else "I"), entry, 8)[0]
    return (sizes[256], sizes[257]) if len(sizes) == 2 else None


def is_still(path: Path, container: str) -> bool:
    """Whether the first frame of a source is a picture, whatever comes after it.

    Args:
        container: ffmpeg's name of what it was opened as.
    """
    with path.open("rb") as file:
        head = file.read(12)
    brand = head[8:].decode("latin-1") if head[4:8] == b"ftyp" else None
    return container.endswith("_pipe") or container == "ico" or brand in _STILL_BRANDS


def begins_as_jpeg(path: Path, head: bytes) -> bool:
    """Whether a file is to be cut to its first JPEG."""
    return head[:3] == b"\xff\xd8\xff" and path.suffix.lower() not in _MOTION_JPEG


def jpeg_end(data: bytes) -> int | None:
    """Where the first JPEG in some bytes ends; None where it is cut off.

    Phones append more (an Ultra HDR gain map, the other pictures of an MPO, a video). Walked by
    markers (ITU-T T.81, annex B): thumbnails lie inside of segments, so their ends don't count.
    """
    position, size = 2, len(data)
    while position + 1 < size:
        if data[position] != 0xFF:
            # Between segments there is nothing else; decoders skip it, and so is done here.
            position += 1
            continue
        marker = data[position + 1]
        if marker == 0xFF:  # fill
            position += 1
        elif marker == 0xD9:
            return position + 2
        elif marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            position += 2
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
            if marker == 0xDA:
                position = _scan_end(data, position)
    return None


def _scan_end(data: bytes, position: int) -> int:
    """The first marker after a scan's entropy-coded data that is neither stuffing nor a restart."""
    while (found := data.find(b"\xff", position)) >= 0 and found + 1 < len(data):
        marker = data[found + 1]
        if marker == 0x00 or 0xD0 <= marker <= 0xD7:
            position = found + 2
        elif marker == 0xFF:
            position = found + 1
        else:
            return found
    return len(data)


def is_animated_webp(head: bytes) -> bool:
    """Whether a file with these 32 first bytes is a WebP with several frames (RFC 9649)."""
    animated = len(head) > 20 and bool(head[20] & 0x02)
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and animated


def heif_profile(data: bytes) -> bytes | None:
    """The ICC profile of a HEIF or AVIF picture: its first ``colr`` box of the kind ``prof`` or
    ``rICC`` (ISO/IEC 14496-12, 12.1.5); None where there is none."""
    if data[4:8] != b"ftyp":
        return None
    for kind in (b"colrprof", b"colrrICC"):
        at = data.find(kind)
        if at >= 4:
            size = int.from_bytes(data[at - 4 : at], "big")
            return data[at + 8 : at - 4 + size]
    return None


def more_in(path: Path) -> list[str]:
    """What a picture's file holds besides its first picture, for the user."""
    data = read_whole(path)
    if data[4:8] == b"ftyp":
        return [text for word, text in _IN_HEIF.items() if word in data]
    if data[:3] != b"\xff\xd8\xff":
        return []
    rest = data[jpeg_end(data) or len(data) :]
    found = []
    if b"\xff\xd8\xff" in rest:
        found.append("the pictures after the first (another view, or a gain map of Ultra HDR)")
    if b"ftyp" in rest:
        found.append("the video of a motion photo")
    return found

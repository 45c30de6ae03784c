"""Pictures: which sources are one, and where the first of several in a file ends."""

from __future__ import annotations

from pathlib import Path

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
    data = path.read_bytes()
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

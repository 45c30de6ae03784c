"""The orientation that EXIF states for a picture (EXIF 2.32, tag 274)."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from videdit.media.stills import read_whole


def exif_orientation(path: Path) -> int | None:
    """EXIF tag 274 of a JPEG, PNG, WebP or TIFF picture, or None."""
    data = read_whole(path)
    # Where the TIFF structure begins: after JPEG's (and some WebP's) "Exif" header, PNG's chunk
    # name, WebP's chunk name and size, or at once in TIFF itself.
    pattern = rb"(?:Exif\x00\x00|eXIf|EXIF.{4}|\A)(?=II\*\x00|MM\x00\*)"
    block = re.search(pattern, data, re.DOTALL)
    if block is not None:
        start = block.end()
        order = "<" if data[start : start + 1] == b"I" else ">"
        try:
            (offset,) = struct.unpack_from(order + "I", data, start + 4)
            (count,) = struct.unpack_from(order + "H", data, start + offset)
            for entry in range(count):
                at = start + offset + 2 + 12 * entry
                tag_id, kind, _, value = struct.unpack_from(order + "HHIH", data, at)
                if tag_id == 274 and kind == 3:
                    return int(value)
        except struct.error:
            return None
    return None


def upright_exif(raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The EXIF block with its orientation (tag 274, SHORT, one value) set to 1."""
    data = raw.tobytes()
    little, big = b"\x12\x01\x03\x00\x01\x00\x00\x00", b"\x01\x12\x00\x03\x00\x00\x00\x01"
    for entry, value in ((little, b"\x01\x00"), (big, b"\x00\x01")):
        at = data.find(entry)
        if at >= 0:
            data = data[: at + 8] + value + data[at + 10 :]
    return np.frombuffer(data, np.uint8)

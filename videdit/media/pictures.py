"""Writing pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from videdit.errors import StorageError
from videdit.files import write_atomically
from videdit.media.exif import upright_exif
from videdit.media.output import check_suffix
from videdit.media.reader import read_frames
from videdit.media.timeline import Timeline


def write_picture(path: Path, rgb: NDArray[Any], timeline: Timeline | None = None) -> None:
    """Write a picture: JPEG at quality 95 with full-size chroma, WebP at 95, others lossless.

    The file appears whole or not at all. The source's EXIF, colour profile and, in PNG and WebP,
    alpha channel are kept; the orientation tag is set to upright.

    Args:
        path: its suffix (one of `output.PICTURE_SUFFIXES`) says the format.
        rgb: (H, W, 3) uint8, or uint16 over 0..65535 (PNG and TIFF keep it, others get 8 bits).
        timeline: the source picture.
    Raises:
        UsageError: unknown suffix.
        StorageError: the file cannot be written.
    """
    path = Path(path)
    check_suffix(path, None)
    suffix = path.suffix.lower()
    if rgb.dtype == np.uint16 and suffix not in (".png", ".tif", ".tiff"):
        rgb = ((rgb.astype(np.uint32) + 128) // 257).astype(np.uint8)
    channels = [rgb[..., 2], rgb[..., 1], rgb[..., 0]]
    if timeline is not None and timeline.has_alpha and suffix in (".png", ".webp"):
        channels.append(_alpha(timeline, rgb.dtype))
    if suffix in (".jpg", ".jpeg"):
        options = [cv2.IMWRITE_JPEG_QUALITY, 95]
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    elif suffix == ".webp":
        options = [cv2.IMWRITE_WEBP_QUALITY, 95]
    else:
        options = []
    pixels = cv2.merge([np.ascontiguousarray(c) for c in channels])
    kinds, blocks = _metadata(timeline)
    if blocks and suffix in (".jpg", ".jpeg", ".png", ".webp"):
        done, data = cv2.imencodeWithMetadata(suffix, pixels, kinds, blocks, options)
    else:
        done, data = cv2.imencode(suffix, pixels, options)
    if not done:
        raise StorageError(f"{path} cannot be encoded", "Choose another format")
    write_atomically(path, data.tobytes())


def _alpha(timeline: Timeline, dtype: Any) -> NDArray[Any]:
    frame = next(read_frames(timeline, 0, 1))
    layout, planes = frame.planes()
    peak = 255 if dtype == np.uint8 else 65535
    return np.rint(planes[-1].astype(np.float64) * (peak / layout.peak)).astype(dtype)


def _metadata(timeline: Timeline | None) -> tuple[list[int], list[NDArray[np.uint8]]]:
    """EXIF and colour profile of the source picture, as OpenCV takes them."""
    if timeline is None or not timeline.is_image or not hasattr(cv2, "imreadWithMetadata"):
        return [], []
    data = np.frombuffer(timeline.path.read_bytes(), np.uint8)
    try:
        _, kinds, blocks = cv2.imdecodeWithMetadata(data, cv2.IMREAD_UNCHANGED)
    except (cv2.error, TypeError):
        return [], []
    kept: list[tuple[int, NDArray[np.uint8]]] = []
    for kind, block in zip(kinds, blocks, strict=True):
        raw = np.array(block, np.uint8).reshape(-1)
        if kind == cv2.IMAGE_METADATA_EXIF:
            raw = upright_exif(raw)
        kept.append((int(kind), raw))
    return [k for k, _ in kept], [b for _, b in kept]

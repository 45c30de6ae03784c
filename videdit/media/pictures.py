"""Reading and writing pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from videdit.errors import StorageError, UsageError
from videdit.files import write_atomically
from videdit.media.exif import upright_exif
from videdit.media.output import check_suffix
from videdit.media.probe import probe
from videdit.media.reader import Frame, read_frames
from videdit.media.source import check_source
from videdit.media.stills import heif_profile, jpeg_end, read_whole
from videdit.media.tag import Tag
from videdit.media.timeline import Timeline
from videdit.media.xmp import LONGEST_IN_JPEG, add_xmp, read_xmp, tagged, upright_xmp

_WITH_ALPHA = (".png", ".webp", ".tif", ".tiff")
_DEEP = (".png", ".tif", ".tiff")
_WITH_METADATA = (".jpg", ".jpeg", ".png", ".webp")
_WITH_XMP = (*_WITH_METADATA, ".tif", ".tiff")

_ICC_HEADER = 128  # bytes; what is shorter is no profile (ICC.1:2022, 7.2)

# XMP that describes a second picture in the file, which a result does not have.
_OF_MORE_PICTURES = (b"hdrgm", b"GContainer", b"google.com/photos/1.0/container")


def read_picture(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) RGB of a picture, upright.

    Raises:
        InputError: it cannot be read.
        UsageError: it is a video.
    """
    check_source(path)
    timeline = probe(path)
    if not timeline.is_image:
        raise UsageError(f"{path.name} is a video", "Give a picture.")
    (frame,) = read_frames(timeline)
    return frame.rgb8


def write_picture(
    path: Path,
    rgb: NDArray[Any],
    timeline: Timeline | None = None,
    tag: Tag | None = None,
) -> tuple[str, ...]:
    """Write a picture: JPEG at quality 95 with full-size chroma, WebP at 95, others lossless.

    The file appears whole or not at all. The source's EXIF, XMP, colour profile and alpha channel
    are kept where the format has a place for them; the orientation tag is set to upright; a grey
    picture stays one channel.

    Args:
        path: its suffix (one of `output.PICTURE_SUFFIXES`) says the format.
        rgb: (H, W, 3) uint8, or uint16 over 0..65535 (PNG and TIFF keep it, others get 8 bits).
        timeline: the source picture.
        tag: goes into the XMP, to what is there of the source.
    Returns:
        What of the source picture the file does not hold, a line each.
    Raises:
        UsageError: unknown suffix.
        StorageError: the file cannot be written.
    """
    path = Path(path)
    check_suffix(path, None)
    suffix = path.suffix.lower()
    lost = []
    if rgb.dtype == np.uint16 and suffix not in _DEEP:
        rgb = ((rgb.astype(np.uint32) + 128) // 257).astype(np.uint8)
        if timeline is not None:
            lost.append(f"{timeline.bit_depth}-bit samples, written with 8 bits")
    channels = [rgb[..., 2], rgb[..., 1], rgb[..., 0]]
    kinds: list[int] = []
    blocks: list[NDArray[np.uint8]] = []
    packet: bytes | None = None
    if timeline is not None:
        frame = next(read_frames(timeline))
        if timeline.layout.kind == "gray":
            channels = [_luma(rgb)]
        if timeline.has_alpha:
            alpha = _alpha(frame, rgb.dtype)
            if suffix in _WITH_ALPHA:
                channels.append(alpha)
            elif alpha.min() < np.iinfo(rgb.dtype).max:
                lost.append(f"alpha channel (a {suffix} file has none)")
        kinds, blocks, packet = _metadata(timeline)
        if blocks and suffix not in _WITH_METADATA:
            names = {int(cv2.IMAGE_METADATA_EXIF): "EXIF"}
            of = [names.get(kind, "profile") for kind in kinds]
            lost.append(f"{', '.join(of)} (not written to {suffix} files)")
            kinds, blocks = [], []
    packet, without = _described(packet, tag, suffix)
    lost += without
    if suffix in (".jpg", ".jpeg"):
        options = [cv2.IMWRITE_JPEG_QUALITY, 95]
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    elif suffix == ".webp":
        options = [cv2.IMWRITE_WEBP_QUALITY, 95]
    else:
        options = []
    if len(channels) == 2 or (suffix == ".webp" and len(channels) == 1):
        channels = [channels[0]] * 3 + channels[1:]
    pixels = cv2.merge([np.ascontiguousarray(c) for c in channels])
    done = False
    if suffix == ".webp" and packet is not None:
        kinds = [*kinds, int(cv2.IMAGE_METADATA_XMP)]
        blocks = [*blocks, np.frombuffer(packet, np.uint8)]
    if blocks:
        try:
            done, data = cv2.imencodeWithMetadata(suffix, pixels, kinds, blocks, options)
        except cv2.error:
            done = False
        if not done:
            lost.append("EXIF and profile (damaged)")
            if suffix == ".webp" and packet is not None:
                kinds, blocks = kinds[-1:], blocks[-1:]
                done, data = cv2.imencodeWithMetadata(suffix, pixels, kinds, blocks, options)
    if not done:
        done, data = cv2.imencode(suffix, pixels, options)
    if not done:
        raise StorageError(f"{path} cannot be encoded", "Choose another format")
    written = data.tobytes()
    # OpenCV's own XMP is no other program's: without its header in JPEG, in Latin-1 text in PNG.
    if packet is not None and suffix != ".webp":
        written = add_xmp(written, packet)
    write_atomically(path, written)
    return tuple(lost)


def _described(
    packet: bytes | None, tag: Tag | None, suffix: str
) -> tuple[bytes | None, tuple[str, ...]]:
    """The XMP packet that is written, and what it does not hold.

    Args:
        packet: the source's.
    """
    if suffix not in _WITH_XMP:
        lost = [f"XMP (not written to {suffix} files)"] if packet is not None else []
        lost += [f"the mark that it was edited (a {suffix} file has no place)"] if tag else []
        return None, tuple(lost)
    limit = LONGEST_IN_JPEG if suffix in (".jpg", ".jpeg") else None
    made = packet if tag is None else tagged(tag, packet)
    if made is not None and (limit is None or len(made) <= limit):
        return made, ()
    if packet is None and made is None:
        return None, ()
    why = "damaged" if made is None else f"too long for a {suffix} file"
    return (None if tag is None else tagged(tag, None)), (f"XMP ({why})",)


def _luma(rgb: NDArray[Any]) -> NDArray[Any]:
    """One channel of a picture that has no colour."""
    luma: NDArray[Any] = np.rint(rgb.mean(2)).astype(rgb.dtype)
    return luma


def _alpha(frame: Frame, dtype: Any) -> NDArray[Any]:
    layout, planes = frame.planes()
    peak = 255 if dtype == np.uint8 else 65535
    return np.rint(planes[-1].astype(np.float64) * (peak / layout.peak)).astype(dtype)


def _metadata(
    timeline: Timeline,
) -> tuple[list[int], list[NDArray[np.uint8]], bytes | None]:
    """EXIF and colour profile of the source picture, as OpenCV takes them; and its XMP packet."""
    if not timeline.is_image:
        return [], [], None
    raw = read_whole(timeline.path)
    if raw[:3] == b"\xff\xd8\xff":
        raw = raw[: jpeg_end(raw)]  # nothing of what is appended
    found: list[tuple[int, NDArray[np.uint8]]] = []
    try:
        data = np.frombuffer(raw, np.uint8)
        _, kinds, blocks = cv2.imdecodeWithMetadata(data, cv2.IMREAD_UNCHANGED)
        for kind, block in zip(kinds, blocks, strict=True):
            found.append((int(kind), np.array(block, np.uint8).reshape(-1)))
    except (cv2.error, TypeError):
        pass  # a format that OpenCV does not read
    profile = None if found else heif_profile(raw)
    if profile is not None:
        found.append((int(cv2.IMAGE_METADATA_ICCP), np.frombuffer(profile, np.uint8)))
    kept: list[tuple[int, NDArray[np.uint8]]] = []
    for number, block in found:
        if any(word in block.tobytes() for word in _OF_MORE_PICTURES):
            continue
        if number == cv2.IMAGE_METADATA_XMP:  # read by `read_xmp`
            continue
        if number == cv2.IMAGE_METADATA_ICCP and len(block) < _ICC_HEADER:
            continue
        kept.append((number, upright_exif(block) if number == cv2.IMAGE_METADATA_EXIF else block))
    packet = read_xmp(raw)
    if packet is not None and any(word in packet for word in _OF_MORE_PICTURES):
        packet = None
    packet = None if packet is None else upright_xmp(packet)
    return [k for k, _ in kept], [b for _, b in kept], packet

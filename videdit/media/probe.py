"""Reading a source's timeline.

`probe` decodes the whole picture stream once. That is the only way to know which frames a player
shows (edit lists, hidden frames, packets that decode to nothing) and to find damage before hours of
work rather than after; it costs a few seconds per minute of 1080p, little beside one edited frame.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from videdit.errors import InputError
from videdit.media._planes import layout_of
from videdit.media.exif import exif_orientation
from videdit.media.fields import field_order
from videdit.media.source import (
    COPY_REMEDY,
    DECODING,
    FrameDamage,
    check_size,
    content_id,
    decode_frames,
    open_video,
    side_data,
)
from videdit.media.stills import is_still, more_in
from videdit.media.timeline import ColorTags, Hdr10, OtherStream, Timeline
from videdit.media.times import in_order

MAX_FRAMES = 5_000_000
"""Most frames accepted, 55 hours at 25 a second: what is kept of each adds up."""

MAX_SECONDS = 7 * 24 * 3600
"""Longest time from the first frame to the last."""

# Formats whose clock does not start at zero by design.
_FREE_CLOCK = {"mpegts", "mpeg", "mpegvideo", "rtp", "wtv"}

# Formats made to be recorded: one that was stopped ends anywhere, and all before is whole.
_RECORDED = {"mpegts", "mpeg", "wtv"}


def probe(path: Path | str) -> Timeline:
    """Read a source's timeline by decoding its picture stream once, in bounded memory.

    Raises:
        InputError: missing, empty, not media, truncated, damaged, audio only, without frames or
            frame times, of an absurd size, length or number of frames, or changing its size on the
            way.
    """
    path = Path(path).absolute()
    identity = content_id(path)
    try:
        return _decode_all(path, identity, alone=False)
    except InputError:
        return _decode_all(path, identity, alone=True)


@dataclass
class _Seen:
    """What is noted of the frames as they come.

    Attributes:
        first: the first frame.
        stored: the times that the decoder gave them, ticks.
        keys: indices of frames marked as keyframes.
        last_duration: as stored, ticks; 0 where it is not.
        fields: order of the first frame's that has them, a key of `FIELD_ORDERS`.
        cut_off: whether the file ends in a frame that is not whole.
    """

    first: VideoFrame | None = None
    stored: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    last_duration: int = 0
    fields: str | None = None
    cut_off: bool = False


def _decode_all(path: Path, identity: str, alone: bool) -> Timeline:
    """The timeline, from decoding on all cores or alone, on one.

    On several, ffmpeg may hand a frame out before it knows that it is damaged (seen with H.264, one
    time in ten), so there the decoder is told to stop at any doubt. Some doubts are about what
    plays well, so they are no verdict.
    """
    with open_video(path) as (container, stream):
        if alone:
            stream.thread_type = "NONE"
            stream.codec_context.thread_count = 1
        else:
            stream.codec_context.options = {**DECODING, "err_detect": "explode"}
        _check_complete(path, container)
        name = container.format.name
        names = set(name.split(","))
        still = is_still(path, name)
        check_size(path, stream.codec_context.width, stream.codec_context.height)
        key_times: set[int] = set()
        may_be_cut = alone and bool(names & _RECORDED)
        seen = _look(path, container, stream, key_times, still, may_be_cut)
        first = seen.first
        if first is None:
            raise InputError(f"{path} has no frames", COPY_REMEDY)
        time_base = first.time_base or stream.time_base
        assert time_base is not None
        stored = np.array(seen.stored, np.int64)
        ticks, _ = in_order(stored)
        mislabelled = not np.array_equal(ticks, stored)
        steps = np.diff(ticks)
        last_duration = seen.last_duration or (int(np.median(steps)) if len(steps) else 1)
        # Where times were made, the container cannot be brought to them.
        keys = [i for i in seen.keys if not mislabelled and seen.stored[i] in key_times]
        if not keys or keys[0] != 0:
            keys.insert(0, 0)
        side = side_data(first, stream.codec_context.name)
        rotation, mirrored = _orientation(path, first, name, side)
        turned = rotation in (90, 270)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        layout = layout_of(first.format.name)[0]
        span = int(ticks[-1]) - int(ticks[0])
        if span * time_base > MAX_SECONDS:
            raise InputError(
                f"{path} lasts {float(span * time_base) / 3600:.0f} hours by its frames' times; "
                f"at most {MAX_SECONDS // 3600} are edited",
                "Cut it into pieces, or repair its times by remuxing it",
            )
        rate = stream.average_rate
        if not rate:
            rate = (len(ticks) - 1) / (span * time_base) if span else Fraction(25)
        return Timeline(
            path=path,
            content_id=identity,
            time_base=Fraction(time_base),
            pts=ticks,
            durations=np.append(steps, last_duration).astype(np.int64),
            keyframes=np.array(keys, np.int32),
            width=first.height if turned else first.width,
            height=first.width if turned else first.height,
            rotation=rotation,
            mirrored=mirrored,
            sample_aspect=1 / aspect if turned else aspect,
            pix_fmt=first.format.name,
            bit_depth=layout.depth,
            color=_colour(first),
            codec=stream.codec_context.name,
            has_alpha=layout.alpha,
            stream_index=stream.index,
            streams=tuple(
                OtherStream(s.index, s.type, s.codec_context.name if s.codec_context else "")
                for s in container.streams
                if s.index != stream.index
            ),
            container=name,
            is_image=still or (len(ticks) == 1 and name in ("gif", "apng")),
            average_rate=Fraction(rate),
            zero_based=not names & _FREE_CLOCK,
            stored=stored if mislabelled else None,
            hdr=_hdr(side),
            fields=seen.fields,
            unkept=_unkept(path, side, seen, still),
        )


def _look(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    key_times: set[int],
    still: bool,
    may_be_cut: bool,
) -> _Seen:
    """Decode the frames, checking each.

    Args:
        key_times: filled as by `decode_frames`.
        still: only the first one counts, and its time does not.
        may_be_cut: frames that are not whole at the end are left out instead of being damage.
    """
    seen = _Seen()
    frames = decode_frames(path, container, stream, key_times=key_times)
    try:
        for frame in frames:
            first = seen.first
            if first is None:
                seen.first = first = frame
                check_size(path, frame.width, frame.height)
            if (frame.width, frame.height, frame.format.name) != (
                first.width,
                first.height,
                first.format.name,
            ):
                raise InputError(
                    f"{path} changes its picture size or format at frame {len(seen.stored)}",
                    "Convert it to one size first",
                )
            time = frame.pts
            if time is None:
                if not still:
                    raise InputError(f"{path} has no frame times", "Convert it to MP4 or MKV first")
                time = 0
            # A keyframe that shares its time with the frame before cannot be told from it.
            if frame.key_frame and (not seen.stored or time > seen.stored[-1]):
                seen.keys.append(len(seen.stored))
            if len(seen.stored) == MAX_FRAMES:
                raise InputError(
                    f"{path} has more than {MAX_FRAMES} frames", "Cut it into pieces first"
                )
            seen.stored.append(time)
            seen.last_duration = frame.duration or seen.last_duration
            if seen.fields is None and frame.interlaced_frame and not still:
                seen.fields = field_order(frame)
            if still:
                break
    except FrameDamage as damage:
        if not (may_be_cut and damage.at_the_end and seen.stored):
            raise
        seen.cut_off = True
    return seen


def _check_complete(path: Path, container: InputContainer) -> None:
    """Find a file that was cut off, which demuxers otherwise take for its end."""
    size = path.stat().st_size
    names = container.format.name.split(",")
    need = 0
    if "mov" in names:
        for stream in container.streams:
            for entry in stream.index_entries:
                need = max(need, entry.pos + entry.size)
    elif "matroska" in names:
        need = _matroska_end(path)
    if need > size:
        raise InputError(
            f"{path} is cut off: {size} of at least {need} bytes are there", COPY_REMEDY
        )


def _matroska_end(path: Path) -> int:
    """Where the Segment element says it ends (RFC 8794, RFC 9559); 0 if it does not say."""
    with path.open("rb") as file:
        position = 0
        for wanted in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):
            file.seek(position)
            head = file.read(12)
            if head[:4] != wanted or len(head) < 12 or not head[4]:
                return 0
            length = 9 - head[4].bit_length()
            raw = int.from_bytes(head[4 : 4 + length], "big")
            value = raw & ((1 << (7 * length)) - 1)
            if value == (1 << (7 * length)) - 1:
                return 0
            position += 4 + length + value
    return position


def _colour(frame: VideoFrame) -> ColorTags:
    def known(value: int, unspecified: int) -> int | None:
        return None if int(value) == unspecified else int(value)

    tags = ColorTags(
        known(frame.color_range, 0),
        known(frame.color_primaries, 2),
        known(frame.color_trc, 2),
        known(frame.colorspace, 2),
    )
    return tags


def _orientation(
    path: Path, frame: VideoFrame, container: str, side: dict[str, bytes]
) -> tuple[int, bool]:
    """Clockwise rotation and left-right mirroring that make the coded picture upright."""
    if container.endswith("_pipe"):
        exif = exif_orientation(path)
        if exif is not None:
            # EXIF 2.32, tag 274: 2, 4, 5 and 7 are mirrored.
            table = {2: (0, True), 3: (180, False), 4: (180, True), 5: (270, True)}
            table |= {6: (90, False), 7: (90, True), 8: (270, False)}
            return table.get(exif, (0, False))
    matrix = side.get("DISPLAYMATRIX")
    if matrix is None:
        return round(-frame.rotation / 90) % 4 * 90, False
    a, b, _, c, d = struct.unpack("=9i", matrix[:36])[:5]
    # ISO 14496-12 6.2.2: x' = a x + c y, y' = b x + d y, with y down.
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    if abs(a) >= abs(b):
        return (0 if a >= 0 else 180), mirrored
    return (90 if b > 0 else 270), mirrored


def _hdr(side: dict[str, bytes]) -> Hdr10 | None:
    """Static HDR metadata out of libavutil's AVMasteringDisplayMetadata and AVContentLightMetadata:
    ten fractions (red, green, blue, white: x, y; least and greatest light) and two flags; two
    whole numbers."""
    display = None
    if (block := side.get("MASTERING_DISPLAY_METADATA")) is not None:
        numbers = struct.unpack_from("=22i", block)
        if all(numbers[20:22]) and all(numbers[1:20:2]):
            display = tuple(Fraction(numbers[2 * i], numbers[2 * i + 1]) for i in range(10))
    light = None
    if (block := side.get("CONTENT_LIGHT_LEVEL")) is not None:
        light = struct.unpack_from("=2I", block)
    if display is None and light is None:
        return None
    return Hdr10(display, light)


def _unkept(path: Path, side: dict[str, bytes], seen: _Seen, still: bool) -> tuple[str, ...]:
    names = {
        "A53_CC": "closed captions inside the picture stream",
        "DYNAMIC_HDR_PLUS": "HDR10+ dynamic metadata",
        "DOVI_METADATA": "Dolby Vision metadata",
        "STEREO3D": "stereo 3D layout",
        "SPHERICAL": "spherical projection",
    }
    unkept = [text for name, text in names.items() if name in side]
    if seen.cut_off:
        unkept.append("what follows the last whole frame (the recording ends in the middle of one)")
    if still:
        unkept += more_in(path)
    return tuple(unkept)

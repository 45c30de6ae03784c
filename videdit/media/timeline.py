"""What a source is: its frames with exact times, and everything needed to give the same back.

`probe` decodes the whole picture stream once. That is the only way to know which frames a player
shows (edit lists, hidden frames, packets that decode to nothing) and to find damage before hours of
work rather than after; it costs a few seconds per minute of 1080p, little beside one edited frame.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from videdit.errors import InputError
from videdit.media._planes import RANGE_FULL, Layout, layout_of, matrix_code

MAX_SIDE = 16384
"""Longest side accepted, pixels; the encoders' own limit."""

# Demuxers that open other files or addresses named in the input. A source is one file.
_INDIRECT = {"hls", "concat", "dash", "sdp", "rtsp", "imf", "ffmetadata", "webm_dash_manifest"}
# Formats whose clock does not start at zero by design.
_FREE_CLOCK = {"mpegts", "mpeg", "mpegvideo", "rtp", "wtv"}
_COPY_REMEDY = "Check that it is complete and plays, or get another copy"


@dataclass(frozen=True)
class ColorTags:
    """ITU-T H.273 code points as the source states them; None where it says nothing.

    Attributes:
        range: 1 limited, 2 full.
        primaries, transfer, matrix: H.273 tables 2, 3 and 4.
    """

    range: int | None = None
    primaries: int | None = None
    transfer: int | None = None
    matrix: int | None = None


@dataclass(frozen=True)
class OtherStream:
    """A stream of the source beside the picture: index in the file, type, codec name."""

    index: int
    type: str
    codec: str


@dataclass(frozen=True, eq=False)
class Timeline:
    """The frames of a source in presentation order. Sizes and aspect are of the upright picture.

    Attributes:
        path: the file.
        content_id: first 32 hex digits of the file's SHA-256.
        time_base: seconds per tick.
        pts: (n,) int64, ticks, never decreasing.
        durations: (n,) int64, ticks, to the next frame; the last as stored, else the median.
        keyframes: (k,) int32, frames a decoder can start from; the first is 0.
        width, height: upright size in pixels.
        rotation: degrees clockwise from the coded to the upright picture: 0, 90, 180 or 270.
        mirrored: whether the coded picture is mirrored left-right before it is rotated.
        sample_aspect: width over height of an upright pixel.
        pix_fmt: ffmpeg's name of the decoded format.
        bit_depth: bits per sample as they are held here.
        color: colour tags.
        codec: ffmpeg's name of the source's codec.
        bit_rate: of the picture stream, bits/s, None where unknown.
        has_alpha: whether the format has an alpha channel.
        stream_index: of the picture stream in the file.
        streams: the other streams.
        container: ffmpeg's name of the container.
        is_image: a picture: one frame without a meaningful time.
        average_rate: frames/s.
        zero_based: False where the container's clock starts anywhere (MPEG-TS).
        unkept: things inside the picture stream that no re-encode here carries over.
    """

    path: Path
    content_id: str
    time_base: Fraction
    pts: NDArray[np.int64]
    durations: NDArray[np.int64]
    keyframes: NDArray[np.int32]
    width: int
    height: int
    rotation: int
    mirrored: bool
    sample_aspect: Fraction
    pix_fmt: str
    bit_depth: int
    color: ColorTags
    codec: str
    bit_rate: int | None
    has_alpha: bool
    stream_index: int
    streams: tuple[OtherStream, ...]
    container: str
    is_image: bool
    average_rate: Fraction
    zero_based: bool = True
    unkept: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def coded_size(self) -> tuple[int, int]:
        """Width and height before rotation."""
        turned = self.rotation in (90, 270)
        return (self.height, self.width) if turned else (self.width, self.height)

    @property
    def layout(self) -> Layout:
        """Layout of the coded frames' planes."""
        return layout_of(self.pix_fmt)[0]

    @property
    def full_range(self) -> bool:
        """Whether code values span the full range. Gray and RGB are full unless tagged limited."""
        if self.layout.kind == "rgb":
            return True
        if self.color.range is None:
            return self.layout.kind == "gray" or self.pix_fmt.startswith("yuvj")
        return self.color.range == RANGE_FULL

    @property
    def matrix(self) -> int:
        """H.273 matrix to compute with; guessed from the size where the source says nothing."""
        return matrix_code(self.color.matrix, self.width, self.height)

    def times(self) -> NDArray[np.float64]:
        """(n,) seconds from the first frame."""
        result: NDArray[np.float64] = (self.pts - self.pts[0]) * (
            self.time_base.numerator / self.time_base.denominator
        )
        return result

    def select(self, start_s: float | None, stop_s: float | None) -> range:
        """Frames with start_s <= time < stop_s; None leaves a side open."""
        times = self.times()
        # Half a tick of tolerance: "2.002" typed for 60 NTSC frames must not miss the frame there.
        slack = 0.5 * float(self.time_base)
        first = 0 if start_s is None else int(np.searchsorted(times, start_s - slack, "left"))
        last = len(self) if stop_s is None else int(np.searchsorted(times, stop_s - slack, "left"))
        return range(first, max(first, last))

    def to_json(self) -> dict[str, Any]:
        """A plain dict that `from_json` turns back; fractions as ``n/d`` strings."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("time_base", "sample_aspect", "average_rate", "path"):
            data[name] = str(data[name])
        for name in ("pts", "durations", "keyframes"):
            data[name] = data[name].tolist()
        data["color"] = asdict(self.color)
        data["streams"] = [asdict(stream) for stream in self.streams]
        data["unkept"] = list(self.unkept)
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Timeline:
        """Inverse of `to_json`."""
        values = dict(data)
        values["path"] = Path(values["path"])
        for name in ("time_base", "sample_aspect", "average_rate"):
            values[name] = Fraction(values[name])
        values["pts"] = np.array(values["pts"], np.int64)
        values["durations"] = np.array(values["durations"], np.int64)
        values["keyframes"] = np.array(values["keyframes"], np.int32)
        values["color"] = ColorTags(**values["color"])
        values["streams"] = tuple(OtherStream(**stream) for stream in values["streams"])
        values["unkept"] = tuple(values["unkept"])
        return cls(**values)


def content_id(path: Path) -> str:
    """First 32 hex digits of the file's SHA-256, read in pieces.

    Raises:
        InputError: the file is missing, a folder, empty, or cannot be read.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            size = file.tell()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist", "Check the path") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder, not a video", "Name a file in it") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path} cannot be read: {reason}", "Check the file") from None
    if size == 0:
        raise InputError(f"{path} is empty", _COPY_REMEDY)
    return digest.hexdigest()[:32]


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and its picture stream for decoding with all cores.

    The file is handed over as a stream of bytes, so its name is never taken for an address or for a
    numbered picture sequence.

    Raises:
        InputError: not media, or without a picture stream.
    """
    try:
        file = Path(path).open("rb")  # noqa: SIM115 - closed below, after its own errors are caught
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path} cannot be read: {reason}", "Check the file") from None
    with file:
        try:
            container = av.open(
                _Nameless(file),
                "r",
                buffer_size=1 << 18,
                metadata_errors="replace",
                io_open=_refuse,
            )
        except (av.FFmpegError, ValueError, OSError):
            raise InputError(
                f"{path} is not a video or picture this tool can read, or its end is missing",
                _COPY_REMEDY,
            ) from None
        with container:
            if set(container.format.name.split(",")) & _INDIRECT:
                raise InputError(f"{path} only lists other files", "Name the video itself")
            yield container, _picture_stream(path, container)


class _Nameless:
    """A file without its name, which PyAV would let demuxers act on."""

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read
        self.seek = file.seek
        self.tell = file.tell


def _refuse(url: str, flags: int, options: Any) -> Any:
    raise PermissionError(f"a source may not open {url}")


def _picture_stream(path: Path, container: InputContainer) -> VideoStream:
    covers = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & covers]
    if not streams:
        has_sound = any(s.type == "audio" for s in container.streams)
        what = "has sound but no picture" if has_sound else "holds no picture"
        raise InputError(f"{path} {what}", "Name a video or a picture")
    default = av.stream.Disposition.default
    stream = next((s for s in streams if s.disposition & default), streams[0])
    if stream.codec_context is None:
        raise InputError(
            f"{path} is coded in a way the installed PyAV cannot decode",
            "Convert it to H.264 first",
        )
    stream.thread_type = "AUTO"
    return stream


def probe(path: Path | str) -> Timeline:
    """Read a source's timeline by decoding its picture stream once, in bounded memory.

    Raises:
        InputError: missing, empty, not media, truncated, damaged, audio only, without frames or
            frame times, of an absurd size, or changing its size on the way.
    """
    path = Path(path).absolute()
    identity = content_id(path)
    with open_video(path) as (container, stream):
        _check_complete(path, container)
        width, height = stream.codec_context.width, stream.codec_context.height
        _check_size(path, width, height)
        pts: list[int] = []
        key_times: set[int] = set()
        key_frames: list[int] = []
        first: VideoFrame | None = None
        last_duration = 0
        for frame in decode_frames(path, container, stream, key_times=key_times):
            if first is None:
                first = frame
                _check_size(path, frame.width, frame.height)
            elif (frame.width, frame.height, frame.format.name) != (
                first.width,
                first.height,
                first.format.name,
            ):
                raise InputError(
                    f"{path} changes its picture size or format at frame {len(pts)}",
                    "Convert it to one size first",
                )
            if frame.pts is None:
                raise InputError(f"{path} has no frame times", "Convert it to MP4 or MKV first")
            if pts and frame.pts < pts[-1]:
                raise InputError(
                    f"{path} goes back in time at frame {len(pts)}", "Convert it to MP4 first"
                )
            # A keyframe that shares its time with the frame before cannot be told from it.
            if frame.key_frame and (not pts or frame.pts > pts[-1]):
                key_frames.append(len(pts))
            pts.append(frame.pts)
            last_duration = frame.duration or last_duration
        if first is None:
            raise InputError(f"{path} has no frames", _COPY_REMEDY)
        time_base = first.time_base or stream.time_base
        assert time_base is not None
        name = container.format.name
        ticks = np.array(pts, np.int64)
        steps = np.diff(ticks)
        if not last_duration:
            last_duration = int(np.median(steps)) if len(steps) else 1
        keys = [i for i in key_frames if pts[i] in key_times]
        if not keys or keys[0] != 0:
            keys.insert(0, 0)
        rotation, mirrored = _orientation(path, first, name)
        turned = rotation in (90, 270)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        layout = layout_of(first.format.name)[0]
        span = int(ticks[-1] - ticks[0])
        rate = stream.average_rate
        if not rate:
            rate = (len(pts) - 1) / (span * time_base) if span else Fraction(25)
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
            bit_rate=stream.bit_rate or None,
            has_alpha=layout.alpha,
            stream_index=stream.index,
            streams=tuple(
                OtherStream(s.index, s.type, s.codec_context.name if s.codec_context else "")
                for s in container.streams
                if s.index != stream.index
            ),
            container=name,
            is_image=name.endswith("_pipe") or (len(pts) == 1 and name in ("gif", "apng")),
            average_rate=Fraction(rate),
            zero_based=not set(name.split(",")) & _FREE_CLOCK,
            unkept=_unkept(first),
        )


def decode_frames(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    first: int = 0,
    key_times: set[int] | None = None,
    target: int | None = None,
) -> Iterator[VideoFrame]:
    """Decoded frames from where the container stands; every sign of damage is an InputError.

    Args:
        first: index of the first frame, to say where damage is.
        key_times: filled with the times of packets marked as keyframes.
        target: after a seek, the time of the keyframe sought. Frames before it are left out: they
            may lean on frames that were not decoded. Nothing is yielded if it does not come.
    """
    arrived = target is None
    index = first
    try:
        for packet in container.demux(stream):
            if key_times is not None and packet.is_keyframe and packet.pts is not None:
                key_times.add(packet.pts)
            try:
                frames = packet.decode()
            except av.FFmpegError:
                if arrived:
                    raise
                continue
            for frame in frames:
                if not arrived and target is not None:
                    if frame.pts is None or frame.pts > target:
                        return
                    if frame.pts < target:
                        continue
                    arrived = True
                if frame.is_corrupt:
                    raise damaged(path, index)
                yield frame
                index += 1
    except av.FFmpegError:
        raise damaged(path, index) from None


def damaged(path: Path, index: int) -> InputError:
    """The error for data that does not decode, near frame `index`."""
    return InputError(
        f"{path} is damaged at or shortly after frame {index}",
        "Get an undamaged copy, or cut the damaged part out with a video editor",
    )


def _check_size(path: Path, width: int, height: int) -> None:
    if width > MAX_SIDE or height > MAX_SIDE:
        raise InputError(
            f"{path} is {width}x{height} pixels; at most {MAX_SIDE} a side can be written",
            "Scale it down first",
        )


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
            f"{path} is cut off: {size} of at least {need} bytes are there", _COPY_REMEDY
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


def _side_data(frame: VideoFrame) -> dict[str, bytes]:
    try:
        return {item.type.name: bytes(item) for item in cast(Any, frame.side_data)}
    except ValueError:
        # PyAV gives up on kinds newer than its table; pictures with EXIF are such a case.
        return {}


def _orientation(path: Path, frame: VideoFrame, container: str) -> tuple[int, bool]:
    """Clockwise rotation and left-right mirroring that make the coded picture upright."""
    if container.endswith("_pipe"):
        exif = _exif_orientation(path)
        if exif is not None:
            # EXIF 2.32, tag 274: 2, 4, 5 and 7 are mirrored.
            table = {2: (0, True), 3: (180, False), 4: (180, True), 5: (270, True)}
            table |= {6: (90, False), 7: (90, True), 8: (270, False)}
            return table.get(exif, (0, False))
    matrix = _side_data(frame).get("DISPLAYMATRIX")
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


def _exif_orientation(path: Path) -> int | None:
    """EXIF tag 274 of a JPEG, PNG, WebP or TIFF picture, or None."""
    data = path.read_bytes()
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


def _unkept(frame: VideoFrame) -> tuple[str, ...]:
    names = {
        "A53_CC": "closed captions inside the picture stream",
        "MASTERING_DISPLAY_METADATA": "HDR mastering display metadata",
        "CONTENT_LIGHT_LEVEL": "HDR content light level",
        "DYNAMIC_HDR_PLUS": "HDR10+ dynamic metadata",
        "DOVI_METADATA": "Dolby Vision metadata",
        "STEREO3D": "stereo 3D layout",
        "SPHERICAL": "spherical projection",
    }
    found = _side_data(frame)
    return tuple(text for name, text in names.items() if name in found)

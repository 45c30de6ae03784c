"""Opening and decoding a source: one file, whatever it claims; every sign of damage an error."""

from __future__ import annotations

import hashlib
import io
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
from av.codec import CodecContext
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from videdit.errors import InputError
from videdit.media.stills import (
    begins_as_jpeg,
    declared_size,
    is_animated_webp,
    jpeg_end,
    read_whole,
)
from videdit.media.tiles import is_tiled, put_together

COPY_REMEDY = "Check that it is complete and plays, or get another copy"
"""What to do about a file that is not whole."""

# Decoders that read the alpha channel of codecs that keep it beside the picture.
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}

# In these, reading a frame's side data frees it twice (PyAV 18.1.0, where it has a name: a profile
# of colours in PNG).
_NO_SIDE_DATA = {"png", "apng"}

_VIDEO_FORMATS = (
    *("mov", "matroska", "avi", "mpegts", "mpeg", "mpegvideo", "asf", "flv", "ogg", "mxf", "nut"),
    *("rm", "wtv", "dv", "ivf", "mjpeg", "yuv4mpegpipe", "gif", "apng", "av1", "obu", "h264"),
    *("hevc", "m4v"),
)
_PICTURE_FORMATS = (
    *("jpeg_pipe", "png_pipe", "webp_pipe", "tiff_pipe", "bmp_pipe", "gif_pipe", "ico"),
    *("jpegxl_pipe", "j2k_pipe", "ppm_pipe", "pgm_pipe", "pbm_pipe", "pam_pipe", "qoi_pipe"),
    *("dpx_pipe", "exr_pipe", "sgi_pipe"),
)

READ_FORMATS = (*_VIDEO_FORMATS, *_PICTURE_FORMATS)
"""The containers that a source may be, by FFmpeg's names of its demuxers. None of them is a list of
other files or addresses (HLS, DASH, concat, SDP, image sequences), and all others are not tried."""

MAX_SIDE = 16384
"""Longest side accepted, pixels; the encoders' own limit."""

MAX_PIXELS = 150_000_000
"""Most pixels accepted: a picture is held several times, 3 to 6 bytes a pixel each."""

# How such lists begin, to say what is wrong with one.
_LISTS = (b"#EXTM3U", b"ffconcat", b"<MPD", b"v=0", b"<SmoothStreamingMedia", b";FFMETADATA")


DECODING = {"max_pixels": str(MAX_PIXELS)}
"""What every decoder of a source is told."""


def check_source(path: Path) -> None:
    """Refuse what names no file, before anything is made of it.

    Raises:
        InputError: an address, standard input, a folder, or nothing that is there.
    """
    text = str(path)
    if text == "-":
        raise InputError("a source cannot be read from standard input", "Name a file")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text) and not path.exists():
        raise InputError(f"{text} is an address, not a file", "Download it first")
    try:
        found = path.stat()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist", "Check the path") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} cannot be read: {reason}", "Check the path") from None
    if stat.S_ISDIR(found.st_mode):
        raise InputError(f"{path} is a folder, not a video", "Name a file in it")
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path} is no ordinary file", "Save it to one first")


def unchanged(path: Path) -> Callable[[], None]:
    """A check that a file is still the one that it is now.

    Returns:
        What raises ``InputError`` where the file's content was written to, or another took its
        place, since. A file that is gone is none of its business: whoever has it open reads on.
    """

    def state() -> tuple[int, ...] | None:
        try:
            found = path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    before = state()

    def check() -> None:
        now = state()
        if now is not None and before is not None and now != before:
            raise InputError(
                f"{path.name} was changed while it was edited", "Run the same command again"
            )

    return check


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
        raise InputError(f"{path} is empty", COPY_REMEDY)
    return digest.hexdigest()[:32]


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and its picture stream for decoding with all cores.

    The file is handed over as a stream of bytes, so its name is never taken for an address or for a
    numbered picture sequence; it is one of `READ_FORMATS` or nothing, and no demuxer may open
    another file. A picture made of tiles is opened as a video of one frame.

    Raises:
        InputError: not media, a list of other files, too large, without a picture stream, or made
            of tiles that are not whole.
    """
    try:
        file: BinaryIO = Path(path).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path} cannot be read: {reason}", "Check the file") from None
    with file:
        head = file.read(32)
        file.seek(0)
        if is_animated_webp(head):
            raise InputError(
                f"{path} is an animated WebP, which FFmpeg cannot read",
                "Convert it to GIF or MP4 first",
            )
        if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(_LISTS):
            raise InputError(f"{path} only lists other files", "Name the video itself")
        check_size(path, *(declared_size(file) or (0, 0)))
        if begins_as_jpeg(Path(path), head):
            file = first_jpeg(Path(path), file)
        container = _open(path, file)
        if is_tiled(container):
            with container:
                file = put_together(path, container)
            container = _open(path, file)
        with container:
            yield container, _picture_stream(path, container)


def open_own(path: Path) -> InputContainer:
    """Open a video that the tool wrote itself: a segment, or a part of the output.

    Raises:
        av.FFmpegError: it is damaged, or something else.
    """
    allowed = {"protocol_whitelist": "file", "format_whitelist": "mov,matroska,nut"}
    # The prefix keeps names with a colon from being taken for an address.
    # Tags are the source's, copied; they may be in any encoding.
    return av.open(f"file:{path}", "r", options=allowed, metadata_errors="surrogateescape")


def reading(container: str) -> dict[str, str]:
    """Options under which ffmpeg's program opens a source as PyAV did, and nothing besides.

    Args:
        container: of the source's timeline.
    """
    return {"protocol_whitelist": "file", "f": container.split(",")[0]}


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse a picture that is too large.

    Raises:
        InputError: it has a longer side than `MAX_SIDE`, or more pixels than `MAX_PIXELS`.
    """
    if width > MAX_SIDE or height > MAX_SIDE:
        raise InputError(
            f"{path} is {width}x{height} pixels; at most {MAX_SIDE} a side can be written",
            "Scale it down first",
        )
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{path} has {width * height / 1e6:.0f} million pixels; at most "
            f"{MAX_PIXELS / 1e6:.0f} million fit into memory",
            "Scale it down, or cut the face's surroundings out",
        )


def first_jpeg(path: Path, file: BinaryIO) -> BinaryIO:
    """The first JPEG of an open file, without what is appended to it.

    Raises:
        InputError: it is cut off.
    """
    data = read_whole(path, file)
    end = jpeg_end(data)
    if end is None:
        raise InputError(f"{path} is cut off: its picture has no end", COPY_REMEDY)
    return io.BytesIO(data[:end])


def _open(path: Path, file: BinaryIO) -> InputContainer:
    try:
        return av.open(
            _Nameless(file),
            "r",
            buffer_size=1 << 18,
            metadata_errors="replace",
            io_open=_refuse,
            options={"format_whitelist": ",".join(READ_FORMATS)},
        )
    except (av.FFmpegError, ValueError, OSError):
        raise InputError(
            f"{path} is not a video or picture this tool can read, or its end is missing",
            COPY_REMEDY,
        ) from None


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
    stream.codec_context.options = DECODING
    return stream


class FrameDamage(InputError):
    """Data that does not decode.

    Attributes:
        at_the_end: whether no picture data but what a decoder holds back follows.
    """

    def __init__(self, path: Path, index: int, at_the_end: bool = False) -> None:
        super().__init__(
            f"{path} is damaged at or shortly after frame {index}",
            "Get an undamaged copy, or cut the damaged part out with a video editor",
        )
        self.at_the_end = at_the_end


def decode_frames(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    first: int = 0,
    key_times: set[int] | None = None,
    target: int | None = None,
    alpha: bool | None = None,
    decode: Callable[[Packet[Any]], Iterable[VideoFrame]] | None = None,
) -> Iterator[VideoFrame]:
    """Decoded frames from where the container stands; every sign of damage is an InputError.

    Args:
        first: index of the first frame, to say where damage is.
        key_times: filled with the times of packets marked as keyframes.
        target: after a seek, the time of the keyframe sought. Frames before it are left out: they
            may lean on frames that were not decoded. Nothing is yielded if it does not come.
        alpha: whether there is an alpha channel; None where the file's tags tell.
        decode: what decodes a packet, and flushes for an empty one; None for software.
    """
    arrived = target is None
    index = first
    decode = decode or _decoding(stream, alpha)
    packets = container.demux(stream)
    try:
        for packet in packets:
            if key_times is not None and packet.is_keyframe and packet.pts is not None:
                key_times.add(packet.pts)
            try:
                frames = decode(packet)
            except av.FFmpegError:
                if arrived:
                    raise FrameDamage(path, index, _ends(packets, stream)) from None
                continue
            for frame in frames:
                if not arrived and target is not None:
                    if frame.pts is None or frame.pts > target:
                        return
                    if frame.pts < target:
                        continue
                    arrived = True
                if frame.is_corrupt:
                    raise FrameDamage(path, index, _ends(packets, stream))
                yield frame
                index += 1
    except av.FFmpegError:
        raise FrameDamage(path, index) from None


def _decoding(
    stream: VideoStream, alpha: bool | None = None
) -> Callable[[Packet[Any]], Iterable[VideoFrame]]:
    """What decodes a stream's packets."""
    context = stream.codec_context
    tags = {name.lower(): value for name, value in stream.metadata.items()}
    alpha = tags.get("alpha_mode") == "1" if alpha is None else alpha
    if context.name in _WITH_ALPHA and alpha:
        # FFmpeg's own decoders of these leave alpha out; libvpx reads it.
        decoder = cast(VideoCodecContext, CodecContext.create(_WITH_ALPHA[context.name], "r"))
        decoder.extradata = context.extradata
        return lambda packet: decoder.decode(packet if packet.size else None)
    return lambda packet: packet.decode()


def _ends(packets: Iterator[Packet[Any]], stream: VideoStream) -> bool:
    """Whether hardly any of a stream's packets are left."""
    try:
        return sum(1 for packet in packets if packet.size) <= stream.codec_context.delay
    except av.FFmpegError:
        return False


def side_data(frame: VideoFrame, codec: str) -> dict[str, bytes]:
    """What a frame of that codec brings beside its pixels, by ffmpeg's names of it."""
    if codec in _NO_SIDE_DATA:
        return {}
    try:
        return {item.type.name: bytes(item) for item in cast(Any, frame.side_data)}
    except ValueError:
        # PyAV gives up on kinds newer than its table; pictures with EXIF are such a case.
        return {}

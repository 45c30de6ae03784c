"""Opening and decoding a source: one file, whatever it claims; every sign of damage an error."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from videdit.errors import InputError

COPY_REMEDY = "Check that it is complete and plays, or get another copy"
"""What to do about a file that is not whole."""

# Demuxers that open other files or addresses named in the input. A source is one file.
_INDIRECT = {"hls", "concat", "dash", "sdp", "rtsp", "imf", "ffmetadata", "webm_dash_manifest"}


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
                COPY_REMEDY,
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

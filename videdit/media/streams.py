"""What becomes of a source's other streams in a container: copied, converted or left out.

Found out before the work, by having the muxer write the beginning of each: lists of what a
container holds are true of another version at best.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg

from videdit.media.output import CONTAINERS
from videdit.media.source import open_own, open_video, reading
from videdit.media.timeline import Timeline

# What sound is converted to where a container cannot hold it as it is.
_SOUND = {"mp4": "aac", "mov": "aac", "matroska": "flac", "webm": "libopus"}
# What text subtitles are rewritten to.
_TEXT = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
_WRITES = {"libopus": "opus"}  # the codec of an encoder that goes by another name
_ALIKE = {"mp2": "mp3", "mp1": "mp3"}  # MP4 says MPEG audio of either, and what reads one reads all
_TEXT_CODECS = {"subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text"}

_TRIED_S = "2"  # of the source, which is enough for a header


@dataclass(frozen=True)
class Kept:
    """A stream of the source that goes into the output.

    Attributes:
        index: in the source.
        type: ``audio``, ``video``, ``subtitle``, ``attachment`` or ``data``.
        encoder: what it is converted with; None where it is copied.
        cover: whether it is a cover picture.
    """

    index: int
    type: str
    encoder: str | None = None
    cover: bool = False


@dataclass(frozen=True)
class StreamPlan:
    """What becomes of the streams beside the picture.

    Attributes:
        kept: in the source's order.
        dropped: a line for each that is left out.
        changed: a line for each that is converted.
    """

    kept: tuple[Kept, ...]
    dropped: tuple[str, ...]
    changed: tuple[str, ...]


def plan_streams(timeline: Timeline, suffix: str) -> StreamPlan:
    """What becomes of a source's other streams in a file of that suffix (a key of `CONTAINERS`).

    Raises:
        InputError: the source cannot be opened.
    """
    container = CONTAINERS[suffix]
    kept: list[Kept] = []
    dropped: list[str] = []
    changed: list[str] = []
    with open_video(timeline.path) as (opened, picture):
        others = [s for s in opened.streams if s.index != timeline.stream_index]
        copied = [s for s in others if not _is_made_anew(opened, s, picture.metadata)]
        all_fit = _fits(timeline, container, copied)
        for stream in copied:
            codec = _codec(stream)
            label = f"{stream.type} stream {stream.index}{f' ({codec})' if codec else ''}"
            cover = bool(stream.disposition & av.stream.Disposition.attached_pic)
            encoder = None
            if stream.type == "attachment":
                if container != "matroska":
                    dropped.append(f"{label}: not held by {suffix} files")
                    continue
            elif not all_fit and not _fits(timeline, container, [stream]):
                encoder = _substitute(stream, codec, container)
                if encoder is None or not _fits(timeline, container, [stream], encoder):
                    why = "FFmpeg does not write it to" if stream.type == "data" else "not held by"
                    dropped.append(f"{label}: {why} {suffix} files")
                    continue
                changed.append(f"{label}, rewritten as {_WRITES.get(encoder, encoder)}")
            kept.append(Kept(stream.index, stream.type, encoder, cover))
    return StreamPlan(tuple(kept), tuple(dropped), tuple(changed))


def _codec(stream: Any) -> str:
    """The name of a stream's codec, which its decoder's may differ from."""
    context = stream.codec_context
    name = str(context.codec.canonical_name) if context is not None else ""
    return _ALIKE.get(name, name)


def _substitute(stream: Any, codec: str, container: str) -> str | None:
    if stream.type == "audio":
        return _SOUND[container]
    if stream.type == "subtitle" and codec in _TEXT_CODECS:
        return _TEXT[container]
    return None


def _is_made_anew(opened: Any, stream: Any, picture_tags: dict[str, str]) -> bool:
    """Whether a stream is written anew, from the picture's tag or from the chapters."""
    if stream.type != "data":
        return False
    if "timecode" in stream.metadata:
        return "timecode" in picture_tags
    # A QuickTime chapter track is read with the header and then marked as not to be read.
    return bool(opened.chapters()) and stream.discard == av.stream.Discard.all


def _fits(
    source: Timeline, container: str, streams: Sequence[Any], encoder: str | None = None
) -> bool:
    """Whether the muxer writes a file with these streams of the source that reads back.

    Args:
        encoder: what they are converted with; None to copy them.
    """
    if not streams:
        return True
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", "-copy_unknown"]
    for name, value in reading(source.container).items():
        command += [f"-{name}", value]
    command += ["-t", _TRIED_S, "-i", f"file:{source.path}"]
    for stream in streams:
        command += ["-map", f"0:{stream.index}"]
    command += ["-map_chapters", "-1", "-c", encoder or "copy"]
    wanted = [(s.type, _WRITES.get(encoder, encoder) if encoder else _codec(s)) for s in streams]
    with tempfile.TemporaryDirectory(prefix="videdit-") as folder:
        target = Path(folder) / "tried"
        command += ["-f", container, str(target)]
        done = subprocess.run(command, capture_output=True, check=False, start_new_session=True)
        return done.returncode == 0 and _comes_back(target, wanted)


def _comes_back(written: Path, wanted: list[tuple[str, str]]) -> bool:
    """Whether a file has streams of these types and codecs: some muxers write what no demuxer then
    knows."""
    try:
        with open_own(written) as opened:
            found = [(stream.type, _codec(stream)) for stream in opened.streams]
    except (av.FFmpegError, ValueError):
        return False
    return sorted(found) == sorted(wanted)

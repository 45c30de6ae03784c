"""Joining encoded segments and giving them the source's sound, subtitles, chapters and metadata.

Two steps: the segments' packets are joined, untouched, into a picture-only file with the source's
exact times (PyAV); then ffmpeg's bundled binary copies that and the source's other streams into the
output. Both are told to write nothing that varies between runs.
"""

from __future__ import annotations

import math
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import ffmpeg
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from videdit.errors import StorageError, VideditError
from videdit.files import finish_file, storage_errors, temporary_file
from videdit.media._planes import layout_of
from videdit.media.encoding import EncodeSpec
from videdit.media.output import CONTAINERS, check_suffix
from videdit.media.segments import counts_frames, open_exact, output_ticks
from videdit.media.source import open_own, open_video, reading
from videdit.media.streams import StreamPlan, plan_streams
from videdit.media.tag import LONGEST_COMMENT, Tag
from videdit.media.timeline import Timeline

# The picture stream's own tags that still hold for the result.
_PICTURE_TAGS = ("language", "title", "handler_name", "timecode", "reel_name", "creation_time")

_LONGEST_TAG = 1000
"""Characters of one of them; the whole of a file's own metadata is copied in another way."""


@dataclass(frozen=True)
class AssembleReport:
    """What became of the source.

    Attributes:
        dropped: one line for each thing the output does not have.
        changed: one line for each thing that was converted rather than copied.
    """

    dropped: tuple[str, ...]
    changed: tuple[str, ...]


def assemble(
    output: Path,
    timeline: Timeline,
    spec: EncodeSpec,
    segments: Sequence[Path],
    plan: StreamPlan | None = None,
    tag: Tag | None = None,
) -> AssembleReport:
    """Join segments and the source's other streams into the output file.

    The file appears under its name only when it is complete and on the disk. The same input gives
    the same bytes.

    Args:
        output: its suffix chooses the container; an existing file is replaced.
        segments: of `write_segment` with this spec, in order, covering the timeline exactly once.
        plan: `plan_streams`' for this suffix, if it was made already.
        tag: goes into the file's comment, after what is there of the source.
    Raises:
        UsageError: the suffix is none of a video, or does not fit the codec.
        StorageError: the file cannot be written, the disk is full, or the segments do not fit the
            timeline or each other.
    """
    output = Path(output).absolute()
    check_suffix(output, spec.codec)
    suffix = output.suffix.lower()
    plan = plan or plan_streams(timeline, suffix)
    shift = _clock_shift(timeline)
    ticks = output_ticks(timeline) - round(shift / timeline.time_base)
    with (
        storage_errors(output),
        temporary_file(output, ".picture") as picture,
        temporary_file(output, suffix) as part,
    ):
        _join(picture, timeline, spec, ticks, segments)
        cut = _add_streams(part, picture, timeline, spec, suffix, plan, shift, tag)
        picture.unlink()
        exact = _same_times(part, timeline.time_base, ticks)
        finish_file(part, output)
    changed = list(plan.changed)
    if timeline.stored is not None:
        changed.append("frame times that do not rise in the source (made to, as players do)")
    if not exact:
        changed.append(f"frame times (a {suffix} file rounds them, or shifts them to 0)")
    if not np.array_equal(output_ticks(timeline), timeline.pts):
        changed.append("frames that shared a time (moved apart by a tick)")
    dropped = (*spec.notes, *timeline.unkept, *plan.dropped, *cut)
    return AssembleReport(dropped, tuple(changed))


def _clock_shift(timeline: Timeline) -> Fraction:
    """Seconds to take off every time: where a free-running clock started, else 0."""
    if timeline.zero_based:
        return Fraction(0)
    with open_video(timeline.path) as (container, _):
        return Fraction(container.start_time or 0, 1_000_000)


def _packets(segment: Path) -> Iterator[Any]:
    with open_own(segment) as container:
        for packet in container.demux(container.streams.video[0]):
            if packet.size:
                yield packet


def _join(
    picture: Path,
    timeline: Timeline,
    spec: EncodeSpec,
    ticks: NDArray[np.int64],
    segments: Sequence[Path],
) -> None:
    """Write all segments' packets into one file with the times `ticks`."""
    ranks: list[NDArray[np.int64]] = []
    position = 0
    headers: set[tuple[Any, ...]] = set()
    for segment in segments:
        try:
            with open_own(segment) as container:
                stream = container.streams.video[0]
                context = stream.codec_context
                headers.add((context.name, context.extradata, context.width, context.height))
                # A muxer may refine the time base by a whole factor.
                unit = Fraction(1, 1000) if counts_frames(spec) else timeline.time_base
                factor = unit / cast(Fraction, stream.time_base)
            times = np.array([packet.pts for packet in _packets(segment)], np.int64)
        except (av.FFmpegError, IndexError, TypeError):
            raise _bad_segment(segment) from None
        order = np.argsort(times, kind="stable")
        numbers = np.arange(len(ticks)) if counts_frames(spec) else ticks
        expected = numbers[position : position + len(times)]
        if (
            not len(times)
            or len(expected) != len(times)
            or factor.denominator != 1
            or (
                not np.array_equal(
                    times[order] - times[order[0]], (expected - expected[0]) * factor.numerator
                )
            )
        ):
            raise _bad_segment(segment)
        rank = np.empty(len(times), np.int64)
        rank[order] = np.arange(len(times))
        ranks.append(rank)
        position += len(times)
    if position != len(ticks) or len(headers) != 1:
        raise StorageError(
            f"the encoded segments cover {position} of {len(ticks)} frames or differ in kind",
            "Run the command again with an empty cache",
        )
    # Decoding times: the sorted presentation times, late by the deepest reordering, so that each
    # frame is decoded no later than it is shown.
    delay = max(int((np.arange(len(rank)) - rank).max()) for rank in ranks)
    step = int(np.median(timeline.durations)) or 1
    lead = ticks[0] - step * np.arange(delay, 0, -1, dtype=np.int64)
    decode = np.concatenate([lead, ticks])
    with open_exact(picture, timeline, spec) as target:
        out: Any = None
        position = 0
        for segment, rank in zip(segments, ranks, strict=True):
            with open_own(segment) as container:
                stream = container.streams.video[0]
                if out is None:
                    out = target.add_stream_from_template(stream, opaque=True)
                    out.time_base = timeline.time_base
                    out.codec_context.sample_aspect_ratio = timeline.sample_aspect
                    if spec.codec == "prores":
                        # Says which ProRes it is; a template's is its encoder's default.
                        out.codec_context.codec_tag = stream.codec_context.codec_tag
                number = 0
                for packet in container.demux(stream):
                    if not packet.size:
                        continue
                    shown = position + int(rank[number])
                    packet.stream = out
                    packet.time_base = timeline.time_base
                    packet.pts = int(ticks[shown])
                    packet.dts = int(decode[position + number])
                    packet.duration = int(timeline.durations[shown])
                    target.mux_one(packet)
                    number += 1
                position += number


def _bad_segment(segment: Path) -> StorageError:
    return StorageError(
        f"the encoded segment {segment} is damaged or belongs to another run",
        "Run the command again with an empty cache",
    )


def _add_streams(
    part: Path,
    picture: Path,
    timeline: Timeline,
    spec: EncodeSpec,
    suffix: str,
    plan: StreamPlan,
    shift: Fraction,
    tag: Tag | None,
) -> tuple[str, ...]:
    """Copy the joined picture and what the plan keeps of the source into `part`.

    Returns:
        What of the source's metadata is cut off, a line each.
    """
    container = CONTAINERS[suffix]
    # ffmpeg-python takes no names that are not UTF-8, so the command is made with others.
    names = {"picture": picture, "source": timeline.path, "part": part}
    made = ffmpeg.input("picture", protocol_whitelist="file")
    offset = {"itsoffset": repr(-float(shift))} if shift else {}
    source = ffmpeg.input("source", **reading(timeline.container), **offset)
    # Input 1 is the source.
    options: dict[str, Any] = {"c": "copy", "map_metadata": 1, "map_chapters": 1}
    options |= {"fflags": "+bitexact", "flags": "+bitexact", "f": container}
    maps = [made["v:0"]]
    scales = [timeline.time_base.denominator]
    # ffmpeg-python takes one value per option name, and some come several times.
    repeated: list[tuple[str, str]] = []
    cut: tuple[str, ...] = ()
    with open_video(timeline.path) as (opened, stream), ExitStack() as attached:
        tags = stream.metadata
        for name in _PICTURE_TAGS:
            if tags.get(name):
                repeated.append(("-metadata:s:v:0", f"{name}={tags[name][:_LONGEST_TAG]}"))
        if tag is not None:
            comment = {k.lower(): v for k, v in opened.metadata.items()}.get("comment", "")
            repeated.append(("-metadata", f"comment={tag.after(comment)}"))
            if len(comment.encode()) > LONGEST_COMMENT:
                cut = ("the end of the source's comment (no room for it beside the tool's)",)
        if layout_of(spec.pix_fmt)[0].alpha and spec.codec == "vp9":
            repeated.append(("-metadata:s:v:0", "alpha_mode=1"))
        quicktime = container == "mov" and any(k.startswith("com.") for k in opened.metadata)
        places: Counter[str] = Counter()
        covers = 0
        for kept in plan.kept:
            other = opened.streams[kept.index]
            if kept.cover and container == "matroska":
                # Matroska keeps covers as attachments; copied, they would become tracks.
                cover = attached.enter_context(temporary_file(part, ".cover"))
                cover.write_bytes(_first_packet(timeline.path, kept.index))
                repeated += _attached(cover, other, covers)
                covers += 1
                continue
            if kept.encoder is not None:
                options[f"c:{kept.type[0]}:{places[kept.type]}"] = kept.encoder
                if kept.encoder == "aac":
                    options[f"b:{kept.type[0]}:{places[kept.type]}"] = _bit_rate(other)
            places[kept.type] += 1
            maps.append(source[str(kept.index)])
            if other.time_base:
                scales.append(other.time_base.denominator)
        if len(maps) == 1:
            # ffmpeg-python leaves out inputs that nothing is mapped from; the metadata is there.
            maps.append(source["9999?"])
        if spec.codec == "ffv1":
            # NUT lost it on the way.
            aspect = timeline.sample_aspect * timeline.width / timeline.height
            options["aspect:v:0"] = f"{aspect.numerator}:{aspect.denominator}"
        if container in ("mp4", "mov"):
            options["video_track_timescale"] = timeline.time_base.denominator
            # Start offsets are stored in the movie's time scale: a common multiple is exact.
            common = math.lcm(*scales)
            options["movie_timescale"] = common if common < 2**31 else scales[0]
            options["movflags"] = "+faststart+use_metadata_tags" if quicktime else "+faststart"
            if spec.codec in ("hevc", "hevc_nvenc"):
                options["tag:v:0"] = "hvc1"
        node = ffmpeg.output(*maps, "part", **options).global_args(
            *("-nostdin", "-hide_banner", "-loglevel", "error", "-copyts", "-copy_unknown", "-y")
        )
        command = cast("list[str]", node.compile(cmd=imageio_ffmpeg.get_ffmpeg_exe()))
        at = command.index("part")
        command[at:at] = [word for pair in repeated for word in pair]
        command = [_url(names[word]) if word in names else word for word in command]
        # In a session of its own, so that Ctrl-C lets it finish: the caller decides when to stop.
        done = subprocess.run(command, capture_output=True, start_new_session=True, check=False)
    if done.returncode:
        _raise(done.stderr.decode(errors="replace"), part)
    return cut


def _bit_rate(stream: Any) -> str:
    """Enough for AAC to be transparent: 96 kbit/s a channel."""
    context = stream.codec_context  # None where PyAV has no decoder, though ffmpeg does
    return f"{96 * (max(1, context.channels) if context else 2)}k"


def _first_packet(path: Path, index: int) -> bytes:
    with open_video(path) as (opened, _):
        packet = next(p for p in opened.demux(opened.streams[index]) if p.size)
        return bytes(packet)


def _attached(cover: Path, stream: Any, number: int) -> list[tuple[str, str]]:
    """Words that attach a cover picture to a Matroska file."""
    kind = {"mjpeg": "jpeg", "png": "png"}.get(stream.codec_context.codec.canonical_name, "bmp")
    name = stream.metadata.get("filename") or f"cover.{kind.replace('jpeg', 'jpg')}"
    name = name[:_LONGEST_TAG]
    return [
        ("-attach", _url(cover)),
        (f"-metadata:s:t:{number}", f"mimetype=image/{kind}"),
        (f"-metadata:s:t:{number}", f"filename={name}"),
    ]


def _url(path: Path) -> str:
    # The prefix keeps names with a colon from being taken for an address.
    return f"file:{path}"


def _raise(message: str, part: Path) -> None:
    first = message.strip().splitlines()[0] if message.strip() else "no message"
    if "No space left" in message or "Disk quota" in message:
        raise StorageError(
            f"no space left to write {part.parent}", "Free space or choose another folder"
        )
    if "Read-only file system" in message or "Permission denied" in message:
        raise StorageError(
            f"{part.parent} cannot be written to", "Choose another folder or change its rights"
        )
    raise VideditError(f"joining picture and sound failed: {first}", "Try a .mkv output")


def _same_times(path: Path, time_base: Fraction, ticks: NDArray[np.int64]) -> bool:
    """Whether the written picture has exactly these times."""
    with open_own(path) as container:
        stream = container.streams.video[0]
        got = np.sort(
            np.array([p.pts for p in container.demux(stream) if p.size and p.pts is not None])
        )
        assert stream.time_base is not None
        if len(got) != len(ticks):
            return False
        # Compared as integers over a common denominator.
        ratio = Fraction(stream.time_base) / time_base
        left = got.astype(object) * ratio.numerator
        right = ticks.astype(object) * ratio.denominator
        return bool((left == right).all())

"""Encoding frames into segments that `mux.assemble` joins.

A segment is a closed group of pictures in its own small file, with the frames' own times. No dates
or random numbers are written.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import av.logging
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream
from numpy.typing import NDArray

from videdit.errors import InputError, StorageError, UsageError
from videdit.files import storage_errors
from videdit.media._colour import convert, rgb_of
from videdit.media._planes import Plane, layout_of, packed, planes_of
from videdit.media.compose import EncodableFrame
from videdit.media.encoding import CODECS, THREADS, X264_THREADS, EncodeSpec
from videdit.media.fields import FIELD_ORDERS, as_fields
from videdit.media.source import decode_frames, open_own
from videdit.media.timeline import ColorTags, Timeline

SEGMENT_SUFFIX = ".segment"
"""Suffix of segment files: QuickTime, MP4 or NUT inside, which keep any time base exactly (or
Matroska, see `counts_frames`)."""

_X265_DELAY = 2
"""Frames by which x265 decodes earlier than it shows. Of streams without one more it leaves the
decoding times unset, whatever was in memory; so few frames are shown in their order."""

QUEUED = 4
"""Frames that may wait for the encoder."""


def output_ticks(timeline: Timeline) -> NDArray[np.int64]:
    """(n,) times written: the timeline's, with frames that share a time moved apart by one tick."""
    pts = timeline.pts
    if len(pts) < 2 or np.diff(pts).min() > 0:
        return pts
    ramp = np.arange(len(pts), dtype=np.int64)
    result: NDArray[np.int64] = np.maximum.accumulate(pts - ramp) + ramp
    return result


def counts_frames(spec: EncodeSpec) -> bool:
    """Whether segments hold the frames' numbers for their times, as milliseconds: VP9's alpha
    channel only goes into Matroska, which keeps no finer times."""
    return spec.codec == "vp9" and layout_of(spec.pix_fmt)[0].alpha


def open_exact(path: Path, timeline: Timeline, spec: EncodeSpec) -> av.container.OutputContainer:
    """Open a file for the picture alone in a container that keeps the source's time base."""
    if spec.codec == "ffv1" or counts_frames(spec):
        kind = "nut" if spec.codec == "ffv1" else "matroska"
        return av.open(str(path), "w", format=kind, options={"fflags": "+bitexact"})
    scale = str(timeline.time_base.denominator)
    return av.open(
        str(path),
        "w",
        # VP9 only goes into MP4, ProRes only into QuickTime.
        format="mp4" if spec.codec == "vp9" else "mov",
        # Offsets are stored in the movie's time scale, so that has to be as fine as the track's.
        options={
            "fflags": "+bitexact",
            "video_track_timescale": scale,
            "movie_timescale": scale,
        },
    )


def write_segment(
    path: Path, timeline: Timeline, spec: EncodeSpec, frames: Iterable[EncodableFrame]
) -> int:
    """Encode consecutive frames as one closed group of pictures.

    The encoder works in a thread of its own while `frames`, in the caller's, makes the next one;
    up to `QUEUED` wait between the two. The thread is gone when this returns or raises.

    Args:
        path: a new file; its suffix must be `SEGMENT_SUFFIX`.
        frames: with consecutive indices, at least one.
    Returns:
        The number of frames written.
    Raises:
        StorageError: the file cannot be written.
        UsageError: see `check_encoder`.
        ValueError: no frames, or frames out of order.
    """
    with storage_errors(path), ThreadPoolExecutor(1, "encoder") as thread:
        segment = _Segment(path, timeline, spec)
        # Oldest first: what fails first is what is raised.
        waiting: deque[Future[None]] = deque()
        start = count = 0
        try:
            for frame in frames:
                if count == 0:
                    start = frame.index
                elif frame.index != start + count:
                    raise ValueError(f"frame {frame.index} follows {start + count - 1}")
                if len(waiting) == QUEUED:
                    waiting.popleft().result()
                waiting.append(thread.submit(segment.add, frame))
                count += 1
            if not count:
                raise ValueError("a segment needs at least one frame")
            waiting.append(thread.submit(segment.finish))
            while waiting:
                waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()
            # In the encoder's thread as well, which may still be at a frame.
            closed = thread.submit(segment.close)
        closed.result()
    return count


class _Segment:
    """The encoder of one segment and its file."""

    def __init__(self, path: Path, timeline: Timeline, spec: EncodeSpec) -> None:
        self._timeline = timeline
        self._spec = spec
        self._ticks = output_ticks(timeline)
        # The encoder sees evenly spaced frames: its rate control and the rate it writes into its
        # headers stay sane for any time base, and its times are frame numbers that map back
        # exactly.
        self._rate = _encoder_rate(timeline)
        self._start = self._count = 0
        self._container = open_exact(path, timeline, spec)
        self._stream = _add_stream(self._container, timeline, spec, self._rate)

    def add(self, frame: EncodableFrame) -> None:
        """Encode the next frame."""
        if not self._count:
            self._start = frame.index
        native = _encodable(frame, self._timeline, self._spec)
        native.pts = self._count
        native.time_base = 1 / self._rate
        self._put(self._stream.encode(native))
        self._count += 1

    def finish(self) -> None:
        """Write what the encoder has held back."""
        self._put(self._stream.encode(None))

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _put(self, packets: Iterable[Any]) -> None:
        """Write packets with the source's times, counted from the first frame's."""
        timeline, ticks, start = self._timeline, self._ticks, self._start
        for packet in packets:
            if counts_frames(self._spec):
                packet.duration, packet.time_base = 1, Fraction(1, 1000)
                self._container.mux_one(packet)
                continue
            shown = start + packet.pts
            order = packet.dts
            if self._spec.codec == "hevc" and self._count <= _X265_DELAY:
                order = packet.pts
            packet.pts = int(ticks[shown] - ticks[start])
            packet.dts = (
                int(ticks[start + order] - ticks[start])
                if order >= 0
                else order * max(1, int(timeline.durations[start]))
            )
            packet.duration = int(timeline.durations[shown])
            packet.time_base = timeline.time_base
            self._container.mux_one(packet)


def _encoder_rate(timeline: Timeline) -> Fraction:
    rate = min(max(timeline.average_rate, Fraction(1)), Fraction(1000))
    return rate.limit_denominator(1001 * 100)


def _add_stream(
    container: av.container.OutputContainer, timeline: Timeline, spec: EncodeSpec, rate: Fraction
) -> VideoStream:
    traits = CODECS[spec.codec]
    options = dict(traits.options)
    if spec.crf is not None:
        options[traits.quality] = str(spec.crf)
    if spec.preset is not None:
        options["preset"] = spec.preset
    names = {"h264": ("x264-params", "mastering-display", "cll")}
    names["hevc"] = ("x265-params", "master-display", "max-cll")
    if spec.codec in names:
        option, mastering, light = names[spec.codec]
        for name, value in ((mastering, spec.mastering), (light, spec.light)):
            if value:
                options[option] += f":{name}={value}"
    if spec.codec == "h264" and spec.fields is not None:
        # Its headers are made before the first frame.
        options["x264-params"] += f":{spec.fields}=1"
    if spec.codec == "prores":
        options["profile"] = "4444" if "444" in spec.pix_fmt else "hq"
    stream = cast(VideoStream, container.add_stream(traits.encoder, rate=rate, options=options))
    context = stream.codec_context
    context.width, context.height = timeline.width, timeline.height
    context.pix_fmt = spec.pix_fmt
    context.time_base = 1 / rate
    context.framerate = rate
    context.gop_size = spec.gop
    context.thread_count = X264_THREADS if spec.codec == "h264" else THREADS
    # PyAV's default, x264's sliced threads, was seen to give different bytes on a busy machine.
    context.thread_type = "FRAME" if spec.codec in ("h264", "hevc") else "SLICE"
    context.sample_aspect_ratio = timeline.sample_aspect
    if spec.fields is not None:
        context.flags |= av.codec.context.Flags.interlaced_dct
        context.field_order = FIELD_ORDERS[spec.fields]
    _set_tags(context, spec.color)
    flags = av.codec.context.Flags
    context.flags |= flags.bitexact | flags.closed_gop | flags.global_header
    stream.time_base = timeline.time_base
    if traits.on_gpu:
        _open_on_gpu(context, timeline)
    return stream


def check_encoder(timeline: Timeline, spec: EncodeSpec) -> None:
    """Refuse an encoder of a GPU that cannot be used here, or not for such pictures, by opening it.

    Raises:
        UsageError: it cannot.
    """
    if CODECS[spec.codec].on_gpu:
        with av.open(os.devnull, "w", format="mov") as nothing:
            _add_stream(nothing, timeline, spec, _encoder_rate(timeline))


def _open_on_gpu(context: VideoCodecContext, timeline: Timeline) -> None:
    level = av.logging.get_level()
    # FFmpeg's last word on it is the reason; its error code says nothing.
    with av.logging.Capture() as said:
        av.logging.set_level(av.logging.ERROR)
        try:
            context.open()
        except av.FFmpegError as error:
            reason = said[-1][2].strip() if said else str(error)
            raise UsageError(
                f"{context.name} cannot encode {timeline.width}x{timeline.height} pixels here: "
                f"{reason}",
                "It takes an NVIDIA GPU that has this encoder (A100 and H100 have none) and a new "
                f"enough driver; --codec {context.codec.canonical_name} works everywhere.",
            ) from error
        finally:
            av.logging.set_level(level)


def _encodable(frame: EncodableFrame, timeline: Timeline, spec: EncodeSpec) -> av.VideoFrame:
    """The frame in the encoder's format."""
    target = layout_of(spec.pix_fmt)[0]
    native = packed(encoder_planes(frame, timeline, spec), target, spec.pix_fmt)
    if spec.fields is not None:
        native = as_fields(native, spec.fields)
    _set_tags(native, spec.color)
    return native


def encoder_planes(frame: EncodableFrame, timeline: Timeline, spec: EncodeSpec) -> list[Plane]:
    """The frame's planes as the encoder gets them, in the layout of `spec.pix_fmt`; samples
    unchanged where that is the source's."""
    source, target = frame.layout, layout_of(spec.pix_fmt)[0]

    def converted(planes: Sequence[Plane]) -> list[Plane]:
        full = timeline.full_range, spec.full_range
        return convert(planes, source, target, timeline.matrix, *full)

    if spec.fields is None or source.sub_h == target.sub_h:
        return converted(frame.planes)
    # Rows of colour belong to fields as well, so each field is converted by itself.
    fields = [converted([plane[row::2] for plane in frame.planes]) for row in (0, 1)]
    return [
        np.stack(pair, axis=1).reshape(-1, pair[0].shape[1]) for pair in zip(*fields, strict=True)
    ]


def shown_rgb(planes: Sequence[Plane], timeline: Timeline, spec: EncodeSpec) -> NDArray[Any]:
    """The planes of :func:`decode_segment` as (H, W, 3) RGB, uint8, or uint16 over 0..65535 where
    more bits were encoded."""
    return rgb_of(spec.layout, planes, timeline.matrix, spec.full_range)


def decode_segment(path: Path, spec: EncodeSpec) -> Iterator[list[Plane]]:
    """The frames of a segment in the order in which they are shown: planes in the layout of
    `spec.pix_fmt`, as whoever plays the result sees them.

    Args:
        path: of `write_segment` with this spec.
    Raises:
        StorageError: it is no segment, or damaged.
    """
    try:
        with open_own(path) as container:
            stream = container.streams.video[0]
            for native in decode_frames(path, container, stream, alpha=spec.layout.alpha):
                found, planes = planes_of(native)
                assert found == spec.layout, (found, spec.layout)
                yield planes
    except (av.FFmpegError, InputError) as error:
        raise StorageError(
            f"the encoded segment {path} cannot be read",
            "`videdit cache verify --repair` takes it out; then run the same command again.",
        ) from error


def _set_tags(target: Any, color: ColorTags) -> None:
    """Colour tags of an encoder, or of a frame: some encoders look at one, some at the other."""
    if color.range is not None:
        target.color_range = color.range
    if color.primaries is not None:
        target.color_primaries = color.primaries
    if color.transfer is not None:
        target.color_trc = color.transfer
    if color.matrix is not None:
        target.colorspace = color.matrix

"""Encoding frames into segments that `mux.assemble` joins, and writing pictures.

A segment is a closed group of pictures in its own small file, with the frames' own times. Nothing
in it depends on the machine: the number of encoder threads is fixed (it changes x264's decisions),
and no dates or random numbers are written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from videdit.errors import StorageError, UsageError
from videdit.files import storage_errors, write_atomically
from videdit.media._planes import (
    RANGE_FULL,
    RANGE_LIMITED,
    Layout,
    convert,
    frame_from,
    layout_of,
    orient,
)
from videdit.media.compose import EncodableFrame
from videdit.media.reader import read_frames
from videdit.media.timeline import ColorTags, Timeline

SEGMENT_SUFFIX = ".segment"
"""Suffix of segment files: QuickTime, MP4 or NUT inside, which keep any time base exactly."""

THREADS = 1
"""Encoder threads, whatever the machine has: the bytes depend on the number."""


_CV_CPU_AVX_512F = 13  # OpenCV's number for it; its Python module has no name for the number.


def _x264_params() -> str:
    """x264's own options.

    Its AVX-512 macroblock-tree routine reads memory that nothing wrote when the picture's width in
    blocks of 16 is not a multiple of its vectors, so the same frames gave other bytes in another
    process (29 blocks did). With AVX2 the bytes are the same, on machines with and without AVX-512.
    """
    instructions = ":asm=avx2" if cv2.checkHardwareSupport(_CV_CPU_AVX_512F) else ""
    return f"open-gop=0{instructions}"


@dataclass(frozen=True)
class _Codec:
    encoder: str
    formats: tuple[str, ...]
    crf: int | None
    preset: str | None
    options: dict[str, str]
    # Whether sizes must be whole chroma blocks.
    whole_blocks: bool = False
    rgb_as: tuple[int, int] = (0, 0)


def _formats(*blocks: str, depths: Iterable[int] = (8,)) -> tuple[str, ...]:
    tails = ["" if depth == 8 else f"{depth}le" for depth in depths]
    return tuple(f"yuv{block}{tail}" for tail in tails for block in blocks)


CODECS: dict[str, _Codec] = {
    "h264": _Codec(
        "libx264",
        _formats("420p", "422p", "444p", depths=(8, 10)),
        16,
        "medium",
        {"x264-params": _x264_params()},
        whole_blocks=True,
        rgb_as=(1, 1),
    ),
    "hevc": _Codec(
        "libx265",
        _formats("420p", "422p", "444p", depths=(8, 10, 12)),
        16,
        "fast",
        {"x265-params": f"open-gop=0:pools={THREADS}:frame-threads=1:log-level=error:info=0"},
        whole_blocks=True,
        rgb_as=(1, 1),
    ),
    "vp9": _Codec(
        "libvpx-vp9",
        (*_formats("420p", "422p", "440p", "444p"), "yuva420p"),
        18,
        None,
        {"b": "0", "deadline": "good", "cpu-used": "3", "row-mt": "0"},
        rgb_as=(1, 1),
    ),
    "prores": _Codec(
        "prores_ks", ("yuv422p10le", "yuv444p10le", "yuva444p10le"), None, None, {"vendor": "apl0"}
    ),
    "ffv1": _Codec(
        "ffv1",
        (
            *_formats("420p", "422p", "444p", depths=(8, 9, 10, 12, 14, 16)),
            *_formats("410p", "411p", "440p"),
            *_formats("440p", depths=(10, 12)),
            *(f"yuva{b}p{t}" for b in (420, 422, 444) for t in ("", "9le", "10le", "16le")),
            *("gray", "gray9le", "gray10le", "gray12le", "gray14le", "gray16le"),
            *("bgr0", "bgra"),
            *(f"gbr{a}p{t}le" for a in ("", "a") for t in (10, 12, 14, 16)),
        ),
        None,
        None,
        {"level": "3", "slicecrc": "1", "coder": "1", "context": "1"},
    ),
}
"""The codecs on offer, by name."""


@dataclass(frozen=True)
class EncodeSpec:
    """How the picture is encoded.

    Attributes:
        codec: a key of `CODECS`.
        crf: constant quality, lower is better; None for codecs without it.
        preset: the encoder's speed preset, None where it has none.
        pix_fmt: what is encoded.
        color: tags written.
        gop: greatest distance of keyframes, frames.
        notes: what of the source's picture this encoding does not keep, for the user.
    """

    codec: str
    crf: int | None
    preset: str | None
    pix_fmt: str
    color: ColorTags
    gop: int = 250
    notes: tuple[str, ...] = ()

    @staticmethod
    def for_source(
        timeline: Timeline,
        codec: str | None = None,
        crf: int | None = None,
        suffix: str | None = None,
    ) -> EncodeSpec:
        """The encoding nearest to the source: its depth, chroma, colour tags and size.

        Args:
            codec: a key of `CODECS`; None takes VP9 for WebM, HEVC for sources deeper than 8 bits,
                else H.264.
            crf: 0 to 51 (VP9: 63); None takes a value that is visually near the source.
            suffix: of the output file (``.webm``), the source's if None.
        Raises:
            UsageError: unknown codec, or a crf out of range or for a codec without one.
        """
        source = _upright_layout(timeline)
        if codec is None:
            webm = (suffix or timeline.path.suffix).lower() == ".webm"
            codec = "vp9" if webm else "hevc" if timeline.bit_depth > 8 else "h264"
        if codec not in CODECS:
            raise UsageError(f"unknown codec {codec!r}", f"Choose one of {', '.join(CODECS)}")
        traits = CODECS[codec]
        if crf is not None:
            if traits.crf is None:
                raise UsageError(f"{codec} has no quality setting", "Leave --crf out")
            limit = 63 if codec == "vp9" else 51
            if not 0 <= crf <= limit:
                raise UsageError(f"crf {crf} is out of range", f"Give 0 (best) to {limit}")
        pix_fmt, notes = _choose_format(traits, codec, source, timeline.width, timeline.height)
        color = timeline.color
        target = layout_of(pix_fmt)[0]
        if target.kind != "rgb" and source.kind != "yuv":
            # RGB's tags mean nothing for YUV; gray keeps its levels.
            full = source.kind == "gray" and timeline.full_range
            color = replace(
                color, range=RANGE_FULL if full else RANGE_LIMITED, matrix=timeline.matrix
            )
        elif timeline.full_range and source.kind == "yuv":
            color = replace(color, range=RANGE_FULL)
        if codec == "prores" and color.range == RANGE_FULL:
            # ProRes has no way to say full range.
            color = replace(color, range=RANGE_LIMITED)
        return EncodeSpec(
            codec, traits.crf if crf is None else crf, traits.preset, pix_fmt, color, notes=notes
        )

    @property
    def full_range(self) -> bool:
        """Whether the encoded code values span the full range."""
        kind = layout_of(self.pix_fmt)[0].kind
        if kind == "rgb":
            return True
        return self.color.range == RANGE_FULL or (kind == "gray" and self.color.range is None)


def _upright_layout(timeline: Timeline) -> Layout:
    width, height = timeline.coded_size
    layout = timeline.layout
    # Zero-stride arrays: only shapes matter here.
    planes = [
        np.broadcast_to(
            np.zeros((), layout.dtype),
            (-(-height >> layout.sub_h), -(-width >> layout.sub_w))
            if layout.kind == "yuv" and number in (1, 2)
            else (height, width),
        )
        for number in range(layout.colour_planes + layout.alpha)
    ]
    return orient(layout, planes, timeline.rotation, timeline.mirrored)[0]


def _choose_format(
    traits: _Codec, codec: str, source: Layout, width: int, height: int
) -> tuple[str, tuple[str, ...]]:
    """The codec's format that keeps most of the source, and what it does not keep."""
    same_kind = any(layout_of(f)[0].kind == source.kind for f in traits.formats)
    wanted = source
    if source.kind == "rgb" and not same_kind:
        wanted = replace(source, kind="yuv", sub_w=traits.rgb_as[0], sub_h=traits.rgb_as[1])
    elif source.kind == "gray" and not same_kind:
        wanted = replace(source, kind="yuv", sub_w=1, sub_h=1)

    def loss(pix_fmt: str) -> tuple[int, ...] | None:
        layout = layout_of(pix_fmt)[0]
        if layout.kind != wanted.kind or (layout.alpha and not wanted.alpha):
            return None
        if traits.whole_blocks and (width % (1 << layout.sub_w) or height % (1 << layout.sub_h)):
            return None
        coarser = max(0, layout.sub_w - wanted.sub_w) + max(0, layout.sub_h - wanted.sub_h)
        finer = max(0, wanted.sub_w - layout.sub_w) + max(0, wanted.sub_h - layout.sub_h)
        return (
            wanted.alpha and not layout.alpha,
            max(0, wanted.depth - layout.depth),
            coarser,
            max(0, layout.depth - wanted.depth),
            finer,
        )

    ranked = [(lost, f) for f in traits.formats if (lost := loss(f)) is not None]
    lost, pix_fmt = min(ranked)
    target = layout_of(pix_fmt)[0]
    notes = []
    if lost[0]:
        notes.append(f"alpha channel ({codec} in this build has none for it)")
    if lost[1]:
        notes.append(f"{source.depth}-bit samples, written with {target.depth} bits")
    colour_loss = lost[2] or (source.kind == "rgb" and target.kind == "yuv" and target.sub_w)
    if colour_loss:
        notes.append(
            "colour at full resolution, written as 4:2:0"
            if target.sub_h
            else "colour at full resolution, written as 4:2:2"
        )
    if (
        traits.whole_blocks
        and lost[4]
        and wanted.sub_w + wanted.sub_h
        and (width % 2 or height % 2)
    ):
        finer = "4:2:2" if target.sub_w else "4:4:4"
        notes.append(
            f"4:2:0 colour: {codec} writes odd sizes as {finer}, which some players refuse"
        )
    return pix_fmt, tuple(notes)


def output_ticks(timeline: Timeline) -> NDArray[np.int64]:
    """(n,) times written: the timeline's, with frames that share a time moved apart by one tick."""
    pts = timeline.pts
    if len(pts) < 2 or np.diff(pts).min() > 0:
        return pts
    ramp = np.arange(len(pts), dtype=np.int64)
    result: NDArray[np.int64] = np.maximum.accumulate(pts - ramp) + ramp
    return result


def open_exact(path: Path, timeline: Timeline, spec: EncodeSpec) -> av.container.OutputContainer:
    """Open a file for the picture alone in a container that keeps the source's time base."""
    if spec.codec == "ffv1":
        return av.open(str(path), "w", format="nut", options={"fflags": "+bitexact"})
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

    Args:
        path: a new file; its suffix must be `SEGMENT_SUFFIX`.
        frames: with consecutive indices, at least one.
    Returns:
        The number of frames written.
    Raises:
        StorageError: the file cannot be written.
        ValueError: no frames, or frames out of order.
    """
    ticks = output_ticks(timeline)
    # The encoder sees evenly spaced frames: its rate control and the rate it writes into its
    # headers stay sane for any time base, and its times are frame numbers that map back exactly.
    rate = _encoder_rate(timeline)
    count = 0
    start = 0
    with storage_errors(path), open_exact(path, timeline, spec) as container:
        stream = _add_stream(container, timeline, spec, rate)

        def put(packets: Iterable[Any]) -> None:
            for packet in packets:
                shown = start + packet.pts
                order = packet.dts
                packet.pts = int(ticks[shown] - ticks[start])
                packet.dts = (
                    int(ticks[start + order] - ticks[start])
                    if order >= 0
                    else order * max(1, int(timeline.durations[start]))
                )
                packet.duration = int(timeline.durations[shown])
                packet.time_base = timeline.time_base
                container.mux_one(packet)

        for frame in frames:
            if count == 0:
                start = frame.index
            elif frame.index != start + count:
                raise ValueError(f"frame {frame.index} follows {start + count - 1}")
            native = _encodable(frame, timeline, spec)
            native.pts = count
            native.time_base = 1 / rate
            put(stream.encode(native))
            count += 1
        if not count:
            raise ValueError("a segment needs at least one frame")
        put(stream.encode(None))
    return count


def _encoder_rate(timeline: Timeline) -> Fraction:
    rate = min(max(timeline.average_rate, Fraction(1)), Fraction(1000))
    return rate.limit_denominator(1001 * 100)


def _add_stream(
    container: av.container.OutputContainer, timeline: Timeline, spec: EncodeSpec, rate: Fraction
) -> VideoStream:
    traits = CODECS[spec.codec]
    options = dict(traits.options)
    if spec.crf is not None:
        options["crf"] = str(spec.crf)
    if spec.preset is not None:
        options["preset"] = spec.preset
    if spec.codec == "prores":
        options["profile"] = "4444" if "444" in spec.pix_fmt else "hq"
    stream = cast(VideoStream, container.add_stream(traits.encoder, rate=rate, options=options))
    context = stream.codec_context
    context.width, context.height = timeline.width, timeline.height
    context.pix_fmt = spec.pix_fmt
    context.time_base = 1 / rate
    context.framerate = rate
    context.gop_size = spec.gop
    context.thread_count = THREADS
    # PyAV's default, x264's sliced threads, was seen to give different bytes on a busy machine.
    context.thread_type = "FRAME" if spec.codec in ("h264", "hevc") else "SLICE"
    context.sample_aspect_ratio = timeline.sample_aspect
    _set_tags(context, spec.color)
    flags = av.codec.context.Flags
    context.flags |= flags.bitexact | flags.closed_gop | flags.global_header
    stream.time_base = timeline.time_base
    return stream


def _encodable(frame: EncodableFrame, timeline: Timeline, spec: EncodeSpec) -> av.VideoFrame:
    """The frame in the encoder's format; samples unchanged where that is the source's layout."""
    target = layout_of(spec.pix_fmt)[0]
    planes = convert(
        frame.planes,
        frame.layout,
        target,
        timeline.matrix,
        timeline.full_range,
        spec.full_range,
    )
    native = frame_from(planes, target, spec.pix_fmt)
    _set_tags(native, spec.color)
    return native


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


PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""What `write_picture` writes."""


def write_picture(path: Path, rgb: NDArray[Any], timeline: Timeline | None = None) -> None:
    """Write a picture: JPEG at quality 95 with full-size chroma, WebP at 95, others lossless.

    The file appears whole or not at all. The source's EXIF, colour profile and, in PNG and WebP,
    alpha channel are kept; the orientation tag is set to upright.

    Args:
        path: its suffix (one of `PICTURE_SUFFIXES`) says the format.
        rgb: (H, W, 3) uint8, or uint16 over 0..65535 (PNG and TIFF keep it, others get 8 bits).
        timeline: the source picture.
    Raises:
        UsageError: unknown suffix.
        StorageError: the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in PICTURE_SUFFIXES:
        raise UsageError(
            f"{path.name} has no picture suffix", f"Use one of {', '.join(PICTURE_SUFFIXES)}"
        )
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
            raw = _upright_exif(raw)
        kept.append((int(kind), raw))
    return [k for k, _ in kept], [b for _, b in kept]


def _upright_exif(raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The EXIF block with its orientation (tag 274, SHORT, one value) set to 1."""
    data = raw.tobytes()
    little, big = b"\x12\x01\x03\x00\x01\x00\x00\x00", b"\x01\x12\x00\x03\x00\x00\x00\x01"
    for entry, value in ((little, b"\x01\x00"), (big, b"\x00\x01")):
        at = data.find(entry)
        if at >= 0:
            data = data[: at + 8] + value + data[at + 10 :]
    return np.frombuffer(data, np.uint8)

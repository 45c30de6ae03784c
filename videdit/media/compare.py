"""A result beside its source: both pictures in one, as samples of the encoder's own layout.

Source and result are never taken through RGB for it: what is compared is what the encoder got, and
what comes out of its file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from videdit.errors import UsageError
from videdit.media._colour import levels, quantise
from videdit.media._planes import Layout, Plane
from videdit.media.compose import EncodableFrame, Touched, compose
from videdit.media.encoding import EncodeSpec
from videdit.media.reader import Frame
from videdit.media.segments import decode_segment, encoder_planes
from videdit.media.source import MAX_SIDE
from videdit.media.timeline import Timeline

COMPARISONS = ("side", "split", "difference")
"""The source left of the result; the left half of the source and the right half of the result; by
how much the result is lighter or darker than the source, around grey."""

GAIN = 4
"""By which a difference is amplified."""

_LINE = 480
"""The line between two halves is that part of the width, and two pixels at least."""


def comparison_path(output: Path, kind: str) -> Path:
    """Where the comparison to a result goes: ``out-side.mp4`` beside ``out.mp4``."""
    return output.with_name(f"{output.stem}-{kind}{output.suffix}")


def check_comparison(kind: str, width: int) -> None:
    """Refuse one that would be too wide.

    Raises:
        UsageError: more than `MAX_SIDE` pixels.
    """
    if kind == "side" and 2 * width > MAX_SIDE:
        raise UsageError(
            f"two pictures of {width} pixels side by side are wider than {MAX_SIDE}",
            "Compare them with split or difference.",
        )


def compared_timeline(timeline: Timeline, spec: EncodeSpec, kind: str) -> Timeline:
    """The timeline of a comparison: the source's times, and the size and format of the new frames.

    Args:
        spec: how the result is encoded.
    """
    width = timeline.width
    if kind == "side":
        width = 2 * _whole(width, spec.layout)
    return replace(
        timeline,
        width=width,
        rotation=0,
        mirrored=False,
        pix_fmt=spec.pix_fmt,
        color=compared_spec(timeline, spec).color,
    )


def compared_spec(timeline: Timeline, spec: EncodeSpec) -> EncodeSpec:
    """How a comparison is encoded: as the result is. A matrix that the source does not state is
    stated, since players guess it from the size."""
    if spec.layout.kind != "yuv" or spec.color.matrix is not None:
        return spec
    return replace(spec, color=replace(spec.color, matrix=timeline.matrix))


def compared_frames(
    kind: str,
    frames: Iterable[Frame],
    segment: Path,
    timeline: Timeline,
    spec: EncodeSpec,
    touched: Mapping[int, Touched],
) -> Iterator[EncodableFrame]:
    """The frames of a comparison, one at a time.

    Args:
        frames: of the source.
        segment: the same frames of the result.
        timeline: of the source.
        spec: how the result is encoded.
        touched: what was edited, by the frames' indices.
    """
    shape = timeline.height, timeline.width
    untouched = Touched(0, 0, np.zeros((0, 0), np.bool_))
    for frame, result in zip(frames, decode_segment(segment, spec), strict=True):
        source = encoder_planes(compose(frame), timeline, spec)
        where = touched.get(frame.index, untouched).spread(shape)
        planes = compare(kind, source, result, spec.layout, full=spec.full_range, where=where)
        yield EncodableFrame(frame.index, spec.layout, tuple(planes))


def compare(
    kind: str,
    source: Sequence[Plane],
    result: Sequence[Plane],
    layout: Layout,
    *,
    full: bool,
    where: NDArray[np.bool_] | None = None,
) -> list[Plane]:
    """The planes of a comparison.

    Args:
        kind: one of `COMPARISONS`.
        source, result: planes of one size, in this layout.
        full: whether their code values span the full range.
        where: (h, w) the pixels that the edit may have changed, for ``difference``: the others are
            exactly grey, whatever an encoder made of them. None for all.
    """
    if kind == "side":
        return _side(source, result, layout)
    if kind == "split":
        return _split(source, result, layout, full)
    return _difference(source, result, layout, full, where)


def compared_pictures(kind: str, source: NDArray[Any], result: NDArray[Any]) -> NDArray[Any]:
    """The comparison of two pictures (h, w, 3) RGB, uint8 or uint16; the same."""
    layout = Layout("rgb", 8 * source.itemsize)
    before, after = ([picture[..., k] for k in range(3)] for picture in (source, result))
    return np.stack(compare(kind, before, after, layout, full=True), axis=-1)


def _whole(width: int, layout: Layout) -> int:
    """A width that whole blocks of chroma fill."""
    block = 1 << layout.sub_w
    return -(-width // block) * block


def _shifts(layout: Layout) -> list[tuple[int, int]]:
    """log2 of what each plane's samples stand for, in pixels across and down."""
    chroma = (layout.sub_w, layout.sub_h) if layout.kind == "yuv" else (0, 0)
    return [(0, 0), *([chroma] * (layout.colour_planes - 1)), *([(0, 0)] * layout.alpha)]


def _side(source: Sequence[Plane], result: Sequence[Plane], layout: Layout) -> list[Plane]:
    width = source[0].shape[1]
    more = _whole(width, layout) - width
    pairs = zip(source, result, _shifts(layout), strict=True)
    return [
        np.hstack([np.pad(p, ((0, 0), (0, 0 if across else more)), "edge") for p in (left, right)])
        for left, right, (across, _) in pairs
    ]


def _split(
    source: Sequence[Plane], result: Sequence[Plane], layout: Layout, full: bool
) -> list[Plane]:
    width = source[0].shape[1]
    line = _whole(max(2, width // _LINE), layout)
    start = (width - line) // 2 >> layout.sub_w << layout.sub_w
    start, stop = max(0, start), min(width, start + line)
    planes = []
    white = _levels_of(layout, full, 1.0)
    for left, right, (across, _), value in zip(source, result, _shifts(layout), white, strict=True):
        plane = right.copy()
        first, last = start >> across, -(-stop >> across)
        plane[:, :first] = left[:, :first]
        plane[:, first:last] = value
        planes.append(plane)
    return planes


def _difference(
    source: Sequence[Plane],
    result: Sequence[Plane],
    layout: Layout,
    full: bool,
    where: NDArray[np.bool_] | None,
) -> list[Plane]:
    planes = []
    grey = _levels_of(layout, full, 0.5)
    for number, (before, after, shift, value) in enumerate(
        zip(source, result, _shifts(layout), grey, strict=True)
    ):
        plane: Plane = np.full_like(before, value)
        if number < layout.colour_planes:  # an alpha channel is opaque
            away = after.astype(np.float32) - before
            changed: Any = np.s_[:] if where is None else _in_blocks(where, *shift)
            plane[changed] = quantise(np.float32(value) + GAIN * away, layout)[changed]
        planes.append(plane)
    return planes


def _levels_of(layout: Layout, full: bool, grey: float) -> list[int]:
    """The code value of a grey (0 black, 1 white) in each plane; alpha opaque."""
    offset, scale, neutral, _ = levels(layout.depth, full)
    if layout.kind == "rgb":
        values = [layout.peak * grey] * 3
    else:
        values = [offset + scale * grey, neutral, neutral][: layout.colour_planes]
    return [*(int(np.rint(value)) for value in values), *([layout.peak] * layout.alpha)]


def _in_blocks(where: NDArray[np.bool_], across: int, down: int) -> NDArray[np.bool_]:
    """(ceil(h / block), ceil(w / block)) the blocks of which any pixel is marked."""
    height, width = where.shape
    rows, columns = np.arange(0, height, 1 << down), np.arange(0, width, 1 << across)
    marked = np.logical_or.reduceat(np.logical_or.reduceat(where, rows, axis=0), columns, axis=1)
    return np.asarray(marked, np.bool_)

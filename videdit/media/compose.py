"""Laying edited patches over a frame in its own colour layout.

The source is never taken through RGB: a patch is converted to the frame's layout and bit depth, and
``out = source + alpha * (patch - source)`` is computed on code values there. Where alpha is 0, and
for subsampled chroma where it is 0 over a sample's whole block, samples keep their bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from videdit.media._colour import block_mean, levels, luma_weights, quantise, rgb_to_ycc
from videdit.media._planes import Layout, Plane
from videdit.media.reader import Frame


@dataclass(frozen=True)
class Patch:
    """An edited rectangle in upright frame coordinates; parts outside the frame are ignored.

    Attributes:
        x, y: column and row of its left upper pixel; may be negative.
        rgb: (h, w, 3) float32 in [0, 1], the source's R'G'B' (as `Frame.rgb` scaled).
        alpha: (h, w) float32 in [0, 1]; 0 leaves the source.
    """

    x: int
    y: int
    rgb: NDArray[np.float32]
    alpha: NDArray[np.float32]


@dataclass(frozen=True)
class EncodableFrame:
    """A frame as the writer takes it.

    Attributes:
        index: position in the timeline.
        layout: of the planes.
        planes: upright planes in the source's depth.
    """

    index: int
    layout: Layout
    planes: tuple[Plane, ...]


@dataclass(frozen=True)
class Touched:
    """The pixels of a frame that patches may have changed.

    Attributes:
        x, y: column and row of the left upper pixel.
        inside: (h, w) bool.
    """

    x: int
    y: int
    inside: NDArray[np.bool_]

    def spread(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """(H, W) bool: the same in the whole frame of this shape."""
        whole = np.zeros(shape, np.bool_)
        height, width = self.inside.shape
        whole[self.y : self.y + height, self.x : self.x + width] = self.inside
        return whole


def touched_by(patches: Sequence[Patch], shape: tuple[int, int]) -> Touched:
    """What patches, one at least, may change in a frame of this shape (H, W)."""
    whole = np.zeros(shape, np.bool_)
    for patch in patches:
        height, width = patch.alpha.shape
        top, left = max(patch.y, 0), max(patch.x, 0)
        inside = patch.alpha[top - patch.y :, left - patch.x :] > 0
        here = whole[top : max(top, patch.y + height), left : max(left, patch.x + width)]
        here |= inside[: here.shape[0], : here.shape[1]]
    rows, columns = np.flatnonzero(whole.any(1)), np.flatnonzero(whole.any(0))
    if not len(rows):
        return Touched(0, 0, whole[:0, :0])
    top, left = int(rows[0]), int(columns[0])
    return Touched(left, top, whole[top : rows[-1] + 1, left : columns[-1] + 1])


def compose(frame: Frame, patches: Sequence[Patch] = ()) -> EncodableFrame:
    """Blend patches over a frame, one after the other; without patches the frame passes as it is.

    Raises:
        ValueError: a patch's rgb and alpha differ in size.
    """
    layout, planes = frame.planes()
    copied = False
    for patch in patches:
        height, width = patch.alpha.shape
        if patch.rgb.shape != (height, width, 3):
            raise ValueError(f"patch of {patch.rgb.shape} with alpha of {patch.alpha.shape}")
        frame_height, frame_width = planes[0].shape
        left, top = max(patch.x, 0), max(patch.y, 0)
        right = min(patch.x + width, frame_width)
        bottom = min(patch.y + height, frame_height)
        if left >= right or top >= bottom:
            continue
        inside = np.s_[top - patch.y : bottom - patch.y, left - patch.x : right - patch.x]
        if not copied:
            # Alpha channels are kept as they are.
            colour = layout.colour_planes
            planes = [p.copy() if i < colour else p for i, p in enumerate(planes)]
            copied = True
        _blend(frame, layout, planes, left, top, patch.rgb[inside], patch.alpha[inside])
    return EncodableFrame(frame.index, layout, tuple(planes))


def _blend(
    frame: Frame,
    layout: Layout,
    planes: list[Plane],
    x: int,
    y: int,
    rgb: NDArray[np.float32],
    alpha: NDArray[np.float32],
) -> None:
    """Blend one rectangle that lies inside the frame into `planes`, in place."""
    height, width = alpha.shape
    timeline = frame.timeline
    whole = np.s_[y : y + height, x : x + width]
    if layout.kind == "rgb":
        for number, channel in enumerate((1, 2, 0)):
            _mix(planes[number], whole, rgb[..., channel] * np.float32(layout.peak), alpha, layout)
        return
    offset, scale, chroma_offset, chroma_scale = levels(layout.depth, timeline.full_range)
    if layout.kind == "gray":
        luma = rgb @ np.array(luma_weights(timeline.matrix), np.float32)
        _mix(planes[0], whole, luma * np.float32(scale) + np.float32(offset), alpha, layout)
        return
    ycc = rgb @ rgb_to_ycc(timeline.matrix).astype(np.float32).T
    _mix(planes[0], whole, ycc[..., 0] * np.float32(scale) + np.float32(offset), alpha, layout)
    # Chroma: widen the rectangle to whole blocks with alpha 0, cut at the frame's edge, and weigh
    # each pixel of a block by its own alpha.
    frame_height, frame_width = planes[0].shape
    block_w, block_h = 1 << layout.sub_w, 1 << layout.sub_h
    left, top = x // block_w * block_w, y // block_h * block_h
    right = min(-(-(x + width) // block_w) * block_w, frame_width)
    bottom = min(-(-(y + height) // block_h) * block_h, frame_height)
    pad = ((y - top, bottom - y - height), (x - left, right - x - width))
    weight = block_mean(np.pad(alpha, pad), layout.sub_w, layout.sub_h)
    blocks = np.s_[
        top >> layout.sub_h : (top >> layout.sub_h) + weight.shape[0],
        left >> layout.sub_w : (left >> layout.sub_w) + weight.shape[1],
    ]
    for number in (1, 2):
        code = ycc[..., number] * np.float32(chroma_scale) + np.float32(chroma_offset)
        weighted = block_mean(np.pad(code * alpha, pad), layout.sub_w, layout.sub_h)
        source = planes[number][blocks].astype(np.float32)
        mixed = quantise(source + weighted - weight * source, layout)
        planes[number][blocks] = np.where(weight > 0, mixed, planes[number][blocks])


def _mix(
    plane: Plane,
    where: tuple[slice, slice],
    code: NDArray[np.float32],
    alpha: NDArray[np.float32],
    layout: Layout,
) -> None:
    source = plane[where].astype(np.float32)
    mixed = quantise(source + alpha * (code - source), layout)
    plane[where] = np.where(alpha > 0, mixed, plane[where])

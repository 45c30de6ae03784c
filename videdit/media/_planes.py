"""Pixel layouts as plain arrays: what the reader hands out, compose changes and the writer encodes.

Every source format is held as separate planes of ``uint8`` (8 bits and less) or ``uint16`` (deeper,
value in the low bits), in the order of ffmpeg's planar formats: Y U V [A], gray, or G B R [A].
Formats that are packed in memory are unpacked without loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import av
import numpy as np
from av.video.format import VideoFormat
from numpy.typing import NDArray

Plane = NDArray[Any]
"""(h, w) uint8 or uint16."""

RANGE_LIMITED = 1
RANGE_FULL = 2

# Packed layouts and the planar one that holds the same samples.
_UNPACKED = {
    "nv12": "yuv420p",
    "nv21": "yuv420p",
    "nv16": "yuv422p",
    "nv24": "yuv444p",
    "nv42": "yuv444p",
    "nv20le": "yuv422p10le",
    "nv20be": "yuv422p10le",
    "p010le": "yuv420p10le",
    "p010be": "yuv420p10le",
    "p012le": "yuv420p12le",
    "p012be": "yuv420p12le",
    "p016le": "yuv420p16le",
    "p016be": "yuv420p16le",
    "p210le": "yuv422p10le",
    "p210be": "yuv422p10le",
    "p212le": "yuv422p12le",
    "p212be": "yuv422p12le",
    "p216le": "yuv422p16le",
    "p216be": "yuv422p16le",
    "p410le": "yuv444p10le",
    "p410be": "yuv444p10le",
    "p412le": "yuv444p12le",
    "p412be": "yuv444p12le",
    "p416le": "yuv444p16le",
    "p416be": "yuv444p16le",
    "yuyv422": "yuv422p",
    "uyvy422": "yuv422p",
    "yvyu422": "yuv422p",
    "uyyvyy411": "yuv411p",
    "y210le": "yuv422p10le",
    "y212le": "yuv422p12le",
    "xv30le": "yuv444p10le",
    "xv36le": "yuv444p12le",
    "vuyx": "yuv444p",
    "vuya": "yuva444p",
    "ayuv": "yuva444p",
    "uyva": "yuva444p",
    "ayuv64le": "yuva444p16le",
    "monow": "gray",
    "monob": "gray",
    "gray16be": "gray16le",
}


@dataclass(frozen=True)
class Layout:
    """Shape of a frame's planes.

    Attributes:
        kind: ``yuv``, ``gray`` or ``rgb``.
        depth: bits per sample, 8 to 16 (1-bit and palette sources are held as 8).
        sub_w, sub_h: log2 of the chroma block's width and height (0 for 4:4:4, gray, rgb).
        alpha: whether the last plane is alpha.
    """

    kind: str
    depth: int
    sub_w: int = 0
    sub_h: int = 0
    alpha: bool = False

    @property
    def colour_planes(self) -> int:
        return 1 if self.kind == "gray" else 3

    @property
    def peak(self) -> int:
        """The greatest sample value."""
        return (1 << self.depth) - 1

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        return np.uint8 if self.depth == 8 else np.uint16


def _planar_layout(pix_fmt: str) -> Layout | None:
    """The layout of a format whose every component has its own little-endian plane, else None."""
    fmt = VideoFormat(pix_fmt, 16, 16)
    components = fmt.components
    depth = max(c.bits for c in components)
    if (
        len({c.plane for c in components}) != len(components)
        or fmt.is_big_endian
        or fmt.has_palette
        or fmt.is_bit_stream
        or not 8 <= depth <= 16
        or "msb" in pix_fmt
        or pix_fmt.endswith("f16le")
    ):
        return None
    alpha = any(c.is_alpha for c in components)
    if fmt.is_rgb:
        return Layout("rgb", depth, alpha=alpha)
    if len(components) == 1:
        return Layout("gray", depth)
    if len(components) < 3:
        return None
    sub_w = (16 // fmt.chroma_width()).bit_length() - 1
    sub_h = (16 // fmt.chroma_height()).bit_length() - 1
    return Layout("yuv", depth, sub_w, sub_h, alpha)


@lru_cache(maxsize=256)
def layout_of(pix_fmt: str) -> tuple[Layout, str | None]:
    """Layout a source format is held in, and the format to repack its frames to first (or None).

    A repack target of ``rgb24``, ``rgba``, ``rgb48le`` or ``rgba64le`` is split into planes after.
    """
    name = pix_fmt.replace("yuvj", "yuv")
    planar = _planar_layout(name)
    if planar is not None:
        return planar, None
    if name in _UNPACKED:
        target = _UNPACKED[name]
        layout = _planar_layout(target)
        assert layout is not None
        return layout, target
    fmt = VideoFormat(name, 16, 16)
    little = name[:-2] + "le" if name.endswith("be") else name
    if little != name:
        layout = _planar_layout(little)
        if layout is not None:
            return layout, little
    # What is left is packed RGB, palettes, gray with alpha, and rare forms (Bayer, XYZ, float),
    # which are brought to packed RGB of enough depth.
    alpha = fmt.has_palette or any(c.is_alpha for c in fmt.components)
    deep = max(c.bits for c in fmt.components) > 8
    if deep:
        return Layout("rgb", 16, alpha=alpha), "rgba64le" if alpha else "rgb48le"
    return Layout("rgb", 8, alpha=alpha), "rgba" if alpha else "rgb24"


def _array(plane: Any, dtype: Any, width: int, height: int) -> Plane:
    line = abs(plane.line_size) // np.dtype(dtype).itemsize
    rows = np.frombuffer(plane, dtype)[: line * height].reshape(height, line)
    # A negative line size means the picture is stored from the bottom up.
    return rows[::-1, :width] if plane.line_size < 0 else rows[:, :width]


def unpacked(frame: av.VideoFrame) -> av.VideoFrame:
    """The frame in the format that its samples are held in; itself where that is its own."""
    layout, target = layout_of(frame.format.name)
    if target is None:
        return frame
    # The same range on both sides, so that repacking YUV does not stretch levels.
    span = RANGE_LIMITED if layout.kind == "yuv" else None
    return frame.reformat(format=target, src_color_range=span, dst_color_range=span, threads=1)


def planes_of(frame: av.VideoFrame) -> tuple[Layout, list[Plane]]:
    """The frame's planes in coded orientation, views where its format is planar already."""
    layout, target = layout_of(frame.format.name)
    frame = unpacked(frame)
    if target in ("rgb24", "rgba", "rgb48le", "rgba64le"):
        channels = 4 if layout.alpha else 3
        packed = _array(frame.planes[0], layout.dtype, frame.width * channels, frame.height)
        packed = packed.reshape(frame.height, frame.width, channels)
        order = (1, 2, 0, 3)[:channels]
        return layout, [packed[..., i] for i in order]
    planes: list[Plane] = []
    for number in range(layout.colour_planes + layout.alpha):
        chroma = layout.kind == "yuv" and number in (1, 2)
        width = -(-frame.width >> layout.sub_w) if chroma else frame.width
        height = -(-frame.height >> layout.sub_h) if chroma else frame.height
        planes.append(_array(frame.planes[number], layout.dtype, width, height))
    return layout, planes


def frame_from(planes: Sequence[Plane], layout: Layout, pix_fmt: str) -> av.VideoFrame:
    """A new ffmpeg frame with these samples; `pix_fmt` is the layout's own, or bgr0 or bgra."""
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, pix_fmt)
    if pix_fmt in ("bgr0", "bgra"):
        opaque = np.full((height, width), 255, np.uint8)
        alpha = planes[3] if layout.alpha else opaque
        packed = np.stack([planes[1], planes[0], planes[2], alpha], axis=-1)
        rows = _array(frame.planes[0], np.uint8, width * 4, height)
        rows[...] = packed.reshape(height, width * 4)
        return frame
    for plane, values in zip(frame.planes, planes, strict=True):
        _array(plane, layout.dtype, values.shape[1], values.shape[0])[...] = values
    return frame


def packed(planes: Sequence[Plane], layout: Layout, pix_fmt: str) -> av.VideoFrame:
    """A new ffmpeg frame with these samples in any format that holds the layout's."""
    target = layout_of(pix_fmt)[1]
    if target is None or layout.kind != "yuv":
        return frame_from(planes, layout, pix_fmt)
    plain = frame_from(planes, layout, target)
    span = {"src_color_range": RANGE_LIMITED, "dst_color_range": RANGE_LIMITED}
    return plain.reformat(format=pix_fmt, threads=1, **span)


def grow(plane: Plane, sub_w: int, sub_h: int, width: int, height: int) -> Plane:
    """Repeat each chroma sample over its block, cut to the frame."""
    if sub_w:
        plane = np.repeat(plane, 1 << sub_w, axis=1)
    if sub_h:
        plane = np.repeat(plane, 1 << sub_h, axis=0)
    return plane[:height, :width]


def orient(
    layout: Layout, planes: Sequence[Plane], rotation: int, mirrored: bool
) -> tuple[Layout, list[Plane]]:
    """Turn planes upright: mirrored left-right if asked, then clockwise by `rotation` degrees.

    Samples are moved, never interpolated. Where blocks of subsampled chroma would not fall on the
    turned picture's block grid (an odd size turned or mirrored), chroma is repeated to 4:4:4 first.
    """
    if not rotation and not mirrored:
        return layout, list(planes)
    height, width = planes[0].shape
    block_w, block_h = 1 << layout.sub_w, 1 << layout.sub_h
    if layout.kind == "yuv" and (width % block_w or height % block_h):
        planes = [
            grow(p, layout.sub_w, layout.sub_h, width, height) if i in (1, 2) else p
            for i, p in enumerate(planes)
        ]
        layout = replace(layout, sub_w=0, sub_h=0)
    turned = [np.rot90(plane[:, ::-1] if mirrored else plane, -rotation // 90) for plane in planes]
    if rotation in (90, 270):
        layout = replace(layout, sub_w=layout.sub_h, sub_h=layout.sub_w)
    return layout, turned

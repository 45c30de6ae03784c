"""Pixel layouts as plain arrays: what the reader hands out, compose changes and the writer encodes.

Every source format is held as separate planes of ``uint8`` (8 bits and less) or ``uint16`` (deeper,
value in the low bits), in the order of ffmpeg's planar formats: Y U V [A], gray, or G B R [A].
Formats that are packed in memory are unpacked without loss.

Chroma is taken as centred in its block in both directions, when it is read (each sample stands for
its whole block) and when it is written (the mean over the block). The two are exact inverses on an
unchanged picture, which is worth more here than the half pixel between the standards' sitings.

Formulas: ITU-R BT.709-6, BT.601-7 and BT.2020-2 for the matrices (Kr, Kb) and the limited range's
16/219/224 levels; ITU-T H.273 for the code points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import av
import cv2
import numpy as np
from av.video.format import VideoFormat
from numpy.typing import NDArray

Plane = NDArray[Any]
"""(h, w) uint8 or uint16."""

RANGE_LIMITED = 1
RANGE_FULL = 2

# H.273 matrix code point -> (Kr, Kb). Code points without a constant-luma matrix fall back to the
# size rule of `matrix_code`.
_COEFFICIENTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}

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


def layout_name(layout: Layout) -> str | None:
    """ffmpeg's planar format with this layout, or None where there is none."""
    tail = "" if layout.depth == 8 else f"{layout.depth}le"
    if layout.kind == "gray":
        name = f"gray{tail}"
    elif layout.kind == "rgb":
        name = f"gbr{'a' if layout.alpha else ''}p{tail}"
    else:
        block = {(1, 1): 420, (1, 0): 422, (0, 0): 444, (0, 1): 440, (2, 0): 411, (2, 2): 410}
        number = block.get((layout.sub_w, layout.sub_h))
        if number is None:
            return None
        name = f"yuv{'a' if layout.alpha else ''}{number}p{tail}"
    try:
        return name if _planar_layout(name) == layout else None
    except ValueError:
        return None


def _array(plane: Any, dtype: Any, width: int, height: int) -> Plane:
    line = abs(plane.line_size) // np.dtype(dtype).itemsize
    rows = np.frombuffer(plane, dtype)[: line * height].reshape(height, line)
    # A negative line size means the picture is stored from the bottom up.
    return rows[::-1, :width] if plane.line_size < 0 else rows[:, :width]


def planes_of(frame: av.VideoFrame) -> tuple[Layout, list[Plane]]:
    """The frame's planes in coded orientation, views where its format is planar already."""
    layout, target = layout_of(frame.format.name)
    if target is not None:
        # The same range on both sides, so that repacking YUV does not stretch levels.
        span = RANGE_LIMITED if layout.kind == "yuv" else None
        frame = frame.reformat(format=target, src_color_range=span, dst_color_range=span, threads=1)
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


def _grow(plane: Plane, sub_w: int, sub_h: int, width: int, height: int) -> Plane:
    """Repeat each chroma sample over its block, cut to the frame."""
    if sub_w:
        plane = np.repeat(plane, 1 << sub_w, axis=1)
    if sub_h:
        plane = np.repeat(plane, 1 << sub_h, axis=0)
    return plane[:height, :width]


def block_mean(values: NDArray[np.float32], sub_w: int, sub_h: int) -> NDArray[np.float32]:
    """Mean over blocks of (1 << sub_h) x (1 << sub_w); blocks cut by the edge count what is there.

    Args:
        values: (h, w) float32.
    Returns:
        (ceil(h / block), ceil(w / block)) float32.
    """
    if not sub_w and not sub_h:
        return values
    step_w, step_h = 1 << sub_w, 1 << sub_h
    height, width = values.shape
    columns = np.arange(0, width, step_w)
    rows = np.arange(0, height, step_h)
    sums = np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)
    count_w = np.minimum(columns + step_w, width) - columns
    count_h = np.minimum(rows + step_h, height) - rows
    return np.asarray(sums / (count_h[:, None] * count_w[None, :]), np.float32)


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
            _grow(p, layout.sub_w, layout.sub_h, width, height) if i in (1, 2) else p
            for i, p in enumerate(planes)
        ]
        layout = replace(layout, sub_w=0, sub_h=0)
    turned = [np.rot90(plane[:, ::-1] if mirrored else plane, -rotation // 90) for plane in planes]
    if rotation in (90, 270):
        layout = replace(layout, sub_w=layout.sub_h, sub_h=layout.sub_w)
    return layout, turned


def matrix_code(matrix: int | None, width: int, height: int) -> int:
    """The H.273 matrix to compute with: the tagged one, else BT.709 for 720 lines and more.

    Turned pictures count alike: BT.709 when the shorter side has 720 pixels or the longer 1280.
    """
    if matrix in _COEFFICIENTS:
        return int(matrix)
    return 1 if min(width, height) >= 720 or max(width, height) >= 1280 else 6


def luma_weights(matrix: int) -> tuple[float, float, float]:
    """Kr, Kg, Kb of a matrix code point."""
    kr, kb = _COEFFICIENTS[matrix]
    return kr, 1.0 - kr - kb, kb


def levels(depth: int, full: bool) -> tuple[float, float, float, float]:
    """Luma offset, luma scale, chroma offset, chroma scale of the code values."""
    if full:
        peak = float((1 << depth) - 1)
        return 0.0, peak, float(1 << (depth - 1)), peak
    unit = float(1 << (depth - 8))
    return 16 * unit, 219 * unit, 128 * unit, 224 * unit


def rgb_to_ycc(matrix: int) -> NDArray[np.float64]:
    """(3, 3): R'G'B' in [0, 1] to Y' in [0, 1], Cb and Cr in [-0.5, 0.5]."""
    kr, kg, kb = luma_weights(matrix)
    luma = np.array([kr, kg, kb])
    return np.stack(
        [
            luma,
            (np.array([0.0, 0.0, 1.0]) - luma) / (2 * (1 - kb)),
            (np.array([1.0, 0.0, 0.0]) - luma) / (2 * (1 - kr)),
        ]
    )


def rgb_of(layout: Layout, planes: Sequence[Plane], matrix: int, full: bool) -> NDArray[Any]:
    """(H, W, 3) RGB: uint8 for 8-bit layouts, uint16 over 0..65535 for deeper ones."""
    height, width = planes[0].shape
    out_peak = 255.0 if layout.depth == 8 else 65535.0
    if layout.kind == "rgb":
        stacked = cv2.merge([np.ascontiguousarray(planes[i]) for i in (2, 0, 1)])
        if layout.depth in (8, 16):
            return stacked
        return cv2.transform(stacked, np.eye(3) * (out_peak / layout.peak))
    offset, scale, chroma_offset, chroma_scale = levels(layout.depth, full)
    if layout.kind == "gray":
        stacked = cv2.merge([np.ascontiguousarray(planes[0])] * 3)
        if full and layout.depth in (8, 16):
            return stacked
        gain = out_peak / scale
        return cv2.transform(stacked, np.c_[np.eye(3) * gain, np.full(3, -offset * gain)])
    ycc = cv2.merge(
        [np.ascontiguousarray(planes[0])]
        + [
            np.ascontiguousarray(_grow(p, layout.sub_w, layout.sub_h, width, height))
            for p in planes[1:3]
        ]
    )
    inverse = np.linalg.inv(rgb_to_ycc(matrix)) * out_peak
    inverse = inverse / np.array([scale, chroma_scale, chroma_scale])
    shift = -inverse @ np.array([offset, chroma_offset, chroma_offset])
    return cv2.transform(ycc, np.c_[inverse, shift])


def _rescale(
    plane: Plane, source: Layout, target: Layout, old: Sequence[float], new: Sequence[float]
) -> Plane:
    """Map code values linearly from (offset, scale) `old` to `new`."""
    if source.depth == target.depth and tuple(old) == tuple(new):
        return plane
    values = (plane.astype(np.float32) - np.float32(old[0])) * np.float32(new[1] / old[1])
    return quantise(values + np.float32(new[0]), target)


def quantise(values: NDArray[np.float32], layout: Layout) -> Plane:
    """Round to the layout's integers, clipped to its range."""
    return np.clip(np.rint(values), 0, layout.peak).astype(layout.dtype)


def convert(
    planes: Sequence[Plane],
    source: Layout,
    target: Layout,
    matrix: int,
    source_full: bool,
    target_full: bool,
) -> list[Plane]:
    """Planes of one layout as planes of another; the planes themselves where nothing changes.

    Gray becomes the luma of neutral YUV, RGB is converted with `matrix`, alpha the target lacks is
    left out. Other changes of kind, and alpha the source lacks, are not asked for.
    """
    if source == target and source_full == target_full:
        return list(planes)
    height, width = planes[0].shape
    old = levels(source.depth, source_full)
    new = levels(target.depth, target_full)
    result: list[Plane]
    if source.kind == target.kind == "rgb":
        peaks = (0.0, float(source.peak)), (0.0, float(target.peak))
        result = [_rescale(p, source, target, *peaks) for p in planes[:3]]
    elif source.kind == "rgb":
        rgb = np.stack([planes[i] for i in (2, 0, 1)], axis=-1).astype(np.float32)
        ycc = rgb @ (rgb_to_ycc(matrix) / source.peak).astype(np.float32).T
        result = [quantise(ycc[..., 0] * new[1] + new[0], target)]
        for channel in (1, 2):
            small = block_mean(ycc[..., channel], target.sub_w, target.sub_h)
            result.append(quantise(small * np.float32(new[3]) + np.float32(new[2]), target))
    else:
        result = [_rescale(planes[0], source, target, old[:2], new[:2])]
        if target.kind == "yuv":
            shape = (-(-height >> target.sub_h), -(-width >> target.sub_w))
            for number in (1, 2):
                if source.kind == "gray":
                    result.append(np.full(shape, int(new[2]), target.dtype))
                    continue
                plane = planes[number]
                if (source.sub_w, source.sub_h) != (target.sub_w, target.sub_h):
                    plane = _grow(plane, source.sub_w, source.sub_h, width, height)
                    if target.sub_w or target.sub_h:
                        mean = block_mean(plane.astype(np.float32), target.sub_w, target.sub_h)
                        plane = quantise(mean, source)
                result.append(_rescale(plane, source, target, old[2:], new[2:]))
    if target.alpha:
        peaks = (0.0, float(source.peak)), (0.0, float(target.peak))
        result.append(_rescale(planes[-1], source, target, *peaks))
    return result


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

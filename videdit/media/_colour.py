"""Colour arithmetic on planes: RGB of a frame, and planes of one layout as those of another.

Chroma is taken as centred in its block in both directions, when it is read (each sample stands for
its whole block) and when it is written (the mean over the block). The two are exact inverses on an
unchanged picture, which is worth more here than the half pixel between the standards' sitings.

Formulas: ITU-R BT.709-6, BT.601-7 and BT.2020-2 for the matrices (Kr, Kb) and the limited range's
16/219/224 levels; ITU-T H.273 for the code points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from videdit.media._planes import Layout, Plane, grow

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
            np.ascontiguousarray(grow(p, layout.sub_w, layout.sub_h, width, height))
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
                    plane = grow(plane, source.sub_w, source.sub_h, width, height)
                    if target.sub_w or target.sub_h:
                        mean = block_mean(plane.astype(np.float32), target.sub_w, target.sub_h)
                        plane = quantise(mean, source)
                result.append(_rescale(plane, source, target, old[2:], new[2:]))
    if target.alpha:
        peaks = (0.0, float(source.peak)), (0.0, float(target.peak))
        result.append(_rescale(planes[-1], source, target, *peaks))
    return result


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
    # Not `np.add.reduceat`, which is several times slower and keeps Python for itself.
    sums = values[::step_h].copy()
    for k in range(1, step_h):
        more = values[k::step_h]
        sums[: len(more)] += more
    halves, sums = sums, sums[:, ::step_w].copy()
    for k in range(1, step_w):
        more = halves[:, k::step_w]
        sums[:, : more.shape[1]] += more
    count_w = np.minimum(columns + step_w, width) - columns
    count_h = np.minimum(rows + step_h, height) - rows
    return np.asarray(sums / (count_h[:, None] * count_w[None, :]), np.float32)

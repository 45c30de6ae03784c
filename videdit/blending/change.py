"""A change of one face, as maps over its crop: steadied over time, and applied to the frame itself.

The frame's own pixels are read where the change says and written where they belong, at the frame's
resolution and once: a crop that is cut out and pasted back would lose detail twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from videdit.blending.parameters import DEFAULT, Grain
from videdit.faces.align import paste_warp

FloatArray = NDArray[np.float32]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)

_SOFTER = (0.0, 0.5, 0.8, 1.2, 1.8, 2.6, 4.0)  # pixels of the crop, standard deviations


@dataclass(frozen=True)
class Change:
    """Maps over a crop, each of any side: out = ``where`` * (S(x + ``motion``) + ``offset``) + (1 -
    ``where``) * S, but ``painted`` instead of the first where ``matter`` is.

    Attributes:
        motion: (s, s, 2) crop units.
        offset: (s, s, 3) of RGB in [0, 1].
        where: (s, s) in [0, 1]; exactly 0 where the source stays.
        matter: (s, s) in [0, 1]; None where there is none at all.
        painted: (s, s, 3) RGB in [0, 1], with ``matter``.
        softness: standard deviation of the blur that makes ``painted`` as soft as the source, crop
            units.
        visible: how much of the face is seen in its frame, 0 to 1: as much is changed.
    """

    motion: FloatArray
    offset: FloatArray
    where: FloatArray
    matter: FloatArray | None = None
    painted: FloatArray | None = None
    softness: float = 0.0
    visible: float = 1.0


def blurred(values: NDArray[Any], sigma: float) -> FloatArray:
    """A Gaussian blur, sigma in pixels."""
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)


def resized(values: FloatArray, side: int) -> FloatArray:
    """A picture or map (s, s[, c]) with another side: the mean of areas, or linear."""
    if values.shape[0] == side:
        return values
    method = cv2.INTER_AREA if values.shape[0] > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(values, (side, side), interpolation=method), np.float32)


def without_colour(change: Change, share: float) -> Change:
    """A change with that share of what it does to colours beside light; 1 leaves it."""
    if share == 1:
        return change

    def told(picture: FloatArray) -> FloatArray:
        light = (picture @ LUMA)[:, :, None]
        return np.asarray(light + share * (picture - light), np.float32)

    painted = None if change.painted is None else told(change.painted)
    return replace(change, offset=told(change.offset), painted=painted)


def softness_of(source: FloatArray, shown: FloatArray, weight: FloatArray) -> float:
    """How much softer the source is than the generator's picture of the same.

    The blur under which the picture has as much fine detail left as the source: the mean square of
    what a blur of one pixel takes away.

    Args:
        source, shown: (size, size, 3) crops.
        weight: (size, size) where they are compared.

    Returns:
        Standard deviation in crop units; 0 where the source is as sharp.
    """
    size: int = source.shape[0]
    middle = slice(size // 4, size - size // 4)
    mask = weight[middle, middle]
    if mask.sum() < 1:
        return 0.0

    def detail(luma: FloatArray) -> float:
        energy = np.square(luma - blurred(luma, 1.0)) * mask
        return float(energy.sum()) / float(mask.sum())

    theirs, luma = (np.asarray(p[middle, middle] @ LUMA, np.float32) for p in (source, shown))
    left = [detail(blurred(luma, sigma) if sigma else luma) for sigma in _SOFTER]
    logs = np.log(np.maximum([*left, detail(theirs)], 1e-9))
    found = np.interp(-logs[-1], -logs[:-1], _SOFTER)
    return float(found) / size


def steadied(changes: Sequence[Change], weights: NDArray[np.floating[Any]], at: int) -> Change:
    """A change with those of the frames around it: the weighted mean of everything but the painted
    pixels and what is visible, which are of one moment. Where the face is hidden counts for little.

    Args:
        changes: of one track, all from one chain.
        weights: (n,) positive.
        at: which of them it is.
    """
    seen = np.array([0.01 + change.visible for change in changes])
    share = np.asarray(weights * seen / np.sum(weights * seen), np.float32)
    if len(changes) == 1:
        return changes[0]

    def mean(maps: Sequence[FloatArray]) -> FloatArray:
        total = np.asarray(maps[0] * share[0], np.float32)
        for one, part in zip(maps[1:], share[1:], strict=True):
            total += one * part if one.shape == total.shape else resized(one, len(total)) * part
        return total

    matters = [change.matter for change in changes if change.matter is not None]
    assert len(matters) in (0, len(changes))
    return replace(
        changes[at],
        motion=mean([change.motion for change in changes]),
        offset=mean([change.offset for change in changes]),
        where=mean([change.where for change in changes]),
        matter=mean(matters) if matters else None,
        softness=float(np.dot(share, [change.softness for change in changes])),
    )


def applied(
    rgb: NDArray[Any],
    quad: NDArray[np.floating[Any]],
    change: Change,
    parameters: Grain = DEFAULT.grain,
) -> tuple[int, int, FloatArray, FloatArray]:
    """A change, applied to the frame.

    Args:
        rgb: (H, W, 3) the frame, of an unsigned type.
        quad: (4, 2) the crop's corners in the frame.
        change: of that crop.
        parameters: the source's grain on what the generator shows.

    Returns:
        ``(x, y, colours, alpha)``: top left pixel, (h, w, 3) RGB in [0, 1] and (h, w) in [0, 1] how
        much of it is pasted there; exactly 0 where nothing changes. h and w are 0 where nothing
        does.
    """
    size = change.where.shape[0]
    offset = resized(change.offset, size)
    added = [offset]
    if change.matter is not None and change.painted is not None:
        matter = resized(change.matter, size)[:, :, None]
        painted = change.painted
        if change.softness * size > 0.3:
            painted = blurred(painted, change.softness * size)
        added = [offset + matter * (painted - offset), matter]
    frame_hw, extent = (rgb.shape[0], rgb.shape[1]), _extent(change.where)
    placed = np.concatenate([resized(change.motion, size), change.where[:, :, None]], 2)
    x, y, maps, coverage = paste_warp(placed, quad, frame_hw, extent, smooth=True)
    alpha = maps[:, :, 2] * coverage * np.float32(change.visible)
    alpha[alpha < 1 / 512] = 0
    if not alpha.any():
        return x, y, np.zeros((0, 0, 3), np.float32), np.zeros((0, 0), np.float32)
    # What is smooth needs no better resampling; the generator's own pixels do.
    smooth = len(added) == 1
    layers = np.concatenate(added, 2)
    _, _, layers, _ = paste_warp(layers, quad, frame_hw, extent, smooth=smooth)
    corners = np.asarray(quad, np.float32)
    across, down = corners[3] - corners[0], corners[1] - corners[0]
    moved = [maps[:, :, 0] * across[i] + maps[:, :, 1] * down[i] for i in range(2)]
    height, width = alpha.shape
    full = np.float32(np.iinfo(rgb.dtype).max)
    margin = int(np.ceil(max(abs(float(v)) for m in moved for v in (m.min(), m.max())))) + 4
    top, left = max(0, y - margin), max(0, x - margin)
    region = np.ascontiguousarray(rgb[top : y + height + margin, left : x + width + margin])
    columns = np.arange(x - left, x - left + width, dtype=np.float32)
    rows = np.arange(y - top, y - top + height, dtype=np.float32)
    colours = cv2.remap(
        region,
        moved[0] + columns,
        moved[1] + rows[:, None],
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    ).astype(np.float32)
    colours *= 1 / full
    if smooth:
        colours += layers
    else:
        matter = layers[:, :, 3:]
        grain = _grain(rgb[y : y + height, x : x + width], parameters)
        colours += matter * (grain - colours)
        colours += layers[:, :, :3]
    return x, y, np.clip(colours, 0, 1, out=colours), alpha


def _extent(where: FloatArray) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of what is not 0, crop units, with a little to spare."""
    rows, columns = (np.flatnonzero(where.any(axis)) for axis in (1, 0))
    if not len(rows):
        return 0.0, 0.0, 0.0, 0.0
    size, spare = where.shape[0], 2
    ends = (columns[0] - spare, rows[0] - spare, columns[-1] + 1 + spare, rows[-1] + 1 + spare)
    left, top, right, bottom = (float(min(max(end / size, 0.0), 1.0)) for end in ends)
    return left, top, right, bottom


def _grain(rgb: NDArray[Any], parameters: Grain) -> FloatArray:
    """(h, w, 3) a frame's noise: its finest detail as far as it is everywhere, without edges."""
    pixels = rgb.astype(np.float32) / np.float32(np.iinfo(rgb.dtype).max)
    fine = pixels - blurred(pixels, parameters.sigma)
    # The median of every third pixel: a robust standard deviation.
    usual = np.median(np.abs(fine)[::3, ::3], axis=(0, 1)) * 1.4826
    # Edges and hair are no grain: where there is more than usual, the less of it.
    power = cv2.blur(fine * fine, (parameters.reach, parameters.reach))
    usually = np.asarray(usual * usual, np.float32)
    fine *= np.minimum(1, 2 * usually / (power + 1e-9))
    most = np.asarray(parameters.most * usual, np.float32)
    return np.asarray(np.clip(fine, -most, most), np.float32)

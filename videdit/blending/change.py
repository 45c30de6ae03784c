"""A change of one face, as maps over its crop: steadied over time, and applied to the frame itself.

The frame's own pixels are read where the change says and written where they belong, at the frame's
resolution and once: a crop that is cut out and pasted back would lose detail twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from videdit.blending.maps import (
    FloatArray,
    blurred,
    frame_part,
    host,
    in_frame,
    joined,
    luma,
    means,
    middle,
    read_frame,
    resized,
    smaller,
)
from videdit.blending.parameters import DEFAULT, Grain

_SOFTER = (0.0, 0.5, 0.8, 1.2, 1.8, 2.6, 4.0)  # pixels of the crop, standard deviations

_LEAST = 1 / 512
"""Less of a change than this is none."""


@dataclass(frozen=True)
class Change:
    """Maps over a crop, each of any side: out = ``where`` * (S(x + ``motion``) + ``offset``) + (1 -
    ``where``) * S, but ``painted`` instead of the first where ``matter`` is. All are arrays, or
    all tensors.

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


def on_host(change: Change) -> Change:
    """A change whose maps are arrays."""
    matter, painted = (None if m is None else host(m) for m in (change.matter, change.painted))
    motion, offset, where = (host(m) for m in (change.motion, change.offset, change.where))
    return replace(
        change, motion=motion, offset=offset, where=where, matter=matter, painted=painted
    )


def without_colour(change: Change, share: float) -> Change:
    """A change with that share of what it does to colours beside light; 1 leaves it."""
    if share == 1:
        return change

    def told(picture: FloatArray) -> FloatArray:
        light = luma(picture)[:, :, None]
        return light + share * (picture - light)

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
    inner = slice(size // 4, size - size // 4)
    mask = weight[inner, inner]
    total = float(mask.sum())
    if total < 1:
        return 0.0

    def detail(grey: FloatArray) -> Any:
        fine = grey - blurred(grey, 1.0)
        return (fine * fine * mask).sum()

    theirs, grey = (luma(picture[inner, inner]) for picture in (source, shown))
    left = [detail(blurred(grey, sigma) if sigma else grey) for sigma in _SOFTER]
    energies = np.array([float(one) for one in (*left, detail(theirs))]) / total
    logs = np.log(np.maximum(energies, 1e-9))
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
    share = [float(part) for part in weights * seen / np.sum(weights * seen)]
    if len(changes) == 1:
        return changes[0]

    def mean(maps: Sequence[FloatArray]) -> FloatArray:
        total = maps[0] * share[0]
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
    frame_hw, extent = (rgb.shape[0], rgb.shape[1]), _extent(change.where)
    x, y, (where, moved, offset), coverage = _smooth_in_frame(
        (change.where[:, :, None], change.motion, change.offset), quad, frame_hw, extent
    )
    alpha = where[:, :, 0] * coverage * change.visible
    alpha = alpha * (alpha >= _LEAST)
    if not bool(alpha.any()):
        return x, y, np.zeros((0, 0, 3), np.float32), np.zeros((0, 0), np.float32)
    corners = np.asarray(quad, np.float64)
    across, down = corners[3] - corners[0], corners[1] - corners[0]
    # Crop units to pixels of the frame.
    columns, rows = (
        moved[:, :, 0] * float(across[i]) + moved[:, :, 1] * float(down[i]) for i in range(2)
    )
    colours = read_frame(columns, rows, rgb, x, y) + offset
    painted = _painted_in_frame(rgb, quad, change, parameters)
    if painted is not None:
        left, top, shown, matter = painted
        height, width = matter.shape[:2]
        here = colours[top - y : top - y + height, left - x : left + width - x]
        here += matter * (shown - here)
    return x, y, host(colours.clip(0, 1)), host(alpha)


def _smooth_in_frame(
    maps: Sequence[FloatArray],
    quad: NDArray[np.floating[Any]],
    frame_hw: tuple[int, int],
    extent: tuple[float, float, float, float],
) -> tuple[int, int, list[FloatArray], FloatArray]:
    """Maps without fine detail, (s, s, c) each of any side, in the frame: ``in_frame``; those of
    one side together."""
    found: dict[int, FloatArray] = {}
    sides = [one.shape[0] for one in maps]
    for side in dict.fromkeys(sides):
        together = joined([one for one in maps if one.shape[0] == side])
        x, y, pasted, coverage = in_frame(together, quad, frame_hw, extent, True)
        start = 0
        for k, one in enumerate(maps):
            if one.shape[0] == side:
                found[k] = pasted[:, :, start : start + one.shape[2]]
                start += one.shape[2]
    return x, y, [found[k] for k in range(len(maps))], coverage


def _painted_in_frame(
    rgb: NDArray[Any],
    quad: NDArray[np.floating[Any]],
    change: Change,
    parameters: Grain,
) -> tuple[int, int, FloatArray, FloatArray] | None:
    """What the generator shows, with the source's grain.

    Returns:
        ``(x, y, colours, matter)``: top left pixel, (h, w, 3) and (h, w, 1) how much of it is shown
        there, within what may change at all; None where nothing is.
    """
    if change.matter is None or change.painted is None:
        return None
    where = change.where
    matter = resized(change.matter, where.shape[0])
    extent = _extent((matter >= _LEAST) & (where > 0))
    frame_hw = rgb.shape[0], rgb.shape[1]
    x, y, shares, _ = in_frame(matter[:, :, None], quad, frame_hw, extent, True)
    height, width = shares.shape[:2]
    if not height or not width:
        return None
    painted, size = change.painted, change.painted.shape[0]
    if change.softness * size > 0.3:
        painted = blurred(painted, change.softness * size)
    # What is smooth needs no better resampling; the generator's own pixels do.
    _, _, colours, _ = in_frame(painted, quad, frame_hw, extent, False)
    grain = _grain(frame_part(shares, rgb, x, y, width, height), parameters)
    return x, y, colours + grain, shares


def _extent(where: NDArray[Any]) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of what is not 0, crop units, with a little to spare."""
    rows, columns = (np.flatnonzero(host((where != 0).any(axis))) for axis in (1, 0))
    if not len(rows):
        return 0.0, 0.0, 0.0, 0.0
    size, spare = where.shape[0], 2
    ends = (columns[0] - spare, rows[0] - spare, columns[-1] + 1 + spare, rows[-1] + 1 + spare)
    left, top, right, bottom = (float(min(max(end / size, 0.0), 1.0)) for end in ends)
    return left, top, right, bottom


def _grain(pixels: FloatArray, parameters: Grain) -> FloatArray:
    """(h, w, 3) the noise of a frame's pixels: their finest detail as far as it is everywhere,
    without edges."""
    fine = pixels - blurred(pixels, parameters.sigma)
    # The median of every third pixel: a robust standard deviation.
    usual = middle(abs(fine[::3, ::3])) * 1.4826
    # Edges and hair are no grain: where there is more than usual, the less of it.
    power = means(fine * fine, parameters.reach)
    fine = fine * smaller(2 * usual * usual / (power + 1e-9), 1.0)
    most = parameters.most * usual
    return fine.clip(-most, most)

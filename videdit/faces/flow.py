"""Optical flow of landmarks, and landmarks stabilised by it.

A landmarker looks at every frame afresh and its points tremble; optical flow knows how the skin
moved from one frame to the next, but drifts. Mixed, they give points that neither tremble nor
drift nor lag. The idea, with the flow's trust falling with the motion, is from Yao et al., *A
Latent Transformer for Disentangled Face Editing* (ICCV 2021, supplement); here it looks both ways
in time, and everything is in seconds and inter-ocular distances instead of frames and pixels.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from videdit.faces.detection import inter_ocular
from videdit.faces.parameters import DEFAULT, Flow, Stabilising
from videdit.faces.smoothing import FloatArray


def flow_points(
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    points68: NDArray[np.floating[Any]],
    parameters: Flow = DEFAULT.detecting.flow,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Follow landmarks from one frame to the next.

    Pyramidal Lucas-Kanade (Bouguet 2000) in a window of a quarter of the inter-ocular distance,
    on the face's surroundings only, reduced where the face is large.

    Args:
        before, after: (H, W) uint8 luma of two frames in a row.
        points68: (68, 2) landmarks in ``before``, pixels.
        parameters: how the points are looked for.

    Returns:
        ``(moved, ok)``: (68, 2) float32 where the points are in ``after``, and (68,) whether
        following them back leads to where they came from. Where not ok, ``moved`` is the point
        itself.

    Raises:
        ValueError: the frames' sizes or types differ or the points are not finite.
    """
    if before.shape != after.shape or before.ndim != 2 or before.dtype != np.uint8:
        raise ValueError(f"expected two (H, W) uint8 frames, got {before.shape}, {after.shape}")
    points = np.asarray(points68, dtype=np.float64)
    if points.shape != (68, 2) or not np.all(np.isfinite(points)):
        raise ValueError("expected 68 finite points")
    still = points.astype(np.float32), np.zeros(68, np.bool_)
    unit = float(inter_ocular(points))
    height, width = before.shape
    low = np.floor(points.min(axis=0) - unit).astype(np.int64)
    high = np.ceil(points.max(axis=0) + unit).astype(np.int64)
    left, top = (int(v) for v in np.clip(low, 0, (width, height)))
    right, bottom = (int(v) for v in np.clip(high, 0, (width, height)))
    least = parameters.least_window
    if right - left < least or bottom - top < least or unit <= 0:
        return still
    scale = min(1.0, parameters.face_height / float(np.ptp(points[:, 1])))
    w, h = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    regions: list[NDArray[Any]] = [frame[top:bottom, left:right] for frame in (before, after)]
    regions = [_resized(region, w, h) for region in regions]
    factor = np.array([w / (right - left), h / (bottom - top)])
    # OpenCV counts pixel centres as whole numbers.
    start = ((points - (left, top)) * factor - 0.5).astype(np.float32)
    window = max(least, round(unit * scale * parameters.window) // 2 * 2 + 1)
    there, found = _follow(regions[0], regions[1], start, window, parameters)
    back, returned = _follow(regions[1], regions[0], there, window, parameters)
    miss = np.linalg.norm((back - start) / factor, axis=1)
    ok = found & returned & (miss <= parameters.closure * unit)
    # The step is added to the point itself, so that no rounding moves a point that stays.
    moved = points + (there.astype(np.float64) - start) / factor
    inside = np.all((moved >= 0) & (moved <= (width, height)), axis=1)
    ok &= inside & np.all((points >= 0) & (points <= (width, height)), axis=1)
    return np.where(ok[:, None], moved, points).astype(np.float32), ok


def _resized(region: NDArray[Any], width: int, height: int) -> NDArray[Any]:
    if region.shape == (height, width):
        return np.ascontiguousarray(region)
    return cv2.resize(region, (width, height), interpolation=cv2.INTER_AREA)


def _follow(
    before: NDArray[Any],
    after: NDArray[Any],
    points: NDArray[np.float32],
    window: int,
    parameters: Flow,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where (n, 2) points, in OpenCV's whole-number pixel centres, go; and whether found."""
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        before,
        after,
        points[:, None],
        np.empty((len(points), 1, 2), np.float32),
        winSize=(window, window),
        maxLevel=parameters.levels,
        criteria=(
            cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT,
            parameters.iterations,
            parameters.precision,
        ),
    )
    moved: NDArray[np.float32] = np.asarray(there, np.float32)[:, 0]
    return moved, np.asarray(found)[:, 0] == 1


def stabilise(
    points68: NDArray[np.floating[Any]],
    moved: NDArray[np.floating[Any]],
    ok: NDArray[np.bool_],
    times_s: NDArray[np.floating[Any]],
    parameters: Stabilising = DEFAULT.aligning.stabilising,
) -> FloatArray:
    """Calm a track's landmarks with the flow between its frames.

    Between frames i and i+1, dt apart, a point has the link

        w = ok * exp(-(dt / memory_s) (1 + (v / trusted_speed)^2) - (e / trusted_error)^4 / 2)

    with v = |D| / dt, D = moved_i - x_i, e = |moved_i - x_(i+1)|, distances in inter-ocular
    distances: a trust that fades with time, faster in fast motion, the same at any frame rate.
    Its result in frame i is the mean of its positions in all frames j at most ``reach_s`` away,
    each carried to i by the flow and weighted by the product of the links between: as many from
    before as from after, so nothing lags, and a still face's noise averages out. Where it moves
    fast, or flow and landmarker disagree (an occlusion, a mouth that opens), it stays with the
    landmarker.

    The result in frame i depends, to the last bit, on the entries within ``reach_s`` of it alone:
    a piece of a track that begins and ends so much further out gives the same as the whole.

    Args:
        points68: (k, 68, 2) landmarks of one track, one entry per frame.
        moved: (k, 68, 2) from :func:`flow_points` for the points of each entry, where they are
            in the next frame; the last entry is not used.
        ok: (k, 68) whether that can be trusted; False wherever there is no flow.
        times_s: (k,) seconds, increasing.
        parameters: ``memory_s`` and the others above.

    Returns:
        (k, 68, 2) float64.

    Raises:
        ValueError: shapes differ or times don't increase.
    """
    points = np.asarray(points68, dtype=np.float64)
    times = np.asarray(times_s, dtype=np.float64)
    count = len(points)
    if (
        points.shape != (count, 68, 2)
        or np.shape(moved) != points.shape
        or np.shape(ok) != (count, 68)
        or times.shape != (count,)
    ):
        raise ValueError("points, flow and times of different lengths")
    if np.any(np.diff(times) <= 0):
        raise ValueError("times must increase strictly")
    if count < 2:
        return points.copy()
    dt = np.diff(times)[:, None]
    unit = inter_ocular(points)
    unit = np.maximum((unit[:-1] + unit[1:]) / 2, np.finfo(np.float64).tiny)[:, None]
    step = np.where(ok[:-1, :, None], np.asarray(moved, np.float64)[:-1] - points[:-1], 0.0)
    speed = np.linalg.norm(step, axis=2) / unit / dt
    miss = points[:-1] + step - points[1:]
    error = np.linalg.norm(miss, axis=2) / unit
    fading = dt / parameters.memory_s * (1.0 + (speed / parameters.trusted_speed) ** 2)
    link = ok[:-1] * np.exp(-fading - 0.5 * (error / parameters.trusted_error) ** 4)

    # One pass per distance d in frames. The entry d before, carried to i, lies off i's own point by
    # the sum of the misses between, the entry d after by minus that; such sums keep full precision
    # far from the picture's origin.
    drift = np.zeros_like(points)
    total = np.ones((count, 68))  # the frame's own point counts once
    weights = np.ones((2, count, 68))
    offsets = np.zeros((2, count, 68, 2))
    for d in range(1, count):
        near = (times[d:] - times[:-d] <= parameters.reach_s)[:, None]
        before = slice(d, None), slice(None, count - d)
        after = slice(None, count - d), slice(d - 1, None)
        reached = False
        for side, (here, between) in enumerate((before, after)):
            weight, offset = weights[side, here], offsets[side, here]
            weight *= link[between] * near
            offset += miss[between] if side == 0 else -miss[between]
            drift[here] += weight[:, :, None] * offset
            total[here] += weight
            reached |= bool(weight.any())
        if not reached:
            break
    return points + drift / total[:, :, None]

"""Where the edited crop replaces the source.

The mask is where the edit really changed the picture, found by comparing the edited crop with the
*reconstruction* (not with the source: what the inversion misses is not the edit's doing). Inside
the face a small change counts; outside it, in hair and background, only a large one, so that
glasses, hats and hair colours are kept and the generator's idea of the background is not.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .parameters import DEFAULT, EditMask, FaceRegion, Mapping

FloatArray = NDArray[np.float32]

MAP_SIZE = 64
"""Side of the maps of change and misfit: the format in which they are kept."""


def difference_map(
    one: FloatArray, other: FloatArray, parameters: Mapping = DEFAULT.maps
) -> FloatArray:
    """How much two crops differ at each place.

    Between a reconstruction and its edit this is the *change* the edit made; between a source and
    its reconstruction the *misfit*, what the inversion does not explain.

    Args:
        one, other: (size, size, 3) RGB in [0, 1].
        parameters: ``blur_sigma``.

    Returns:
        (64, 64) mean absolute difference over the channels, slightly blurred.
    """
    away = np.abs(other - one)
    # The mean over three channels; NumPy's own takes many times as long along a short axis.
    difference = (away[:, :, 0] + away[:, :, 1] + away[:, :, 2]) / np.float32(3)
    small = cv2.resize(difference, (MAP_SIZE, MAP_SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), parameters.blur_sigma), np.float32)


def face_region(
    points68: NDArray[np.floating[Any]], parameters: FaceRegion = DEFAULT.compositing.face
) -> FloatArray:
    """Soft mask of the face: jaw, cheeks and forehead.

    Args:
        points68: (68, 2) landmarks in crop units.
        parameters: the outline that is drawn around them.

    Returns:
        (64, 64) in [0, 1].
    """
    points = np.asarray(points68, np.float64)
    eyes, mouth = points[36:48].mean(0), points[48:60].mean(0)
    forehead = points[17:27] + parameters.forehead * (eyes - mouth)
    outline = np.concatenate((points, forehead))
    centre = outline.mean(0)
    outline = centre + parameters.inset * (outline - centre)
    hull = cv2.convexHull(outline.astype(np.float32))
    side = MAP_SIZE * parameters.oversampling
    canvas = np.zeros((side, side), np.uint8)
    cv2.fillConvexPoly(canvas, np.rint(hull * side).astype(np.int32), 255)
    soft = cv2.GaussianBlur(canvas.astype(np.float32) / 255, (0, 0), parameters.softness * side)
    region = cv2.resize(soft, (MAP_SIZE, MAP_SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(region, np.float32)


def _ramp(values: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _ellipse(size: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)


def edit_mask(
    change: FloatArray,
    misfit: FloatArray,
    face: FloatArray,
    size: int,
    parameters: EditMask = DEFAULT.compositing.mask,
) -> FloatArray:
    """The mask of one frame.

    Outside the face the source also wins wherever the reconstruction does not explain it: there
    the edit would bring the generator's own hair and background along.

    Args:
        change: (64, 64) what the edit changed, smoothed over time by the caller.
        misfit: (64, 64) what the inversion missed, smoothed over time by the caller.
        face: (64, 64) from ``face_region``.
        size: side of the result.
        parameters: thresholds and the mask's shape.

    Returns:
        (size, size) in [0, 1]; exactly 0 where the source is to stay.
    """
    explained = 1 - _ramp(misfit, *(np.full_like(misfit, limit) for limit in parameters.misfit))
    usable = np.maximum(face, explained)
    # A direction of W never changes one thing alone. What changes little, measured by what changes
    # most and by what the inversion misses there, is by-catch: the source stays, and with it the
    # person.
    peak = float(np.quantile(change * usable, parameters.peak))
    low, high = (
        np.maximum.reduce(
            (
                outside + (inside - outside) * face,
                np.full_like(change, share * peak),
                gain * misfit,
            )
        )
        for inside, outside, share, gain in zip(
            parameters.inside, parameters.outside, parameters.share, parameters.gain, strict=True
        )
    )
    # Closed first: a mouth's lips and teeth change, the skin between mouth and cheek hardly, and a
    # border through there would be one more to hide.
    ellipse = _ellipse(parameters.closing)
    changed = cv2.morphologyEx(_ramp(change, low, high), cv2.MORPH_CLOSE, ellipse)
    changed = cv2.dilate(changed, _ellipse(parameters.dilation))
    wide = cv2.GaussianBlur(changed * usable, (0, 0), parameters.blur_sigma)
    axis = (np.arange(MAP_SIZE, dtype=np.float32) + 0.5) / MAP_SIZE
    edge = np.minimum(axis, 1 - axis)
    start, end = parameters.margin, parameters.margin + parameters.border
    fade = _ramp(edge, np.full_like(edge, start), np.full_like(edge, end))
    wide = wide * np.minimum(fade[:, None], fade[None, :])
    mask = cv2.resize(np.asarray(wide, np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    floor = parameters.floor
    return np.asarray(np.clip((mask - floor) / (1 - 2 * floor), 0, 1), np.float32)

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

FloatArray = NDArray[np.float32]

MAP_SIZE = 64
_INSIDE = (0.018, 0.055)
_OUTSIDE = (0.07, 0.16)
"""Mean absolute change of RGB in [0, 1] at which the mask begins and is full."""
_SHARE = (0.4, 0.7)
"""The same in shares of the largest change, where that is more."""
_GAIN = (0.8, 1.6)
"""The same in multiples of the misfit at the place."""
_PEAK = 0.985
"""The quantile of the change, over the crop, that counts as the largest."""
_MISFIT = (0.045, 0.1)
"""Mean absolute misfit at which the source begins to win outside the face, and wins."""
_INSET = 0.94
"""The face's outline is drawn this much smaller."""
_BORDER = 0.07
"""Width, crop units, over which the mask fades out towards the crop's border."""


def difference_map(one: FloatArray, other: FloatArray) -> FloatArray:
    """How much two crops differ at each place.

    Between a reconstruction and its edit this is the *change* the edit made; between a source and
    its reconstruction the *misfit*, what the inversion does not explain.

    Args:
        one, other: (size, size, 3) RGB in [0, 1].

    Returns:
        (64, 64) mean absolute difference over the channels, slightly blurred.
    """
    difference = np.abs(other - one).mean(2)
    small = cv2.resize(difference, (MAP_SIZE, MAP_SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), 1.2), np.float32)


def face_region(points68: NDArray[np.floating[Any]]) -> FloatArray:
    """Soft mask of the face: jaw, cheeks and forehead.

    Args:
        points68: (68, 2) landmarks in crop units.

    Returns:
        (64, 64) in [0, 1]. The forehead, which has no landmarks, is the brows moved up by 0.7 of
        the distance between eyes and mouth.
    """
    points = np.asarray(points68, np.float64)
    eyes, mouth = points[36:48].mean(0), points[48:60].mean(0)
    forehead = points[17:27] + 0.7 * (eyes - mouth)
    outline = np.concatenate((points, forehead))
    # A little inside: the mesh's jaw spills over the far cheek of a turned head.
    centre = outline.mean(0)
    hull = cv2.convexHull((centre + _INSET * (outline - centre)).astype(np.float32))
    scale = 4
    canvas = np.zeros((MAP_SIZE * scale, MAP_SIZE * scale), np.uint8)
    cv2.fillConvexPoly(canvas, np.rint(hull * canvas.shape[0]).astype(np.int32), 255)
    soft = cv2.GaussianBlur(canvas.astype(np.float32) / 255, (0, 0), 0.03 * canvas.shape[0])
    region = cv2.resize(soft, (MAP_SIZE, MAP_SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(region, np.float32)


def _ramp(values: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _ellipse(size: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)


def edit_mask(change: FloatArray, misfit: FloatArray, face: FloatArray, size: int) -> FloatArray:
    """The mask of one frame.

    Outside the face the source also wins wherever the reconstruction does not explain it: there
    the edit would bring the generator's own hair and background along.

    Args:
        change: (64, 64) what the edit changed, smoothed over time by the caller.
        misfit: (64, 64) what the inversion missed, smoothed over time by the caller.
        face: (64, 64) from ``face_region``.
        size: side of the result.

    Returns:
        (size, size) in [0, 1]; exactly 0 where the source is to stay.
    """
    explained = 1 - _ramp(misfit, *(np.full_like(misfit, limit) for limit in _MISFIT))
    usable = np.maximum(face, explained)
    # A direction of W never changes one thing alone. What changes little, measured by what changes
    # most and by what the inversion misses there, is by-catch: the source stays, and with it the
    # person.
    peak = float(np.quantile(change * usable, _PEAK))
    low, high = (
        np.maximum.reduce(
            (
                outside + (inside - outside) * face,
                np.full_like(change, share * peak),
                gain * misfit,
            )
        )
        for inside, outside, share, gain in zip(_INSIDE, _OUTSIDE, _SHARE, _GAIN, strict=True)
    )
    # Closed first: a mouth's lips and teeth change, the skin between mouth and cheek hardly, and a
    # border through there would be one more to hide.
    changed = cv2.morphologyEx(_ramp(change, low, high), cv2.MORPH_CLOSE, _ellipse(7))
    changed = cv2.dilate(changed, _ellipse(5))
    wide = cv2.GaussianBlur(changed * usable, (0, 0), 1.3)
    axis = (np.arange(MAP_SIZE, dtype=np.float32) + 0.5) / MAP_SIZE
    edge = np.minimum(axis, 1 - axis)
    fade = _ramp(edge, np.full_like(edge, 0.01), np.full_like(edge, 0.01 + _BORDER))
    wide = wide * np.minimum(fade[:, None], fade[None, :])
    mask = cv2.resize(np.asarray(wide, np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    # The cubic's and the blur's far tails would touch the whole crop: nothing under 1 % is kept.
    return np.asarray(np.clip((mask - 0.01) / 0.98, 0, 1), np.float32)

"""Pixel measures: of likeness inside a mask, and of the marks that an edit leaves in a picture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity


def face_mask(points68: NDArray[np.floating[Any]], size: int) -> NDArray[np.bool_]:
    """(size, size) the face from chin to above the brows.

    Args:
        points68: (68, 2) landmarks in crop units.
        size: side of the mask, pixels.
    """
    points = points68 * size
    # The brows, mirrored at the eyes' line and half as far again: the forehead's lower part.
    brows, eyes = points[17:27], points[36:48].mean(0)
    forehead = brows + 1.5 * (brows.mean(0) - eyes)
    outline = np.concatenate((points[:17], forehead)).astype(np.float32)
    hull = cv2.convexHull(outline)
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, np.rint(hull).astype(np.int32), 1)
    return mask.astype(bool)


def sized(picture: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """A square crop (s, s, 3) in [0, 1] at another side; itself where it has that side."""
    if picture.shape[0] == size:
        return picture
    method = cv2.INTER_AREA if picture.shape[0] > size else cv2.INTER_CUBIC
    resized = cv2.resize(picture, (size, size), interpolation=method)
    return np.asarray(resized.clip(0, 1), np.float32)


def psnr(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]], mask: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio in decibels of (h, w, 3) pictures in [0, 1], inside the mask."""
    error = float(np.square(a.astype(np.float64) - b)[mask].mean())
    return float("inf") if error == 0 else -10 * float(np.log10(error))


def ssim(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]], mask: NDArray[Any]) -> float:
    """Structural similarity (Wang et al. 2004) of the luma, mean inside the mask.

    Gaussian windows of sigma 1.5 (11 pixels), K1 = 0.01, K2 = 0.03, pictures in [0, 1].
    """
    luma = np.array([0.299, 0.587, 0.114])
    _, quality = structural_similarity(  # type: ignore[no-untyped-call]
        a.astype(np.float64) @ luma,
        b.astype(np.float64) @ luma,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return float(quality[mask.astype(bool)].mean())


def _contrast(picture: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """(h, w) length of the luma's gradient, per pixel, lightly smoothed against grain."""
    luma = np.asarray(picture, np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    smooth = cv2.GaussianBlur(luma, (0, 0), 1.2)
    x, y = (cv2.Scharr(smooth, cv2.CV_32F, *order) / 32 for order in ((1, 0), (0, 1)))
    return np.asarray(cv2.magnitude(x, y), np.float32)


def ghosts(
    source: NDArray[np.floating[Any]],
    edited: NDArray[np.floating[Any]],
    result: NDArray[np.floating[Any]],
) -> float:
    """Share of a result's pixels on an edge that is no one's.

    An edge of the result is explained where, within 1 % of the picture's side, the source or the
    generator's edit has one that is at least two thirds as strong. What is left are double outlines
    and the rims of what was pasted.

    Args:
        source, edited, result: (s, s, 3) RGB in [0, 1], registered.
    """
    reach = 2 * max(1, round(0.01 * result.shape[0])) + 1
    known = np.maximum(_contrast(source), _contrast(edited))
    known = cv2.dilate(known, np.ones((reach, reach), np.uint8))
    return float(np.mean(_contrast(result) > 1.5 * known + _FAINT))


def seam(
    source: NDArray[np.floating[Any]],
    result: NDArray[np.floating[Any]],
    alpha: NDArray[np.floating[Any]],
) -> float:
    """Contrast across the rim of what was pasted, over the source's own there: 1 is no seam.

    Args:
        source, result: (s, s, 3) RGB in [0, 1].
        alpha: (s, s) how much of each pixel was pasted.

    Returns:
        The ratio of the mean contrasts along the line where alpha is one half, some pixels wide;
        NaN if there is no such line.
    """
    inside = (alpha > 0.5).astype(np.uint8)
    width = 2 * max(1, round(0.005 * alpha.shape[0])) + 1
    rim = cv2.morphologyEx(inside, cv2.MORPH_GRADIENT, np.ones((width, width), np.uint8)) > 0
    if not rim.any():
        return float("nan")
    own, shown = (float(_contrast(picture)[rim].mean()) for picture in (source, result))
    return (shown + _FAINT) / (own + _FAINT)


_FAINT = 0.01
"""Contrast per pixel that nobody sees."""

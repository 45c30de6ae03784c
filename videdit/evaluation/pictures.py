"""Pixel measures of likeness inside a mask."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


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


def psnr(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]], mask: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio in decibels of (h, w, 3) pictures in [0, 1], inside the mask."""
    error = float(np.square(a.astype(np.float64) - b)[mask].mean())
    return float("inf") if error == 0 else -10 * float(np.log10(error))


def ssim(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]], mask: NDArray[Any]) -> float:
    """Structural similarity (Wang et al. 2004) of the luma, mean inside the mask.

    Gaussian windows of sigma 1.5 (11 pixels), K1 = 0.01, K2 = 0.03, pictures in [0, 1].
    """
    luma = np.array([0.299, 0.587, 0.114])
    x, y = a.astype(np.float64) @ luma, b.astype(np.float64) @ luma

    def local(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(values, (11, 11), 1.5), np.float64)

    mean_x, mean_y = local(x), local(y)
    var_x, var_y = local(x * x) - mean_x**2, local(y * y) - mean_y**2
    covariance = local(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    quality = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    quality /= (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    return float(quality[mask.astype(bool)].mean())

"""Pixel measures of likeness inside a mask."""

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

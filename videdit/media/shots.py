"""Cuts between shots, by the scenedetect library's detectors on thumbnails of our own frames."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector, ContentDetector

THUMBNAIL_SIZE = (36, 64)
"""Height and width of a thumbnail."""

MIN_SHOT_S = 0.3
"""Shortest shot, seconds: anything shorter is a flash."""


def thumbnail(rgb8: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(36, 64, 3) uint8 thumbnail of an (H, W, 3) uint8 picture, area-averaged."""
    height, width = THUMBNAIL_SIZE
    return np.asarray(cv2.resize(rgb8, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def find_cuts(thumbnails: Iterable[NDArray[np.uint8]], rate: float) -> list[int]:
    """First frames of the shots: 0, then each cut.

    A cut is a frame whose change stands out from its neighbours' (scenedetect's AdaptiveDetector,
    which camera motion and slow fades do not trigger) or is large in itself (ContentDetector, which
    also sees cuts within two frames of the ends).

    Args:
        thumbnails: (36, 64, 3) uint8 RGB, in order.
        rate: frames/s on average, for the shortest shot.
    Returns:
        Increasing frame indices, the first 0; empty for no frames.
    """
    rate = max(rate, 1.0)
    shortest = max(1, round(MIN_SHOT_S * rate))
    # Time codes only carry frame numbers here.
    clock = Fraction(rate).limit_denominator(1000)
    adaptive = AdaptiveDetector(min_scene_len=1)
    content = ContentDetector(threshold=45.0, min_scene_len=1)
    found: set[int] = set()
    count = 0
    for picture in thumbnails:
        code = FrameTimecode(count, clock)
        bgr = np.ascontiguousarray(picture[..., ::-1])
        for detector in (adaptive, content):
            found.update(cut.frame_num for cut in detector.process_frame(code, bgr))
        count += 1
    if not count:
        return []
    starts = [0]
    for cut in sorted(found):
        if cut - starts[-1] >= shortest:
            starts.append(cut)
    return starts

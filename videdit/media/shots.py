"""Cuts between shots, by the scenedetect library's detectors on thumbnails of our own frames, and
dissolves, which it does not look for."""

from __future__ import annotations

from collections import deque
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

_BLOCK = 4
"""Side of the blocks that thumbnails are averaged over for dissolves: what moves a little in one
of the two pictures stays where it was."""

_DISSOLVES_S = (0.5, 1.0, 2.0, 3.0)
"""Seconds within which a dissolve must have come and gone."""

_LEAST_CHANGE = 12.0
"""Root mean square difference of the two pictures of a dissolve, levels of 255."""

_LEAST_CONTRAST = 6.0
"""Standard deviation of each, levels; less is one colour, and the dissolve a fade."""

_LIKENESS = 0.7
"""Pictures that correlate more, one moved by at most ..."""

_MOVED = (4, 8)
"""... these pixels down or up and to a side, are of one scene: the light or the camera changed."""

_MISFIT = 0.25
"""How far a frame may be from a mixture of the two pictures, in units of their difference."""

_MIXED = 3
"""Frames in which both pictures must show."""


def thumbnail(rgb8: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(36, 64, 3) uint8 thumbnail of an (H, W, 3) uint8 picture, area-averaged."""
    height, width = THUMBNAIL_SIZE
    return np.asarray(cv2.resize(rgb8, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def find_cuts(thumbnails: Iterable[NDArray[np.uint8]], rate: float) -> list[int]:
    """First frames of the shots: 0, then each cut, and each frame in which a dissolve is half done.

    A cut is a frame whose change stands out from its neighbours' (scenedetect's AdaptiveDetector,
    which camera motion and slow fades do not trigger) or is large in itself (ContentDetector, which
    also sees cuts within two frames of the ends). A dissolve is a stretch whose frames are mixtures
    of its first and its last one, with a growing share of the latter, where those two are different
    pictures. Fades from and to one colour are none.

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
    dissolves = _Dissolves(rate)
    count = 0
    for picture in thumbnails:
        code = FrameTimecode(count, clock)
        bgr = np.ascontiguousarray(picture[..., ::-1])
        for detector in (adaptive, content):
            found.update(cut.frame_num for cut in detector.process_frame(code, bgr))
        dissolves.add(picture)
        count += 1
    if not count:
        return []
    found.update(dissolves.found(found))
    starts = [0]
    for cut in sorted(found):
        if cut - starts[-1] >= shortest:
            starts.append(cut)
    return starts


class _Dissolves:
    """Looks for dissolves, frame by frame; holds as many as the longest takes."""

    def __init__(self, rate: float) -> None:
        # Odd numbers of frames, so that there is one in the middle.
        self._lengths = [2 * max(_MIXED, round(seconds * rate / 2)) + 1 for seconds in _DISSOLVES_S]
        self._pictures: deque[NDArray[np.uint8]] = deque(maxlen=self._lengths[-1])
        self._small: deque[NDArray[np.float32]] = deque(maxlen=self._lengths[-1])
        self._count = 0
        self._candidates: list[tuple[float, int, int]] = []  # change, middle, frames to each side

    def add(self, picture: NDArray[np.uint8]) -> None:
        """The next frame's thumbnail."""
        height, width = THUMBNAIL_SIZE
        size = (width // _BLOCK, height // _BLOCK)
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        self._pictures.append(picture)
        self._small.append(np.asarray(small, np.float32).ravel())
        self._count += 1
        held = np.stack(self._small)
        for length in self._lengths:
            if length > len(held):
                break
            change = _dissolved(held[-length:])
            if change and not _alike(self._pictures[-length], picture):
                half = length // 2
                self._candidates.append((change, self._count - 1 - half, half))

    def found(self, cuts: set[int]) -> list[int]:
        """Middles of dissolves without a cut inside; of those that overlap the clearest."""
        taken: list[tuple[int, int]] = []
        for _, middle, half in sorted(self._candidates, reverse=True):
            free = all(abs(middle - other) > half + reach for other, reach in taken)
            if free and not any(abs(cut - middle) <= half for cut in cuts):
                taken.append((middle, half))
        return [middle for middle, _ in taken]


def _dissolved(pictures: NDArray[np.float32]) -> float:
    """Root mean square change where the first of some pictures (n, k) dissolves into the last, half
    done in the middle of them; 0 where it does not."""
    first, last = pictures[0], pictures[-1]
    way = last - first
    change = float(np.sqrt(np.mean(way**2)))
    contrasts = [picture.reshape(-1, 3).std(axis=0).mean() for picture in (first, last)]
    if change < _LEAST_CHANGE or min(contrasts) < _LEAST_CONTRAST:
        return 0.0
    half = len(pictures) // 2
    done = (pictures - first) @ way / (way @ way)
    if not done[half - 1] < 0.5 <= done[half]:
        return 0.0
    mixed = (done > 0.15) & (done < 0.85)
    misfit = np.sqrt(np.mean((pictures - first - done[:, None] * way) ** 2, axis=1)) / change
    steady = np.diff(done) > -0.1
    if np.count_nonzero(mixed) < _MIXED or not steady.all() or misfit.max() > _MISFIT:
        return 0.0
    return change


def _alike(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether two thumbnails are of one scene."""
    down, aside = _MOVED
    inner = one[down:-down, aside:-aside]
    return float(cv2.matchTemplate(other, inner, cv2.TM_CCOEFF_NORMED).max()) > _LIKENESS

"""What a landmarker finds in a frame.

All coordinates are continuous pixels of the upright frame, the top left pixel's centre at
(0.5, 0.5), as in :mod:`videdit.faces.align`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

_LOOK = 256
"""Side at which a crop is looked at, pixels."""


@dataclass(frozen=True)
class Detection:
    """One face in one frame.

    Attributes:
        box: (4,) float32: left, top, right, bottom, pixels.
        score: 0 to 1, how sure the landmarker is that this is a face.
        points68: (68, 2) float32 landmarks in iBUG order, pixels.
        mesh: (468, 3) float32 points of MediaPipe's face mesh, x and y in pixels, z in pixels
            too (towards the camera is negative); None where the landmarker has none.
    """

    box: NDArray[np.float32]
    score: float
    points68: NDArray[np.float32]
    mesh: NDArray[np.float32] | None

    def stretched(self, factor: float) -> Detection:
        """In a frame so many times as wide."""
        three = np.array([factor, 1, 1], np.float32)
        two = three[:2]
        return Detection(
            box=self.box * np.tile(two, 2),
            score=self.score,
            points68=self.points68 * two,
            mesh=None if self.mesh is None else self.mesh * three,
        )


class Landmarker(Protocol):
    """Finds the faces of a single frame; keeps no memory of frames seen before.

    Attributes:
        threads: how many may ask it at the same time.
    """

    threads: int

    def detect(self, rgb8: NDArray[np.uint8]) -> list[Detection]:
        """All faces of an upright (H, W, 3) RGB frame, best score first; empty if none."""
        ...


@dataclass(frozen=True)
class Detections:
    """The faces of some consecutive frames, laid end to end, and where they go.

    Attributes:
        start: number of the first frame.
        counts: (n,) faces of each frame.
        box: (m, 4) float32, as in :class:`Detection`.
        score: (m,) float32.
        points68: (m, 68, 2) float32.
        moved: (m, 68, 2) float32 where optical flow finds the points in the next frame.
        ok: (m, 68) bool, whether that can be trusted (:func:`videdit.faces.flow.flow_points`).
    """

    start: int
    counts: NDArray[np.integer[Any]]
    box: NDArray[np.float32]
    score: NDArray[np.float32]
    points68: NDArray[np.float32]
    moved: NDArray[np.float32]
    ok: NDArray[np.bool_]

    @property
    def stop(self) -> int:
        """The frame after the last one."""
        return self.start + len(self.counts)

    def first_rows(self) -> NDArray[np.int64]:
        """(n + 1,) the row of each frame's first face, and at last m."""
        return np.concatenate([[0], np.cumsum(self.counts, dtype=np.int64)])

    def between(self, start: int, stop: int) -> Detections:
        """Those of the frames ``start <= frame < stop`` that are here; views, not copies."""
        first, last = (min(max(f, self.start), self.stop) - self.start for f in (start, stop))
        ends = self.first_rows()
        rows = slice(int(ends[first]), int(ends[last]))
        return Detections(
            self.start + first,
            self.counts[first:last],
            self.box[rows],
            self.score[rows],
            self.points68[rows],
            self.moved[rows],
            self.ok[rows],
        )

    @classmethod
    def join(cls, parts: Sequence[Detections]) -> Detections:
        """At least one part, each beginning where the one before ends.

        Raises:
            ValueError: they do not follow each other.
        """
        for before, after in pairwise(parts):
            if before.stop != after.start:
                raise ValueError(f"frame {before.stop} is missing: {after.start} follows")
        columns = ("counts", "box", "score", "points68", "moved", "ok")
        return cls(
            parts[0].start, *(np.concatenate([getattr(p, name) for p in parts]) for name in columns)
        )


def largest(found: Sequence[Detection]) -> Detection:
    """The detection of the widest face."""
    return max(found, key=lambda face: float(face.box[2] - face.box[0]))


def landmarks_in(landmarker: Landmarker, picture: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """The landmarks of a crop's face, as an aligned or a generated one.

    Args:
        landmarker: whose.
        picture: (s, s, 3) RGB.

    Returns:
        (68, 2) crop units; None where it sees no face.
    """
    shape = (_LOOK, _LOOK)
    small = cv2.resize(picture, shape, interpolation=cv2.INTER_AREA)
    found = landmarker.detect(np.asarray(small, np.uint8))
    return np.asarray(largest(found).points68 / _LOOK, np.float64) if found else None


def inter_ocular(points68: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The unit that all of this room's thresholds are in.

    The distance between the eyes' centres; for a turned head, whose eyes come together in the
    picture, 0.9 times the distance from eyes to mouth, if that is more. It is a quarter of the
    FFHQ crop's side.

    Args:
        points68: (..., 68, 2).

    Returns:
        (...) float64, pixels.
    """
    points = np.asarray(points68, dtype=np.float64)
    left = points[..., 36:42, :].mean(axis=-2)
    right = points[..., 42:48, :].mean(axis=-2)
    mouth = (points[..., 48, :] + points[..., 54, :]) / 2
    across = np.linalg.norm(right - left, axis=-1)
    down = np.linalg.norm(mouth - (left + right) / 2, axis=-1)
    result: NDArray[np.float64] = np.maximum(across, 0.9 * down)
    return result

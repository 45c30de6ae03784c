"""The table of faces to edit: which face, in which frame, where. Left by ``align``, read by all
stages after it; one row per face and frame, sorted by frame, then track."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..faces.align import crop_size, points_in_crop
from ..media.reader import Frame, read_frames
from ..media.timeline import Timeline

CROP_SIZES = (256, 512, 1024)


@dataclass(frozen=True)
class FaceTable:
    """Faces to edit.

    Attributes:
        frame: (m,) frame indices, not decreasing.
        track: (m,) track ids.
        quad: (m, 4, 2) smoothed FFHQ quads, frame pixels.
        points: (m, 68, 2) smoothed landmarks, frame pixels.
        size: (m,) side of the crops of the face's track, pixels.
    """

    frame: NDArray[np.int64]
    track: NDArray[np.int64]
    quad: NDArray[np.float64]
    points: NDArray[np.float32]
    size: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.frame)

    def rows(self, start: int, stop: int) -> range:
        """The rows of the frames ``start <= frame < stop``."""
        first, last = np.searchsorted(self.frame, (start, stop))
        return range(int(first), int(last))

    def name(self, row: int) -> str:
        """A file name for the face's pictures, without suffix."""
        return f"{self.frame[row]:07d}-{self.track[row]}"

    def points_in_crop(self, row: int) -> NDArray[np.float64]:
        """(68, 2) landmarks in crop units."""
        return points_in_crop(self.points[row], self.quad[row], 1)

    def save(self, path: Path) -> None:
        """Write as npz."""
        np.savez(
            path,
            frame=self.frame,
            track=self.track,
            quad=self.quad,
            points=self.points,
            size=self.size,
        )

    @classmethod
    def load(cls, path: Path) -> FaceTable:
        """Read what ``save`` wrote."""
        with np.load(path) as data:
            return cls(*(data[k] for k in ("frame", "track", "quad", "points", "size")))


def frames_with_faces(
    timeline: Timeline, table: FaceTable, start: int, stop: int
) -> Iterator[tuple[Frame, list[tuple[int, NDArray[Any]]]]]:
    """The frames ``start <= index < stop`` in order, each with the rows of its faces and, with each
    row, the frame's pixels (H, W, 3). Frames without a face are not converted to RGB."""
    for frame in read_frames(timeline, start, stop):
        rows = table.rows(frame.index, frame.index + 1)
        rgb = frame.rgb if rows else None
        yield frame, [(row, rgb) for row in rows if rgb is not None]


def resolution_for(quads: NDArray[np.float64]) -> int:
    """The crops' side for a track: the smallest of ``CROP_SIZES`` that loses no visible detail."""
    side = float(np.median([crop_size(quad) for quad in quads]))
    return next((size for size in CROP_SIZES if size >= 0.85 * side), CROP_SIZES[-1])

"""What a face backend gives for a frame, and the choice between backends.

All coordinates are continuous pixels of the upright frame, the top left pixel's centre at
(0.5, 0.5), as in :mod:`videdit.faces.align`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from videdit.errors import UsageError

BACKENDS = ("mesh", "fan")


@dataclass(frozen=True)
class Detection:
    """One face in one frame.

    Attributes:
        box: (4,) float32: left, top, right, bottom, pixels.
        score: 0 to 1, how sure the backend is that this is a face.
        points68: (68, 2) float32 landmarks in iBUG order, pixels.
        mesh: (468, 3) float32 points of MediaPipe's face mesh, x and y in pixels, z in pixels
            too (towards the camera is negative); None where the backend has none.
    """

    box: NDArray[np.float32]
    score: float
    points68: NDArray[np.float32]
    mesh: NDArray[np.float32] | None


class Backend(Protocol):
    """Finds the faces of a single frame; keeps no memory of frames seen before."""

    name: str
    model_ids: dict[str, str]
    """Name and content id of each network: part of a stage's key."""

    def detect(self, rgb8: NDArray[np.uint8]) -> list[Detection]:
        """All faces of an upright (H, W, 3) RGB frame, best score first; empty if none."""
        ...


def load_backend(name: str, files: Mapping[str, Path], device: str = "cpu") -> Backend:
    """Make a backend ready for use.

    Args:
        name: ``"mesh"`` or ``"fan"``.
        files: what ``mesh`` needs, from a bundle: ``face_detection_full_range.tflite`` and
            ``face_landmark.tflite``. ``fan`` takes none, its library fetches its own weights.
        device: ``"cpu"`` or ``"cuda"``, where ``fan`` runs; ``mesh`` always runs on the CPU.

    Raises:
        UsageError: no such backend.
        WeightsError: a file is missing, is no such network, or could not be fetched.
    """
    if name == "mesh":
        from videdit.faces.mesh import MeshBackend

        return MeshBackend(files)
    if name == "fan":
        from videdit.faces.fan import FanBackend

        return FanBackend(device)
    raise UsageError(f"no face backend is called {name!r}", f"Choose one of {', '.join(BACKENDS)}.")


def largest(found: Sequence[Detection]) -> Detection:
    """The detection of the widest face."""
    return max(found, key=lambda face: float(face.box[2] - face.box[0]))


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

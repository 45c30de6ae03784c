"""Made-up faces for the tests of this room."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from videdit.faces.detection import Detection


def face68() -> NDArray[np.float64]:
    """An upright 68-point face around the origin, eyes' centres at x = -0.5 and 0.5."""
    jaw_angle = np.linspace(np.pi, 0, 17)
    jaw = np.column_stack([1.2 * np.cos(jaw_angle), 1.5 * np.sin(jaw_angle)])
    brow = np.column_stack([np.linspace(-0.3, 0.3, 5), [-0.3, -0.38, -0.4, -0.38, -0.3]])
    nose = np.array(
        [[0, 0], [0, 0.2], [0, 0.4], [0, 0.55]] + [[x, 0.65] for x in np.linspace(-0.2, 0.2, 5)]
    )
    turn = np.deg2rad([180, 240, 300, 0, 60, 120])
    eye = np.column_stack([0.18 * np.cos(turn), 0.08 * np.sin(turn)])
    outer = np.deg2rad([180, 210, 240, 270, 300, 330, 0, 30, 60, 90, 120, 150])
    inner = np.deg2rad([180, 225, 270, 315, 0, 45, 90, 135])
    mouth = np.concatenate(
        [
            np.column_stack([0.4 * np.cos(outer), 0.15 * np.sin(outer)]),
            np.column_stack([0.3 * np.cos(inner), 0.06 * np.sin(inner)]),
        ]
    )
    half, below = np.array([0.5, 0.0]), np.array([0.0, 1.05])
    return np.concatenate(
        [jaw, brow - half, brow + half, nose, eye - half, eye + half, mouth + below]
    )


def detection(x: float, y: float, size: float = 60.0, score: float = 0.9) -> Detection:
    """A face whose eyes are ``size`` pixels apart, the middle between them at (x, y)."""
    points = (face68() * size + (x, y)).astype(np.float32)
    box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    return Detection(box=box, score=score, points68=points, mesh=None)

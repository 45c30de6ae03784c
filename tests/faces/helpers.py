"""Made-up faces for the tests of this room."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from videdit.faces.detection import Detection, Detections, inter_ocular


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


def laid_out(frames: Sequence[Sequence[Detection]], start: int = 0) -> Detections:
    """The faces of frames in a row, without flow."""
    faces = [face for frame in frames for face in frame]
    points = np.array([face.points68 for face in faces], np.float32).reshape(-1, 68, 2)
    return Detections(
        start,
        np.array([len(frame) for frame in frames], np.int32),
        np.array([face.box for face in faces], np.float32).reshape(-1, 4),
        np.array([face.score for face in faces], np.float32),
        points,
        points.copy(),
        np.zeros((len(faces), 68), bool),
    )


def plainly_stabilised(
    points: NDArray[np.float64],
    moved: NDArray[np.float64],
    ok: NDArray[np.bool_],
    times: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The formula of ``stabilise`` without an end to its reach, as a recursion over a track."""
    count = len(points)
    dt = np.diff(times)[:, None]
    unit = inter_ocular(points)
    unit = ((unit[:-1] + unit[1:]) / 2)[:, None]
    step = np.where(ok[:-1, :, None], moved[:-1] - points[:-1], 0.0)
    speed = np.linalg.norm(step, axis=2) / unit / dt
    error = np.linalg.norm(points[:-1] + step - points[1:], axis=2) / unit
    fading = dt / 0.1 * (1.0 + (speed / 1.75) ** 2)
    link = ok[:-1] * np.exp(-fading - 0.5 * (error / 0.05) ** 4)
    forward, backward = np.zeros_like(points), np.zeros_like(points)
    weight_forward, weight_backward = np.ones((count, 68)), np.ones((count, 68))
    for i in range(1, count):
        w, before = link[i - 1], weight_forward[i - 1]
        carried = points[i - 1] + step[i - 1] - points[i]
        weight_forward[i] += w * before
        forward[i] = w[:, None] * (forward[i - 1] + before[:, None] * carried)
    for i in range(count - 2, -1, -1):
        w, after = link[i], weight_backward[i + 1]
        carried = points[i + 1] - step[i] - points[i]
        weight_backward[i] += w * after
        backward[i] = w[:, None] * (backward[i + 1] + after[:, None] * carried)
    total = weight_forward + weight_backward - 1.0
    return points + (forward + backward) / total[:, :, None]

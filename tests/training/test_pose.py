"""Poses are those that meshes were made with, and what is written is what was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from videdit.errors import InputError
from videdit.faces.detection import Detection
from videdit.training.faces import expand
from videdit.training.pose import RIGID, mean_face, measure, poses


def turned(angles: np.ndarray, scale: float = 80.0, seed: int = 0) -> np.ndarray:
    """(n, 468, 3) a symmetric head of random points, turned; the other points are noise."""
    random = np.random.default_rng(seed)
    pairs = (len(RIGID) - 6) // 2
    half, middle = random.standard_normal((pairs, 3)), random.standard_normal((6, 3)) * (0, 1, 1)
    head = np.concatenate([middle, half, half * (-1, 1, 1)])
    head -= head.mean(0)
    meshes = random.standard_normal((len(angles), 468, 3)) * 100
    rotation = Rotation.from_euler("YXZ", angles, degrees=True).as_matrix()
    meshes[:, RIGID] = scale * np.einsum("nij,kj->nki", rotation, head) + (120, 100, 7)
    return meshes.astype(np.float32)


def test_angles_place_and_scale_are_recovered() -> None:
    angles = np.random.default_rng(1).normal(0, (20, 10, 3), (60, 3))
    angles = np.concatenate([angles, angles * (-1, 1, -1)])  # as many to the left as to the right
    meshes = turned(angles)
    model = mean_face(meshes)
    found = poses(meshes, model, 256)
    # Yaw and roll are absolute; the mean face's pitch is 0 by definition.
    np.testing.assert_allclose(found[:, 0], angles[:, 0], atol=1.5)
    np.testing.assert_allclose(np.diff(found[:, 1]), np.diff(angles[:, 1]), atol=1.5)
    np.testing.assert_allclose(found[:, 3:5], np.tile([120 / 256, 100 / 256], (120, 1)), atol=1e-4)
    bigger = poses(turned(angles, 88.0), model, 256)
    np.testing.assert_allclose(bigger[:, 5] - found[:, 5], np.log(1.1), atol=1e-4)


def test_points_that_move_with_expressions_do_not_count() -> None:
    meshes = turned(np.zeros((4, 3)))
    model = mean_face(meshes)
    before = poses(meshes, model, 256)
    loose = np.setdiff1d(np.arange(468), RIGID)
    meshes[:, loose] += 50
    np.testing.assert_array_equal(poses(meshes, model, 256), before)
    assert not set(RIGID) & {13, 14, 61, 291, 152, 70, 300}  # lips, chin, brows


class Finder:
    """A backend that reads the face's yaw from the picture's first pixel; 255 is no face."""

    threads = 1

    def detect(self, rgb8: np.ndarray) -> list[Detection]:
        value = int(rgb8[0, 0, 0])
        if value == 255:
            return []
        mesh = turned(np.array([[value - 20.0, 0, 0]]))[0]
        far = Detection(np.array([0, 0, 9, 9], np.float32), 1, np.zeros((68, 2), np.float32), mesh)
        near = Detection(np.array([0, 0, 99, 99], np.float32), 1, far.points68, mesh)
        return [Detection(far.box, 1, far.points68, mesh[::-1].copy()), near]


def test_what_is_measured_is_what_is_written(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    codes, yaws = [], []
    for shard in range(2):
        w_a, w_b = random.standard_normal((2, 20, 512)).astype(np.float16)
        crossover = np.r_[np.full(10, 16), random.integers(1, 16, 10)].astype(np.uint8)
        pictures = random.integers(0, 41, (20, 8, 8, 3)).astype(np.uint8)
        pictures[:, 0, 0, 0] = random.permutation(np.r_[:20, 21:41])[:20]
        pictures[[3, 15], 0, 0, 0] = 255
        np.savez(tmp_path / f"codes-{shard:04d}.npz", w_a=w_a, w_b=w_b, crossover=crossover)
        np.save(tmp_path / f"pictures-{shard:04d}.npy", pictures)
        seen = pictures[:, 0, 0, 0] != 255
        codes.append(expand(w_a, w_b, crossover)[seen])
        yaws.append(pictures[seen, 0, 0, 0] - 20.0)
    measure(tmp_path, tmp_path / "pose.npz", Finder(), 2)
    with np.load(tmp_path / "pose.npz") as faces:
        pose, second = faces["pose"], faces["w_a"].copy()
        second[faces["crossover"] < 16] = faces["w_b"]
        rows = expand(faces["w_a"], second, faces["crossover"])
    np.testing.assert_allclose(rows, np.concatenate(codes), atol=1e-6)
    yaw = np.concatenate(yaws)
    slope, start = np.polyfit(yaw, pose[:, 0], 1)
    assert slope == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(pose[:, 0], slope * yaw + start, atol=0.5)


def test_missing_shards_are_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        measure(tmp_path, tmp_path / "pose.npz", Finder(), 1)
    assert not (tmp_path / "pose.npz").exists()

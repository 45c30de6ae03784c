"""The fit recovers directions planted in made-up labelled codes."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from videdit.editing.attributes import NAMES
from videdit.editing.boundaries import Boundaries
from videdit.errors import InputError
from videdit.training.boundaries import BoundaryTraining, fit

pytest.importorskip("sklearn")

HOW = BoundaryTraining(components=16, refits=1)
FACES = 1500
YAW_AXIS = 2


def plant(folder: Path) -> np.ndarray:
    """Labelled codes in 16 dimensions of W; attribute j shows where axis j % 16 of its row is > 0.

    Smiling lives in row 4 and nowhere else; Gray_Hair in row 8, along the same axis. Young shows
    on faces that look to one side, too: yaw and pitch live in row 1.
    """
    random = np.random.default_rng(3)
    axes = np.linalg.qr(random.standard_normal((512, 16)))[0]
    scale = np.linspace(3, 1, 16)
    first, second = (random.standard_normal((FACES, 16)) * scale for _ in range(2))
    crossover = random.integers(1, 17, FACES)
    from_a = np.arange(16) < crossover[:, None]
    rows = np.where(from_a[:, :, None], first[:, None], second[:, None])
    young = NAMES.index("Young")
    labels = np.stack([rows[:, 4, j % 16] > 0 for j in range(40)], 1)
    labels[:, NAMES.index("Gray_Hair")] = rows[:, 8, NAMES.index("Smiling") % 16] > 0
    labels[:, young] = rows[:, 4, young % 16] + rows[:, 1, YAW_AXIS] > 0
    pose = random.standard_normal((FACES, 6)) * 0.1
    pose[:, :2] += 4 * rows[:, 1, [YAW_AXIS, YAW_AXIS + 1]]
    pose[:, 0] *= np.exp(rows[:, 1, YAW_AXIS + 2] / 4)
    np.savez(
        folder / "pose.npz",
        w_a=(first @ axes.T).astype(np.float16),
        w_b=(second @ axes.T).astype(np.float16)[crossover < 16],
        crossover=crossover.astype(np.uint8),
        pose=pose.astype(np.float32),
    )
    np.savez(
        folder / "latents.npz",
        id=np.arange(FACES),
        w_a=(first @ axes.T).astype(np.float16),
        w_b=(second @ axes.T).astype(np.float16),
        from_a=from_a,
        psi=np.ones(FACES, np.float16),
        w_mean=np.zeros(512, np.float32),
    )
    with open(folder / "labels.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "sampling", *NAMES])
        for i, row in enumerate(labels.astype(int)):
            writer.writerow([i, "random" if i % 10 else "targeted", *row])
    return axes


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    folder = tmp_path_factory.mktemp("faces")
    axes = plant(folder)
    fit(folder, folder / "b.safetensors", seed=1, how=HOW)
    return folder, axes


def test_a_planted_direction_is_found_in_its_row(fitted: tuple[Path, np.ndarray]) -> None:
    folder, axes = fitted
    boundaries = Boundaries.load(folder / "b.safetensors")
    step = boundaries.direction("Smiling")
    along = axes[:, NAMES.index("Smiling") % 16] @ step.T
    assert int(np.argmax(np.abs(along))) == 4
    assert along[4] > 0.95 * np.linalg.norm(step[4])
    # A crossover rarely falls just there, so the neighbours take part; the rest hardly may.
    assert (step[3:6] ** 2).sum() > 0.65 * (step**2).sum()
    assert boundaries.quality("Smiling").auc > 0.97


def test_colour_takes_the_row_it_is_planted_in(fitted: tuple[Path, np.ndarray]) -> None:
    folder, axes = fitted
    step = Boundaries.load(folder / "b.safetensors").direction("Gray_Hair")
    along = axes[:, NAMES.index("Smiling") % 16] @ step.T
    # Rows 8 and 9 are one group: the fit may not tell them apart.
    assert int(np.argmax(np.abs(along))) in (8, 9)
    assert not step[:6].any()


def test_a_step_does_not_turn_the_head(fitted: tuple[Path, np.ndarray]) -> None:
    folder, axes = fitted
    step = Boundaries.load(folder / "b.safetensors").direction("Young")
    shown = step[4] @ axes[:, NAMES.index("Young") % 16]
    # Labels and yaw have an axis in common, which a step that is free to would use as much.
    assert shown > 1
    assert abs(step[1] @ axes[:, YAW_AXIS]) < 0.05 * shown


def test_alpha_1_adds_and_alpha_minus_1_removes(fitted: tuple[Path, np.ndarray]) -> None:
    quality = Boundaries.load(fitted[0] / "b.safetensors").quality("Smiling")
    assert quality.added > 0.7
    assert quality.removed > 0.7
    assert quality.kept > 0.9


def test_the_same_data_and_seed_give_the_same_file(fitted: tuple[Path, np.ndarray]) -> None:
    folder, _ = fitted
    fit(folder, folder / "again.safetensors", seed=1, how=HOW)
    assert (folder / "again.safetensors").read_bytes() == (folder / "b.safetensors").read_bytes()


def test_data_that_cannot_be_read_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        fit(tmp_path, tmp_path / "b.safetensors")
    plant(tmp_path)
    pose = (tmp_path / "pose.npz").read_bytes()
    (tmp_path / "pose.npz").write_bytes(pose[:-1000])
    with pytest.raises(InputError, match=r"poses.*cannot be read"):
        fit(tmp_path, tmp_path / "b.safetensors")
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    (tmp_path / "labels.csv").write_text("\n".join(lines[:-1]))
    with pytest.raises(InputError, match="different faces"):
        fit(tmp_path, tmp_path / "b.safetensors")
    assert not (tmp_path / "b.safetensors").exists()

"""Named steps: written, read back, and made an editor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from videdit.editing.directions import Directions, load_directions
from videdit.errors import UsageError, WeightsError

SHAPE = (16, 512)


def steps() -> dict[str, np.ndarray]:
    """One of W, one of W+ that half precision alone would lose, and one that moves nothing."""
    random = np.random.default_rng(0)
    return {
        "sharp & bright": random.standard_normal(512).astype(np.float32),
        "a": (random.standard_normal(SHAPE) * 1e-7).astype(np.float32),
        "huge": (random.standard_normal(512) * 1e6).astype(np.float32),
        "still": np.zeros(512, np.float32),
    }


def test_steps_come_back(tmp_path: Path) -> None:
    path, given = tmp_path / "own.safetensors", steps()
    notes = {"a": {"rises": 0.97, "scores": [-1.0, 0, 1.0]}}
    Directions(given, {"a": "one deviation of a"}, notes).save(path)
    found = load_directions(path)
    assert list(found.steps) == list(given)
    assert found.scores == {"a": "one deviation of a"}
    assert found.notes == notes
    for name, step in given.items():
        assert found.steps[name].dtype == np.float32
        largest = float(np.abs(step).max())
        np.testing.assert_allclose(found.steps[name], step, rtol=1e-3, atol=1e-6 * largest)
    before = path.read_bytes()
    Directions(given, {"a": "one deviation of a"}, notes).save(path)
    assert path.read_bytes() == before


def test_the_editor_moves_all_rows() -> None:
    given = steps()
    editor = Directions(given).editor(SHAPE)
    assert editor.names == tuple(given)
    codes = np.random.default_rng(1).standard_normal((2, *SHAPE)).astype(np.float32)
    strengths = np.array([1.5, 0], np.float32)
    moved = editor.move(codes, editor.name("Sharp-Bright"), strengths)
    np.testing.assert_allclose(
        moved[0] - codes[0], np.tile(1.5 * given["sharp & bright"], (16, 1)), atol=1e-5
    )
    np.testing.assert_array_equal(moved[1], codes[1])
    np.testing.assert_allclose(editor.steps["a"], given["a"])
    with pytest.raises(UsageError):
        editor.name("blurred")


def test_steps_of_other_codes_are_refused() -> None:
    for shape in ((512,), (16, 512)):
        with pytest.raises(WeightsError, match="direction a has the shape"):
            Directions({"a": np.ones(shape, np.float32)}).editor((18, 256))


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    Directions(steps()).save(path)
    whole = path.read_bytes()
    for content in (b"", b"x", whole[:-100], whole.replace(b"directions.1", b"directions.9")):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"own\.safetensors"):
            load_directions(path)
    path.unlink()
    with pytest.raises(WeightsError, match=r"own\.safetensors"):
        load_directions(path)
    Directions({"a": np.full(512, np.nan, np.float32)}).save(path)
    with pytest.raises(WeightsError, match="not finite"):
        load_directions(path)

"""The protocol's bookkeeping, with an eye and an editor made up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from videdit.editing.editor import Editor
from videdit.evaluation.attributes import AttributeMeter, Protocol, Seen, file_name


class MadeUpEye:
    """Sees an attribute in the mean of a code's first row."""

    judge: Any = SimpleNamespace(names=("Smiling", "Young"))

    def __init__(self) -> None:
        self.looks = 0

    def see(self, codes: np.ndarray, points: object) -> Seen:
        self.looks += 1
        logits = codes[:, :2, 0].astype(np.float32)
        return Seen(logits, np.zeros((len(codes), 4), np.float32))


class MadeUpEditor(Editor):
    names = ("Smiling",)

    def move(self, codes: np.ndarray, name: str, strengths: np.ndarray) -> np.ndarray:
        moved = codes.copy()
        moved[:, 0] += 2 * strengths[:, None]
        return moved


@pytest.fixture
def codes() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(12, 16, 8)).astype(np.float32)


@pytest.mark.parametrize("method", ["transformer", "work/own.safetensors", "/abs/../own.npy"])
def test_an_editor_is_measured_once_whatever_its_name(
    tmp_path: Path, codes: np.ndarray, method: str
) -> None:
    protocol = Protocol(attributes=("Smiling", "Young"), strengths=(1.0, 4.0))
    folder, said = tmp_path / "report", list[str]()
    eye: Any = MadeUpEye()

    def measured() -> dict[str, Any]:
        meter = AttributeMeter(folder, eye, codes, [], protocol, said.append)
        return dict(meter.measure(method, MadeUpEditor()))

    first = measured()
    assert set(first) == {"Smiling"}
    assert f"{method} does not know Young" in said
    # At 4 steps of 2 every face has crossed over, and nothing else has changed.
    assert first["Smiling"].change[1] == 1
    assert first["Smiling"].preservation == (1, 1)
    looks = eye.looks
    assert measured() == first
    assert eye.looks == looks
    outside = [path for path in tmp_path.rglob("*.npz") if path.parent != folder / "parts"]
    assert outside == []


@given(st.text(min_size=1), st.text(min_size=1))
def test_names_of_parts(one: str, other: str) -> None:
    name = file_name(one)
    assert Path(name).name == name
    assert len(name) < 130
    if one != other:
        assert name != file_name(other)

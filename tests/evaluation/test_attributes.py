"""The protocol's bookkeeping, with an eye and an editor made up."""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from videdit.editing.editor import Editor
from videdit.evaluation.attributes import (
    SEQUENCE,
    AttributeMeter,
    Block,
    Protocol,
    Seen,
    file_name,
)
from videdit.generators.latents import Latents
from videdit.generators.wspace import WStatistics


class MadeUpEye:
    """Sees an attribute in the mean of a code's first row."""

    judge: Any = SimpleNamespace(names=("Smiling", "Young"))

    def __init__(self) -> None:
        self.looks = 0

    def see(self, latents: np.ndarray | Latents, points: object) -> Seen:
        codes = Latents.of(latents).codes
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
        meter = AttributeMeter(folder, eye, [Block("0-12", codes, [])], protocol, said.append)
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


def test_judgements_that_are_not_sure_do_not_count(tmp_path: Path, codes: np.ndarray) -> None:
    eye: Any = MadeUpEye()

    class Both(MadeUpEditor):
        def move(self, codes: np.ndarray, name: str, strengths: np.ndarray) -> np.ndarray:
            return codes + 9 * strengths[:, None, None]

    protocol = Protocol(attributes=("Smiling",), strengths=(1.0,))
    found = {}
    for name, counted in (("all", None), ("own", np.array([True, False]))):
        meter = AttributeMeter(
            tmp_path / name, eye, [Block("0-12", codes, [])], protocol, print, counted
        )
        with np.errstate(invalid="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a mean over no attribute
            found[name] = meter.measure("both", Both())["Smiling"].preservation[0]
    assert found["all"] < 1
    assert np.isnan(found["own"])


def test_edits_one_after_the_other(tmp_path: Path, codes: np.ndarray) -> None:
    """Each attribute is a row of its own, but the fourth edit takes the first one back."""

    class InRows:
        judge: Any = SimpleNamespace(names=(*SEQUENCE, "Else"))

        def see(self, latents: np.ndarray | Latents, points: object) -> Seen:
            codes = Latents.of(latents).codes
            return Seen(codes[:, :6, 0].astype(np.float32), codes[:, :1, 1].astype(float))

    class Rows(Editor):
        names = SEQUENCE

        def move(self, codes: np.ndarray, name: str, strengths: np.ndarray) -> np.ndarray:
            moved, row = codes.copy(), SEQUENCE.index(name)
            moved[:, row, 0] += 9 * strengths
            moved[:, 0, 1] += 0.1
            if row == 3:
                moved[:, 0, 0] = codes[:, 0, 0] + 9 * np.sign(codes[:, 0, 0]) * -1
            return moved

    eye: Any = InRows()
    meter = AttributeMeter(
        tmp_path, eye, [Block("0-12", codes, [])], Protocol(("Smiling",), (1.0,)), print
    )
    found = meter.sequence("rows", Rows())
    assert found is not None
    assert found.there == (1, 1, 1, 1, 1)
    assert found.left == (0, 1, 1, 1, 1)
    assert found.preservation == (1,) * 5
    np.testing.assert_allclose(found.identity, [0.1, 0.2, 0.3, 0.4, 0.5], atol=1e-5)
    assert meter.sequence("smile", MadeUpEditor()) is None


def test_more_faces_go_on_from_fewer(tmp_path: Path, codes: np.ndarray) -> None:
    protocol = Protocol(attributes=("Smiling",), strengths=(1.0, 4.0))

    def measured(folder: Path, eye: Any, *ends: int) -> Any:
        blocks = [Block(f"{a}-{b}", codes[a:b], []) for a, b in pairwise((0, *ends))]
        meter = AttributeMeter(folder, eye, blocks, protocol, lambda line: None)
        return meter.measure("transformer", MadeUpEditor())

    grown: Any = MadeUpEye()
    measured(tmp_path / "grown", grown, 5)
    looks = grown.looks
    more = measured(tmp_path / "grown", grown, 5, 12)
    assert grown.looks == 2 * looks  # the other faces', and no face's twice
    assert more == measured(tmp_path / "once", MadeUpEye(), 12)


def test_the_spread_is_that_of_whitened_codes(tmp_path: Path) -> None:
    stats = WStatistics(torch.zeros(8), torch.eye(8), torch.full((8,), 2.0))
    codes = np.full((3, 16, 8), 2, np.float32)
    codes[:, 0] = 0  # rows 1 to 15 are 1 out, row 0 is moved by 2 a step from 0
    protocol = Protocol(attributes=("Smiling", "Young"), strengths=(1.0, 2.0))
    meter = AttributeMeter(
        tmp_path, cast(Any, MadeUpEye()), [Block("0-3", codes, [])], protocol, print
    )
    assert meter.spread(stats) == pytest.approx((np.sqrt(15 / 16),))
    expected = [np.sqrt((15 + step**2) / 16) for step in (1, 2)]
    assert meter.spread(stats, MadeUpEditor()) == pytest.approx(expected)


@given(st.text(min_size=1), st.text(min_size=1))
def test_names_of_parts(one: str, other: str) -> None:
    name = file_name(one)
    assert Path(name).name == name
    assert len(name) < 130
    if one != other:
        assert name != file_name(other)

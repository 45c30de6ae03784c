"""GANalyze finds the direction that a small made-up generator was given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from videdit.editing.assessors import Assessor
from videdit.editing.directions import load_directions
from videdit.errors import UsageError
from videdit.generators.wspace import WStatistics
from videdit.training.ganalyze import (
    ALPHAS,
    RESULT,
    GanalyzeTraining,
    regress,
    solve,
    train_ganalyze,
)

WIDTH, ROWS, SIDE = 24, 3, 4
HOW = GanalyzeTraining(faces=50, steps=4, batch=12, tested=10)


class Stopped(Exception):
    """Stands in for an interrupt."""


class Mapper(nn.Module):
    """Normal noise to codes whose deviations differ a lot."""

    def __init__(self, stats: WStatistics) -> None:
        super().__init__()
        self.stats = stats

    def forward(self, z: Tensor) -> Tensor:
        return self.stats.color(z)


class Synthesis(nn.Module):
    """Each of a picture's values is a linear function of the rows' mean, far from black and white.

    Attributes:
        shown: how many codes it was given.
        stop_at: at this many it stops the work.
    """

    def __init__(self) -> None:
        super().__init__()
        weight = torch.randn(WIDTH, 3 * SIDE**2, generator=torch.Generator().manual_seed(1))
        self.weight = nn.Parameter(weight * 0.03, requires_grad=False)
        self.shown = 0
        self.stop_at = 1 << 30

    def forward(self, codes: Tensor) -> Tensor:
        assert codes.shape[1:] == (ROWS, WIDTH)
        self.shown += len(codes)
        if self.shown >= self.stop_at:
            raise Stopped
        return (codes.mean(1) @ self.weight).reshape(-1, 3, SIDE, SIDE)


def networks() -> Any:
    torch.manual_seed(0)
    axes = torch.linalg.qr(torch.randn(WIDTH, WIDTH))[0]
    stats = WStatistics(torch.randn(WIDTH) * 0.1, axes, torch.logspace(0.3, -1, WIDTH))
    return SimpleNamespace(
        device=SimpleNamespace(name="cpu"),
        space=SimpleNamespace(rows=ROWS, width=WIDTH),
        statistics=stats,
        mapping=Mapper(stats),
        synthesis=Synthesis(),
    )


def green(pictures: Tensor) -> Tensor:
    return 30 + 7 * pictures[:, 1].mean((1, 2))


def bent(pictures: Tensor) -> Tensor:
    """Rises along one direction, and is curved along it and others."""
    values = pictures.flatten(1) - 0.5
    return torch.exp(values[:, :16].mean(1)) + values[:, 16:20].square().mean(1)


BOTH: Mapping[str, Assessor] = {"green": green, "bent": bent}


def train(
    folder: Path, given: Any, assessors: Mapping[str, Assessor], how: GanalyzeTraining = HOW
) -> list[str]:
    lines: list[str] = []
    assert train_ganalyze(folder, given, assessors, how, lines.append) == folder / RESULT
    return lines


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ganalyze")
    train(folder, networks(), BOTH)
    return folder


def test_the_right_direction_is_found(trained: Path) -> None:
    given, found = networks(), load_directions(trained / RESULT)
    stats: WStatistics = given.statistics
    assert list(found.steps) == ["green", "bent"]
    step, notes = torch.from_numpy(found.steps["green"]), found.notes["green"]
    assert step.shape == (WIDTH,)
    # The score's gradient in whitened coordinates, for which the shortest step is b / |b|^2.
    weight = given.synthesis.weight[:, SIDE**2 : 2 * SIDE**2].mean(1) * 7 / 2 / notes["deviation"]
    b = (weight @ stats.axes) * stats.scale
    whitened = step @ stats.axes / stats.scale
    assert float(torch.cosine_similarity(whitened, b, 0)) > 0.999
    assert float(whitened @ b) == pytest.approx(1, abs=0.03)
    assert notes["length"] == pytest.approx(float(whitened.norm()), rel=1e-2)
    assert notes["explained"] > 0.99
    assert notes["rises"] == 1
    assert notes["slope"] == pytest.approx(1, abs=0.03)
    assert notes["alphas"] == list(ALPHAS)
    np.testing.assert_allclose(
        np.subtract(notes["scores"], notes["scores"][2]), ALPHAS, rtol=0, atol=0.05
    )
    assert f"{notes['deviation']:.4g}" in found.scores["green"]
    # The editor adds it to all rows.
    codes = np.zeros((1, ROWS, WIDTH), np.float32)
    moved = found.editor((ROWS, WIDTH)).move(codes, "green", np.array([2], np.float32))
    np.testing.assert_allclose(moved[0], np.tile(2 * step.numpy(), (ROWS, 1)), rtol=1e-6)


def test_a_curved_score_rises_as_well(trained: Path) -> None:
    notes = load_directions(trained / RESULT).notes["bent"]
    assert notes["rises"] >= 0.9
    assert 0.8 < notes["slope"] < 1.2


def test_training_betters_what_the_regression_begins_with(tmp_path: Path) -> None:
    few = GanalyzeTraining(faces=20, steps=0, tested=40)
    train(tmp_path / "none", networks(), {"green": green}, few)
    train(tmp_path / "some", networks(), {"green": green}, replace(few, steps=3, batch=10))
    slopes = []
    for name in ("none", "some"):
        slopes.append(load_directions(tmp_path / name / RESULT).notes["green"]["slope"])
    assert abs(slopes[1] - 1) < 0.05
    assert abs(slopes[1] - 1) < abs(slopes[0] - 1)


def test_the_regression_is_that_of_faces_left_out_one_by_one() -> None:
    random = np.random.default_rng(0)
    whitened = random.standard_normal((30, 40))
    scores = whitened[:, :2].sum(1) + 0.3 * random.standard_normal(30)
    scores = (scores - scores.mean()) / scores.std()
    step, explained = regress(whitened, scores)
    errors = []
    for ridge in np.logspace(-1, 5, 25):
        left_out = []
        for i in range(30):
            rest = np.arange(30) != i
            mean, level = whitened[rest].mean(0), scores[rest].mean()
            x = whitened[rest] - mean
            b = np.linalg.solve(x.T @ x + ridge * np.eye(40), x.T @ (scores[rest] - level))
            left_out.append(level + (whitened[i] - mean) @ b)
        predicted = np.array(left_out)
        slope = predicted @ scores / (predicted @ predicted)
        slope = slope if slope > 0 else 1
        errors.append(np.square(scores - slope * predicted).mean())
    assert explained == pytest.approx(1 - min(errors), abs=1e-6)
    assert step[0] > 0.2
    assert step[1] > 0.2


def test_equations_that_differ_a_lot_are_solved_for_what_they_share() -> None:
    """As gradients do: each has a part of its own, much longer than the one they share."""
    random = np.random.default_rng(2)
    gradients = 3 * random.standard_normal((400, 300)) / np.sqrt(300)
    gradients[:, 0] += 1.25
    step = solve(gradients[:100])
    rates = gradients[100:] @ step
    assert rates.mean() == pytest.approx(1, abs=0.05)
    assert (rates > 0).mean() > 0.99
    assert step[0] / np.linalg.norm(step) > 0.9


def test_what_is_noise_is_not_followed_far() -> None:
    random = np.random.default_rng(1)
    step, explained = regress(random.standard_normal((40, 60)), random.standard_normal(40))
    assert explained < 0.2
    assert np.linalg.norm(step) <= 3.001


def test_a_second_call_adds_to_the_file(trained: Path, tmp_path: Path) -> None:
    given = networks()
    train(tmp_path, given, {"green": green})
    decoded = given.synthesis.shown
    lines = train(tmp_path, given, BOTH)
    assert "green is there already" in lines
    # The faces are not decoded again: only those of training and measuring are.
    assert given.synthesis.shown - decoded == HOW.steps * HOW.batch + 5 * HOW.tested
    assert (tmp_path / RESULT).read_bytes() == (trained / RESULT).read_bytes()


@pytest.mark.parametrize("after", [30, 50 + 2, 50 + 30, 50 + 48 + 9, 50 + 48 + 50 + 25])
def test_a_stopped_training_ends_as_if_it_had_not_been(
    after: int, trained: Path, tmp_path: Path
) -> None:
    given = networks()
    given.synthesis.stop_at = after
    with pytest.raises(Stopped):
        train(tmp_path, given, BOTH)
    given = networks()
    train(tmp_path, given, BOTH)
    assert (tmp_path / RESULT).read_bytes() == (trained / RESULT).read_bytes()
    whole = 50 + 2 * (HOW.steps * HOW.batch + 5 * HOW.tested)
    if after > 50 + 48:  # some of it was kept
        assert given.synthesis.shown < whole - 50
    assert not list(tmp_path.glob("gradients-*"))


def test_other_settings_and_other_assessors_are_refused(trained: Path) -> None:
    with pytest.raises(UsageError, match="other settings"):
        train(trained, networks(), BOTH, replace(HOW, strength=1.0))
    with pytest.raises(UsageError, match="another assessor's work under the name green"):
        train(trained, networks(), {"green": bent})


def test_faces_of_another_generator_are_made_anew(tmp_path: Path) -> None:
    train(tmp_path, networks(), {"green": green})
    given = networks()
    given.mapping.stats = replace(given.statistics, mean=given.statistics.mean + 1)
    (tmp_path / RESULT).unlink()
    train(tmp_path, given, {"green": green})
    assert given.synthesis.shown == 50 + HOW.steps * HOW.batch + 5 * HOW.tested


@pytest.mark.parametrize(
    ("name", "assessor", "told"),
    [
        ("a/b", green, "cannot be called"),
        ("", green, "cannot be called"),
        (".a", green, "cannot be called"),
        ("flat", lambda pictures: 3 + 0 * pictures.mean((1, 2, 3)), "scores all .* alike"),
        ("nan", lambda pictures: (pictures.mean((1, 2, 3)) - 9).sqrt(), "not finite"),
    ],
)
def test_bad_assessors_are_refused(
    name: str, assessor: Callable[[Tensor], Tensor], told: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=told):
        train(tmp_path, networks(), {name: assessor})


def test_settings_that_make_no_sense_are_refused() -> None:
    for values in ({"faces": 2}, {"batch": 0}, {"tested": 0}, {"truncation": 0.0}):
        with pytest.raises(ValueError, match=r"takes at least|truncation"):
            GanalyzeTraining(**values)  # type: ignore[arg-type]

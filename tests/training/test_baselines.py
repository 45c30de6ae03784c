"""InterFaceGAN's normals and GANSpace's components against closed forms, for attributes that are
linear in the code."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from videdit.editing.classifier import LatentClassifier
from videdit.editing.linear import ganspace_editor, load_components, load_normals
from videdit.errors import UsageError
from videdit.generators.wspace import WStatistics
from videdit.training import baselines
from videdit.training.baselines import fit_baselines, fit_normals, name_components

Floats = npt.NDArray[np.float32]

GOAL = math.log(0.85 / 0.15)
"""The logit of 0.85; what alpha 1 takes the median face without an attribute to, about."""


class Linear:
    """A classifier whose logits are ``codes . weights + bias``."""

    def __init__(self, weights: dict[str, Floats], bias: float = 0.0) -> None:
        self.names = tuple(weights)
        self.weights = np.stack(list(weights.values())).reshape(len(weights), -1)
        self.bias = bias
        self.mean = torch.zeros(512)

    def logits(self, codes: Floats) -> Floats:
        found = codes.reshape(len(codes), -1) @ self.weights.T + self.bias
        return np.asarray(found, np.float32)


def classifier_of(weights: dict[str, Floats], bias: float = 0.0) -> Any:
    return Linear(weights, bias)


def at(*places: tuple[int, int, float]) -> Floats:
    """(16, 512) zeros with some (row, column, value)."""
    code = np.zeros((16, 512), np.float32)
    for row, column, value in places:
        code[row, column] = value
    return code


def cloud(count: int, seed: int) -> Floats:
    """Codes that vary in 30 numbers."""
    codes = np.zeros((count, 16, 512), np.float32)
    codes[:, 3:6, :10] = np.random.default_rng(seed).standard_normal((count, 3, 10))
    return codes


# --- InterFaceGAN ---------------------------------------------------------------------------------


def test_normals_are_what_the_attributes_are_made_of() -> None:
    smile, young = at((4, 1, 3.0), (5, 2, -2.0)), at((3, 7, 1.5))
    classifier = classifier_of({"Smiling": smile, "Young": young}, bias=-0.5)
    codes = cloud(3000, 0)
    logits = classifier.logits(codes)
    found = fit_normals(codes, logits, classifier, penalty=1.0, report=lambda line: None)
    for j, (name, weights) in enumerate((("Smiling", smile), ("Young", young))):
        normal = found.normals[name]
        assert normal.shape == (16, 512)
        assert float(np.linalg.norm(normal)) == pytest.approx(1, abs=1e-5)
        # Towards the attribute, whatever the sign of its numbers.
        assert float((normal * weights).sum() / np.linalg.norm(weights)) > 0.97
        # Alpha 1 moves a logit by length * (normal . weights): just so far.
        without = logits[logits[:, j] < 0][:500, j]
        expected = (1.75 - np.median(without)) / float((normal * weights).sum())
        assert found.lengths[name] == pytest.approx(expected, rel=1e-3)
        edited = found.editor().move(codes, name, np.ones(len(codes), np.float32))
        reached = np.median(classifier.logits(edited)[logits[:, j] < 0][:500, j])
        assert reached == pytest.approx(1.75, abs=0.01)
    assert pytest.approx(1.75, abs=0.02) == GOAL


def test_an_attribute_that_cannot_be_reached_is_not_pushed_without_end() -> None:
    # The SVM sees labels that the classifier knows nothing of.
    codes = cloud(200, 1)
    blind = classifier_of({"Hat": at()}, bias=-1.0)
    found = fit_normals(codes, codes[:, 4, :1], blind, report=lambda line: None)
    spread = math.sqrt(float(((codes - codes.mean(0)) ** 2).sum((1, 2)).mean()))
    assert found.lengths["Hat"] == pytest.approx(2 * spread, rel=1e-3)


# --- GANSpace -------------------------------------------------------------------------------------


@pytest.fixture
def stats() -> WStatistics:
    torch.manual_seed(0)
    axes = torch.linalg.qr(torch.randn(512, 512))[0]
    return WStatistics(torch.zeros(512), axes, torch.linspace(2, 0.5, 512))


def along(stats: WStatistics, component: int, rows: slice, much: float) -> Floats:
    """Weights of a logit that grows by ``much`` for each of these rows' standard deviations, and by
    next to nothing for any other: no real attribute stays quite as it is."""
    noise = np.random.default_rng(component).standard_normal((16, 512))
    weights = (1e-5 * noise).astype(np.float32)
    weights[rows] += (stats.axes[:, component] / stats.scale[component]).numpy() * much
    return weights


def test_the_component_that_moves_an_attribute_alone_is_named(stats: WStatistics) -> None:
    # What is to be found: component 3 on rows 0 to 3, backwards, and 9 on rows 8 to 15. On more
    # rows each moves the other attribute as well.
    smile, age = along(stats, 3, slice(0, 4), -0.5), along(stats, 9, slice(8, 16), 0.8)
    age += along(stats, 3, slice(0, 4), 0.01) + along(stats, 3, slice(4, 16), 0.05)
    smile += along(stats, 9, slice(8, 16), 0.01) + along(stats, 9, slice(0, 8), 0.05)
    # 5 moves a smile more than 3, and age with it; 7 moves a smile alone, but too little.
    smile += along(stats, 5, slice(0, 4), 0.9) + along(stats, 7, slice(4, 8), 0.2)
    age += along(stats, 5, slice(0, 4), 0.5) + along(stats, 7, slice(4, 8), 1e-3)
    classifier = classifier_of({"Smiling": smile, "Old": age}, bias=-1.0)
    random = torch.randn(200, 16, 512, generator=torch.Generator().manual_seed(1))
    codes = stats.color(0.3 * random).numpy()
    logits = classifier.logits(codes)
    found = name_components(codes, logits, classifier, stats)
    assert list(found) == ["Smiling", "Old"]
    one, other = found["Smiling"], found["Old"]
    assert (one.number, one.first, one.last) == (3, 0, 3)
    assert (other.number, other.first, other.last) == (9, 8, 15)
    # So many standard deviations, of four and of eight rows, as the median face lacks.
    lacks = [1.75 - float(np.median(own[own < 0])) for own in logits.T]
    assert one.sigma == pytest.approx(-lacks[0] / (4 * 0.5), rel=2e-3)
    assert other.sigma == pytest.approx(lacks[1] / (8 * 0.8), rel=2e-3)
    editor = ganspace_editor(stats, found, 16)
    lacking = codes[logits[:, 0] < 0]
    edited = editor.move(lacking, "Smiling", np.ones(len(lacking), np.float32))
    assert np.median(classifier.logits(edited)[:, 0]) == pytest.approx(1.75, abs=0.02)


def test_no_component_goes_beyond_twelve_deviations(stats: WStatistics) -> None:
    weak = along(stats, 4, slice(8, 16), 0.01) + along(stats, 6, slice(0, 4), 1e-5)
    other = along(stats, 6, slice(0, 4), 1.0) + along(stats, 4, slice(8, 16), 1e-5)
    classifier = classifier_of({"Hat": -weak, "Young": other}, bias=-3.0)
    codes = stats.color(torch.randn(50, 16, 512)).numpy()
    found = name_components(codes, classifier.logits(codes), classifier, stats)["Hat"]
    assert (found.number, found.sigma) == (4, -12.0)  # not all that it lacks


# --- from the folder of a training ----------------------------------------------------------------


def test_both_are_fitted_on_what_the_training_left(
    stats: WStatistics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "_COMPONENTS", 3)
    with pytest.raises(UsageError, match="holds no classifier"):
        fit_baselines(tmp_path, stats, lambda line: None)
    torch.manual_seed(2)
    classifier = LatentClassifier(("Smiling", "Young"), members=1).eval()
    classifier.save(tmp_path / "classifier.safetensors", {})
    codes = stats.color(torch.randn(40, 16, 512)).numpy()
    arrays = {"codes": codes[:30].astype(np.float16), "inverted": codes[10:].astype(np.float16)}
    np.savez(tmp_path / "labelled-0000.npz", **arrays, logits=np.zeros((30, 2), np.float32))
    lines: list[str] = []
    fit_baselines(tmp_path, stats, lines.append)
    normals = load_normals(tmp_path / "interfacegan.safetensors")
    assert set(normals.normals) == set(normals.lengths) == {"Smiling", "Young"}
    assert all(length > 0 for length in normals.lengths.values())
    components = load_components(tmp_path / "ganspace.json")
    assert list(components) == ["Smiling", "Young"]
    assert all(c.number < 3 and 0 < abs(c.sigma) <= 12 for c in components.values())
    assert lines[0].endswith("ganspace.json")
    assert lines[-1].endswith("interfacegan.safetensors")
    made = {path: path.read_bytes() for path in tmp_path.iterdir()}
    fit_baselines(tmp_path, stats, lines.append)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == made

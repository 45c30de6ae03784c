"""Finding out what style channels do: each step against closed forms or a slow reference."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from videdit.editing.labelled import EDIT, LabelledFaces
from videdit.errors import UsageError
from videdit.faces.regions import REGIONS, SIDE
from videdit.generators.mobile import LAYERS, SPACE, SynthesisNetwork
from videdit.models.networks import Networks
from videdit.training.stylespace import (
    StyleSpaceTraining,
    activation_energy,
    change_energy,
    deviations,
    differences,
    fit_step,
    train_stylespace,
)

HOW = StyleSpaceTraining(chosen=5, ridge=0.01)
NOSE, HAIR = REGIONS.index("nose"), REGIONS.index("hair")


@pytest.fixture(scope="module")
def code(networks: Networks) -> np.ndarray:
    z = torch.randn(1, 512, generator=torch.Generator().manual_seed(5))
    mean = networks.statistics.mean
    w = mean + 0.7 * (networks.mapping(z) - mean)
    return w.detach().numpy()[:, None].repeat(16, 1)


def halves() -> np.ndarray:
    """Regions: a nose on the left half, hair on the right."""
    regions = np.zeros((SIDE, SIDE, len(REGIONS)), np.float32)
    regions[:, : SIDE // 2, NOSE] = 1
    regions[:, SIDE // 2 :, HAIR] = 1
    return regions


# --- the fit --------------------------------------------------------------------------------------


def fitted(jacobian: np.ndarray, free: np.ndarray, how: StyleSpaceTraining = HOW) -> np.ndarray:
    """(channels,) the step towards the first attribute."""
    which, sizes = fit_step(jacobian.astype(np.float32), free.astype(np.float32), 0, how)
    assert len(which) <= how.chosen
    assert np.all(np.diff(which) > 0)
    step = np.zeros(jacobian.shape[1])
    step[which] = sizes
    return step


def test_a_step_moves_its_attribute_by_one_and_little_else() -> None:
    random = np.random.default_rng(0)
    jacobian = random.normal(0, 0.05, (8, 200))
    step = fitted(jacobian, np.ones(200), replace(HOW, chosen=60))
    moved = jacobian @ step
    assert moved[0] == pytest.approx(1, abs=1e-5)
    assert np.abs(moved[1:]).max() < 0.1
    # A ridge that weighs all leaves the way that is shortest.
    short = fitted(jacobian, np.ones(200), replace(HOW, chosen=60, ridge=1e6))
    assert np.linalg.norm(short) < np.linalg.norm(step)
    assert (jacobian @ short)[0] == pytest.approx(1, abs=1e-5)
    assert np.abs(short)[short != 0] / np.abs(jacobian[0])[short != 0] == pytest.approx(
        (np.linalg.norm(short) / np.linalg.norm(jacobian[0][short != 0])), rel=1e-3
    )


def test_the_solution_is_that_of_the_normal_equations() -> None:
    random = np.random.default_rng(1)
    jacobian, free = random.normal(0, 0.1, (4, 9)), random.uniform(0.2, 2, 9)
    how = replace(HOW, chosen=9, others=0.5, ridge=0.3)
    squares = free**2 / np.mean(free**2)
    moved = (jacobian * squares) @ jacobian.T
    weights = np.diag([1, 0.25, 0.25, 0.25])  # squared
    unit = how.ridge * moved[0, 0]
    slow = np.linalg.solve(
        jacobian.T @ weights @ jacobian + unit * np.diag(1 / squares), jacobian.T @ weights[0]
    )
    slow /= jacobian[0] @ slow
    np.testing.assert_allclose(fitted(jacobian, free, how), slow, rtol=1e-3, atol=1e-6)


def test_channels_that_go_easily_carry_a_step() -> None:
    jacobian = np.full((1, 3), 0.1)
    step = fitted(jacobian, np.array([1.0, 3.0, 0.0]))
    assert step[2] == 0
    assert step[1] == pytest.approx(9 * step[0], rel=1e-4)


def test_the_foremost_channels_are_kept_and_where_there_are_none_nothing_moves() -> None:
    jacobian = np.zeros((2, 30))
    jacobian[0] = np.linspace(0.01, 0.3, 30)
    step = fitted(jacobian, np.ones(30))
    assert np.flatnonzero(step).tolist() == [25, 26, 27, 28, 29]
    assert not fitted(jacobian * 0, np.ones(30)).any()
    assert not fitted(jacobian, np.zeros(30)).any()


def test_differences_are_in_deviations() -> None:
    styles = np.array([[1, 5], [3, 5], [0, 1], [0, 1]], np.float32)
    labels = np.array([1, 1, 0, 0], np.float32)
    np.testing.assert_allclose(differences(styles, labels, np.float32([2, 4])), [1, 1])
    assert not differences(styles, labels * 0, np.float32([2, 4])).any()


# --- the generator's channels ---------------------------------------------------------------------


@pytest.mark.weights
def test_deviations_are_those_of_samples(networks: Networks) -> None:
    scale = deviations(networks.synthesis, networks.statistics)
    z = torch.randn(4000, 512, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        codes = networks.mapping(z)[:, None].expand(-1, 16, -1)
        sampled = networks.synthesis.styles(codes).std(0).numpy()
    np.testing.assert_allclose(scale, sampled, rtol=0.12)


def test_change_energy_is_the_gradients_square_by_region() -> None:
    """On a picture that is linear in its channels, whose gradients are known."""
    patterns = torch.zeros(3, 3, SIDE, SIDE)
    patterns[0, :, :, : SIDE // 2] = 0.3  # in the nose's half
    patterns[1, 0] = 0.1  # everywhere, red
    patterns[2, :, : SIDE // 4, SIDE // 2 :] = 1.0  # in a quarter of the hair's half

    class Linear:
        def styles(self, codes: torch.Tensor) -> torch.Tensor:
            return torch.zeros(1, 5)

        def __call__(self, codes: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
            return torch.einsum("nc,cahw->nahw", offsets[:, :3], patterns)

    network: Any = Linear()
    code = np.zeros((1, 16, 512), np.float32)
    found = change_energy(network, code, halves(), seed=0, probes=300)
    rest = [k for k in range(len(REGIONS)) if k not in (NOSE, HAIR)]
    assert not found[rest].any()
    assert not found[:, 3:].any()
    half = SIDE * SIDE / 2
    expected = [[3 * 0.09 * half, 0.01 * half, 0], [0, 0.01 * half, 3 * half / 4]]
    np.testing.assert_allclose(found[[NOSE, HAIR], :3], expected, rtol=0.25, atol=1e-9)


@pytest.mark.weights
def test_activation_energy_is_the_squares_of_what_styles_scale(
    networks: Networks, code: np.ndarray
) -> None:
    synthesis: SynthesisNetwork = networks.synthesis
    found = activation_energy(synthesis, code, halves())
    assert found.shape == (len(REGIONS), sum(LAYERS))
    with torch.no_grad():
        codes = torch.from_numpy(code)
        styles = synthesis.styles(codes)[0]
        # The input of the third block's first part, and of the last layer.
        for blocks, layer in ((2, 7), (7, 22)):
            start = sum(LAYERS[:layer])
            x = synthesis.features(codes, blocks)[0]
            x = (x - x.mean((1, 2), keepdim=True)) * styles[start : start + len(x), None, None]
            half = x.shape[-1] // 2
            left = x[:, :, :half].square().sum((1, 2)) / x.shape[-1] ** 2
            right = x[:, :, half:].square().sum((1, 2)) / x.shape[-1] ** 2
            places = slice(start, start + len(x))
            np.testing.assert_allclose(found[NOSE, places], left.numpy(), rtol=1e-3, atol=1e-6)
            np.testing.assert_allclose(found[HAIR, places], right.numpy(), rtol=1e-3, atol=1e-6)


def test_another_training_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "stylespace").mkdir()
    (tmp_path / "stylespace" / "settings.json").write_text(json.dumps({"pool": 3}))
    faces = LabelledFaces(
        np.zeros((2, 16, 512), np.float32),
        np.zeros((2, 1), np.float32),
        ("Smiling",),
        np.ones(2, bool),
        np.array([EDIT, EDIT]),
    )
    nothing: Any = SimpleNamespace(space=SPACE, bundle=SimpleNamespace(name="mobile"))
    with pytest.raises(UsageError, match="other settings"):
        train_stylespace(tmp_path, faces, nothing, HOW, print)

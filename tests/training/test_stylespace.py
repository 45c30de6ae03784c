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

from videdit.bundles import Bundle
from videdit.editing.labelled import EDIT, LabelledFaces
from videdit.errors import UsageError
from videdit.faces.regions import REGIONS, SIDE
from videdit.generators.mobile import LAYERS, SynthesisNetwork
from videdit.models.networks import Networks, open_networks
from videdit.training.stylespace import (
    StyleSpaceTraining,
    activation_energy,
    candidates,
    change_energy,
    deviations,
    fit_step,
    train_stylespace,
)

HOW = StyleSpaceTraining(chosen=5, ridge=0.01)
ONE = replace(HOW, chosen=1)
NOSE, HAIR = REGIONS.index("nose"), REGIONS.index("hair")


@pytest.fixture(scope="module")
def networks(bundle: Bundle) -> Networks:
    return open_networks("mobile", "cpu", "fp32")


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


def effects_of(up: np.ndarray) -> np.ndarray:
    """Effects (m, 2, k) of channels that do the reverse the other way."""
    return np.stack((-up, up), 1).astype(np.float32)


def test_the_channel_that_does_one_thing_is_chosen() -> None:
    effects = effects_of(np.array([[0.2, 0.2, 0.2], [0.1, 0, 0], [0, 0.3, 0]]))
    which, sizes = fit_step(effects, 0, 1, ONE)
    assert which.tolist() == [1]
    assert sizes[0] == pytest.approx(10, rel=0.02)
    which, sizes = fit_step(effects, 0, -1, ONE)
    assert which.tolist() == [1]
    assert sizes[0] == pytest.approx(-10, rel=0.02)


def test_what_a_channel_does_besides_another_takes_back() -> None:
    effects = effects_of(np.array([[0.2, 0.2], [0, 0.1]]))
    which, sizes = fit_step(effects, 0, 1, HOW)
    step = dict(zip(which.tolist(), sizes.tolist(), strict=True))
    assert step[0] == pytest.approx(5, rel=0.05)
    assert step[1] == pytest.approx(-10, rel=0.05)


def test_a_channel_is_moved_one_way_and_by_that_ways_effect() -> None:
    effects = np.zeros((2, 2, 2), np.float32)
    effects[0, 0, 0] = 0.1  # down gives it, up does nothing
    effects[1, :, 1] = 0.2  # another attribute, both ways
    which, sizes = fit_step(effects, 0, 1, HOW)
    assert which.tolist() == [0]
    assert sizes[0] == pytest.approx(-10, rel=0.02)
    which, sizes = fit_step(effects, 0, -1, HOW)  # nothing takes it away
    assert len(which) == 0


def test_the_ridge_shares_the_work_and_most_channels_limit_it() -> None:
    random = np.random.default_rng(0)
    up = random.normal(0, 0.02, (60, 8))
    up[:, 0] = np.abs(up[:, 0])
    effects = effects_of(up)
    few = fit_step(effects, 0, 1, replace(HOW, chosen=3))
    many = fit_step(effects, 0, 1, replace(HOW, chosen=40, ridge=0.05))
    assert len(few[0]) == 3
    assert 10 < len(many[0]) <= 40
    per_unit = []
    for which, sizes in (few, many):
        moved = (up[which] * sizes[:, None]).sum(0)
        assert moved[0] > 0.1
        per_unit.append(np.abs(sizes).max() / moved[0])
    assert per_unit[1] < per_unit[0]


def test_candidates_stand_out_on_faces_that_have_the_attribute() -> None:
    random = np.random.default_rng(0)
    styles = random.standard_normal((400, 30)).astype(np.float32)
    labels = np.zeros((400, 2), np.float32)
    labels[:60, 0] = 1
    styles[:60, 7] = 3 + 0.1 * random.standard_normal(60)
    styles[:60, 9] += 1.5
    local = np.full((len(REGIONS), 30), 1 / len(REGIONS), np.float32)
    scale = styles.std(0)
    (first,) = candidates(styles, labels[:, :1], scale, local, ["Big_Nose"], 1)
    assert first == 7
    # Where the regions decide, the one that is in the nose comes, too.
    local[:, 7], local[:, 9] = 0, 0
    local[HAIR, 7] = local[NOSE, 9] = 1
    assert candidates(styles, labels, scale, local, ["Big_Nose", "Rare"], 1).tolist() == [7, 9]


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

    def synthesis(codes: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        return torch.einsum("nc,cahw->nahw", offsets[:, :3], patterns)

    network: Any = synthesis
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
    nothing: Any = SimpleNamespace()
    with pytest.raises(UsageError, match="other settings"):
        train_stylespace(tmp_path, faces, nothing, HOW, print)

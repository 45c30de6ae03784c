"""Strokes: the code found shows them, and what is around them stays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from videdit.inversion.parameters import Strokes
from videdit.inversion.strokes import fit_strokes
from videdit.models.networks import Networks

pytestmark = pytest.mark.weights


def test_the_code_shows_the_strokes_and_keeps_the_rest(networks: Networks) -> None:
    code = networks.statistics.mean.numpy()[None].repeat(networks.space.rows, 0)
    before = networks.generator.decode(code[None])[0].reshape(256, 2, 256, 2, 3).mean((1, 3))
    mask = np.zeros((256, 256), np.float32)
    mask[165:200, 95:160] = 1  # the mouth
    painted = before.copy()
    painted[mask > 0] = (0.6, 0.05, 0.1)
    how = Strokes(steps=6, learning_rate=0.15)
    steps = []
    found = fit_strokes(
        networks.synthesis,
        networks.statistics,
        painted,
        mask,
        code,
        how,
        step_done=lambda: steps.append(1),
    )
    assert found.shape == code.shape
    assert len(steps) == how.steps
    after = networks.generator.decode(found[None])[0].reshape(256, 2, 256, 2, 3).mean((1, 3))

    def apart(picture: np.ndarray) -> float:
        return float(np.abs(picture - painted)[mask > 0].mean())

    assert apart(after) < 0.9 * apart(before)
    elsewhere = np.abs(after - before)[:90].mean()  # forehead and above
    assert elsewhere < 0.5 * np.abs(after - before)[mask > 0].mean()


def test_without_room_for_a_step_the_code_stays(networks: Networks) -> None:
    code = networks.statistics.mean.numpy()[None].repeat(networks.space.rows, 0)
    picture = np.zeros((256, 256, 3), np.float32)
    mask = np.ones((256, 256), np.float32)
    found = fit_strokes(
        networks.synthesis, networks.statistics, picture, mask, code, Strokes(steps=0)
    )
    np.testing.assert_allclose(found, code, atol=1e-4)
    assert torch.is_grad_enabled()

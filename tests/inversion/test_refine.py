"""Refinement per person: keyframes, who it is, and the offset itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.models.published import WIDTH, generator_state
from videdit.errors import Interrupted
from videdit.generators.stylegan2 import load_synthesis
from videdit.inversion.losses import face_weight, structure_loss
from videdit.inversion.parameters import DEFAULT
from videdit.inversion.refine import Shown, choose_keyframes, describe, refine_person
from videdit.models.networks import Networks

HOW = replace(DEFAULT.refinement, steps=3)


def test_keyframes_are_the_typical_frame_and_the_extremes() -> None:
    position = np.array([0.0, 0.1, -0.1, 5.0, 0.2, -7.0, 0.05], np.float32)
    codes = np.zeros((7, 8, 512), np.float32)
    codes[:, 3, 0] = position
    chosen = choose_keyframes(codes, 3)
    assert chosen[0] == 6
    assert set(chosen[1:]) == {3, 5}
    assert choose_keyframes(codes[:2], 4) in ([0, 1], [1, 0])


@pytest.fixture(scope="module")
def truth(networks: Networks) -> torch.Tensor:
    """A code of W, (1, 16, 512)."""
    with torch.no_grad():
        w = networks.mapping(torch.randn(1, 512, generator=torch.Generator().manual_seed(3)))
    return w[:, None].expand(1, 16, 512).contiguous()


@pytest.mark.weights
def test_what_is_shown_is_the_generators(networks: Networks, truth: torch.Tensor) -> None:
    codes = truth.clone().requires_grad_(True)
    shown = Shown(networks.synthesis, 256)(codes)
    expected = torch.nn.functional.avg_pool2d(networks.synthesis(truth), 2)
    torch.testing.assert_close(shown, expected, atol=1e-5, rtol=0)
    shown.square().mean().backward()
    assert codes.grad is not None
    assert (codes.grad.abs().amax(2) > 0).all()  # every row


def test_another_generator_is_shown_the_same_way() -> None:
    synthesis = load_synthesis(generator_state(mapping=0))[0]
    draw = torch.Generator().manual_seed(3)
    codes = torch.randn(1, 10, WIDTH, generator=draw).requires_grad_(True)
    shown = Shown(synthesis, 256)(codes)
    plain = synthesis(codes)
    expected = torch.nn.functional.interpolate(plain, (256, 256), mode="bilinear")
    torch.testing.assert_close(shown, expected)
    (grad,) = torch.autograd.grad(shown.square().mean(), codes)
    (wanted,) = torch.autograd.grad(expected.square().mean(), codes)
    torch.testing.assert_close(grad, wanted)
    assert (grad.abs().amax(2) > 0).all()  # every row


@pytest.mark.weights
def test_people_are_told_apart(networks: Networks, truth: torch.Tensor) -> None:
    with torch.no_grad():
        z = torch.randn(3, 512, generator=torch.Generator().manual_seed(8))
        codes = networks.mapping(z)[:, None].expand(-1, 16, -1)
        pictures = networks.readout.show(networks.synthesis, codes).clamp(0, 1)
    crops = pictures.permute(0, 2, 3, 1).numpy()
    who = [describe(networks.recognition, crop[None]) for crop in crops]
    darker = describe(networks.recognition, np.stack([crops[0], 0.85 * crops[0]]))
    assert all(np.linalg.norm(one) == pytest.approx(1, abs=1e-5) for one in (*who, darker))
    same = DEFAULT.refinement.same_person
    assert darker @ who[0] > same
    assert max(who[0] @ who[1], who[0] @ who[2], who[1] @ who[2]) < same


@pytest.mark.weights
def test_the_offset_brings_the_person_nearer_to_their_pictures(
    networks: Networks, truth: torch.Tensor
) -> None:
    network, stats = networks.synthesis, networks.statistics
    with torch.no_grad():
        target = torch.nn.functional.avg_pool2d(network(truth), 2)
    crops = (target * 0.5 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    # An encoder that shrinks towards the mean, as real ones do.
    codes = (stats.mean + 0.5 * (truth - stats.mean)).numpy()

    def refined(steps: int) -> tuple[np.ndarray, int]:
        how = replace(HOW, steps=steps)
        ticks: list[None] = []
        found = refine_person(
            network,
            networks.recognition,
            stats,
            crops,
            codes,
            how,
            step_done=lambda: ticks.append(None),
        )
        return found, len(ticks)

    def loss(code: np.ndarray) -> float:
        with torch.no_grad():
            picture = torch.nn.functional.avg_pool2d(network(torch.from_numpy(code)), 2)
        return float(structure_loss(picture, target, face_weight(256)))

    nothing, steps = refined(0)
    assert not nothing.any()
    assert steps == 0
    offset, steps = refined(4)
    assert offset.shape == (16, 512)
    assert steps == 4
    assert loss(codes + offset) < 0.9 * loss(codes)


@pytest.mark.weights
def test_few_keyframes_take_few_steps_that_are_longer(
    networks: Networks, truth: torch.Tensor
) -> None:
    crops = np.full((1, 256, 256, 3), 0.5, np.float32)

    def refined(steps: int, looks: int) -> tuple[np.ndarray, int]:
        ticks: list[None] = []
        found = refine_person(
            networks.synthesis,
            networks.recognition,
            networks.statistics,
            crops,
            truth.numpy(),
            replace(HOW, steps=steps, looks=looks),
            step_done=lambda: ticks.append(None),
        )
        return found, len(ticks)

    (one, steps), (half, half_steps) = refined(1, 8), refined(2, 1)
    assert (steps, half_steps) == (1, 1)
    np.testing.assert_allclose(half, 2**0.5 * one, atol=1e-4)
    assert [HOW.steps_for(count) for count in (1, 4)] == [3, 3]
    assert [DEFAULT.refinement.steps_for(count) for count in (1, 2, 3, 4)] == [8, 16, 24, 24]


@pytest.mark.weights
def test_it_can_be_stopped_between_steps(networks: Networks, truth: torch.Tensor) -> None:
    steps = []

    def step_done() -> None:
        steps.append(None)
        if len(steps) == 2:
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        refine_person(
            networks.synthesis,
            networks.recognition,
            networks.statistics,
            np.full((1, 256, 256, 3), 0.5, np.float32),
            truth.numpy(),
            HOW,
            step_done=step_done,
        )
    assert len(steps) == 2

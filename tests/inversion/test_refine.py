"""Refinement per track: keyframes, steps, and the offset itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from videdit.bundles import Bundle
from videdit.generators.mobile import load_mapping, load_synthesis
from videdit.generators.wspace import WStatistics
from videdit.inversion.face_network import load_face_network
from videdit.inversion.refine import (
    choose_keyframes,
    face_loss,
    face_weight,
    refine_track,
    steps_for,
    structure_loss,
)


def test_keyframes_are_the_typical_frame_and_the_extremes() -> None:
    position = np.array([0.0, 0.1, -0.1, 5.0, 0.2, -7.0, 0.05], np.float32)
    codes = np.zeros((7, 16, 512), np.float32)
    codes[:, 3, 0] = position
    codes[:, 12, 0] = [9, 0, 0, 0, 0, 0, 99]  # colours don't count
    chosen = choose_keyframes(codes, 3)
    assert chosen[0] == 6
    assert set(chosen[1:]) == {3, 5}
    assert choose_keyframes(codes[:2]) in ([0, 1], [1, 0])


def test_a_longer_track_gets_more_steps_within_limits() -> None:
    assert [steps_for(n) for n in (1, 60, 10_000)] == [30, 30, 80]


def test_the_face_counts_most() -> None:
    weight = face_weight(64)[0, 0]
    assert weight.max() <= 1
    assert weight[36, 32] > 0.95
    assert weight[0, 0] < 0.25


def test_losing_contrast_does_not_pay() -> None:
    rng = torch.Generator().manual_seed(0)
    coarse = torch.randn(1, 3, 32, 32, generator=rng)
    target = torch.nn.functional.interpolate(coarse, (256, 256), mode="bicubic").clamp(-1, 1)
    shifted = target.roll(3, 3)  # the same structure, not quite in its place
    flat = target.mean((2, 3), keepdim=True) + 0.05 * (shifted - target.mean((2, 3), keepdim=True))
    weight = face_weight(256)
    assert structure_loss(target, target, weight) < 1e-2
    assert structure_loss(shifted, target, weight) < structure_loss(flat, target, weight)


def test_face_loss() -> None:
    face = load_face_network(
        Path(__file__).parents[2] / "weights" / "mobile" / "face_network.safetensors"
    )
    rng = torch.Generator().manual_seed(0)
    a, b = torch.nn.functional.interpolate(
        torch.rand(2, 3, 16, 16, generator=rng) * 2 - 1, (256, 256), mode="bicubic"
    )[:, None]
    assert float(face_loss(face, a, a)) == pytest.approx(0, abs=1e-4)
    assert face_loss(face, a, b) > face_loss(face, a, 0.9 * a + 0.1 * b) > 0


@pytest.mark.weights
def test_the_offset_brings_the_track_nearer_to_its_pictures(bundle: Bundle) -> None:
    stats = WStatistics.load(bundle.path("w_statistics.safetensors"))
    mapping = load_mapping(bundle.path("mapping.xml"), bundle.path("mapping.bin"))
    network = load_synthesis(bundle.path("synthesis.xml"), bundle.path("synthesis.bin"))
    with torch.no_grad():
        w = mapping(torch.randn(1, 512, generator=torch.Generator().manual_seed(3)))
        truth = w[:, None].expand(1, 16, 512).contiguous()
        target = torch.nn.functional.avg_pool2d(network(truth), 4)
    crops = (target * 0.5 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    # An encoder that shrinks towards the mean, as real ones do.
    codes = (stats.mean + 0.5 * (truth - stats.mean)).numpy()

    face = load_face_network(bundle.path("face_network.safetensors"))
    assert not refine_track(network, face, stats, crops, codes, 0).any()
    offset = refine_track(network, face, stats, crops, codes, 4)
    assert offset.shape == (16, 512)

    def loss(code: np.ndarray) -> float:
        with torch.no_grad():
            picture = torch.nn.functional.avg_pool2d(network(torch.from_numpy(code)), 4)
        return float(structure_loss(picture, target, face_weight(256)))

    assert loss(codes + offset) < 0.9 * loss(codes)

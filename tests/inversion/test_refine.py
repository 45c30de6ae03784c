"""Refinement per track: keyframes, steps, and the offset itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from videdit.bundles import Bundle
from videdit.faces.recognition import load_face_network
from videdit.generators.mobile import load_mapping, load_synthesis
from videdit.generators.wspace import WStatistics
from videdit.inversion.losses import face_weight, structure_loss
from videdit.inversion.refine import choose_keyframes, refine_track, steps_for


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

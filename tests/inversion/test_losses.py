"""Losses on pictures against closed forms, and what they must not reward."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from videdit.faces.recognition import load_face_network
from videdit.inversion.losses import (
    face_loss,
    face_weight,
    picture_loss,
    seen,
    sized,
    structure_loss,
)


def test_pictures_of_any_generator_are_brought_to_size() -> None:
    large = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(sized(large, 64), large)
    assert float(sized(large, 16)[0, 1, 2, 3]) == pytest.approx(
        float(large[0, 1, 8:12, 12:16].mean())
    )
    ramp = torch.linspace(0, 1, 16).expand(1, 3, 16, 16)
    wide = sized(ramp, 64)
    assert wide.shape == (1, 3, 64, 64)
    torch.testing.assert_close(sized(wide, 16)[..., 1:-1], ramp[..., 1:-1])


def test_picture_loss() -> None:
    rng = torch.Generator().manual_seed(0)
    picture, other = torch.rand(2, 1, 3, 64, 64, generator=rng)
    assert picture_loss(picture, picture) == 0
    assert picture_loss(picture, other) > 0.5
    # A constant offset has no gradients: four scales of the same mean difference.
    assert float(picture_loss(picture, picture + 0.25)) == pytest.approx(1.0, abs=1e-5)
    # A shift of fine texture shows at fine scales only.
    checks = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 2.0 - 1
    texture = checks.expand(1, 3, 64, 64)
    assert float(picture_loss(texture, -texture)) == pytest.approx(2 + 4 + 4)


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

    def loss(picture: torch.Tensor, target: torch.Tensor, identity: float, parts: float) -> float:
        return float(face_loss(face, picture, seen(face, target * 0.5 + 0.5), identity, parts))

    assert loss(a, a, 0.6, 0.2) == pytest.approx(0, abs=1e-4)
    assert loss(a, b, 0.6, 0.2) > loss(a, 0.9 * a + 0.1 * b, 0.6, 0.2) > 0
    one, other = loss(a, b, 1, 0), loss(a, b, 0, 1)
    assert loss(a, b, 3, 2) == pytest.approx(3 * one + 2 * other, rel=1e-5)

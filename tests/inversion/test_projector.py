from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from videdit.bundles import Bundle
from videdit.generators.mobile import SynthesisNetwork, load_synthesis
from videdit.generators.wspace import WStatistics
from videdit.inversion.losses import picture_loss
from videdit.inversion.parameters import Projection
from videdit.inversion.projector import Projector


class FakeSynthesis(nn.Module):
    """Each row paints a 2x3 patch of a 4x4 grid; as the real one, 1024x1024 in about [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.paint = nn.Linear(512, 3, bias=False)
        nn.init.normal_(self.paint.weight, std=0.04, generator=torch.Generator().manual_seed(0))

    def forward(self, codes: Tensor) -> Tensor:
        colours = self.paint(codes).transpose(1, 2).reshape(-1, 3, 4, 4)
        return F.interpolate(colours, scale_factor=256)


@pytest.fixture(scope="module")
def stats() -> WStatistics:
    return WStatistics(torch.zeros(512), torch.eye(512), torch.linspace(2, 0.5, 512))


def crop_of(network: nn.Module, code: Tensor) -> np.ndarray:
    """(256, 256, 3) in [0, 1]."""
    with torch.no_grad():
        picture = F.avg_pool2d(network(code[None]), 4)[0] * 0.5 + 0.5
    return np.ascontiguousarray(picture.clamp(0, 1).permute(1, 2, 0).numpy())


def loss_of(network: nn.Module, code: np.ndarray, crop: np.ndarray) -> float:
    with torch.no_grad():
        picture = F.avg_pool2d(network(torch.from_numpy(code)[None]), 4)
    target = torch.from_numpy(crop).permute(2, 0, 1)[None] * 2 - 1
    return float(picture_loss(picture, target))


def make(stats: WStatistics, **settings: Any) -> Projector:
    how = Projection(**settings)
    return Projector(FakeSynthesis(), stats, how=how)  # type: ignore[arg-type]


def test_projection_brings_the_picture_nearer(stats: WStatistics) -> None:
    projector = make(stats, steps=25)
    truth = stats.color(0.7 * torch.randn(16, 512, generator=torch.Generator().manual_seed(1)))
    crop = crop_of(projector.network, truth)
    start = np.zeros((16, 512), np.float32)
    code = projector.project(crop, start)
    assert code.shape == (16, 512)
    assert code.dtype == np.float32
    assert loss_of(projector.network, code, crop) < 0.35 * loss_of(projector.network, start, crop)
    assert np.array_equal(code, projector.project(crop, start))  # nothing random
    assert not any(p.requires_grad for p in projector.network.parameters())


def test_the_frame_before_is_the_start_where_given(stats: WStatistics) -> None:
    projector = make(stats, steps=2, warm_steps=3)
    truth = stats.color(0.7 * torch.randn(16, 512, generator=torch.Generator().manual_seed(2)))
    crop = crop_of(projector.network, truth)
    far = np.full((16, 512), 3, np.float32)
    near = projector.project(crop, far, previous=truth.numpy())
    # Three steps of at most 0.05 each, in whitened coordinates, from the truth.
    moved = stats.whiten(torch.from_numpy(near)) - stats.whiten(truth)
    assert 0 < float(moved.abs().max()) < 0.16


def test_no_steps_return_the_start(stats: WStatistics) -> None:
    start = np.random.default_rng(0).standard_normal((16, 512)).astype(np.float32)
    code = make(stats, steps=0).project(np.zeros((256, 256, 3), np.float32), start)
    np.testing.assert_allclose(code, start, atol=1e-5)


@pytest.mark.weights
def test_three_steps_with_the_real_generator(bundle: Bundle) -> None:
    stats = WStatistics.load(bundle.path("w_statistics.safetensors"))
    network: SynthesisNetwork = load_synthesis(
        bundle.path("synthesis.xml"), bundle.path("synthesis.bin")
    )
    truth = stats.color(0.5 * torch.randn(1, 512, generator=torch.Generator().manual_seed(3)))
    crop = crop_of(network, truth.expand(16, -1))
    start = stats.mean.expand(16, -1).numpy()
    code = Projector(network, stats, how=Projection(steps=3)).project(crop, start)
    assert loss_of(network, code, crop) < 0.97 * loss_of(network, start, crop)

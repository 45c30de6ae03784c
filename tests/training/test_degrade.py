from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from videdit.training.degrade import (
    compress,
    degrade,
    grain,
    jitter,
    occlude,
    relight,
    soften,
)

Step = Callable[[Tensor, torch.Generator], Tensor]
STEPS = (jitter, soften, relight, grain, occlude, compress, degrade)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    coarse = torch.rand(4, 3, 16, 16, generator=seeded(0))
    return torch.nn.functional.interpolate(coarse, (64, 64), mode="bilinear")


@pytest.mark.parametrize("step", STEPS)
def test_shape_range_and_determinism(step: Step, pictures: Tensor) -> None:
    before = pictures.clone()
    for seed in range(3):
        out = step(pictures, seeded(seed))
        assert out.shape == pictures.shape
        assert out.dtype == torch.float32
        assert bool(torch.isfinite(out).all())
        assert float(out.min()) >= 0
        assert float(out.max()) <= 1
        assert torch.equal(out, step(pictures, seeded(seed)))
        assert not torch.equal(out, pictures)
    assert torch.equal(pictures, before)  # not in place
    assert not torch.equal(step(pictures, seeded(1)), step(pictures, seeded(2)))


def test_jitter_moves_little(pictures: Tensor) -> None:
    # A ramp along x tells how far pixels moved: at most shift + rotation + scale, in widths.
    ramp = torch.linspace(0, 1, 64).expand(8, 3, 64, 64)
    inner = (jitter(ramp, seeded(5)) - ramp)[:, :, 8:-8, 8:-8].abs()
    assert 0.002 < float(inner.max()) < 0.03 + 0.03 + 0.02 + 0.01


def test_occlusion_covers_a_part_with_another_picture() -> None:
    plain = torch.stack([torch.full((3, 64, 64), v) for v in (0.1, 0.9)])
    covered = occlude(plain, seeded(0)) != plain
    for picture in covered[:, 0]:
        assert 0.01 <= float(picture.float().mean()) <= 0.13
    assert set(occlude(plain, seeded(0)).unique().tolist()) == set(plain.unique().tolist())


def test_softening_takes_texture_away() -> None:
    checks = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 1.0
    texture = checks.expand(2, 3, 64, 64)
    assert float(soften(texture, seeded(0)).std()) < 0.2 < float(texture.std())

from __future__ import annotations

import pytest
import torch

from videdit.inversion.readout import Readout


@pytest.mark.parametrize(("blocks", "side"), [(3, 32), (4, 64)])
def test_every_row_above_the_features_counts(blocks: int, side: int) -> None:
    torch.manual_seed(0)
    readout = Readout(blocks)
    codes = torch.zeros(1, 16, 512, requires_grad=True)
    shown = readout(torch.rand(1, 512, side, side), codes)
    assert shown.shape == (1, 3, 256, 256)
    shown.sum().backward()
    assert codes.grad is not None
    moved = codes.grad.abs().sum(2)[0] > 0
    first = 2 * blocks + 1
    assert moved.tolist() == [False] * first + [True] * (16 - first)

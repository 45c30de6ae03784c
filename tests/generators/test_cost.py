"""What StyleGAN2 costs against its convolutions: that they are the same, and measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from videdit.generators.cost import convolutions, measure_costs
from videdit.generators.stylegan2 import Shape, Synthesis

SHAPE = Shape(32, (8, 7, 6, 5), 0, 16)


def counting(convolve: Callable[..., Tensor], found: list[int]) -> Callable[..., Tensor]:
    """A convolution that notes how many multiplications it takes: of each weight, one for each
    place of its input, also if transposed."""

    def counted(x: Tensor, weight: Tensor, *args: Any, groups: int = 1, **options: Any) -> Tensor:
        if groups == 1:  # filters don't count
            found.append(weight.numel() * x[0, 0].numel())
        return convolve(x, weight, *args, groups=groups, **options)

    return counted


@torch.no_grad()
def test_the_convolutions_are_those_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    whole: list[int] = []
    for name in ("conv2d", "conv_transpose2d"):
        monkeypatch.setattr(F, name, counting(getattr(F, name), whole))
    Synthesis(SHAPE)(torch.zeros(1, SHAPE.rows, SHAPE.width))
    monkeypatch.undo()
    bare, alone = convolutions(SHAPE), []
    for module in bare.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.register_forward_hook(
                lambda m, x, _: alone.append(m.weight.numel() * x[0][0, 0].numel())
            )
    bare(torch.zeros(1, SHAPE.channels[0], 4, 4))
    assert len(alone) == 11
    assert sorted(alone) == sorted(whole)


def test_both_are_measured() -> None:
    costs = measure_costs(SHAPE, calls=2)
    assert costs.size == 32
    for cost in (costs.whole, costs.convolutions):
        assert 0 < cost.seconds < 60
        assert 1e5 < cost.memory < 1e9

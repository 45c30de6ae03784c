"""What a generator shows, at the size at which it is looked at."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from ..generators.network import GeneratorNetwork

SIDE = 256
"""Of the pictures that are looked at, pixels."""


def generated(synthesis: GeneratorNetwork) -> Callable[[Tensor], Tensor]:
    """Codes to the generator's own pictures, (n, 3, 256, 256) RGB, about in [0, 1]."""

    def show(codes: Tensor) -> Tensor:
        return sized(synthesis(codes).float() * 0.5 + 0.5, SIDE)

    return show


def sized(pictures: Tensor, side: int) -> Tensor:
    """Square pictures or maps (n, c, s, s) at another size: means where it is smaller."""
    if pictures.shape[-1] >= side:
        return F.avg_pool2d(pictures, pictures.shape[-1] // side)
    return F.interpolate(pictures, (side, side), mode="bilinear", align_corners=False)

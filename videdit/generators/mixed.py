"""Another face in places of a generator's features."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Mixed:
    """Features of another code that are shown in places: masked interpolation of activations
    (*Image2StyleGAN++*, Abdal et al. 2020), ``x + m (other - x)`` after some of the blocks.

    Attributes:
        codes: (n, rows, width) of the other face.
        mask: (n, 1, 128, 128), 0 to 1: how much of the other is shown where.
        depths: after how many blocks, rising; up to the mask's size.
    """

    codes: Tensor
    mask: Tensor
    depths: tuple[int, ...]

    def weight(self, side: int) -> Tensor:
        """The mask at (side, side), averaged."""
        return F.avg_pool2d(self.mask, self.mask.shape[-1] // side)

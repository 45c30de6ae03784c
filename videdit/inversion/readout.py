"""A cheap picture out of the generator's middle features.

Decoding a code and back costs 1.5 s a face on two cores, most of it above 64 px. The readout
replaces what lies above a few blocks by three small modulated layers that end at 256 px. It is
fitted to the generator's own pictures (`training.readout`). The encoder's second look and losses
on pictures use it; what a code looks like in the end is always decided by the generator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from ..bundles.tensors import entry
from ..generators.mobile import ROWS, STYLE_DIM, inverse_haar
from ..generators.network import GeneratorNetwork

_LEAK = 0.2
_WIDTHS = {3: (128, 96), 4: (96, 64)}


SMALLEST = 256
"""Pixels of a generator's pictures, at least, for which there is a readout."""


class Readout(nn.Module):
    """Codes (n, rows, width) to pictures (n, 3, 256, 256), RGB, about in [0, 1].

    Args:
        blocks: of the generator that lie below: 3 (features of 32x32, a picture as sharp as
            128 px) or 4 (64x64, as sharp as 256 px, three times the time).
        channels: of the features; a multiple of 4.
        rows, width: of a code; a generator of 256 pixels has 14 rows.
    """

    def __init__(
        self, blocks: int, channels: int = 512, rows: int = ROWS, width: int = STYLE_DIM
    ) -> None:
        super().__init__()
        self.blocks, self.channels, self.rows = blocks, channels, rows
        wide, narrow = _WIDTHS[blocks]
        self.style1 = nn.Linear((9 - 2 * blocks) * width, channels)
        self.conv1 = nn.Conv2d(channels // 4, wide, 1)
        self.style2 = nn.Linear(3 * width, wide)
        self.depthwise2 = nn.Conv2d(wide, wide, 3, padding=1, groups=wide)
        self.conv2 = nn.Conv2d(wide, narrow, 1)
        self.style3 = nn.Linear((rows - 13) * width, narrow)
        self.depthwise3 = nn.Conv2d(narrow, narrow, 3, padding=1, groups=narrow)
        self.conv3 = nn.Conv2d(narrow, 12, 1)
        for style in (self.style1, self.style2, self.style3):
            nn.init.normal_(style.weight, std=0.01)
            nn.init.ones_(style.bias)

    def forward(self, features: Tensor, codes: Tensor) -> Tensor:
        """Picture of ``features`` (n, channels, s, s), the generator's after `blocks` blocks."""

        def scaled(x: Tensor, style: nn.Linear, first: int, last: int) -> Tensor:
            return x * cast(Tensor, style(codes[:, first:last].flatten(1)))[:, :, None, None]

        x = inverse_haar(scaled(features, self.style1, 2 * self.blocks + 1, 10))
        x = F.leaky_relu(self.conv1(x), _LEAK)
        x = F.leaky_relu(self.conv2(self.depthwise2(scaled(x, self.style2, 10, 13))), _LEAK)
        x = inverse_haar(self.conv3(self.depthwise3(scaled(x, self.style3, 13, self.rows))))
        if self.blocks == 3:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return x * 0.5 + 0.5

    def show(self, synthesis: GeneratorNetwork, codes: Tensor) -> Tensor:
        """What the codes look like."""
        return cast(Tensor, self(synthesis.features(codes, self.blocks).float(), codes))


def readout_like(state: Mapping[str, Tensor], blocks: int) -> Readout:
    """An untrained readout of the shape of a state dict's.

    Raises:
        WeightsError: it is no readout's.
    """
    ask = "Delete it, and train it anew."
    first, second, third = (entry(state, f"style{k}.weight", ask) for k in (1, 2, 3))
    width = second.shape[1] // 3
    return Readout(blocks, first.shape[0], 13 + third.shape[1] // max(1, width), width)

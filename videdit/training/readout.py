"""A cheap picture out of the generator's middle features, for losses on pictures.

Decoding to 1024 px and back costs 1.5 s a face on two cores, most of it above 64 px. The readout
replaces what lies above by three small modulated layers that end at 256 px. It is fitted to the
generator's own pictures, and used only while training: what a code looks like in the end is always
decided by the generator.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..generators.mobile import STYLE_DIM, SynthesisNetwork, inverse_haar
from ..inversion import projector

BLOCKS = 4
"""Blocks of the generator below the readout: features (n, 512, 64, 64)."""

if TYPE_CHECKING:
    from .encoder import FaceData

_LEAK = 0.2
_FACES = 560
_SCALES = 3


class Readout(nn.Module):
    """Features after `BLOCKS` blocks and the code to a picture (n, 3, 256, 256), RGB in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.style1 = nn.Linear(STYLE_DIM, 512)
        self.conv1 = nn.Conv2d(128, 96, 1)
        self.style2 = nn.Linear(3 * STYLE_DIM, 96)
        self.depthwise2 = nn.Conv2d(96, 96, 3, padding=1, groups=96)
        self.conv2 = nn.Conv2d(96, 64, 1)
        self.style3 = nn.Linear(3 * STYLE_DIM, 64)
        self.depthwise3 = nn.Conv2d(64, 64, 3, padding=1, groups=64)
        self.conv3 = nn.Conv2d(64, 12, 1)
        for style in (self.style1, self.style2, self.style3):
            nn.init.normal_(style.weight, std=0.01)
            nn.init.ones_(style.bias)

    def forward(self, features: Tensor, codes: Tensor) -> Tensor:
        def scaled(x: Tensor, style: nn.Linear, first: int, last: int) -> Tensor:
            return x * cast(Tensor, style(codes[:, first:last].flatten(1)))[:, :, None, None]

        x = inverse_haar(scaled(features, self.style1, 9, 10))
        x = F.leaky_relu(self.conv1(x), _LEAK)
        x = F.leaky_relu(self.conv2(self.depthwise2(scaled(x, self.style2, 10, 13))), _LEAK)
        x = self.conv3(self.depthwise3(scaled(x, self.style3, 13, 16)))
        return inverse_haar(x) * 0.5 + 0.5


def picture_loss(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of the pictures and of their finite differences, at three scales."""
    return projector.picture_loss(a, b, _SCALES) / _SCALES


def train_readout(
    data: FaceData,
    synthesis: SynthesisNetwork,
    path: Path,
    *,
    steps: int = 800,
    batch: int = 8,
    report: Callable[[str], None] = print,
) -> Readout:
    """Fit the readout and write it to ``path``, or read it from there if it exists.

    Args:
        data: generated faces; features of `_FACES` of them are held in memory, 4 MB each. The last
            eighth of these is held out.
        synthesis: the generator.
        path: of the result.
        steps: optimisation steps.
        batch: faces a step.
        report: takes lines of progress.
    """
    network = Readout()
    if path.exists():
        network.load_state_dict(load_file(str(path)))
        return network.eval().requires_grad_(False)
    torch.manual_seed(0)
    pictures, codes = data.batch(np.arange(min(_FACES, len(data))))
    features = torch.empty(len(codes), 512, 64, 64, dtype=torch.half)
    with torch.no_grad():
        for i in range(len(codes)):
            features[i] = synthesis.features(codes[i : i + 1], BLOCKS)[0].half()
    kept = len(codes) - len(codes) // 8
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    rng = np.random.default_rng(0)

    def loss(chosen: Tensor) -> Tensor:
        predicted = network(features[chosen].float(), codes[chosen])
        return picture_loss(predicted, pictures[chosen])

    for step in range(steps):
        value = loss(torch.from_numpy(rng.integers(0, kept, batch)))
        optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            with torch.no_grad():
                unseen = loss(torch.arange(kept, len(codes))[: 4 * batch]).item()
            report(f"readout step {step + 1}: {value.item():.4f}, held out {unseen:.4f}")
    temporary = path.with_suffix(".tmp")
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, str(temporary))
    os.replace(temporary, path)
    return network.eval().requires_grad_(False)

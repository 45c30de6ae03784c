"""The parser's network; see ``regions.py``. Apart from it, so that running a compiled one loads no
PyTorch."""

from __future__ import annotations

from typing import Any, cast, overload

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from videdit.captured import Captured
from videdit.copies import downloaded, uploaded
from videdit.faces.regions import PARSED, REGIONS, parser_input


def _step(c_in: int, c_out: int, stride: int = 1) -> nn.Sequential:
    """A separable convolution."""
    return nn.Sequential(
        nn.Conv2d(c_in, c_in, 3, stride, 1, groups=c_in, bias=False),
        nn.BatchNorm2d(c_in),
        nn.Conv2d(c_in, c_out, 1, bias=False),
        nn.BatchNorm2d(c_out),
        nn.ReLU(),
    )


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.step = _step(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, x + self.step(x))


class RegionNetwork(nn.Module):
    """Crops (n, 3, 256, 256), RGB in [0, 1], to logits (n, regions, 128, 128)."""

    grid: Tensor

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128, 192, 256)) -> None:
        super().__init__()
        first, *others = widths
        self.stem = nn.Sequential(
            nn.Conv2d(5, first, 3, 2, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU()
        )
        self.down, self.up, self.join = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for c_in, c_out in zip(widths, others, strict=False):
            self.down.append(
                nn.Sequential(_step(c_in, c_out, 2), _Residual(c_out), _Residual(c_out))
            )
            self.up.append(nn.Conv2d(c_out, c_in, 1))
            self.join.append(nn.Sequential(_step(c_in, c_in), _Residual(c_in)))
        self.last = nn.Conv2d(first, len(REGIONS), 1)
        axis = torch.linspace(-1, 1, PARSED)
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"))[None]
        self.register_buffer("grid", grid, persistent=False)

    def forward(self, crops: Tensor) -> Tensor:
        """Where a thing is says much of what it is: the pixels' places are given as well."""
        places = self.grid.expand(crops.shape[0], -1, -1, -1)
        x = self.stem(torch.cat((crops * 2 - 1, places), 1))
        kept = []
        for down in self.down:
            kept.append(x)
            x = down(x)
        for up, join, skip in zip(
            reversed(self.up), reversed(self.join), reversed(kept), strict=True
        ):
            wide = F.interpolate(up(x), scale_factor=2.0, mode="bilinear", align_corners=False)
            x = join(wide + skip)
        return cast(Tensor, self.last(x))


class TorchParser:
    """The :class:`videdit.faces.regions.Parser` through PyTorch.

    Args:
        network: trained.
        device: "cpu" or a CUDA device.
    """

    def __init__(self, network: RegionNetwork, device: str) -> None:
        run = network.to(device).eval()
        self._network = Captured(lambda crops: run(crops).softmax(1).permute(0, 2, 3, 1), device)
        self._device = device

    @overload
    def parse(self, crop: Tensor) -> Tensor: ...

    @overload
    def parse(self, crop: NDArray[np.floating[Any]]) -> NDArray[np.float32]: ...

    def parse(self, crop: Tensor | NDArray[np.floating[Any]]) -> Tensor | NDArray[np.float32]:
        """As :class:`videdit.faces.regions.Parser`; of a tensor on its device, another on it."""
        if isinstance(crop, Tensor):
            return self._network(_parser_input(crop))[0]
        return downloaded(self._network(uploaded(parser_input(crop), self._device))[0])


def _parser_input(crop: Tensor) -> Tensor:
    """``regions.parser_input`` of a tensor."""
    planes = crop.permute(2, 0, 1)[None]
    if planes.shape[2] != PARSED:
        how = "area" if planes.shape[2] > PARSED else "bicubic"
        planes = F.interpolate(planes, (PARSED, PARSED), mode=how)
    return planes.contiguous()

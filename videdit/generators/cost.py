"""What one frame of StyleGAN2 costs on the CPU, against its convolutions alone.

Weights are random: neither time nor memory depends on them. Both networks are compiled first; each
is then read and run in a process of its own, as in a run whose networks are kept, so that memory is
its own as well.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from .stylegan2 import Shape


@dataclass(frozen=True)
class Cost:
    """Of one picture.

    Attributes:
        seconds: the least of several calls.
        memory: bytes that loading and running the network added to a process, at most.
    """

    seconds: float
    memory: int


@dataclass(frozen=True)
class Costs:
    """Of a StyleGAN2.

    Attributes:
        size: of its pictures, pixels.
        whole: codes to a picture.
        convolutions: alone, of the same sizes.
    """

    size: int
    whole: Cost
    convolutions: Cost


def measure_costs(shape: Shape | None = None, calls: int = 3) -> Costs:
    """Measure a StyleGAN2 and its bare convolutions; at 1024 pixels half a minute.

    Args:
        shape: of the network; of 1024 pixels, configuration f, if not given.
        calls: how often each is timed.
    """
    from .stylegan2 import CONFIG_F

    shape = shape or CONFIG_F
    with tempfile.TemporaryDirectory(prefix="videdit-cost-") as folder:
        costs = []
        for bare in (False, True):
            # Compiling takes far more memory than what is measured.
            for number in (0, calls):
                alone = multiprocessing.get_context("spawn")
                with ProcessPoolExecutor(1, alone) as process:
                    costs.append(process.submit(_cost, bare, shape, Path(folder), number).result())
    return Costs(shape.size, costs[1], costs[3])


def _cost(bare: bool, shape: Shape, folder: Path, calls: int) -> Cost:
    import numpy as np

    from ..compiled import compiled, traced

    def model() -> Any:
        import torch

        network = convolutions(shape) if bare else _pictures(shape)
        return traced(network, torch.zeros(given))

    given = (1, shape.channels[0], 4, 4) if bare else (1, shape.rows, shape.width)
    before, least = _peak(), float("inf")
    name = "convolutions" if bare else "whole"
    network = compiled(name, {"shape": str(shape)}, "fp32", model, folder)
    inputs = np.random.default_rng(0).standard_normal(given).astype(np.float32)
    for _ in range(calls):
        started = time.perf_counter()
        network(inputs)
        least = min(least, time.perf_counter() - started)
    return Cost(least, _peak() - before)


def _peak() -> int:
    """The most bytes that this process had in memory."""
    status = Path("/proc/self/status")
    if status.exists():  # what Linux says otherwise begins with the parent's
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _pictures(shape: Shape) -> nn.Module:
    import torch

    from .stylegan2 import Synthesis

    torch.manual_seed(0)
    network = Synthesis(shape)
    for name, parameter in network.named_parameters():
        if name.endswith("noise.weight"):
            torch.nn.init.constant_(parameter, 0.1)  # left zero, noise would cost nothing
    return network.eval().requires_grad_(False)


def convolutions(shape: Shape) -> nn.Module:
    """The convolutions of a StyleGAN2, neither modulated nor filtered, and nothing else."""
    import torch
    from torch import Tensor, nn

    class Convolutions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            first = shape.channels[0]
            self.first = nn.Conv2d(first, first, 3, padding=1, bias=False)
            self.colours = nn.ModuleList([nn.Conv2d(first, 3, 1, bias=False)])
            self.ups, self.convs = nn.ModuleList(), nn.ModuleList()
            for before, after in pairwise(shape.channels):
                up = nn.ConvTranspose2d(before, after, 3, 2, 1, output_padding=1, bias=False)
                self.ups.append(up)
                self.convs.append(nn.Conv2d(after, after, 3, padding=1, bias=False))
                self.colours.append(nn.Conv2d(after, 3, 1, bias=False))

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            pictures = [self.colours[0](x).flatten(1)]
            for up, conv, colours in zip(self.ups, self.convs, self.colours[1:], strict=True):
                x = conv(up(x))
                pictures.append(colours(x).flatten(1))
            return torch.cat(pictures, 1)

    torch.manual_seed(0)
    return Convolutions().eval().requires_grad_(False)

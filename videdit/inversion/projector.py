"""Inversion by optimisation: the code whose picture is nearest to the crop.

The variables are whitened coordinates around W's mean, one row each, so that one step size suits
all directions and a quadratic prior keeps the code where the generator is at home. The loss
compares averages of the picture at several scales and their finite differences; the finest scales,
which the generator cannot match exactly, are left out.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ..device import kept_memory
from ..generators.network import GeneratorNetwork
from ..generators.wspace import WStatistics
from .losses import picture_loss, sized
from .parameters import DEFAULT, Projection


class Projector:
    """Optimises codes against crops.

    Args:
        network: the generator; its weights are left as they are.
        stats: W's statistics.
        device: "cpu" or "cuda".
        how: steps and weights.
    """

    def __init__(
        self,
        network: GeneratorNetwork,
        stats: WStatistics,
        device: str = "cpu",
        how: Projection = DEFAULT.projection,
    ) -> None:
        self.network = network.to(device).requires_grad_(False)
        self.stats = stats.to(device)
        self.device = device
        self.how = how

    @kept_memory()
    def project(
        self,
        crop: NDArray[np.float32],
        encoded: NDArray[np.float32],
        previous: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """The code of one crop.

        Args:
            crop: (256, 256, 3) RGB in [0, 1].
            encoded: (rows, width) the encoder's code, the start for a new face.
            previous: (rows, width) the optimised code of the frame before, the start where given.

        Returns:
            (rows, width) float32.
        """
        target = torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))[None] * 2 - 1
        target = target.to(self.device)
        start = torch.from_numpy(encoded if previous is None else previous).to(self.device)
        y = self.stats.whiten(start[None].float()).clone().requires_grad_(True)
        how = self.how
        optimiser = torch.optim.Adam([y], lr=how.learning_rate)
        steps = how.steps if previous is None else how.warm_steps
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = how.learning_rate * (1 - step / steps)
            picture = sized(self.network(self.stats.color(y)), target.shape[-1])
            spread = (y - y.mean(1, keepdim=True)).square().mean()
            loss = picture_loss(picture, target)
            loss = loss + how.prior * y.square().mean() + how.row_prior * spread
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        return np.asarray(self.stats.color(y.detach())[0].cpu().numpy(), np.float32)

"""Inversion by optimisation: the code whose picture is nearest to the crop.

The variables are whitened coordinates around W's mean, one row each, so that one step size suits
all directions and a quadratic prior keeps the code where the generator is at home. The loss
compares averages of the picture at several scales and their finite differences; the finest scales,
which the generator cannot match exactly, are left out.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ..device import kept_memory
from ..generators.mobile import SynthesisNetwork
from ..generators.wspace import WStatistics
from .losses import picture_loss

_PRIOR = 0.02
_ROW_PRIOR = 0.02


class Projector:
    """Optimises codes against crops.

    Args:
        network: the generator; its weights are left as they are.
        stats: W's statistics.
        device: "cpu" or "cuda".
        steps: Adam steps for a face without a predecessor.
        warm_steps: steps for a face that starts from the frame before.
        learning_rate: Adam's, in whitened coordinates.
    """

    def __init__(
        self,
        network: SynthesisNetwork,
        stats: WStatistics,
        device: str = "cpu",
        steps: int = 100,
        warm_steps: int = 12,
        learning_rate: float = 0.05,
    ) -> None:
        self.network = network.to(device).requires_grad_(False)
        self.stats = stats.to(device)
        self.device = device
        self.steps = steps
        self.warm_steps = warm_steps
        self.learning_rate = learning_rate

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
            encoded: (16, 512) the encoder's code, the start for a new face.
            previous: (16, 512) the optimised code of the frame before, the start where given.

        Returns:
            (16, 512) float32.
        """
        target = torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))[None] * 2 - 1
        target = target.to(self.device)
        start = torch.from_numpy(encoded if previous is None else previous).to(self.device)
        y = self.stats.whiten(start[None].float()).clone().requires_grad_(True)
        optimiser = torch.optim.Adam([y], lr=self.learning_rate)
        steps = self.steps if previous is None else self.warm_steps
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = self.learning_rate * (1 - step / steps)
            picture = F.avg_pool2d(self.network(self.stats.color(y)), 1024 // target.shape[-1])
            spread = (y - y.mean(1, keepdim=True)).square().mean()
            loss = picture_loss(picture, target) + _PRIOR * y.square().mean() + _ROW_PRIOR * spread
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        return np.asarray(self.stats.color(y.detach())[0].cpu().numpy(), np.float32)

"""Codes of what was painted on a face: local edits by scribbles.

*Image2StyleGAN++* (Abdal et al., CVPR 2020) optimises a code so that its picture shows the strokes
within a mask and what was there outside of it. So here: within the mask, colours are compared at a
few pixels' blur, for strokes have none of a face's detail; outside, the picture is held to that of
the face's own code. A prior holds the code in W, so that of all pictures like the strokes a face's
is found. The paper's second step, optimising the generator's noise, is left out: outside the mask
the person's own pixels are shown, and within it noise would draw the strokes themselves.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from videdit.device import kept_memory
from videdit.generators.network import GeneratorNetwork
from videdit.generators.wspace import WStatistics
from videdit.inversion.parameters import DEFAULT, Strokes
from videdit.inversion.refine import Shown


@kept_memory()
def fit_strokes(
    network: GeneratorNetwork,
    stats: WStatistics,
    painted: NDArray[np.float32],
    mask: NDArray[np.float32],
    code: NDArray[np.float32],
    how: Strokes = DEFAULT.strokes,
    device: str = "cpu",
    step_done: Callable[[], None] = lambda: None,
) -> NDArray[np.float32]:
    """The code of a face that has what was painted.

    Args:
        network: the generator; it is moved to ``device``, its weights are left as they are.
        stats: W's statistics.
        painted: (256, 256, 3) the crop with strokes, RGB in [0, 1].
        mask: (256, 256) from 0 to 1: where they are.
        code: (rows, width) of the face without them.
        how: steps and weights.
        device: "cpu" or "cuda".
        step_done: called after every step; what it raises ends the work.

    Returns:
        (rows, width) in W's units.
    """
    network = network.to(device).requires_grad_(False)
    stats = stats.to(device)
    target = torch.from_numpy(np.ascontiguousarray(painted.transpose(2, 0, 1)))[None].to(device)
    target = target * 2 - 1
    inside = torch.from_numpy(np.ascontiguousarray(mask))[None, None].to(device)
    outside = 1 - F.max_pool2d(inside, 2 * how.margin + 1, 1, how.margin)
    shown = Shown(network, target.shape[-1])
    start = stats.whiten(torch.from_numpy(code)[None].to(device))
    with torch.no_grad():
        before = shown(stats.color(start))
    offset = torch.zeros_like(start).requires_grad_(True)
    optimiser = torch.optim.Adam([offset], lr=how.learning_rate)
    for step in range(how.steps):
        for group in optimiser.param_groups:
            group["lr"] = how.learning_rate * (1 - step / how.steps)
        picture = shown(stats.color(start + offset))
        drawn = _mean(_blurred(picture, how.blur) - _blurred(target, how.blur), inside)
        kept = _mean(picture - before, outside)
        prior = offset.square().mean() + offset.var(1).mean()
        loss = how.drawn * drawn + how.kept * kept + how.prior * prior
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        step_done()
    found = stats.color(start + offset.detach())[0]
    return np.asarray(found.cpu().numpy(), np.float32)


def _mean(difference: Tensor, weight: Tensor) -> Tensor:
    return (difference.square() * weight).sum() / (weight.sum() * difference.shape[1] + 1e-6)


def _blurred(picture: Tensor, side: int) -> Tensor:
    return F.avg_pool2d(picture, side, 1, side // 2, count_include_pad=False)

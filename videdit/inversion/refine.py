"""Refinement: what the encoder misses of a person, found once and added to every frame.

Most of an encoder's error on a person is the same in all frames: ``w_t = E(x_t) + offset``. The
offset, one code for the whole person, is optimised on a few keyframes, so its cost does not grow
with the video, and the frames' own differences, speech and blinks, stay the encoder's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..device import channels_last, kept_memory
from ..faces.recognition import FaceNetwork
from ..generators.network import GeneratorNetwork
from ..generators.wspace import WStatistics
from .losses import face_loss, face_weight, seen, sized, structure_loss
from .parameters import DEFAULT, Refinement


def choose_keyframes(codes: NDArray[np.float32], count: int) -> list[int]:
    """Frames that differ most in pose and expression: farthest-point sampling.

    Args:
        codes: (k, r, width) the rows that hold pose and expression, of a track's codes.
        count: how many; fewer where the track is shorter.

    Returns:
        Indices, the most typical frame first.
    """
    flat = codes.reshape(len(codes), -1)
    chosen = [int(np.linalg.norm(flat - np.median(flat, 0), axis=1).argmin())]
    distance = np.linalg.norm(flat - flat[chosen[0]], axis=1)
    while len(chosen) < min(count, len(codes)):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(flat - flat[chosen[-1]], axis=1))
    return chosen


@torch.no_grad()
def describe(face: FaceNetwork, crops: NDArray[np.float32]) -> NDArray[np.float32]:
    """Who a track's crops show.

    Args:
        face: the recognition network.
        crops: (k, 256, 256, 3) RGB in [0, 1].

    Returns:
        (d,) float32 of unit length: the cosine of two tells how likely they are one person's.
    """
    pictures = torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2)))
    device = next(face.parameters()).device
    mean = face(pictures.to(device)).descriptor.mean(0)
    return np.asarray(F.normalize(mean, dim=0).cpu().numpy(), np.float32)


class Shown(nn.Module):
    """Codes to pictures (n, 3, size, size) in [-1, 1], by a copy of the generator that has its
    channels last: on a CPU the way there and back takes a quarter less time. Large steps are
    checkpointed: what they compute is computed again on the way back."""

    def __init__(self, network: GeneratorNetwork, size: int) -> None:
        super().__init__()
        # Those who trace the network must find it as it was.
        self.network = copy.deepcopy(network)
        channels_last(self.network)
        self.size = size

    def forward(self, codes: Tensor) -> Tensor:
        state: Any = None
        for number, step in enumerate(self.network.steps(codes)):
            if number < self.network.small_steps:
                state = step(state)
            else:
                state = checkpoint(step, state, use_reentrant=False)
        return sized(state, self.size)


@kept_memory()
def refine_person(
    network: GeneratorNetwork,
    face: FaceNetwork,
    stats: WStatistics,
    crops: NDArray[np.float32],
    codes: NDArray[np.float32],
    how: Refinement = DEFAULT.refinement,
    device: str = "cpu",
    step_done: Callable[[], None] = lambda: None,
) -> NDArray[np.float32]:
    """The offset that makes a person's codes show them.

    Adam in whitened coordinates, in which one step size suits all directions, one keyframe a step
    in turn; a quadratic prior on the offset keeps codes where the generator is at home.

    Args:
        network: the generator; it is moved to ``device``, its weights are left as they are.
        face: the face recognition network; likewise.
        stats: W's statistics.
        crops: (k, 256, 256, 3) the keyframes' crops, RGB in [0, 1].
        codes: (k, rows, width) the encoder's codes of them.
        how: steps and weights.
        device: "cpu" or "cuda".
        step_done: called after every step; what it raises ends the work.

    Returns:
        (rows, width) float32 in W's units, to be added to every code of the person.
    """
    network = network.to(device).requires_grad_(False)
    face = face.to(device)
    stats = stats.to(device)
    targets = torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2))).to(device) * 2 - 1
    size = targets.shape[-1]
    start = stats.whiten(torch.from_numpy(codes).to(device))
    weight = face_weight(size).to(device)
    offset = torch.zeros_like(start[:1, :, : how.axes]).requires_grad_(True)
    rest = start.shape[-1] - offset.shape[-1]
    steps = how.steps_for(len(targets))
    rate = how.learning_rate * (how.steps / max(1, steps)) ** 0.5
    optimiser = torch.optim.Adam([offset], lr=rate)
    generator = Shown(network, size)
    people = [seen(face, target * 0.5 + 0.5) for target in targets[:, None]]
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * (1 - step / steps)
        k = step % len(targets)
        moved = stats.color(start[k : k + 1] + F.pad(offset, (0, rest)))
        picture = generator(moved)
        loss = structure_loss(picture, targets[k : k + 1], weight)
        loss = loss + face_loss(face, picture, people[k], how.identity, how.parts)
        loss = loss + how.prior * (offset.square().mean() + offset.var(1).mean())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        step_done()
    found = stats.color(F.pad(offset.detach(), (0, rest))) - stats.mean
    return np.asarray(found[0].cpu().numpy(), np.float32)

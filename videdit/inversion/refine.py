"""Refinement per track: what the encoder misses of a person, found once and added to every frame.

Most of an encoder's error on a person is the same in all frames: ``w_t = E(x_t) + offset``. The
offset, one code for the whole track, is optimised on a few keyframes, so its cost does not grow
with the video, and the frames' own differences, speech and blinks, stay the encoder's.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ..device import kept_memory
from ..faces.recognition import FaceNetwork
from ..generators.mobile import RESOLUTION, STYLE_DIM, SynthesisNetwork
from ..generators.wspace import WStatistics
from .encoder import INPUT_SIZE
from .losses import face_loss, face_weight, structure_loss

KEYFRAMES = 4
_LEARNING_RATE = 0.05
_PRIOR = 0.02
_AXES = 100
"""Principal axes of W in which the offset may lie: the others hold no person, only ways to lose
contrast, which is where a pixel loss on faces that don't coincide ends."""


def choose_keyframes(codes: NDArray[np.float32], count: int = KEYFRAMES) -> list[int]:
    """Frames that differ most in pose and expression (rows 0 to 7): farthest-point sampling.

    Args:
        codes: (k, 16, 512) the track's codes.
        count: how many; fewer where the track is shorter.

    Returns:
        Indices, the most typical frame first.
    """
    flat = codes[:, :8].reshape(len(codes), -1)
    chosen = [int(np.linalg.norm(flat - np.median(flat, 0), axis=1).argmin())]
    distance = np.linalg.norm(flat - flat[chosen[0]], axis=1)
    while len(chosen) < min(count, len(codes)):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(flat - flat[chosen[-1]], axis=1))
    return chosen


def steps_for(frames: int) -> int:
    """Optimisation steps for a track: in proportion to its length, between 30 and 80."""
    return int(np.clip(frames // 2, 30, 80))


@kept_memory()
def refine_track(
    network: SynthesisNetwork,
    face: FaceNetwork,
    stats: WStatistics,
    crops: NDArray[np.float32],
    codes: NDArray[np.float32],
    steps: int,
    device: str = "cpu",
) -> NDArray[np.float32]:
    """The offset that makes a track's codes show its person.

    Adam in whitened coordinates, in which one step size suits all directions, one keyframe a step
    in turn; a quadratic prior on the offset keeps codes where the generator is at home.

    Args:
        network: the generator; it is moved to ``device``, its weights are left as they are.
        face: the face recognition network; likewise.
        stats: W's statistics.
        crops: (k, 256, 256, 3) the keyframes' crops, RGB in [0, 1].
        codes: (k, 16, 512) the encoder's codes of them.
        steps: optimisation steps.
        device: "cpu" or "cuda".

    Returns:
        (16, 512) float32 in W's units, to be added to every code of the track.
    """
    network = network.to(device).requires_grad_(False)
    face = face.to(device)
    stats = stats.to(device)
    targets = torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2))).to(device) * 2 - 1
    start = stats.whiten(torch.from_numpy(codes).to(device))
    weight = face_weight(targets.shape[-1]).to(device)
    offset = torch.zeros_like(start[:1, :, :_AXES]).requires_grad_(True)
    rest = STYLE_DIM - _AXES
    optimiser = torch.optim.Adam([offset], lr=_LEARNING_RATE)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = _LEARNING_RATE * (1 - step / steps)
        k = step % len(targets)
        picture = network(stats.color(start[k : k + 1] + F.pad(offset, (0, rest))))
        picture = F.avg_pool2d(picture, RESOLUTION // INPUT_SIZE)
        loss = structure_loss(picture, targets[k : k + 1], weight)
        loss = loss + face_loss(face, picture, targets[k : k + 1])
        loss = loss + _PRIOR * (offset.square().mean() + offset.var(1).mean())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    moved = stats.color(F.pad(offset.detach(), (0, rest))) - stats.mean
    return np.asarray(moved[0].cpu().numpy(), np.float32)

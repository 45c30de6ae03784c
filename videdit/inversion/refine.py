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
from torch import Tensor

from ..device import kept_memory
from ..generators.mobile import RESOLUTION, STYLE_DIM, SynthesisNetwork
from ..generators.wspace import WStatistics
from .encoder import INPUT_SIZE
from .face_network import FaceNetwork, compare_faces

KEYFRAMES = 4
_LEARNING_RATE = 0.05
_PRIOR = 0.02
_IDENTITY = 0.6
_PARTS = 0.2
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


def face_weight(size: int) -> Tensor:
    """(1, 1, size, size): 1 on the face of an FFHQ-aligned crop, a fifth at its corners."""
    axis = (torch.arange(size) + 0.5) / size
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    bell = torch.exp(-((x - 0.5) ** 2) / (2 * 0.2**2) - (y - 0.57) ** 2 / (2 * 0.24**2))
    return (0.2 + 0.8 * bell)[None, None]


def structure_loss(picture: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """How much two pictures differ in structure, local contrast and overall colour.

    At three scales, 1 - local normalised cross-correlation (windows of 9 pixels) plus a quarter of
    the difference of the local standard deviations; at the coarsest, the mean absolute difference.
    A plain pixel loss would be least for a picture without contrast as long as features do not
    coincide; the correlation does not reward that.

    Args:
        picture: (n, 3, s, s), s a multiple of 16 and at least 256, range [-1, 1].
        target: the same shape.
        weight: (1, 1, s, s) how much each place counts.
    """
    total = torch.zeros((), device=picture.device)
    picture, target, weight = _halved(picture, target, weight)
    for _ in range(3):
        mean_p, mean_t = _local(picture), _local(target)
        var_p = (_local(picture * picture) - mean_p * mean_p).clamp_min(0) + 1e-3
        var_t = (_local(target * target) - mean_t * mean_t).clamp_min(0) + 1e-3
        covariance = _local(picture * target) - mean_p * mean_t
        here = _local(weight)
        total = total + (here * (1 - covariance / (var_p * var_t).sqrt())).mean()
        total = total + 0.25 * (here * (var_p.sqrt() - var_t.sqrt()).abs()).mean()
        picture, target, weight = _halved(picture, target, weight)
    return 0.5 * total + 2 * ((picture - target) * weight).abs().mean()


def face_loss(face: FaceNetwork, picture: Tensor, target: Tensor) -> Tensor:
    """How much a face recognition network sees two pictures differ.

    Who it is, and a little of what the features differ by: see ``compare_faces``.

    Args:
        face: the network.
        picture: (n, 3, 256, 256), range [-1, 1].
        target: the same shape.
    """
    parts, identity = compare_faces(face, picture * 0.5 + 0.5, target * 0.5 + 0.5)
    return _IDENTITY * identity + _PARTS * parts


def _local(values: Tensor) -> Tensor:
    return F.avg_pool2d(values, 9, 2)


def _halved(*values: Tensor) -> tuple[Tensor, ...]:
    return tuple(F.avg_pool2d(v, 2) for v in values)


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

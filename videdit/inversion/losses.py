"""How much two pictures of a face differ: in pixels, in structure, and as who they show.

Optimisation through the generator and the encoder's training share these.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..faces.recognition import FaceFeatures, FaceNetwork


def sized(pictures: Tensor, size: int) -> Tensor:
    """Pictures (n, c, s, s) at (n, c, size, size): averaged where they are larger, a whole number
    of times; interpolated where they are smaller."""
    side = pictures.shape[-1]
    if side >= size:
        return F.avg_pool2d(pictures, side // size)
    return F.interpolate(pictures, (size, size), mode="bilinear", align_corners=False)


def picture_loss(picture: Tensor, target: Tensor, scales: int = 4) -> Tensor:
    """Mean absolute difference of pictures and of their gradients, summed over scales.

    Args:
        picture: (n, 3, s, s), s a multiple of 8, range [-1, 1].
        target: the same shape.
        scales: how often the pictures are compared, each time at half the size.
    """
    total = torch.zeros((), device=picture.device)
    for _ in range(scales):
        error = picture - target
        total = total + error.abs().mean()
        total = total + error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
        picture, target = F.avg_pool2d(picture, 2), F.avg_pool2d(target, 2)
    return total


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


@torch.no_grad()
def seen(face: FaceNetwork, targets: Tensor) -> FaceFeatures:
    """What the network sees in targets (n, 3, 256, 256), RGB in [0, 1]; they get no gradient."""
    found: FaceFeatures = face(targets)
    return found


def compare_faces(
    face: FaceNetwork, pictures: Tensor, targets: FaceFeatures
) -> tuple[Tensor, Tensor]:
    """How much the network sees pictures differ from their targets.

    Args:
        face: the network.
        pictures: (n, 3, 256, 256) RGB in [0, 1].
        targets: what it sees in them, n as well.

    Returns:
        The squared difference of the features at 28x28 and 14x14 over their variance (eyes, nose
        and mouth in their places), and the mean of 1 - cosine of the descriptors (who it is).
    """
    ours = face(pictures)
    parts = torch.stack(
        [
            (a.float() - b.float()).square().mean() / (b.float().var() + 1e-4)
            for a, b in ((ours.parts, targets.parts), (ours.regions, targets.regions))
        ]
    ).sum()
    return parts, (1 - (ours.descriptor * targets.descriptor).sum(1)).mean()


def face_loss(
    face: FaceNetwork, picture: Tensor, target: FaceFeatures, identity: float, parts: float
) -> Tensor:
    """How much a face recognition network sees a picture differ from its target.

    Who it is, and a little of what the features differ by: see ``compare_faces``.

    Args:
        face: the network.
        picture: (n, 3, 256, 256), range [-1, 1].
        target: what it sees there.
        identity, parts: weights of the descriptors' and of the features' difference.
    """
    features, person = compare_faces(face, picture * 0.5 + 0.5, target)
    return identity * person + parts * features


def _local(values: Tensor) -> Tensor:
    return F.avg_pool2d(values, 9, 2)


def _halved(*values: Tensor) -> tuple[Tensor, ...]:
    return tuple(F.avg_pool2d(v, 2) for v in values)

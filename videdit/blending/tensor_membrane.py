"""The membrane of many faces at once, on any device: ``membrane`` in torch, see there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .membrane import _laplacian
from .parameters import DEFAULT, Membrane


def membrane(
    known: Tensor, confidence: Tensor, parameters: Membrane = DEFAULT.compositing.seam.membrane
) -> Tensor:
    """Fill fields in smoothly, as ``membrane.membrane``.

    Args:
        known: (n, channels, s, s) float32 values, s a power of two times at most ``coarsest``;
            finite everywhere.
        confidence: (n, 1, s, s) float32 weight of each value, >= 0, in units of 1/pixel²; positive
            somewhere in each.
        parameters: how exactly it is solved.

    Returns:
        (n, channels, s, s) the solutions.

    Raises:
        ValueError: the shapes or types.
    """
    n, channels, size = known.shape[:3]
    for what, tensor, wanted in (("values", known, channels), ("confidence", confidence, 1)):
        if tensor.shape != (n, wanted, size, size) or tensor.dtype != torch.float32:
            raise ValueError(
                f"expected {(n, wanted, size, size)} float32 {what}, "
                f"got {tuple(tensor.shape)} {tensor.dtype}"
            )
    levels = [confidence]
    while levels[-1].shape[-1] > parameters.coarsest:
        if levels[-1].shape[-1] % 2:
            raise ValueError(f"no power of two times at most {parameters.coarsest}: {size}")
        levels.append(_halved(levels[-1]))
    coarsest = levels[-1].double().flatten(1)
    matrix = torch.from_numpy(_laplacian(levels[-1].shape[-1])).to(known.device)
    # Not ``cholesky``: its check for errors would wait for the device.
    factor = torch.linalg.cholesky_ex(matrix + torch.diag_embed(coarsest))[0]
    right = confidence * known
    h = torch.zeros_like(right)
    for _ in range(parameters.cycles):
        h = _cycle(h, right, levels, factor, parameters)
    return h


def _cycle(
    h: Tensor, right: Tensor, levels: Sequence[Tensor], factor: Tensor, parameters: Membrane
) -> Tensor:
    """One multigrid V-cycle, as ``membrane._cycle``; ``levels`` are the confidences from here to
    the coarsest, ``factor`` the coarsest grid's Cholesky factor."""
    c = levels[0]
    if len(levels) == 1:
        flat = right.double().flatten(2).transpose(1, 2)
        solved = torch.cholesky_solve(flat, factor).transpose(1, 2)
        return solved.reshape(right.shape).to(right.dtype)
    h = _relax(h, c, right, parameters)
    residual = right - ((c + 4) * h - _neighbours(h))
    coarse = _halved(residual)
    correction = _cycle(torch.zeros_like(coarse), coarse, levels[1:], factor, parameters)
    up = F.interpolate(correction, h.shape[2:], mode="bilinear", align_corners=False)
    return _relax(h + up, c, right, parameters)


def _relax(h: Tensor, c: Tensor, right: Tensor, parameters: Membrane) -> Tensor:
    inverse = parameters.damping / (c + 4)
    for _ in range(parameters.sweeps):
        h = h * (1 - parameters.damping) + (_neighbours(h) + right) * inverse
    return h


def _neighbours(h: Tensor) -> Tensor:
    padded = F.pad(h, (1, 1, 1, 1), mode="replicate")
    return (
        padded[:, :, :-2, 1:-1]
        + padded[:, :, 2:, 1:-1]
        + padded[:, :, 1:-1, :-2]
        + padded[:, :, 1:-1, 2:]
    )


def _halved(values: Tensor) -> Tensor:
    """Sums over 2x2 blocks: on the coarser grid the Laplacian is 4 times as large."""
    return F.avg_pool2d(values, 2, divisor_override=1)

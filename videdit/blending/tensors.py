"""The blend of many faces at once, on any device.

What ``masks``, ``alignment``, ``membrane`` and ``composite`` do to one crop in NumPy, done to n in
torch: the same formulas and constants, the same results but for rounding. Pictures are (n, 3, size,
size) float32 RGB in [0, 1], size a multiple of 64; maps (n, 1, 64, 64) float32.

torch and kornia are loaded here, so nothing that must start quickly imports this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from kornia.geometry.transform import remap
from kornia.morphology import closing, dilation
from numpy.typing import NDArray
from torch import Tensor

from . import alignment, masks
from .composite import _COLOUR_REACH, _SOLVE
from .masks import MAP_SIZE
from .membrane import _laplacian


def reduced(pictures: Tensor, size: int) -> Tensor:
    """Pictures or maps (n, C, s, s) averaged down to (n, C, size, size).

    Raises:
        ValueError: the sides are no multiple of the size.
    """
    side = pictures.shape[-1]
    if pictures.ndim != 4 or pictures.shape[2] != side or side % size:
        raise ValueError(f"{tuple(pictures.shape)} cannot be averaged to {size} x {size} pixels")
    return pictures if side == size else F.avg_pool2d(pictures, side // size)


def difference_maps(one: Tensor, other: Tensor) -> Tensor:
    """How much pictures differ at each place, as ``masks.difference_map``.

    Returns:
        (n, 1, 64, 64) mean absolute difference over the channels, slightly blurred.

    Raises:
        ValueError: the pictures' shapes or types.
    """
    _check_pictures(one, other)
    difference = (other - one).abs().mean(1, keepdim=True)
    return _blurred(reduced(difference, MAP_SIZE), 1.2)


def face_regions(points68: NDArray[np.floating[Any]], device: torch.device | str) -> Tensor:
    """Soft masks of faces, ``masks.face_region``: drawn on the host, where the landmarks are.

    Args:
        points68: (n, 68, 2) landmarks in crop units.
        device: where the masks go.

    Returns:
        (n, 1, 64, 64) in [0, 1].

    Raises:
        ValueError: the points' shape.
    """
    if len(points68) == 0 or np.shape(points68)[1:] != (68, 2):
        raise ValueError(f"expected (n, 68, 2) landmarks, got {np.shape(points68)}")
    regions = np.stack([masks.face_region(points) for points in points68])
    return torch.from_numpy(regions[:, None]).to(device)


def edit_masks(change: Tensor, misfit: Tensor, face: Tensor, size: int) -> Tensor:
    """Where edits replace the source, as ``masks.edit_mask``.

    Args:
        change, misfit, face: (n, 1, 64, 64), see there.
        size: side of the result.

    Returns:
        (n, 1, size, size) in [0, 1]; exactly 0 where the source is to stay.

    Raises:
        ValueError: the maps' shapes or types.
    """
    _check_maps(change, misfit, face)
    explained = 1 - _ramp(misfit, *masks._MISFIT)
    usable = torch.maximum(face, explained)
    peak = torch.quantile((change * usable).flatten(1), masks._PEAK, dim=1)[:, None, None, None]
    low, high = (
        torch.maximum(
            torch.maximum(outside + (inside - outside) * face, share * peak), gain * misfit
        )
        for inside, outside, share, gain in zip(
            masks._INSIDE, masks._OUTSIDE, masks._SHARE, masks._GAIN, strict=True
        )
    )
    changed = closing(_ramp(change, low, high), _ellipse(7, change.device))
    changed = dilation(changed, _ellipse(5, change.device))
    wide = _blurred(changed * usable, 1.3)
    axis = (torch.arange(MAP_SIZE, dtype=torch.float32, device=change.device) + 0.5) / MAP_SIZE
    fade = _ramp(torch.minimum(axis, 1 - axis), 0.01, 0.01 + masks._BORDER)
    wide = wide * torch.minimum(fade[:, None], fade[None, :])
    return ((_enlarged(wide, size) - 0.01) / 0.98).clamp(0, 1)


def bending_fields(source_points: Tensor, reconstruction_points: Tensor) -> Tensor:
    """The smooth fields that take sources' positions to reconstructions', as
    ``alignment.bending_field``.

    Args:
        source_points: (n, k, 2) float32 landmarks of the sources, crop units.
        reconstruction_points: (n, k, 2) the same points found in the reconstructions.

    Returns:
        (n, 2, 48, 48) displacements (x, y) in crop units.

    Raises:
        ValueError: the points' shapes or types.
    """
    n, k = source_points.shape[:2]
    _check("points", (source_points, reconstruction_points), (n, k, 2))
    shift = reconstruction_points - source_points
    length = shift.norm(dim=2, keepdim=True)
    shift = shift * (alignment._LIMIT / length.clamp(min=1e-6)).clamp(max=1)
    grid = alignment._GRID
    axis = (torch.arange(grid, dtype=torch.float32, device=shift.device) + 0.5) / grid
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    nodes = torch.stack((x, y), 2).reshape(-1, 1, 2)
    squared = ((nodes - source_points[:, None]) ** 2).sum(3)
    weight = torch.exp(-squared / (2 * alignment._REACH**2))
    field: Tensor = weight @ shift / (weight.sum(2, keepdim=True) + alignment._GROUND)
    return field.transpose(1, 2).reshape(n, 2, grid, grid)


def bend(pictures: Tensor, fields: Tensor) -> Tensor:
    """Resample pictures or maps (n, C, size, size) through fields, as ``alignment.bend``.

    Args:
        fields: (n, 2, g, g) displacements (x, y) in crop units.

    Raises:
        ValueError: the shapes or types.
    """
    n, channels, size = pictures.shape[:3]
    _check("pictures", (pictures,), (n, channels, size, size))
    _check("fields", (fields,), (n, 2, fields.shape[-1], fields.shape[-1]))
    centres = (torch.arange(size, dtype=torch.float32, device=pictures.device) + 0.5) / size
    moved = _enlarged(fields, size)
    # From crop units to kornia's normalised ones, whose borders are -1 and 1.
    x = 2 * (centres + moved[:, 0]) - 1
    y = 2 * (centres[:, None] + moved[:, 1]) - 1
    return remap(
        pictures,
        x,
        y,
        mode="bicubic",
        padding_mode="reflection",
        align_corners=False,
        normalized_coordinates=True,
    )


def match_colours(source: Tensor, reconstruction: Tensor, edited: Tensor) -> Tensor:
    """Give edited pictures the sources' light and colour, as ``composite.match_colours``.

    Returns:
        (n, 3, size, size) float32, not clipped.

    Raises:
        ValueError: the pictures' shapes or types.
    """
    _check_pictures(source, reconstruction, edited)
    size = source.shape[-1]
    small = max(32, size // 8)
    error = reduced(source - reconstruction, small).clamp(-0.25, 0.25)
    return edited + _enlarged(_blurred(error, _COLOUR_REACH * small), size)


def membrane(known: Tensor, confidence: Tensor, cycles: int = 6) -> Tensor:
    """Fill fields in smoothly, as ``membrane.membrane``.

    Args:
        known: (n, channels, s, s) float32 values, s a power of two times at most 8; finite
            everywhere.
        confidence: (n, 1, s, s) float32 weight of each value, >= 0, in units of 1/pixel²; positive
            somewhere in each.
        cycles: multigrid cycles.

    Returns:
        (n, channels, s, s) the solutions.

    Raises:
        ValueError: the shapes or types.
    """
    n, channels, size = known.shape[:3]
    _check("values", (known,), (n, channels, size, size))
    _check("confidence", (confidence,), (n, 1, size, size))
    levels = [confidence]
    while levels[-1].shape[-1] > 8:
        if levels[-1].shape[-1] % 2:
            raise ValueError(f"a side of {size} is no power of two times at most 8")
        levels.append(_halved(levels[-1]))
    coarsest = levels[-1].double().flatten(1)
    matrix = torch.from_numpy(_laplacian(levels[-1].shape[-1])).to(known.device)
    # Not ``cholesky``: its check for errors would wait for the device.
    factor = torch.linalg.cholesky_ex(matrix + torch.diag_embed(coarsest))[0]
    right = confidence * known
    h = torch.zeros_like(right)
    for _ in range(cycles):
        h = _cycle(h, right, levels, factor)
    return h


def composite(
    source: Tensor,
    reconstruction: Tensor,
    edited: Tensor,
    source_points: NDArray[np.floating[Any]],
    reconstruction_points: NDArray[np.floating[Any]],
    change: Tensor,
    misfit: Tensor,
) -> tuple[Tensor, Tensor]:
    """What to paste over crops, and where, as ``composite.composite``.

    Args:
        source, reconstruction, edited: (n, 3, size, size) pictures.
        source_points, reconstruction_points: (n, 68, 2) landmarks, crop units, on the host.
        change, misfit: (n, 1, 64, 64), smoothed over time.

    Returns:
        (colour (n, 3, size, size) in [0, 1], alpha (n, 1, size, size) in [0, 1]); alpha is exactly
        0 where the source stays, and colour means nothing there.

    Raises:
        ValueError: the shapes or types.
    """
    _check_pictures(source, reconstruction, edited)
    _check_maps(change, misfit)
    size, device = source.shape[-1], source.device
    if len({len(each) for each in (source, source_points, reconstruction_points, change)}) > 1:
        raise ValueError("pictures, points and maps differ in number")
    points, found = (
        torch.from_numpy(np.asarray(each, np.float32)).to(device)
        for each in (source_points, reconstruction_points)
    )
    fields = bending_fields(points, found)
    face = face_regions(source_points, device)
    alpha = edit_masks(bend(change, fields), misfit, face, size)
    edited = bend(edited, fields)
    matched = match_colours(source, bend(reconstruction, fields), edited)
    difference = reduced(source - matched, _SOLVE).clamp(-0.3, 0.3)
    inside = reduced(alpha, _SOLVE)
    confidence = 0.5 * (1 - 1.5 * inside).clamp(0, 1) ** 2 + 1e-4
    colour = matched + _enlarged(membrane(difference, confidence), size)
    return colour.clamp(0, 1), alpha


def _cycle(h: Tensor, right: Tensor, levels: Sequence[Tensor], factor: Tensor) -> Tensor:
    """One multigrid V-cycle, as ``membrane._cycle``; ``levels`` are the confidences from here to
    the coarsest, ``factor`` the coarsest grid's Cholesky factor."""
    c = levels[0]
    if len(levels) == 1:
        flat = right.double().flatten(2).transpose(1, 2)
        solved = torch.cholesky_solve(flat, factor).transpose(1, 2)
        return solved.reshape(right.shape).to(right.dtype)
    h = _relax(h, c, right)
    residual = right - ((c + 4) * h - _neighbours(h))
    coarse = _halved(residual)
    correction = _cycle(torch.zeros_like(coarse), coarse, levels[1:], factor)
    up = F.interpolate(correction, h.shape[2:], mode="bilinear", align_corners=False)
    return _relax(h + up, c, right)


def _relax(h: Tensor, c: Tensor, right: Tensor) -> Tensor:
    inverse = 0.8 / (c + 4)
    for _ in range(3):
        h = h * 0.2 + (_neighbours(h) + right) * inverse
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


def _ramp(values: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    t = ((values - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _ellipse(size: int, device: torch.device) -> Tensor:
    return torch.from_numpy(masks._ellipse(size).astype(np.float32)).to(device)


def _blurred(pictures: Tensor, sigma: float) -> Tensor:
    """``cv2.GaussianBlur`` with its own choice of the kernel's size and its mirror borders."""
    side = round(8 * sigma + 1) | 1
    return gaussian_blur2d(pictures, (side, side), (sigma, sigma), border_type="reflect")


def _enlarged(pictures: Tensor, size: int) -> Tensor:
    """``cv2.resize`` with its cubic kernel, a = -0.75."""
    return F.interpolate(pictures, (size, size), mode="bicubic", align_corners=False)


def _check(what: str, tensors: Sequence[Tensor], shape: tuple[int, ...]) -> None:
    for tensor in tensors:
        if tuple(tensor.shape) != shape or tensor.dtype != torch.float32:
            raise ValueError(
                f"expected {shape} float32 {what}, got {tuple(tensor.shape)} {tensor.dtype}"
            )


def _check_pictures(*pictures: Tensor) -> None:
    n, size = pictures[0].shape[0], pictures[0].shape[-1]
    _check("pictures", pictures, (n, 3, size, size))
    if size % MAP_SIZE:
        raise ValueError(f"a picture's side is a multiple of {MAP_SIZE}, not {size}")


def _check_maps(*maps: Tensor) -> None:
    _check("maps", maps, (len(maps[0]), 1, MAP_SIZE, MAP_SIZE))

"""The blend of many faces at once, on any device.

What ``masks``, ``alignment`` and ``composite`` do to one crop in NumPy, done to n in torch: the
same formulas and parameters, the same results but for rounding. Pictures are (n, 3, size, size)
float32 RGB in [0, 1], size a multiple of 64; maps (n, 1, 64, 64) float32.

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

from . import masks
from .masks import MAP_SIZE
from .parameters import (
    DEFAULT,
    Bending,
    BlendingParameters,
    Colours,
    EditMask,
    FaceRegion,
    Mapping,
)
from .tensor_membrane import membrane


def reduced(pictures: Tensor, size: int) -> Tensor:
    """Pictures or maps (n, C, s, s) averaged down to (n, C, size, size).

    Raises:
        ValueError: the sides are no multiple of the size.
    """
    side = pictures.shape[-1]
    if pictures.ndim != 4 or pictures.shape[2] != side or side % size:
        raise ValueError(f"{tuple(pictures.shape)} cannot be averaged to {size} x {size} pixels")
    return pictures if side == size else F.avg_pool2d(pictures, side // size)


def difference_maps(one: Tensor, other: Tensor, parameters: Mapping = DEFAULT.maps) -> Tensor:
    """How much pictures differ at each place, as ``masks.difference_map``.

    Returns:
        (n, 1, 64, 64) mean absolute difference over the channels, slightly blurred.

    Raises:
        ValueError: the pictures' shapes or types.
    """
    _check_pictures(one, other)
    difference = (other - one).abs().mean(1, keepdim=True)
    return _blurred(reduced(difference, MAP_SIZE), parameters.blur_sigma)


def face_regions(
    points68: NDArray[np.floating[Any]],
    device: torch.device | str,
    parameters: FaceRegion = DEFAULT.compositing.face,
) -> Tensor:
    """Soft masks of faces, ``masks.face_region``: drawn on the host, where the landmarks are.

    Args:
        points68: (n, 68, 2) landmarks in crop units.
        device: where the masks go.
        parameters: the outlines that are drawn.

    Returns:
        (n, 1, 64, 64) in [0, 1].

    Raises:
        ValueError: the points' shape.
    """
    if len(points68) == 0 or np.shape(points68)[1:] != (68, 2):
        raise ValueError(f"expected (n, 68, 2) landmarks, got {np.shape(points68)}")
    regions = np.stack([masks.face_region(points, parameters) for points in points68])
    return torch.from_numpy(regions[:, None]).to(device)


def edit_masks(
    change: Tensor,
    misfit: Tensor,
    face: Tensor,
    size: int,
    parameters: EditMask = DEFAULT.compositing.mask,
) -> Tensor:
    """Where edits replace the source, as ``masks.edit_mask``.

    Args:
        change, misfit, face: (n, 1, 64, 64), see there.
        size: side of the result.
        parameters: thresholds and the masks' shape.

    Returns:
        (n, 1, size, size) in [0, 1]; exactly 0 where the source is to stay.

    Raises:
        ValueError: the maps' shapes or types.
    """
    _check_maps(change, misfit, face)
    explained = 1 - _ramp(misfit, *parameters.misfit)
    usable = torch.maximum(face, explained)
    peak = torch.quantile((change * usable).flatten(1), parameters.peak, dim=1)[:, None, None, None]
    low, high = (
        torch.maximum(
            torch.maximum(outside + (inside - outside) * face, share * peak), gain * misfit
        )
        for inside, outside, share, gain in zip(
            parameters.inside, parameters.outside, parameters.share, parameters.gain, strict=True
        )
    )
    changed = closing(_ramp(change, low, high), _ellipse(parameters.closing, change.device))
    changed = dilation(changed, _ellipse(parameters.dilation, change.device))
    wide = _blurred(changed * usable, parameters.blur_sigma)
    axis = (torch.arange(MAP_SIZE, dtype=torch.float32, device=change.device) + 0.5) / MAP_SIZE
    start, end = parameters.margin, parameters.margin + parameters.border
    fade = _ramp(torch.minimum(axis, 1 - axis), start, end)
    wide = wide * torch.minimum(fade[:, None], fade[None, :])
    floor = parameters.floor
    return ((_enlarged(wide, size) - floor) / (1 - 2 * floor)).clamp(0, 1)


def bending_fields(
    source_points: Tensor,
    reconstruction_points: Tensor,
    parameters: Bending = DEFAULT.compositing.bending,
) -> Tensor:
    """The smooth fields that take sources' positions to reconstructions', as
    ``alignment.bending_field``.

    Args:
        source_points: (n, k, 2) float32 landmarks of the sources, crop units.
        reconstruction_points: (n, k, 2) the same points found in the reconstructions.
        parameters: how far landmarks reach and move.

    Returns:
        (n, 2, grid, grid) displacements (x, y) in crop units.

    Raises:
        ValueError: the points' shapes or types.
    """
    n, k = source_points.shape[:2]
    _check("points", (source_points, reconstruction_points), (n, k, 2))
    shift = reconstruction_points - source_points
    length = shift.norm(dim=2, keepdim=True)
    shift = shift * (parameters.limit / length.clamp(min=1e-6)).clamp(max=1)
    grid = parameters.grid
    axis = (torch.arange(grid, dtype=torch.float32, device=shift.device) + 0.5) / grid
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    nodes = torch.stack((x, y), 2).reshape(-1, 1, 2)
    squared = ((nodes - source_points[:, None]) ** 2).sum(3)
    weight = torch.exp(-squared / (2 * parameters.reach**2))
    field: Tensor = weight @ shift / (weight.sum(2, keepdim=True) + parameters.ground)
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


def match_colours(
    source: Tensor,
    reconstruction: Tensor,
    edited: Tensor,
    parameters: Colours = DEFAULT.maps.colours,
) -> Tensor:
    """Give edited pictures the sources' light and colour, as ``composite.match_colours``.

    Returns:
        (n, 3, size, size) float32, not clipped.

    Raises:
        ValueError: the pictures' shapes or types.
    """
    _check_pictures(source, reconstruction, edited)
    size = source.shape[-1]
    small = max(parameters.least_side, size // parameters.reduction)
    error = reduced(source - reconstruction, small).clamp(-parameters.limit, parameters.limit)
    return edited + _enlarged(_blurred(error, parameters.reach * small), size)


def composite(
    source: Tensor,
    reconstruction: Tensor,
    edited: Tensor,
    source_points: NDArray[np.floating[Any]],
    reconstruction_points: NDArray[np.floating[Any]],
    change: Tensor,
    misfit: Tensor,
    parameters: BlendingParameters = DEFAULT,
) -> tuple[Tensor, Tensor]:
    """What to paste over crops, and where, as ``composite.composite``.

    Args:
        source, reconstruction, edited: (n, 3, size, size) pictures.
        source_points, reconstruction_points: (n, 68, 2) landmarks, crop units, on the host.
        change, misfit: (n, 1, 64, 64), smoothed over time.
        parameters: all but ``smoothing`` of ``compositing``, and ``maps.colours``.

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
    compositing, seam = parameters.compositing, parameters.compositing.seam
    fields = bending_fields(points, found, compositing.bending)
    face = face_regions(source_points, device, compositing.face)
    alpha = edit_masks(bend(change, fields), misfit, face, size, compositing.mask)
    edited = bend(edited, fields)
    matched = match_colours(source, bend(reconstruction, fields), edited, parameters.maps.colours)
    difference = reduced(source - matched, seam.side).clamp(-seam.limit, seam.limit)
    inside = reduced(alpha, seam.side)
    confidence = seam.known * (1 - seam.falloff * inside).clamp(0, 1) ** 2 + seam.unknown
    colour = matched + _enlarged(membrane(difference, confidence, seam.membrane), size)
    return colour.clamp(0, 1), alpha


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

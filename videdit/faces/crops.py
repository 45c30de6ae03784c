"""Cutting the crops of many faces at once, and pasting one, on any device.

``videdit.faces.align`` in torch: the same coordinates, the same filters. What differs is rounding;
most of it is OpenCV's, which averages blocks of integers to integers. On a CPU OpenCV is many times
faster: this path is for GPUs.

torch and kornia are loaded here, so nothing that must start quickly imports this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from kornia.filters import filter2d_separable
from numpy.typing import NDArray
from torch import Tensor

from videdit.copies import uploaded
from videdit.faces.align import (
    Box,
    SamplingPlan,
    _region,
    placed_patch,
    quad_transform,
    sampling_plan,
)
from videdit.faces.smoothing import FloatArray

_FULL = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0, np.dtype(np.float32): 1.0}


def cut_crops(
    frames: Sequence[NDArray[Any]] | Tensor,
    quads: NDArray[np.floating[Any]],
    size: int,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Cut one face out of each frame, as ``align.cut_crop`` does.

    Of frames in the host's memory only what the crops need is brought to the device, in the
    frames' own type.

    Args:
        frames: n frames (H, W, C), all uint8, full-range uint16, or float32 in [0, 1]; a frame with
            several faces is named several times. Or an (n, C, H, W) float32 tensor in [0, 1].
        quads: (n, 4, 2) corners in frame pixels.
        size: side of the crops.
        device: where the crops go. Frames in a tensor are on it already.

    Returns:
        (n, C, size, size) float32 in [0, 1].

    Raises:
        ValueError: the frames' types or shapes, or a quad is unusable, or their numbers differ.
    """
    if isinstance(frames, Tensor):
        pictures = _checked(frames)

        def read(members: Sequence[int], boxes: Sequence[Box]) -> Tensor:
            return _cut(pictures, members, boxes, mirror=True)
    else:
        arrays = _checked_arrays(frames)

        def read(members: Sequence[int], boxes: Sequence[Box]) -> Tensor:
            return _upload([arrays[member] for member in members], boxes, device)

    to_frame = [np.linalg.inv(m).astype(np.float64) for m in _transforms(quads, size, len(frames))]
    return _resample(read, to_frame, [(size, size)] * len(frames)).clamp_(0, 1)


def paste_warp(
    crop: Tensor,
    quad: NDArray[np.floating[Any]],
    frame_hw: tuple[int, int],
    part: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
    *,
    smooth: bool = False,
) -> tuple[int, int, Tensor, Tensor]:
    """Bring a crop (s, s, C) back into the frame, as ``align.paste_warp`` does.

    Returns:
        ``(x, y, patch, coverage)``, the last two on the crop's device.
    """
    place = placed_patch(tuple(crop.shape), quad, frame_hw, part)
    x, y, w, h = place.box
    if w == 0 or h == 0:
        return x, y, crop.new_zeros(h, w, crop.shape[2]), crop.new_zeros(h, w)
    pictures = crop.permute(2, 0, 1)[None]

    def read(members: Sequence[int], boxes: Sequence[Box]) -> Tensor:
        return _cut(pictures, members, boxes, mirror=False)

    patch = _resample(read, [place.to_crop], [(w, h)], "bilinear" if smooth else "bicubic")[0]
    if not smooth:
        patch = patch.clamp(*crop.aminmax())
    coverage = crop.new_ones(h, w)
    for across, down in place.edges:
        first, second = (torch.from_numpy(v).to(crop.device, torch.float32) for v in (across, down))
        coverage *= (first[None] - second[:, None] + 0.5).clamp(0, 1)
    return x, y, patch.permute(1, 2, 0), coverage


def _resample(
    read: Callable[[Sequence[int], Sequence[Box]], Tensor],
    to_source: Sequence[FloatArray],
    sizes: Sequence[tuple[int, int]],
    method: str = "bicubic",
) -> Tensor:
    """Sample n pictures at the centres of n target grids: ``align._resample``, batched.

    Args:
        read: gives the boxes, all of one size, of the sources with these indices, (k, C, h, w).
        to_source: n maps of continuous target coordinates to continuous source coordinates.
        sizes: n (width, height) of the targets.

    Returns:
        (n, C, H, W), as large as the largest target; each target lies at the top left of its own.
    """
    plans = [sampling_plan(m, *wh) for m, wh in zip(to_source, sizes, strict=True)]
    width, height = (max(lengths) for lengths in zip(*sizes, strict=True))
    order: list[int] = []
    parts = []
    for block in sorted({plan.block for plan in plans}):
        members = [k for k, plan in enumerate(plans) if plan.block == block]
        chosen = [plans[k] for k in members]
        # One size for all: the regions of the smaller ones reach further than they need to.
        w = max(plan.box[2] - plan.box[0] for plan in chosen)
        h = max(plan.box[3] - plan.box[1] for plan in chosen)
        boxes = [(p.box[0], p.box[1], p.box[0] + w, p.box[1] + h) for p in chosen]
        pixels = read(members, boxes)
        if block > 1:
            pixels = F.avg_pool2d(pixels, block)
        pixels = _low_pass(pixels, chosen)
        places = _places(np.stack([plan.matrix for plan in chosen]), width, height, pixels)
        parts.append(F.grid_sample(pixels, places, method, "border", align_corners=False))
        order += members
    if len(parts) == 1:
        return parts[0]
    return torch.cat(parts)[np.argsort(order).tolist()]


def _places(matrices: NDArray[np.float64], width: int, height: int, pixels: Tensor) -> Tensor:
    """(k, height, width, 2) where targets' pixels lie in sources (k, C, h, w), as ``grid_sample``
    counts; the matrices (k, 3, 3) take indices to indices."""
    flat = bool((matrices[:, 2] == (0, 0, 1)).all())
    rows = matrices[:, :2] if flat else matrices
    m = torch.from_numpy(rows.astype(np.float32)).to(pixels.device)[..., None, None]
    columns = torch.arange(width, device=pixels.device)
    lines = torch.arange(height, device=pixels.device)[:, None]
    places = m[:, :, 0] * columns + (m[:, :, 1] * lines + m[:, :, 2])
    if not flat:
        places = places[:, :2] / places[:, 2:]
    # Continuous coordinates from -1 to 1 over the whole source.
    size = torch.tensor(pixels.shape[:1:-1], device=pixels.device)
    return (places.permute(0, 2, 3, 1) + 0.5) * (2 / size) - 1


def _low_pass(pixels: Tensor, plans: Sequence[SamplingPlan]) -> Tensor:
    """Blur each picture (n, C, h, w) with its own Gaussian."""
    kernels = np.zeros((len(plans), 2 * max(plan.radius for plan in plans) + 1))
    offsets = np.arange(kernels.shape[1]) - kernels.shape[1] // 2
    for kernel, plan in zip(kernels, plans, strict=True):
        if plan.sigma > 0.2:  # below, the neighbours' weight is under 4e-6
            near = np.abs(offsets) <= plan.radius
            kernel[near] = np.exp(-(offsets[near] ** 2) / (2 * plan.sigma**2))
            kernel /= kernel.sum()
        else:
            kernel[offsets == 0] = 1
    if (kernels == 1).any(axis=1).all():
        return pixels
    weights = torch.from_numpy(kernels.astype(np.float32)).to(pixels.device)
    return filter2d_separable(pixels, weights, weights, border_type="replicate")


def _upload(
    frames: Sequence[NDArray[Any]], boxes: Sequence[Box], device: torch.device | str
) -> Tensor:
    """Mirrored regions of host frames (H, W, C) as (k, C, h, w) float32 in [0, 1]."""
    regions = np.stack(
        [_region(frame, *box, mirror=True) for frame, box in zip(frames, boxes, strict=True)]
    )
    pixels = uploaded(regions, device).permute(0, 3, 1, 2)
    return pixels.to(torch.float32).contiguous() / _FULL[regions.dtype]


def _cut(pictures: Tensor, members: Sequence[int], boxes: Sequence[Box], *, mirror: bool) -> Tensor:
    """Regions of pictures that go on beyond their borders, (k, C, h, w): their mirror image, or
    their border pixels."""
    height, width = pictures.shape[2:]
    regions = []
    for member, (left, top, right, bottom) in zip(members, boxes, strict=True):
        rows, columns = (
            torch.from_numpy(_indices(start, stop, length, mirror)).to(pictures.device)
            for start, stop, length in ((top, bottom, height), (left, right, width))
        )
        regions.append(pictures[member].index_select(1, rows).index_select(2, columns))
    return torch.stack(regions)


def _indices(start: int, stop: int, length: int, mirror: bool) -> NDArray[np.int64]:
    """Where [start, stop) of a row comes from that goes on, mirrored or as it ends, beyond
    [0, length)."""
    if not mirror:
        return np.arange(start, stop).clip(0, length - 1)
    at = np.arange(start, stop) % (2 * length)
    return np.minimum(at, 2 * length - 1 - at)


def _transforms(quads: NDArray[np.floating[Any]], size: int, count: int) -> list[FloatArray]:
    corners = np.asarray(quads)
    if corners.shape != (count, 4, 2):
        raise ValueError(f"expected ({count}, 4, 2) quads, got {corners.shape}")
    return [quad_transform(quad, size) for quad in corners]


def _checked(pictures: Tensor) -> Tensor:
    if pictures.ndim != 4 or 0 in pictures.shape or pictures.dtype != torch.float32:
        raise ValueError(
            f"expected (n, C, H, W) float32 pixels, got {tuple(pictures.shape)} {pictures.dtype}"
        )
    return pictures


def _checked_arrays(frames: Sequence[NDArray[Any]]) -> Sequence[NDArray[Any]]:
    if len(frames) == 0:
        raise ValueError("there is no frame to cut from")
    for frame in frames:
        if frame.ndim != 3 or 0 in frame.shape or frame.dtype not in _FULL:
            raise ValueError(
                f"expected (H, W, C) uint8, uint16 or float32 pixels, "
                f"got {frame.shape} {frame.dtype}"
            )
    if len({(frame.shape[2], frame.dtype) for frame in frames}) > 1:
        raise ValueError("the frames differ in type or number of channels")
    return frames

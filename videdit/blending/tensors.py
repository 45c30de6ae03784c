"""``maps.py`` on PyTorch's tensors, for GPUs: the same coordinates, borders and weights.

What OpenCV makes of an array is told in ``maps.py``; what differs here is rounding. A resize is two
products with the matrices that OpenCV itself makes of it. Loads PyTorch, so that only ``maps.py``
and what works on a GPU anyway import this.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import isqrt
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from videdit.blending.common import LUMA, ellipse, region_around
from videdit.copies import downloaded, uploaded
from videdit.faces.crops import cut_crops, paste_warp


def resized(values: Tensor, side: int) -> Tensor:
    """See ``maps``."""
    if values.shape[0] == side:
        return values
    return _scaled(values, side, cv2.INTER_AREA if values.shape[0] > side else cv2.INTER_LINEAR)


def cubic(values: Tensor, side: int) -> Tensor:
    """See ``maps``."""
    return _scaled(values, side, cv2.INTER_CUBIC)


def _scaled(values: Tensor, side: int, method: int) -> Tensor:
    weights = _weights(values.shape[0], side, method, values.device)
    return _planes_back(weights @ _planes(values) @ weights.T, values)


@lru_cache(64)
def _weights(before: int, after: int, method: int, device: torch.device) -> Tensor:
    """(after, before) what OpenCV's resize weighs each row by."""
    rows = cv2.resize(np.eye(before, dtype=np.float32), (before, after), interpolation=method)
    return torch.from_numpy(np.asarray(rows)).to(device)


def _planes(values: Tensor) -> Tensor:
    """(c, h, w) of (h, w, c) or (h, w)."""
    return values[None] if values.ndim == 2 else values.permute(2, 0, 1)


def _planes_back(planes: Tensor, values: Tensor) -> Tensor:
    """(h, w, c) or (h, w), as the values had it."""
    return planes[0] if values.ndim == 2 else planes.permute(1, 2, 0)


def blurred(values: Tensor, sigma: float) -> Tensor:
    """See ``maps``."""
    side = round(sigma * 8 + 1) | 1  # OpenCV's choice for floats
    return _filtered(values, np.asarray(cv2.getGaussianKernel(side, sigma, cv2.CV_32F)))


def means(values: Tensor, side: int) -> Tensor:
    """See ``maps``."""
    return _filtered(values, np.full(side, 1 / side, np.float32))


def _filtered(values: Tensor, kernel: NDArray[np.float32]) -> Tensor:
    """Filtered by the same odd kernel along both axes; beyond the border lies the mirror image
    without the border's own pixels."""
    radius = len(kernel) // 2
    weights = torch.from_numpy(kernel.ravel()).to(values.device)
    planes = _planes(values)[:, None]
    planes = F.conv2d(_mirrored(planes, 2, radius), weights[None, None, :, None])
    planes = F.conv2d(_mirrored(planes, 3, radius), weights[None, None, None])
    return _planes_back(planes[:, 0], values)


def _mirrored(planes: Tensor, axis: int, count: int) -> Tensor:
    """Planes (n, 1, h, w) with so much more at both ends of one axis, however small they are."""
    length = planes.shape[axis]
    if count < length:
        pads = (count, count, 0, 0) if axis == 3 else (0, 0, count, count)
        return F.pad(planes, pads, "reflect")
    period = max(1, 2 * (length - 1))
    at = np.abs((np.arange(-count, length + count) + length - 1) % period - (length - 1))
    return planes.index_select(axis, torch.from_numpy(at).to(planes.device))


def dilated(mask: Tensor, radius: int) -> Tensor:
    """See ``maps``."""
    return _dilated(mask, [int(width) for width in ellipse(radius).sum(1)])


def inside(condition: Tensor, radius: int) -> Tensor:
    """See ``maps``."""
    heights = range(-radius, radius + 1)
    without = _dilated(1 - condition.float(), [2 * isqrt(radius**2 - y**2) + 1 for y in heights])
    return 1 - without


def _dilated(mask: Tensor, widths: Sequence[int]) -> Tensor:
    """The largest value of a map (h, w) in a figure of rows of these odd widths, one above the
    other, around each pixel."""
    height, radius = mask.shape[0], len(widths) // 2
    high = F.pad(mask[None, None], (0, 0, radius, radius), value=-torch.inf)
    runs: dict[int, Tensor] = {}
    found: Tensor | None = None
    for row, width in enumerate(widths):
        if width not in runs:
            runs[width] = F.max_pool2d(high, (1, width), 1, (0, width // 2))[0, 0]
        here = runs[width][row : row + height]
        found = here if found is None else torch.maximum(found, here)
    assert found is not None
    return found


def largest(mask: Tensor, side: int) -> Tensor:
    """See ``maps``."""
    return F.max_pool2d(mask[None, None], side, 1, side // 2)[0, 0]


def bent(values: Tensor, field: NDArray[np.float32]) -> Tensor:
    """See ``maps``."""
    size = values.shape[0]
    dense = cubic(put(values, field), size) * size
    return sampled(values, *_read_at(dense), "bicubic")


def moved(values: Tensor, motion: Tensor) -> Tensor:
    """See ``maps``."""
    return sampled(values, *_read_at(motion), "bilinear")


def _read_at(motion: Tensor) -> tuple[Tensor, Tensor]:
    axis = _axis(motion.shape[0], motion.device)
    return motion[:, :, 0] + axis, motion[:, :, 1] + axis[:, None]


@lru_cache(16)
def _axis(size: int, device: torch.device) -> Tensor:
    return torch.arange(size, dtype=torch.float32, device=device)


def sampled(values: Tensor, x: Tensor, y: Tensor, mode: str, once: bool = False) -> Tensor:
    """Values (h, w[, c]) at columns x and rows y, whole numbers in the middles of pixels, (m, n).

    Args:
        mode: "bilinear" or "bicubic".
        once: beyond the border lies the mirror image without the border's own pixels, instead of
            with them.
    """
    height, width = values.shape[:2]
    if once:
        grid = torch.stack((x * (2 / (width - 1)) - 1, y * (2 / (height - 1)) - 1), 2)
    else:
        grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), 2)
    found = F.grid_sample(_planes(values)[None], grid[None], mode, "reflection", once)
    return _planes_back(found[0], values)


def luma(picture: Tensor) -> Tensor:
    """See ``maps``."""
    r, g, b = LUMA
    return picture[:, :, 0] * r + picture[:, :, 1] * g + picture[:, :, 2] * b


def even(picture: Tensor) -> Tensor:
    """See ``maps``."""
    return picture.mean(2)


def weighed(values: Tensor, weights: tuple[tuple[float, ...], ...]) -> Tensor:
    """See ``maps``."""
    return values @ _columns(weights, values.device)


@lru_cache(256)
def _columns(weights: tuple[tuple[float, ...], ...], device: torch.device) -> Tensor:
    return torch.tensor(weights, dtype=torch.float32, device=device).T.contiguous()


def most(values: Tensor) -> Tensor:
    """See ``maps``."""
    return values.amax(2)


def larger(values: Tensor, others: Tensor | float) -> Tensor:
    """See ``maps``."""
    return torch.maximum(values, others) if isinstance(others, Tensor) else values.clamp(min=others)


def smaller(values: Tensor, others: Tensor | float) -> Tensor:
    """See ``maps``."""
    return torch.minimum(values, others) if isinstance(others, Tensor) else values.clamp(max=others)


def exp(values: Tensor) -> Tensor:
    """See ``maps``."""
    return values.exp()


def where(condition: Tensor, one: Any, other: Any) -> Tensor:
    """See ``maps``."""
    return torch.where(condition, one, other)


def joined(maps: Sequence[Tensor]) -> Tensor:
    """See ``maps``."""
    return torch.cat(tuple(maps), 2)


def as_floats(condition: Tensor) -> Tensor:
    """See ``maps``."""
    return condition.float()


def zeros(values: Tensor, *shape: int) -> Tensor:
    """See ``maps``."""
    return torch.zeros(shape, device=values.device)


def put(values: Tensor, array: NDArray[Any]) -> Tensor:
    """See ``maps``."""
    return uploaded(np.ascontiguousarray(array, np.float32), values.device)


def host(values: Tensor) -> NDArray[np.float32]:
    """See ``maps``."""
    return downloaded(values)


def middle(values: Tensor) -> Tensor:
    """See ``maps``."""
    return values.reshape(-1, values.shape[2]).quantile(0.5, 0)


def cut(values: Tensor, rgb: NDArray[Any], quad: NDArray[np.floating[Any]], size: int) -> Tensor:
    """See ``maps``."""
    return cut_crops([rgb], quad[None], size, values.device)[0].permute(1, 2, 0)


def in_frame(
    crop: Tensor,
    quad: NDArray[np.floating[Any]],
    frame_hw: tuple[int, int],
    part: tuple[float, float, float, float],
    smooth: bool,
) -> tuple[int, int, Tensor, Tensor]:
    """See ``maps``."""
    return paste_warp(crop, quad, frame_hw, part, smooth=smooth)


def frame_part(
    values: Tensor, rgb: NDArray[Any], x: int, y: int, width: int, height: int
) -> Tensor:
    """See ``maps``."""
    part = np.ascontiguousarray(rgb[y : y + height, x : x + width])
    return uploaded(part, values.device).float() / np.iinfo(rgb.dtype).max


def read_frame(columns: Tensor, rows: Tensor, rgb: NDArray[Any], x: int, y: int) -> Tensor:
    """See ``maps``."""
    height, width = columns.shape
    reach = float(torch.maximum(columns.abs().max(), rows.abs().max()))
    if not reach:
        return frame_part(columns, rgb, x, y, width, height)
    region, left, top = region_around(rgb, x, y, width, height, reach)
    across, down = (_axis(length, columns.device) for length in (width, height))
    there = columns + across + (x - left), rows + down[:, None] + (y - top)
    full = np.iinfo(rgb.dtype).max
    read = sampled(uploaded(region, columns.device).float(), *there, "bicubic", once=True)
    # As an array of the frame's type would hold it.
    return read.round_().clamp_(0, full) / full

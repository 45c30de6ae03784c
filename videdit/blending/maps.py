"""What is done to pictures and maps in this room: by OpenCV on arrays, by PyTorch on tensors.

The rest of the room computes on either, with the operators that both have and with what is here.
Pictures and maps are (h, w, c) or (h, w), float32; on a GPU they are tensors of these shapes, and
what comes out of a function is what went in. ``FloatArray`` stands for both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache, wraps
from types import ModuleType
from typing import Any, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from videdit.blending.common import LUMA, ellipse, region_around
from videdit.faces.align import cut_crop, paste_warp

FloatArray = NDArray[np.float32]

F = TypeVar("F", bound=Callable[..., Any])


@cache
def _tensors() -> ModuleType:
    """The same on tensors; it loads PyTorch."""
    from videdit.blending import tensors

    return tensors


def _also_on_tensors(function: F) -> F:
    """A function of arrays that ``tensors.py`` has for tensors, by what comes first."""

    @wraps(function)
    def chosen(values: Any, *others: Any) -> Any:
        if isinstance(values, np.ndarray):
            return function(values, *others)
        return getattr(_tensors(), function.__name__)(values, *others)

    return cast(F, chosen)


@_also_on_tensors
def resized(values: FloatArray, side: int) -> FloatArray:
    """A picture or map (s, s[, c]) with another side: the mean of areas, or linear."""
    if values.shape[0] == side:
        return values
    method = cv2.INTER_AREA if values.shape[0] > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(values, (side, side), interpolation=method), np.float32)


@_also_on_tensors
def cubic(values: FloatArray, side: int) -> FloatArray:
    """A picture or map (s, s[, c]) with another side, cubic; it may leave the range of values."""
    return np.asarray(cv2.resize(values, (side, side), interpolation=cv2.INTER_CUBIC), np.float32)


def sized(values: FloatArray, side: int) -> FloatArray:
    """A map of values in [0, 1] with another side, cubic."""
    return cubic(values, side).clip(0, 1)


@_also_on_tensors
def blurred(values: FloatArray, sigma: float) -> FloatArray:
    """A Gaussian blur, sigma in pixels."""
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)


def smoothed(values: FloatArray, sigma: float) -> FloatArray:
    """A Gaussian blur of a square picture or map; a wide one of a smaller picture, which shows no
    less of what it leaves."""
    side = small = values.shape[0]
    while sigma * small / side > 2 * _WIDE and small % 2 == 0:
        small //= 2
    return resized(blurred(resized(values, small), sigma * small / side), side)


_WIDE = 6.0  # pixels, the least standard deviation of a blur of a smaller picture


@_also_on_tensors
def means(values: FloatArray, side: int) -> FloatArray:
    """Each pixel's mean over a square with that odd side around it."""
    return np.asarray(cv2.blur(values, (side, side)), np.float32)


@_also_on_tensors
def dilated(mask: FloatArray, radius: int) -> FloatArray:
    """The largest value of a map (h, w) within a radius, pixels."""
    return np.asarray(cv2.dilate(mask, ellipse(radius)), np.float32)


@_also_on_tensors
def inside(condition: Any, radius: int) -> FloatArray:
    """1 where a map of bools holds up to a distance, pixels; 0 elsewhere."""
    far = cv2.distanceTransform(condition.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(far > radius + 1e-3, np.float32)


@_also_on_tensors
def largest(mask: FloatArray, side: int) -> FloatArray:
    """The largest value of a map (h, w) in a square with that odd side around each pixel."""
    return np.asarray(cv2.dilate(mask, np.ones((side, side), np.uint8)), np.float32)


def shrunk(mask: FloatArray, side: int) -> FloatArray:
    """The smallest value of a map (h, w) in a square with that odd side around each pixel."""
    return -largest(-mask, side)


def closed(mask: FloatArray, side: int) -> FloatArray:
    """A map without gaps narrower than that odd side."""
    return shrunk(largest(mask, side), side)


@_also_on_tensors
def bent(values: FloatArray, field: FloatArray) -> FloatArray:
    """Resample a picture or map (s, s[, c]) through a field (g, g, 2), crop units, of an array:
    ``out(x) = values(x + field(x))``, cubic."""
    size = values.shape[0]
    dense = cubic(field, size) * np.float32(size)
    return _read_at(values, dense, cv2.INTER_CUBIC)


@_also_on_tensors
def moved(values: FloatArray, motion: FloatArray) -> FloatArray:
    """A picture or map (s, s[, c]) read where a motion (s, s, 2), pixels, says; linear."""
    return _read_at(values, motion, cv2.INTER_LINEAR)


def _read_at(values: FloatArray, motion: FloatArray, method: int) -> FloatArray:
    size = values.shape[0]
    columns, rows = _axes(size)
    x, y = motion[:, :, 0] + columns, motion[:, :, 1] + rows

    def read(maps: FloatArray) -> FloatArray:
        found = cv2.remap(maps, x, y, method, borderMode=cv2.BORDER_REFLECT)
        return np.asarray(found, np.float32)

    if values.ndim == 2:
        return read(values)
    parts: list[FloatArray] = []
    while (left := values.shape[2] - sum(part.shape[2] for part in parts)) > 0:
        # OpenCV takes four channels at a time, and of two it reads at 32nds of a pixel only.
        count = {1: 1, 2: 1, 3: 3, 6: 3}.get(left, 4)
        start = values.shape[2] - left
        parts.append(read(values[:, :, start : start + count]).reshape(size, size, -1))
    return parts[0] if len(parts) == 1 else np.concatenate(parts, 2)


def _axes(size: int) -> tuple[FloatArray, FloatArray]:
    """(1, size) and (size, 1) the pixels' numbers."""
    axis = np.arange(size, dtype=np.float32)
    return axis[None], axis[:, None]


@_also_on_tensors
def luma(picture: FloatArray) -> FloatArray:
    """(h, w) of RGB (h, w, 3)."""
    return np.asarray(cv2.transform(picture, np.array([LUMA], np.float32)), np.float32)


@_also_on_tensors
def even(picture: FloatArray) -> FloatArray:
    """(h, w) the mean of the channels of (h, w, 3)."""
    return np.asarray(cv2.transform(picture, np.full((1, 3), 1 / 3, np.float32)), np.float32)


@_also_on_tensors
def weighed(values: FloatArray, weights: tuple[tuple[float, ...], ...]) -> FloatArray:
    """(h, w, k) k sums over the channels of (h, w, c), each with weights of its own."""
    h, w, channels = values.shape
    return (values.reshape(-1, channels) @ _columns(weights)).reshape(h, w, -1)


@lru_cache(256)
def _columns(weights: tuple[tuple[float, ...], ...]) -> FloatArray:
    return np.ascontiguousarray(np.array(weights, np.float32).T)


@_also_on_tensors
def most(values: FloatArray) -> FloatArray:
    """(h, w) the largest of the channels of (h, w, c)."""
    return np.asarray(values.max(2))


@_also_on_tensors
def larger(values: FloatArray, others: FloatArray | float) -> FloatArray:
    """The larger one of each two."""
    return np.maximum(values, others)


@_also_on_tensors
def smaller(values: FloatArray, others: FloatArray | float) -> FloatArray:
    """The smaller one of each two."""
    return np.minimum(values, others)


@_also_on_tensors
def exp(values: FloatArray) -> FloatArray:
    """e to the power of each."""
    return np.asarray(np.exp(values), np.float32)


@_also_on_tensors
def where(condition: Any, one: Any, other: Any) -> FloatArray:
    """The one where the condition, a map of bools, holds, the other elsewhere."""
    return np.asarray(np.where(condition, one, other), np.float32)


def joined(maps: Sequence[FloatArray]) -> FloatArray:
    """(h, w, c) and (h, w) side by side as (h, w, all channels)."""
    full: list[Any] = [one if one.ndim == 3 else one[:, :, None] for one in maps]
    if isinstance(full[0], np.ndarray):
        return np.concatenate(full, 2)
    return cast(FloatArray, _tensors().joined(full))


@_also_on_tensors
def as_floats(condition: Any) -> FloatArray:
    """A map of bools as 0 and 1."""
    return np.asarray(condition, np.float32)


@_also_on_tensors
def zeros(values: FloatArray, *shape: int) -> FloatArray:
    """Nothing but 0, as ``values`` is."""
    return np.zeros(shape, np.float32)


def on_device(device: str, array: NDArray[np.float32]) -> FloatArray:
    """What this room computes on where networks run there: the array itself on the CPU, a tensor
    on a GPU."""
    return array if device == "cpu" else cast(FloatArray, _tensors().uploaded(array, device))


@_also_on_tensors
def put(values: FloatArray, array: NDArray[Any]) -> FloatArray:
    """An array as ``values`` is, float32."""
    return np.asarray(array, np.float32)


@_also_on_tensors
def host(values: FloatArray) -> FloatArray:
    """As an array in any case."""
    return values


def centres(size: int, values: FloatArray) -> FloatArray:
    """(size,) the pixels' middles, from 0 to 1, as ``values`` is."""
    return put(values, (np.arange(size, dtype=np.float32) + 0.5) / size)


def ramp(values: FloatArray, ends: tuple[float, float]) -> FloatArray:
    """From 0 to 1 between two values, smoothly."""
    t: FloatArray = ((values - ends[0]) / (ends[1] - ends[0])).clip(0, 1)
    return t * t * (3 - 2 * t)


@_also_on_tensors
def middle(values: FloatArray) -> FloatArray:
    """(c,) the median of each channel of (h, w, c)."""
    return np.asarray(np.median(values, axis=(0, 1)), np.float32)


@_also_on_tensors
def cut(
    values: FloatArray, rgb: NDArray[Any], quad: NDArray[np.floating[Any]], size: int
) -> FloatArray:
    """(size, size, 3) a crop of a frame, ``faces.align.cut_crop``, as ``values`` is."""
    return cut_crop(rgb, quad, size)


@_also_on_tensors
def in_frame(
    crop: FloatArray,
    quad: NDArray[np.floating[Any]],
    frame_hw: tuple[int, int],
    part: tuple[float, float, float, float],
    smooth: bool,
) -> tuple[int, int, FloatArray, FloatArray]:
    """A crop in its frame: ``faces.align.paste_warp``."""
    return paste_warp(crop, quad, frame_hw, part, smooth=smooth)


@_also_on_tensors
def frame_part(
    values: FloatArray, rgb: NDArray[Any], x: int, y: int, width: int, height: int
) -> FloatArray:
    """(height, width, 3) a part of a frame of an unsigned type, from 0 to 1, as ``values`` is."""
    full = np.float32(1 / np.iinfo(rgb.dtype).max)
    return rgb[y : y + height, x : x + width] * full


@_also_on_tensors
def read_frame(
    columns: FloatArray, rows: FloatArray, rgb: NDArray[Any], x: int, y: int
) -> FloatArray:
    """A part of a frame, read where a motion says; cubic.

    Args:
        columns, rows: (h, w) by how many pixels beside itself each pixel is read.
        rgb: (H, W, 3) the frame, of an unsigned type.
        x, y: the part's top left pixel.

    Returns:
        (h, w, 3) from 0 to 1.
    """
    height, width = columns.shape
    reach = max(np.abs(columns).max(), np.abs(rows).max())
    if not reach:
        return frame_part(columns, rgb, x, y, width, height)
    region, left, top = region_around(rgb, x, y, width, height, reach)
    across, down = _axes(max(width, height))
    there = columns + across[:, :width] + (x - left), rows + down[:height] + (y - top)
    read = cv2.remap(region, *there, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return read * np.float32(1 / np.iinfo(rgb.dtype).max)

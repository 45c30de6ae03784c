"""The FFHQ alignment: where the square crop lies, cutting it out, putting it back.

**Coordinates.** Everything is in continuous pixel coordinates of the upright frame: the pixel in
column 0, row 0 covers [0, 1) x [0, 1) and its centre is at (0.5, 0.5); x grows to the right, y
downwards. A *quad* is a (4, 2) array of corners in the order top left, bottom left, bottom right,
top right, "top" being the top of the upright face. A crop of side ``size`` has the same
convention: its own top left corner is (0, 0), its bottom right one (size, size).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from videdit.faces.parameters import DEFAULT, CropSizes
from videdit.faces.smoothing import FloatArray

_MARGIN = 3  # frame pixels around a region that the bicubic kernel may reach, and one spare


def ffhq_quad(points68: NDArray[np.floating[Any]]) -> FloatArray:
    """The square that FFHQ's alignment cuts for a face.

    The published recipe (Karras et al., FFHQ ``download_ffhq.py``): with e the vector between the
    eyes' centres, m the one from the eyes' middle to the mouth's, and R(x, y) = (-y, x) (a quarter
    turn that takes "right" to "down" in picture coordinates), the half side vector is
    ``x = e - R(m)``, given the length ``max(2 |e|, 1.8 |m|)``; ``y = R(x)``; the centre lies at
    the eyes' middle plus 0.1 m.

    Args:
        points68: (..., 68, 2) landmarks in iBUG order, frame pixels.

    Returns:
        (..., 4, 2) float64 corners: top left, bottom left, bottom right, top right. Always a
        square, turned with the face.

    Raises:
        ValueError: wrong shape, or points that are not finite or all in one place.
    """
    points = np.asarray(points68, dtype=np.float64)
    if points.shape[-2:] != (68, 2):
        raise ValueError(f"expected (..., 68, 2) landmarks, got {points.shape}")
    left = points[..., 36:42, :].mean(axis=-2)
    right = points[..., 42:48, :].mean(axis=-2)
    eyes = (left + right) / 2
    eye_to_eye = right - left
    eye_to_mouth = (points[..., 48, :] + points[..., 54, :]) / 2 - eyes
    across = eye_to_eye - _quarter_turn(eye_to_mouth)
    length = np.linalg.norm(across, axis=-1, keepdims=True)
    if not np.all(np.isfinite(length)) or np.any(length < 1e-9):
        raise ValueError("landmarks do not describe a face")
    half = np.maximum(
        2.0 * np.linalg.norm(eye_to_eye, axis=-1, keepdims=True),
        1.8 * np.linalg.norm(eye_to_mouth, axis=-1, keepdims=True),
    )
    x = across / length * half
    y = _quarter_turn(x)
    centre = eyes + 0.1 * eye_to_mouth
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y], axis=-2)


def _quarter_turn(vectors: FloatArray) -> FloatArray:
    return np.stack([-vectors[..., 1], vectors[..., 0]], axis=-1)


def resolution_for(inter_ocular: float, parameters: CropSizes = DEFAULT.aligning.sizes) -> int:
    """The side of a face's crops, pixels: the smallest one that loses no visible detail.

    Args:
        inter_ocular: the face's size in the frame (:func:`videdit.faces.detection.inter_ocular`),
            pixels: a quarter of its quad's side.
        parameters: the sides to choose from.
    """
    least = parameters.least * 4 * inter_ocular
    return next((size for size in parameters.sizes if size >= least), parameters.sizes[-1])


def quad_transform(quad: NDArray[np.floating[Any]], size: int) -> FloatArray:
    """The homography from frame coordinates to crop coordinates.

    Args:
        quad: (4, 2) corners, a convex quadrangle (the tool's own are squares).
        size: the crop's side, pixels.

    Returns:
        (3, 3) float64 H with ``(x, y, 1)_crop ~ H (x, y, 1)_frame``; for a square or
        parallelogram its last row is (0, 0, 1). ``np.linalg.inv`` of it goes back.

    Raises:
        ValueError: the quad is not finite or has no area, or the size is not positive.
    """
    corners = _checked(quad)
    if size < 1:
        raise ValueError(f"crop size must be positive, not {size}")
    # Projective map of the unit square onto a quadrangle in closed form (Heckbert 1989, §2.2.3):
    # exactly affine for parallelograms, which a least-squares solve would only nearly be.
    p00, p01, p11, p10 = corners  # indexed by (right, down)
    bend = p00 - p10 + p11 - p01
    if np.abs(bend).max() <= 1e-9 * np.abs(corners - corners.mean(axis=0)).max():
        g = h = 0.0
    else:
        sides = np.column_stack([p10 - p11, p01 - p11])
        g, h = np.linalg.solve(sides, bend)
    to_frame = np.eye(3)
    to_frame[:2, 0] = p10 - p00 + g * p10
    to_frame[:2, 1] = p01 - p00 + h * p01
    to_frame[:2, 2] = p00
    to_frame[2, :2] = g, h
    to_frame = to_frame @ np.diag([1.0 / size, 1.0 / size, 1.0])
    to_crop = np.linalg.inv(to_frame)
    result: FloatArray = to_crop / to_crop[2, 2]
    return result


def widened(quad: NDArray[np.floating[Any]], factor: float) -> FloatArray:
    """The quad of the same middle, so many times as large."""
    middle = quad.mean(0)
    return np.asarray(middle + (quad - middle) * factor, np.float64)


def points_in_crop(
    points: NDArray[np.floating[Any]], quad: NDArray[np.floating[Any]], size: int
) -> FloatArray:
    """Points of a frame, (k, 2), in the pixels of the crop (``quad_transform``)."""
    return _apply(quad_transform(quad, size), np.asarray(points, np.float64))


def cut_crop(
    rgb: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32],
    quad: NDArray[np.floating[Any]],
    size: int,
) -> NDArray[np.float32]:
    """Cut the face out of a frame.

    Anti-aliased where the crop is a reduction, bicubic where it enlarges. What lies outside the
    frame is its mirror image, however far out the quad reaches.

    Args:
        rgb: (H, W, C) frame, uint8, full-range uint16, or float32 in [0, 1].
        quad: (4, 2) corners in frame pixels.
        size: side of the crop.

    Returns:
        (size, size, C) float32 in [0, 1].

    Raises:
        ValueError: the frame's type or shape, or the quad is unusable.
    """
    if rgb.ndim != 3 or 0 in rgb.shape or rgb.dtype not in (np.uint8, np.uint16, np.float32):
        raise ValueError(
            f"expected (H, W, C) uint8, uint16 or float32 pixels, got {rgb.shape} {rgb.dtype}"
        )
    to_frame = np.linalg.inv(quad_transform(quad, size)).astype(np.float64)
    crop = _resample(rgb, to_frame, size, size, mirror=True)
    if rgb.dtype == np.uint8:
        crop *= np.float32(1.0 / 255.0)
    elif rgb.dtype == np.uint16:
        crop *= np.float32(1.0 / 65535.0)
    return np.clip(crop, 0.0, 1.0, out=crop)


def paste_warp(
    crop: NDArray[np.float32],
    quad: NDArray[np.floating[Any]],
    frame_hw: tuple[int, int],
    part: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
    *,
    smooth: bool = False,
) -> tuple[int, int, NDArray[np.float32], NDArray[np.float32]]:
    """Bring a crop (or masks of its size) back into the frame: the inverse of :func:`cut_crop`.

    Args:
        crop: (s, s, C) float32.
        quad: (4, 2) corners in frame pixels, those that it was cut with.
        frame_hw: the frame's height and width.
        part: left, top, right and bottom of the part of the crop that is wanted, crop units.
        smooth: it has no fine detail, and linear interpolation will do.

    Returns:
        ``(x, y, patch, coverage)``: the patch's top left pixel in the frame, ``patch`` (h, w, C)
        float32, anti-aliased where it reduces and within the crop's own range of values, and
        ``coverage`` (h, w) float32 in [0, 1], how much of each pixel lies within the quad. The
        patch is the part's bounding box within the frame; h and w are 0 where they don't meet.
        Where coverage is below 1 the patch continues the crop's border pixels.

    Raises:
        ValueError: the crop's shape or the quad is unusable.
    """
    place = placed_patch(crop.shape, quad, frame_hw, part)
    x, y, w, h = place.box
    if w == 0 or h == 0:
        return x, y, np.zeros((h, w, crop.shape[2]), np.float32), np.zeros((h, w), np.float32)
    method = cv2.INTER_LINEAR if smooth else cv2.INTER_CUBIC
    patch = _resample(crop, place.to_crop, w, h, mirror=False, method=method)
    if not smooth:
        np.clip(patch, crop.min(), crop.max(), out=patch)
    coverage = np.ones((h, w), np.float32)
    for across, down in place.edges:
        coverage *= np.clip(across[None] - down[:, None] + 0.5, 0, 1).astype(np.float32)
    return x, y, patch, coverage


_WHOLE = 1e-6  # pixels, that numbers of pixels may be off whole ones by


@dataclass(frozen=True)
class PatchPlace:
    """Where a part of a crop lies in its frame.

    Attributes:
        box: left, top, width and height of its bounding box within the frame, pixels.
        to_crop: (3, 3) from the box's continuous coordinates to the crop's.
        edges: of each of the quad's edges that cuts the box, (w,) and (h,) float64: pixel (x, y)
            lies by ``first[x] - second[y]`` inside of it.
    """

    box: tuple[int, int, int, int]
    to_crop: FloatArray
    edges: tuple[tuple[FloatArray, FloatArray], ...]


def placed_patch(
    shape: tuple[int, ...],
    quad: NDArray[np.floating[Any]],
    frame_hw: tuple[int, int],
    part: tuple[float, float, float, float],
) -> PatchPlace:
    """Where a part of a crop of some shape lies; see :func:`paste_warp`."""
    if len(shape) != 3 or shape[0] != shape[1] or 0 in shape:
        raise ValueError(f"expected (s, s, C) pixels, got {tuple(shape)}")
    size = shape[0]
    to_crop = quad_transform(quad, size)
    corners = _checked(quad)
    height, width = frame_hw
    x0, y0, x1, y1 = part
    # In crop units, so that crops of all sizes have the same box; and what is whole but for
    # rounding is whole, so that a part's part lies within it.
    wanted = np.array([[x0, y0], [x0, y1], [x1, y1], [x1, y0]], np.float64)
    box = _apply(np.asarray(np.linalg.inv(quad_transform(quad, 1)), np.float64), wanted)
    low, high = np.floor(box.min(axis=0) + _WHOLE), np.ceil(box.max(axis=0) - _WHOLE)
    left, top = (int(v) for v in np.clip(low, 0, (width, height)))
    right, bottom = (int(v) for v in np.clip(high, 0, (width, height)))
    w, h = max(0, right - left), max(0, bottom - top)
    shift = np.array([[1.0, 0.0, left], [0.0, 1.0, top], [0.0, 0.0, 1.0]])
    edges = _edges(corners - (left, top), w, h) if w and h else ()
    return PatchPlace((left, top, w, h), to_crop @ shift, edges)


def _checked(quad: NDArray[np.floating[Any]]) -> FloatArray:
    """A quad as float64, refused unless it is finite, convex and not mirrored."""
    corners = np.asarray(quad, dtype=np.float64)
    if corners.shape != (4, 2) or not np.all(np.isfinite(corners)):
        raise ValueError("a quad is four finite corners")
    sides = np.roll(corners, -1, axis=0) - corners
    after = np.roll(sides, -1, axis=0)
    turns = sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0]
    # Down, right, up, left: with y downwards every turn of that walk is negative.
    if np.any(turns >= -1e-9):
        raise ValueError("a quad's corners go top left, bottom left, bottom right, top right")
    return corners


def _edges(
    corners: FloatArray, width: int, height: int
) -> tuple[tuple[FloatArray, FloatArray], ...]:
    """Of a convex quad's edges those that cut a picture: see ``PatchPlace``. How far inside, and
    half a pixel more, is how much of a pixel is: exactly so for straight upright edges."""
    xs, ys = np.arange(width) + 0.5, np.arange(height) + 0.5
    edges = []
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        along = (end - start) / np.linalg.norm(end - start)
        first, second = along[1] * (xs - start[0]), along[0] * (ys - start[1])
        if first.min() - second.max() < 0.5:
            edges.append((first, second))
    return tuple(edges)


Box = tuple[int, int, int, int]
"""Left, top, right, bottom of a region of a picture that goes on beyond its borders."""


@dataclass(frozen=True)
class SamplingPlan:
    """The numbers of one sampling of a picture, by the method that ``sampling_plan`` tells.

    Attributes:
        block: side of the blocks that are averaged first, pixels.
        sigma: of the Gaussian that follows, blocks.
        radius: where that Gaussian ends, blocks.
        box: what is read of the source.
        matrix: (3, 3) from the target's pixel indices to the averaged region's.
    """

    block: int
    sigma: float
    radius: int
    box: Box
    matrix: FloatArray


def sampling_plan(to_source: FloatArray, width: int, height: int) -> SamplingPlan:
    """How to sample a picture at the centres of a target grid.

    ``to_source`` maps continuous target coordinates to continuous source coordinates.

    Where the target is a reduction by s > 1 the source is low-passed to a Gaussian of variance
    0.3 (s^2 - 1) source pixels: nothing at s = 1, growing without a step, and 0.55 target pixels
    for large s, which leaves 5 % at the target's own Nyquist rate's mirror (0.75 cycles per
    target pixel) and less than 0.3 % at its sampling rate. Large s take most of it as an exact
    average over k x k blocks first, whose variance (k^2 - 1)/12 is counted in, for speed.
    """
    scale = _reduction(to_source, width, height)
    block = max(1, int(scale / 2))
    variance = 0.3 * max(0.0, scale * scale - 1.0) - (block * block - 1) / 12.0
    sigma = float(np.sqrt(max(0.0, variance))) / block
    radius = int(np.ceil(4 * sigma))
    margin = (_MARGIN + radius) * block

    corners = _apply(
        to_source, np.array([[0, 0], [0, height], [width, height], [width, 0]], np.float64)
    )
    left, top = (int(v) for v in np.floor(corners.min(axis=0)) - margin)
    right, bottom = (int(v) for v in np.ceil(corners.max(axis=0)) + margin)
    # Blocks are counted from the source's own corner, so that they stay put from frame to frame.
    left, top = left // block * block, top // block * block
    right, bottom = -(-right // block) * block, -(-bottom // block) * block
    into_region = np.array(
        [[1.0 / block, 0.0, -left / block], [0.0, 1.0 / block, -top / block], [0.0, 0.0, 1.0]]
    )
    # OpenCV counts pixel centres as whole numbers.
    to_index = np.array([[1.0, 0.0, -0.5], [0.0, 1.0, -0.5], [0.0, 0.0, 1.0]])
    from_index = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    matrix = to_index @ into_region @ to_source @ from_index
    return SamplingPlan(block, sigma, radius, (left, top, right, bottom), matrix)


def _resample(
    source: NDArray[Any],
    to_source: FloatArray,
    width: int,
    height: int,
    *,
    mirror: bool,
    method: int = cv2.INTER_CUBIC,
) -> NDArray[np.float32]:
    """Sample (H, W, C) pixels at the centres of a target grid, in the source's own units.

    ``to_source`` maps continuous target coordinates to continuous source coordinates. Outside
    the source lies its mirror image, or its border pixels repeated. ``sampling_plan`` tells how.
    """
    plan = sampling_plan(to_source, width, height)
    block = plan.block
    region = _region(source, *plan.box, mirror)
    if block > 1:
        target = (region.shape[1] // block, region.shape[0] // block)
        region = _channels(cv2.resize(region, target, interpolation=cv2.INTER_AREA))
    pixels = region.astype(np.float32)
    if plan.sigma > 0.2:  # below, the neighbours' weight is under 4e-6
        side = 2 * plan.radius + 1
        pixels = _channels(
            cv2.GaussianBlur(
                pixels, (side, side), plan.sigma, sigmaY=plan.sigma, borderType=cv2.BORDER_REPLICATE
            )
        )
    count = pixels.shape[2]
    parts = [
        _channels(
            cv2.warpPerspective(
                np.ascontiguousarray(pixels[:, :, first : first + 4]),  # at most 4 at once
                plan.matrix,
                (width, height),
                flags=method | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
        )
        for first in range(0, count, 4)
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


def _channels(pixels: NDArray[Any]) -> NDArray[Any]:
    """OpenCV drops a last axis of length one; put it back."""
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _apply(matrix: FloatArray, points: FloatArray) -> FloatArray:
    homogeneous = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    result: FloatArray = homogeneous[:, :2] / homogeneous[:, 2:]
    return result


def _reduction(to_source: FloatArray, width: int, height: int) -> float:
    """Source pixels per target pixel, the largest over the target's corners and directions."""
    largest = 0.0
    for x, y in ((0.0, 0.0), (width, 0.0), (0.0, height), (width, height)):
        u, v, w = to_source @ (x, y, 1.0)
        jacobian = (to_source[:2, :2] - np.outer((u / w, v / w), to_source[2, :2])) / w
        largest = max(largest, float(np.linalg.norm(jacobian, 2)))
    return largest


def _region(
    source: NDArray[Any], left: int, top: int, right: int, bottom: int, mirror: bool
) -> NDArray[Any]:
    """Pixels [top, bottom) x [left, right) of a picture that goes on beyond its borders."""
    height, width = source.shape[:2]
    if left >= 0 and top >= 0 and right <= width and bottom <= height:
        return np.ascontiguousarray(source[top:bottom, left:right])
    # Runs of neighbouring pixels are copied whole: far faster than picking them one by one.
    result = np.empty((bottom - top, right - left, *source.shape[2:]), source.dtype)
    columns = _runs(left, right, width, mirror)
    for row_at, rows in _runs(top, bottom, height, mirror):
        for column_at, picked in columns:
            result[row_at, column_at] = source[rows, picked]
    return result


def _runs(start: int, stop: int, length: int, mirror: bool) -> list[tuple[slice, slice]]:
    """Where [start, stop) of a row that goes on beyond [0, length) comes from.

    Returns:
        (target, source) slices, target counted from ``start``. Mirrored runs go backwards;
        a repeated border pixel is a source slice of length one.
    """
    runs = []
    at = start
    while at < stop:
        period, offset = divmod(at, length)
        end = min(stop, (period + 1) * length)
        if period == 0:
            source = slice(offset, offset + end - at)
        elif not mirror:
            end = min(stop, 0) if at < 0 else stop
            source = slice(0, 1) if at < 0 else slice(length - 1, length)
        elif period % 2 == 0:
            source = slice(offset, offset + end - at)
        else:
            last = 2 * length - 1 - (offset + length)  # where the run starts, going down
            first = last - (end - at)
            source = slice(last, first if first >= 0 else None, -1)
        runs.append((slice(at - start, end - start), source))
        at = end
    return runs

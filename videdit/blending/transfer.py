"""The edit carried over into the person's own pixels.

Pasting the generator's face over the person's loses the person. Here the source's own pixels are
moved and shaded as the edit moves and shades the generator's; the generator's are shown only as
*matter*, for what the source does not have (teeth, glasses, a new beard). What may change at all is
decided by where things are, the regions of a face, and not by how large a difference is.

With S the source, R the reconstruction and E the edit, R and E bent so that R's landmarks fall on
S's, and u the optical flow by which E(x) shows R(x + u): the result is S(x + u), plus E(x) -
R(x + u) without its finest detail, which is the change of light that no motion explains; and E
itself, in S's colours, where matter comes or goes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from videdit.blending.alignment import bend, bending_field
from videdit.blending.colours import match_colours
from videdit.blending.parameters import DEFAULT, BlendingParameters, HairColour, Matter, Motion
from videdit.faces.regions import NEVER, REGIONS, Touch

FloatArray = NDArray[np.float32]

_AT = {name: index for index, name in enumerate(REGIONS)}
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Parsed:
    """Probabilities of the regions, (128, 128, regions) each.

    Attributes:
        source, reconstruction, edited: in these three pictures.
    """

    source: FloatArray
    reconstruction: FloatArray
    edited: FloatArray


def transfer(
    source: FloatArray,
    reconstruction: FloatArray,
    edited: FloatArray,
    parsed: Parsed,
    source_points: NDArray[np.floating[Any]],
    reconstruction_points: NDArray[np.floating[Any]],
    touch: Touch,
    parameters: BlendingParameters = DEFAULT,
) -> tuple[FloatArray, FloatArray]:
    """What to paste over one crop, and where.

    Args:
        source: (size, size, 3) crop of the frame, RGB in [0, 1].
        reconstruction: the decoded code of that crop.
        edited: the decoded edited code.
        parsed: regions of the three.
        source_points: (68, 2) landmarks of the source, crop units.
        reconstruction_points: (68, 2) landmarks of the reconstruction, crop units.
        touch: what may be changed.
        parameters: of the room.

    Returns:
        (colour (size, size, 3) in [0, 1], alpha (size, size) in [0, 1]); alpha is exactly 0 where
        the source stays.
    """
    size = source.shape[0]
    field = bending_field(source_points, reconstruction_points, parameters.bending)
    reconstruction, edited = bend(reconstruction, field), bend(edited, field)
    theirs, after = (_bent(maps, field) for maps in (parsed.reconstruction, parsed.edited))
    own = parsed.source
    shape = _sized(_touched(own, theirs, after, touch.shape, parameters.motion), size)
    shape = _snapped(shape, source, parameters.motion)
    motion, unsure = _motion(reconstruction, edited, shape, parameters.motion)
    moved = _moved(reconstruction, motion)
    unexplained = edited - moved
    shading = _blurred(unexplained, parameters.motion.detail * size)
    colour = _moved(source, motion, cv2.INTER_CUBIC) + shape[:, :, None] * shading
    alpha = shape
    if touch.colour:
        hair = _matted(_share(own, touch.colour), source, parameters.hair)
        # Shadowed skin beside the hair is as dark as it: in doubt it keeps its colour.
        hair = _ramp(_snapped(hair, source, parameters.motion), parameters.hair.sure)
        # Long hair leaves the crop below, and loses the colour little by little: an end would be a
        # line.
        above = 1 - (np.arange(size, dtype=np.float32) + 0.5) / size
        hair = hair * _ramp(above, (0, parameters.hair.fade))[:, None]
        colour = _recoloured(
            colour,
            reconstruction,
            edited,
            own,
            theirs,
            after,
            hair,
            touch.colour,
            parameters.hair,
        )
        alpha = np.maximum(alpha, hair)
    if touch.matter:
        matter = _matter(own, theirs, after, unexplained, unsure, touch.matter, parameters.matter)
        painted = match_colours(source, reconstruction, edited, parameters.colours)
        colour = colour + matter[:, :, None] * (painted - colour)
        alpha = np.maximum(alpha, matter)
    # Where anything is touched the colour is already the source's, more or less changed: alpha only
    # says where, and a pixel that is not touched at all stays the source's to the last bit.
    alpha = np.clip(alpha * parameters.motion.gain - parameters.motion.floor, 0, 1)
    return np.clip(colour, 0, 1), _faded(alpha, parameters.motion)


def _bent(maps: FloatArray, field: FloatArray) -> FloatArray:
    """``bend`` for maps of many channels: OpenCV takes four at a time."""
    parts = [bend(maps[:, :, i : i + 4], field) for i in range(0, maps.shape[2], 4)]
    return np.concatenate([part.reshape(*maps.shape[:2], -1) for part in parts], 2).clip(0, 1)


def _share(regions: FloatArray, names: Iterable[str]) -> FloatArray:
    """(s, s) the probability of any of some regions."""
    share = np.zeros(regions.shape[:2], np.float32)
    for name in names:
        share += regions[:, :, _AT[name]]
    return share


def _touched(
    own: FloatArray,
    theirs: FloatArray,
    after: FloatArray,
    names: Iterable[str],
    parameters: Motion,
) -> FloatArray:
    """Where the source shows some regions, and where the edit makes them grow over others."""
    here = _share(own, names)
    grown = np.clip(_share(after, names) - _share(theirs, names), 0, 1)
    # A cheek becomes rounder; a face does not turn up elsewhere.
    side = 2 * parameters.growth + 1
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    grown = grown * cv2.dilate(here, np.asarray(ellipse, np.uint8))
    return np.asarray(np.clip(here + grown, 0, 1), np.float32)


def _sized(values: NDArray[Any], size: int) -> FloatArray:
    resized = cv2.resize(values, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(resized, 0, 1), np.float32)


def _snapped(mask: FloatArray, source: FloatArray, parameters: Motion) -> FloatArray:
    """A mask whose border follows the source's edges: a guided filter (He et al. 2010)."""
    size = mask.shape[0]
    side = 2 * max(1, round(parameters.snap * size)) + 1
    guide = np.asarray(source @ _LUMA, np.float32)

    def mean(values: NDArray[Any]) -> FloatArray:
        return np.asarray(cv2.boxFilter(values, -1, (side, side)), np.float32)

    guide_mean, mask_mean = mean(guide), mean(mask)
    variance = mean(guide * guide) - guide_mean * guide_mean
    slope = (mean(guide * mask) - guide_mean * mask_mean) / (variance + parameters.snap_noise)
    snapped = mean(slope) * guide + mean(mask_mean - slope * guide_mean)
    return np.asarray(np.clip(snapped, 0, 1), np.float32)


def _motion(
    reconstruction: FloatArray, edited: FloatArray, shape: FloatArray, parameters: Motion
) -> tuple[FloatArray, FloatArray]:
    """How the edit moves things, and how unsure that is.

    Returns:
        (size, size, 2) where in the reconstruction each pixel of the edit comes from, pixels away,
        0 where nothing may move; (size, size) the pixels by which there and back again misses.
    """
    size = edited.shape[0]
    side = min(size, parameters.side)
    scale = size / side
    grey = [_grey(picture, side) for picture in (reconstruction, edited)]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    start = np.zeros((side, side, 2), np.float32)
    back = np.asarray(flow.calc(grey[1], grey[0], start.copy()), np.float32)
    there = np.asarray(flow.calc(grey[0], grey[1], start.copy()), np.float32)
    unsure = np.linalg.norm(back + _moved(there, back), axis=2).astype(np.float32)
    trust = np.exp(-((unsure * scale / size / parameters.closure) ** 2)) + 1e-3
    sigma = parameters.smoothness * side
    smooth = _blurred(back * trust[:, :, None], sigma)
    smooth = smooth / _blurred(trust, sigma)[:, :, None]
    free = cv2.resize(shape, (side, side), interpolation=cv2.INTER_AREA)
    smooth = smooth * _blurred(free, sigma)[:, :, None]
    if side != size:
        smooth = cv2.resize(smooth, (size, size), interpolation=cv2.INTER_LINEAR) * scale
        unsure = cv2.resize(unsure, (size, size), interpolation=cv2.INTER_LINEAR) * scale
    return np.asarray(smooth, np.float32), np.asarray(unsure, np.float32)


def _grey(picture: FloatArray, side: int) -> NDArray[np.uint8]:
    grey = np.asarray(np.rint(np.clip(picture @ _LUMA, 0, 1) * 255), np.uint8)
    if grey.shape[0] == side:
        return grey
    return np.asarray(cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _moved(
    picture: FloatArray, motion: FloatArray, interpolation: int = cv2.INTER_LINEAR
) -> FloatArray:
    axis = np.arange(picture.shape[0], dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    moved = cv2.remap(
        picture,
        x + motion[:, :, 0],
        y + motion[:, :, 1],
        interpolation,
        borderMode=cv2.BORDER_REFLECT,
    )
    return np.asarray(moved, np.float32)


def _matter(
    own: FloatArray,
    theirs: FloatArray,
    after: FloatArray,
    unexplained: FloatArray,
    unsure: FloatArray,
    names: Iterable[str],
    parameters: Matter,
) -> FloatArray:
    """(size, size) where the generator's pixels are shown."""
    size = unexplained.shape[0]
    mine, was, now = (_share(regions, names) for regions in (own, theirs, after))
    # What comes and what goes is matter as a whole; where it is before and after, only what neither
    # motion nor light explains.
    comes, goes = now - np.maximum(was, mine), np.minimum(mine, was + parameters.slack) - now
    whole = np.maximum(_ramp(comes, parameters.comes), _ramp(goes, parameters.comes))
    side = 2 * parameters.reach + 1
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    near = cv2.dilate(np.maximum(mine, now), np.asarray(ellipse, np.uint8))
    # Nothing is painted over background and clothes but what grows over them in the edit, too.
    free = 1 - np.clip(_share(own, NEVER) - np.clip(now - was, 0, 1), 0, 1)
    coarse = parameters.coarse * size
    fine = np.abs(unexplained - _blurred(unexplained, coarse)) @ np.full(3, 1 / 3, np.float32)
    structure = _ramp(_blurred(fine, parameters.blur * size), parameters.structure)
    torn = _ramp(unsure / size, parameters.torn) * _ramp(
        np.abs(unexplained) @ np.full(3, 1 / 3, np.float32), parameters.structure
    )
    part = np.maximum(structure, torn) * _sized(near, size)
    matter = np.maximum(part, _sized(whole, size)) * _sized(free, size)
    closing = 2 * round(parameters.blur * size) + 1
    matter = cv2.morphologyEx(matter, cv2.MORPH_CLOSE, np.ones((closing, closing), np.uint8))
    return _blurred(matter, parameters.blur * size)


def _ramp(values: NDArray[Any], ends: tuple[float, float]) -> FloatArray:
    t = np.clip((values - ends[0]) / (ends[1] - ends[0]), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _recoloured(
    picture: FloatArray,
    reconstruction: FloatArray,
    edited: FloatArray,
    own: FloatArray,
    theirs: FloatArray,
    after: FloatArray,
    mask: FloatArray,
    names: Iterable[str],
    parameters: HairColour,
) -> FloatArray:
    """Another colour with the source's own strands, light and shadow.

    Within the regions the low frequencies are shifted by what the edit shifts them, and the high
    ones scaled as the edit scales them: dark hair made blond shows more of its strands.
    """
    size = picture.shape[0]
    side = min(size, parameters.side)

    def small(values: FloatArray) -> FloatArray:
        resized = cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA)
        return np.asarray(resized, np.float32)

    weights = [
        np.clip(_sized(_share(regions, names), side), 0, 1) ** 2 + np.float32(parameters.ground)
        for regions in (own, theirs, after)
    ]
    pictures = [small(p) for p in (picture, reconstruction, edited)]
    sigma = parameters.reach * side
    lows, spreads = [], []
    for shown, weight in zip(pictures, weights, strict=True):
        total = _blurred(weight, sigma)[:, :, None]
        low = _blurred(shown * weight[:, :, None], sigma) / total
        high = (shown - low) ** 2 * weight[:, :, None]
        lows.append(low)
        spreads.append(np.sqrt(_blurred(high, sigma) / total + 1e-5))
    shift = lows[2] - lows[1]
    gain = np.clip((spreads[2] / spreads[1]).mean(2, keepdims=True), *parameters.gain)
    low, shift, gain = (_wide(values, size) for values in (lows[0], shift, gain))
    changed = low + shift + (picture - low) * gain.reshape(size, size, 1)
    return np.asarray(picture + mask[:, :, None] * (changed - picture), np.float32)


def _blurred(values: NDArray[Any], sigma: float) -> FloatArray:
    """A Gaussian blur, sigma in pixels."""
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)


def _matted(share: FloatArray, source: FloatArray, parameters: HairColour) -> FloatArray:
    """(size, size) a mask that is told, along its border, by colour: a pixel there belongs to
    whichever side's colour near it it is closer to. The parser's border lies some pixels off, and a
    strip of forehead in the hair's new colour is seen at once."""
    size = source.shape[0]
    side = min(size, parameters.side)
    picture = np.asarray(cv2.resize(source, (side, side), interpolation=cv2.INTER_AREA))
    mask = _sized(share, side)
    reach = 2 * max(1, round(parameters.border * side)) + 1
    inner = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    nearest, weights = [], []
    for sure in (mask > 0.9, mask < 0.1):
        known = cv2.erode(sure.astype(np.uint8), np.asarray(inner, np.uint8)).astype(np.float32)
        weight = _blurred(known, parameters.border * 2 * side)
        colour = _blurred(picture * known[:, :, None], parameters.border * 2 * side)
        colour /= weight[:, :, None] + 1e-6
        nearest.append(((picture - colour) ** 2).sum(2))
        weights.append((known, weight))
    told = 1 / (1 + np.exp(np.clip((nearest[0] - nearest[1]) / parameters.alike**2, -30, 30)))
    border = (weights[0][0] + weights[1][0]) == 0
    border &= (weights[0][1] > 1e-3) & (weights[1][1] > 1e-3)
    return _sized(np.where(border, told, mask), size)


def _wide(values: FloatArray, size: int) -> FloatArray:
    return np.asarray(cv2.resize(values, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def _faded(alpha: FloatArray, parameters: Motion) -> FloatArray:
    """Nothing is pasted at the crop's border."""
    axis = (np.arange(alpha.shape[0], dtype=np.float32) + 0.5) / alpha.shape[0]
    edge = _ramp(
        np.minimum(axis, 1 - axis), (parameters.margin, parameters.margin + parameters.border)
    )
    return np.asarray(alpha * np.minimum(edge[:, None], edge[None, :]), np.float32)

"""Hair or lips of another colour, with the source's own strands, light and shadow.

One curve per channel for all of it, so that nothing inverts light and shadow; and a matte that
tells it from what is behind and between it.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import partial

import numpy as np

from videdit.blending.change import Change
from videdit.blending.maps import (
    FloatArray,
    as_floats,
    blurred,
    centres,
    dilated,
    host,
    inside,
    joined,
    larger,
    luma,
    moved,
    ramp,
    resized,
    sized,
    smaller,
    where,
    zeros,
)
from videdit.blending.parameters import DEFAULT, BlendingParameters, Recolouring
from videdit.blending.transfer import Parsed, faded, share_of
from videdit.faces.regions import NEVER, REGIONS

_SIDE = 128  # of the pictures whose colours are measured: that of the parser's maps
_FEWEST = 64  # pixels of these: fewer tell no colour


def find_colour(
    source: FloatArray,
    reconstruction: FloatArray,
    edited: FloatArray,
    parsed: Parsed,
    wide: FloatArray,
    wide_regions: FloatArray,
    names: AbstractSet[str],
    how: Recolouring = DEFAULT.hair,
    parameters: BlendingParameters = DEFAULT,
) -> Change | None:
    """How an edit changes the colour of some regions.

    With m and s a colour's mean and luma's standard deviation in these regions, of the source, the
    reconstruction and the edit: near m_source colours x become m' + g (x - m_source), where g is
    s_edit / s_reconstruction, and m' changes m_source as the edit changes the reconstruction: by
    the same share of what there is, where it becomes darker, and of what is left to white, where it
    becomes lighter. ``_curve`` says what becomes of other colours.

    Args:
        source, reconstruction, edited: (s, s, 3) crops of the face, of any size.
        parsed: regions of the three.
        wide: (size, size, 3) crop of the source, ``zoom`` times as wide, with the same middle.
        wide_regions: its regions.
        names: the regions.
        how: of their kind.
        parameters: of the room.

    Returns:
        A change of the wide crop; None where there is nothing of these regions.
    """
    told = [
        _colours(picture, share_of(regions, names), how)
        for picture, regions in (
            (source, parsed.source),
            (reconstruction, parsed.reconstruction),
            (edited, parsed.edited),
        )
    ]
    if any(one is None for one in told):
        return None
    pixels, was, now = (one for one in told if one is not None)
    own, spread = pixels.mean(0), _spread(pixels)
    gain = float(np.clip(_spread(now) / _spread(was), *how.gain))
    was, now = was.mean(0), now.mean(0)
    darker, lighter = now / np.maximum(was, 1e-3), (1 - now) / np.maximum(1 - was, 1e-3)
    goal = np.where(now < was, own * np.minimum(darker, 1), 1 - (1 - own) * np.minimum(lighter, 1))
    curves = [_fitted(pixels[:, c], float(goal[c]), gain, spread) for c in range(3)]
    size = wide.shape[0]
    matte = matte_of(wide, wide_regions, names, how)
    matte = matte * ramp(1 - centres(size, wide), (0, how.fade))[:, None]
    new = joined([curve(wide[:, :, c]) for c, curve in enumerate(curves)])
    return Change(
        motion=zeros(wide, _SIDE, _SIDE, 2),
        offset=new - wide,
        where=faded(matte, parameters.motion),
    )


def _fitted(
    pixels: FloatArray, goal: float, gain: float, spread: float
) -> Callable[[FloatArray], FloatArray]:
    """One channel's curve that takes the mean of some pixels to the goal: what it cuts off is made
    up for."""
    own = float(pixels.mean())
    aim = goal
    for _ in range(4):
        curve = partial(_curve, own=own, goal=aim, lighter=goal >= own, gain=gain, spread=spread)
        aim += goal - float(curve(pixels).mean())
    return curve


def _curve(
    values: FloatArray, own: float, goal: float, lighter: bool, gain: float, spread: float
) -> FloatArray:
    """One channel's new values.

    A line through (own, goal) as steep as the gain, as far as one ``spread`` beyond: what shines
    through hair that becomes lighter is no lighter than that, and what is darker than hair that
    becomes darker goes down to black evenly. Nothing goes the other way.
    """
    line = goal + gain * (values - own)
    if lighter:
        top = min(goal + gain * spread, 0.98)
        return larger(smaller(line, top), values)
    knee = max(own - spread, 0.02)
    bottom = max(goal - gain * spread, 0.0)
    beyond = values * (bottom / knee)
    return smaller(larger(where(values < knee, beyond, line), 0.0), values)


def _colours(picture: FloatArray, share: FloatArray, parameters: Recolouring) -> FloatArray | None:
    """(n, 3) the colours of where some regions are for sure, in the host's memory; None where there
    is too little."""
    sure = host(resized(share, _SIDE)) > parameters.sure
    return host(resized(picture, _SIDE))[sure] if sure.sum() >= _FEWEST else None


def _spread(pixels: FloatArray) -> float:
    return float(luma(pixels[None]).std()) + 1e-2


def matte_of(
    picture: FloatArray, regions: FloatArray, names: AbstractSet[str], parameters: Recolouring
) -> FloatArray:
    """How much of each pixel some regions are.

    Inside and outside the parser tells it. Along the border, where it is some pixels off, colours
    do: a pixel lies somewhere between the mean colour of what is sure within reach on one side and
    that on the other.
    """
    size = picture.shape[0]
    mask = sized(share_of(regions, names), size)
    skin = sized(share_of(regions, set(REGIONS) - NEVER - names), size)
    sides, known = [], []
    for sure, border in (
        # The parser knows skin from hair well, but single strands before something else not at all.
        ((mask < 1 - parameters.sure) & (skin < 0.5), parameters.strands),
        (skin > parameters.sure, parameters.border),
        (mask > parameters.sure, parameters.roots),
    ):
        known.append(inside(sure, max(1, round(border * size))))
    reach, small = parameters.strands * _SIDE, resized(picture, _SIDE)
    for inner in (known[0] + known[1], known[2]):
        coarse = resized(inner, _SIDE)[:, :, None]
        # Where nothing sure is near, the mean of all of it.
        mean = (small * coarse).sum((0, 1)) / max(float(coarse.sum()), 1e-6)
        near = blurred(joined([small * coarse, coarse]), reach)
        sides.append(resized((near[:, :, :3] + 1e-4 * mean) / (near[:, :, 3:] + 1e-4), size))
    other, own = sides
    line = own - other
    length = (line * line).sum(2)
    along = ((picture - other) * line).sum(2) / (length + 1e-6)
    trust = length / (length + parameters.apart**2)
    # Skin beside hair lies in its shadow: a little of its colour is none of it.
    told = trust * ((along - parameters.shadow) / (1 - parameters.shadow)).clip(0, 1)
    told = told + (1 - trust) * mask
    none, whole = known[0] + known[1] > 0, known[2] > 0
    matte = where(none, 0.0, where(whole, 1.0, told))
    matte = ((matte - parameters.floor) / (1 - 2 * parameters.floor)).clip(0, 1)
    # Other borders are none of theirs, whatever colours meet there.
    reach = max(1, round(parameters.strands * size))
    near = dilated(as_floats(mask > 1 - parameters.sure), reach)
    return matte * blurred(near, reach / 3)


def without_painted(colour: Change, face: Change, zoom: float) -> Change:
    """A recolouring, but not of what the face's change paints: that has the edit's colour already.

    Args:
        colour: of a crop ``zoom`` times as wide as the face's, with the same middle.
        face: the face's change.
        zoom: 1 for the same crop.
    """
    if face.matter is None:
        return colour
    size = colour.where.shape[0]
    inner = resized(face.matter, round(size / zoom))
    start = (size - len(inner)) // 2
    left = zeros(inner, size, size) + 1
    left[start : start + len(inner), start : start + len(inner)] -= inner
    return replace(colour, where=colour.where * left)


def carried(face: Change, colour: Change) -> Change:
    """One change out of a face's and a recolouring of the same crop: what takes another colour
    moves with the face."""
    size = colour.where.shape[0]
    motion = resized(face.motion, size) * size
    shown = moved(colour.where, motion)
    tint = moved(colour.offset * colour.where[:, :, None], motion)
    return replace(
        face,
        offset=resized(face.offset, size) + tint,
        where=larger(resized(face.where, size), shown),
    )

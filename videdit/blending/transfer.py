"""The edit carried over into the person's own pixels.

Pasting the generator's face over the person's loses the person. Here the source's own pixels are
moved and shaded as the edit moves and shades the generator's; the generator's are shown only as
*matter*, for what the source does not have (teeth, glasses, a new beard). What may change at all is
decided by where things are, the regions of a face, and not by how large a difference is.

With S the source, R the reconstruction and E the edit, R and E bent so that R's landmarks fall on
S's, and u the optical flow by which E(x) shows R(x + u): the result is S(x + u), plus E(x) -
R(x + u) without its finest detail, which is the change of light that no motion explains; and E
itself, in S's colours, where matter comes or goes. Here all that is found; ``change.py`` steadies
it over time and applies it to the frame.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from videdit.blending.alignment import bending_field, placed
from videdit.blending.change import Change, softness_of
from videdit.blending.colours import match_colours, nearest
from videdit.blending.maps import (
    FloatArray,
    bent,
    blurred,
    centres,
    closed,
    cubic,
    dilated,
    even,
    exp,
    host,
    joined,
    larger,
    luma,
    means,
    most,
    moved,
    put,
    ramp,
    resized,
    shrunk,
    sized,
    smaller,
    smoothed,
    weighed,
    zeros,
)
from videdit.blending.parameters import DEFAULT, BlendingParameters, Matter, Motion
from videdit.blending.speech import kept_open, opened
from videdit.faces.regions import NEVER, REGIONS, Touch

_APART = (
    frozenset(REGIONS) - NEVER - {"hair", "hat"},
    *(frozenset({name}) for name in ("background", "clothes", "hair", "hat")),
)
"""Regions that are not one another, however their borders move."""

_THINGS = frozenset({"glasses", "hat"})
"""What is worn."""

_OUTLINE = frozenset({"hair", "hat"})
"""What leaves background behind."""

_MOUTH = frozenset({"mouth"})
"""Its inside."""

_BACKGROUND = frozenset({"background"})

_WORN = 5  # pixels of the parser's maps by which they may lie apart


@dataclass(frozen=True)
class Parsed:
    """Probabilities of the regions, (128, 128, regions) each.

    Attributes:
        source, reconstruction, edited: in these three pictures.
    """

    source: FloatArray
    reconstruction: FloatArray
    edited: FloatArray


@dataclass(frozen=True)
class Landmarks:
    """(68, 2) crop units each.

    Attributes:
        source, reconstruction, edited: in these three pictures.
    """

    source: NDArray[np.floating[Any]]
    reconstruction: NDArray[np.floating[Any]]
    edited: NDArray[np.floating[Any]]


def find_change(
    source: FloatArray,
    reconstruction: FloatArray,
    edited: FloatArray,
    parsed: Parsed,
    points: Landmarks,
    touch: Touch,
    parameters: BlendingParameters = DEFAULT,
) -> Change:
    """What an edit does to one crop, but for colours of hair and lips (``recolour.py``).

    Args:
        source: (size, size, 3) crop of the frame, RGB in [0, 1].
        reconstruction: (s, s, 3) the decoded code of that crop, of any size.
        edited: (s, s, 3) the decoded edited code.
        parsed: regions of the three.
        points: landmarks of the three.
        touch: what may be changed.
        parameters: of the room.
    """
    size = source.shape[0]
    side = min(size, parameters.motion.side)
    field = bending_field(points.source, points.reconstruction, parameters.bending)
    own = parsed.source
    theirs, after = (
        bent(maps, field).clip(0, 1) for maps in (parsed.reconstruction, parsed.edited)
    )
    # Motion and light change smoothly: they are looked for in small pictures.
    was, now = (bent(resized(picture, side), field) for picture in (reconstruction, edited))
    shape = sized(_touched(own, theirs, after, touch, parameters.motion), size)
    shape = _snapped(shape, source, parameters.motion)
    coarse = resized(shape, side)
    earlier, later = (placed(p, field) for p in (points.reconstruction, points.edited))
    guide = bending_field(later, earlier, parameters.guide)
    motion, unsure = _motion(was, now, guide, parameters.motion)
    motion *= blurred(coarse, parameters.motion.smoothness * side)[:, :, None]
    unexplained = now - moved(was, motion)
    shading = blurred(unexplained, parameters.motion.detail * side)
    motion *= touch.motion / side
    speaks = 0.0
    if not touch.closes:
        motion = put(motion, kept_open(host(motion), points.source, parameters.speech))
        speaks = opened(points.source, parameters.speech)
    same = resized(_same(own, theirs, after, motion, speaks), side)
    light = _light(resized(source, side), was, coarse, parameters.motion)
    offset = (light * coarse * same)[:, :, None] * shading
    if not touch.tone:
        offset = _without_tone(offset, parameters.motion)
    where = shape
    matter = painted = None
    softness = 0.0
    if touch.matter or touch.renewed:
        matter = _matter(
            own,
            theirs,
            after,
            unexplained,
            unsure,
            touch,
            speaks,
            parameters.matter,
            parameters.motion.growth,
        )
        if touch.renewed:
            change = even(resized(abs(now - was), own.shape[0]))
            renewed = sized(_renewed(own, after, change, touch, parameters.matter), side)
            matter = larger(matter, blurred(renewed, parameters.matter.blur * side))
        shown, new = (bent(resized(p, size), field) for p in (reconstruction, edited))
        painted = match_colours(
            source, shown, new, *_things(own, theirs, after), parameters.colours
        )
        if touch.matter & _OUTLINE:
            painted = _uncovered(painted, source, own, after, parameters)
        softness = softness_of(source, shown, shape)
        where = larger(where, resized(matter, size))
    things = touch.matter & _THINGS
    if things:
        # Glasses that are there stay the person's own: they come or go, they don't change.
        before, then = (dilated(share_of(maps, things), _WORN) for maps in (own, after))
        where *= 1 - sized(blurred(ramp(before * then, parameters.matter.comes), 1), size)
    # Where anything is touched the colour is already the source's, more or less changed: this only
    # says where, and a pixel that is not touched at all stays the source's to the last bit.
    where = (where * parameters.motion.gain - parameters.motion.floor).clip(0, 1)
    return Change(
        motion=motion,
        offset=offset,
        where=faded(where, parameters.motion),
        matter=matter,
        painted=painted,
        softness=softness,
    )


Names = AbstractSet[str]


def share_of(regions: FloatArray, names: Names) -> FloatArray:
    """(s, s) the probability of any of some regions."""
    return shares_of(regions, names)[:, :, 0]


def shares_of(regions: FloatArray, *groups: Names) -> FloatArray:
    """(s, s, groups) the probability of any of some regions, for each of some groups of them."""
    return weighed(regions, tuple(tuple(float(r in names) for r in REGIONS) for names in groups))


def _touched(
    own: FloatArray,
    theirs: FloatArray,
    after: FloatArray,
    touch: Touch,
    parameters: Motion,
) -> FloatArray:
    """Where the source shows the regions whose shape changes, and where the edit makes them grow
    over others; without what the edit hides behind something that it may not change, like long hair
    that falls over the neck."""
    names = touch.shape
    here = share_of(own, names)
    grown = (share_of(after, names) - share_of(theirs, names)).clip(0, 1)
    # A cheek becomes rounder; a face does not turn up elsewhere.
    grown = grown * dilated(here, round(parameters.growth * touch.growth))
    others = set(REGIONS) - touch.all - {"background"}
    hidden = (share_of(after, others) - share_of(theirs, others)).clip(0, 1)
    hidden = blurred(dilated(hidden, parameters.growth), 1)
    touched: FloatArray = (here + grown).clip(0, 1)
    return touched * (1 - hidden)


def _things(
    own: FloatArray, theirs: FloatArray, after: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Of each of the regions that are not one another: where source and reconstruction both show
    it, and where the edit does; (s, s, k) each."""
    return shares_of(own, *_APART) * shares_of(theirs, *_APART), shares_of(after, *_APART)


def _uncovered(
    painted: FloatArray,
    source: FloatArray,
    own: FloatArray,
    after: FloatArray,
    parameters: BlendingParameters,
) -> FloatArray:
    """What the generator shows, but where it shows a background the source's own from near by."""
    found = behind(source, own, parameters)
    if found is None:
        return painted
    shown = _outer(ramp(share_of(after, _BACKGROUND), parameters.matter.background))
    return painted + sized(shown, source.shape[0])[:, :, None] * (found - painted)


def behind(
    source: FloatArray, regions: FloatArray, parameters: BlendingParameters
) -> FloatArray | None:
    """(size, size, 3) the source's background, smooth, over all of the crop: what lies behind hair
    that goes is unknown, but not another room. None where hardly any is seen."""
    side = regions.shape[0]
    sure = shrunk(share_of(regions, _BACKGROUND), 2 * parameters.matter.traces + 1)
    weight = ramp(sure, parameters.matter.background)[:, :, None]
    if float(weight.sum()) < side:
        return None
    small = resized(source, side)
    mean = (small * weight).sum((0, 1)) / weight.sum()
    how = parameters.colours
    found = nearest(small, weight, mean[None], how.reach * side, how.sure)[:, :, 0]
    return resized(found, source.shape[0])


def _outer(mask: FloatArray) -> FloatArray:
    """A mask without its islands: what no way from the border leads to is no background."""
    labels = cv2.connectedComponents((host(mask) > 0).astype(np.uint8))[1]
    edges = np.concatenate((labels[0], labels[-1], labels[:, 0], labels[:, -1]))
    return mask * put(mask, np.isin(labels, edges))


def _same(
    own: FloatArray, theirs: FloatArray, after: FloatArray, motion: FloatArray, speaks: float
) -> FloatArray:
    """(128, 128) how surely the edit shows what source and reconstruction do where it comes from:
    another head of hair, another background or what a speaking mouth shows is no change of light.
    """
    size = after.shape[0]
    moving = resized(motion, size) * size
    shared = shares_of(own, *_APART) * shares_of(theirs, *_APART)
    came = moved(joined([shared, share_of(own, _MOUTH)]), moving)
    shown = shares_of(after, *_APART, _MOUTH)
    same = (shown * came)[:, :, : len(_APART)].sum(2)
    inside = larger(shown[:, :, -1], came[:, :, -1])
    return ramp(same, (0.3, 0.7)) * (1 - speaks * inside)


def _light(source: FloatArray, shown: FloatArray, where: FloatArray, parameters: Motion) -> float:
    """How much of a change of light suits the source: the generator knows no dark room and no
    fading, and what is dark changes by less."""
    total = float(where.sum())
    if total < 1:
        return 1.0
    own, theirs = (float((luma(picture) * where).sum()) / total for picture in (source, shown))
    return min(1.0, own / max(parameters.as_light * theirs, 1e-3))


def _without_tone(offset: FloatArray, parameters: Motion) -> FloatArray:
    """A change of light, with little of what it does to the face as a whole: a generator's edit
    makes men dark and women pink by the way."""
    overall = smoothed(offset, parameters.tone_reach * offset.shape[0])
    folds = offset - (1 - parameters.tone) * overall
    light = luma(folds)[:, :, None]
    return light + parameters.tone * (folds - light)


def _snapped(mask: FloatArray, source: FloatArray, parameters: Motion) -> FloatArray:
    """A mask whose border follows the source's edges: a guided filter (He et al. 2010)."""
    size = mask.shape[0]
    side = 2 * max(1, round(parameters.snap * size)) + 1
    guide = luma(source)
    guide_mean, mask_mean = means(guide, side), means(mask, side)
    variance = means(guide * guide, side) - guide_mean * guide_mean
    common = means(guide * mask, side) - guide_mean * mask_mean
    slope = cast(FloatArray, common / (variance + parameters.snap_noise))
    snapped = means(slope, side) * guide + means(mask_mean - slope * guide_mean, side)
    return snapped.clip(0, 1)


def _motion(
    reconstruction: FloatArray, edited: FloatArray, guide: FloatArray, parameters: Motion
) -> tuple[FloatArray, FloatArray]:
    """How the edit moves things, and how unsure that is.

    Large motions are the landmarks': flow alone takes the fold beside a smile for the mouth's
    corner. It finds what they leave.

    Args:
        guide: (s, s, 2) where the edit's landmarks come from, crop units away.

    Returns:
        (size, size, 2) where in the reconstruction each pixel of the edit comes from, pixels away;
        (size, size) the pixels by which there and back again misses.
    """
    size = edited.shape[0]
    guided = cubic(put(edited, guide), size) * size
    was, now = (
        host((luma(picture).clip(0, 1) * 255).round()).astype(np.uint8)
        for picture in (moved(reconstruction, guided), edited)
    )
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    start = np.zeros((size, size, 2), np.float32)
    back = put(edited, np.asarray(flow.calc(now, was, start.copy())))
    there = put(edited, np.asarray(flow.calc(was, now, start.copy())))
    miss = back + moved(there, back)
    unsure = cast(FloatArray, (miss[:, :, 0] ** 2 + miss[:, :, 1] ** 2) ** 0.5)
    trust = exp(-((unsure / size / parameters.closure) ** 2))[:, :, None]
    # Each point's motion, weighted by how far it is to be trusted, and that weight.
    told = joined([back * trust, trust])
    sigma = parameters.smoothness * size
    # Where nothing near is to be trusted, what is farther away says how things move.
    smooth = zeros(edited, size, size, 2)
    for width in (16 * sigma, 4 * sigma, sigma):
        near = smoothed(told, width)
        weight = near[:, :, 2:]
        sure = ramp(weight, (0.0, 0.3))
        smooth += sure * (near[:, :, :2] / (weight + 1e-6) - smooth)
    return smooth + moved(guided, smooth), unsure


def _matter(
    own: FloatArray,
    theirs: FloatArray,
    after: FloatArray,
    unexplained: FloatArray,
    unsure: FloatArray,
    touch: Touch,
    speaks: float,
    parameters: Matter,
    growth: int,
) -> FloatArray:
    """(size, size) where the generator's pixels are shown."""
    size = unexplained.shape[0]
    mine, was, now = (share_of(regions, touch.matter) for regions in (own, theirs, after))
    behind = set(REGIONS) - touch.all
    # What comes and what goes is matter as a whole; where it is before and after, only what neither
    # motion nor light explains. A hat over hair comes: it is not the same.
    mouth = share_of(own, _MOUTH)
    groups = [touch.matter & names for names in _APART]
    here, before, then = (shares_of(r, *groups) for r in (own, theirs, after))
    come, go = then - larger(before, here), smaller(here, before + parameters.slack) - then
    # What speaks in a mouth is its own.
    stays = joined([speaks * mouth if "mouth" in names else 0 * mouth for names in _APART])
    comes, leaves = most(ramp(come, parameters.comes)), most(ramp(go - stays, parameters.comes))
    # What goes leaves its shadow and single hairs around it: they go with it.
    leaves = blurred(dilated(leaves, parameters.traces), parameters.traces / 2)
    whole = larger(comes, leaves)
    near = dilated(larger(mine, now), parameters.reach)
    # Nothing is painted over background and clothes but what grows a little over them in the edit,
    # and background where single hairs lie over it that go.
    never = share_of(own, NEVER)
    over = (now - was).clip(0, 1) * dilated(1 - never, growth)
    over += leaves * share_of(own, _BACKGROUND) * share_of(after, _BACKGROUND)
    free = 1 - (never - over).clip(0, 1)
    coarse = parameters.coarse * size
    fine = even(abs(unexplained - blurred(unexplained, coarse)))
    structure = ramp(blurred(fine, parameters.blur * size), parameters.structure)
    torn = ramp(unsure / size, parameters.torn)
    torn = torn * ramp(even(abs(unexplained)), parameters.structure)
    # A part of them is not what lies behind, in the edit; nor the inside of a mouth that the source
    # opens itself: what speaks there is its own.
    inside = speaks * ramp(dilated(mouth, growth), parameters.comes)
    near = near * (1 - share_of(after, behind)) * (1 - inside)
    part = larger(structure, torn) * sized(near, size)
    matter = larger(part, sized(whole, size)) * sized(free, size)
    matter = closed(matter, 2 * round(parameters.blur * size) + 1)
    return blurred(matter, parameters.blur * size)


def _renewed(
    own: FloatArray, after: FloatArray, change: FloatArray, touch: Touch, parameters: Matter
) -> FloatArray:
    """(128, 128) how much of the generator's pixels is shown over the source's own, as far as the
    edit changes them.

    Args:
        own, after: regions of the source and of the edit.
        change: (128, 128) mean absolute difference of the edit from the reconstruction.
        touch: which regions.
        parameters: of the room.
    """
    both = share_of(own, touch.renewed) * share_of(after, touch.renewed)
    mean = float((change * both).sum()) / max(float(both.sum()), 1.0)
    return parameters.renewed * min(mean / parameters.change, 1.0) * both


def faded(alpha: FloatArray, parameters: Motion) -> FloatArray:
    """Nothing is pasted at the crop's border."""
    axis = centres(alpha.shape[0], alpha)
    edge = ramp(smaller(axis, 1 - axis), (parameters.margin, parameters.margin + parameters.border))
    return alpha * smaller(edge[:, None], edge[None, :])

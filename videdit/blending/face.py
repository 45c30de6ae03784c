"""All that an edit does to one face of a frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from videdit.blending.beyond import find_beyond, hair_goes
from videdit.blending.change import Change, without_colour
from videdit.blending.maps import FloatArray, cut, host, larger, luma, ramp, resized, smaller
from videdit.blending.parameters import DEFAULT, BlendingParameters, Seen
from videdit.blending.recolour import carried, find_colour, without_painted
from videdit.blending.transfer import Landmarks, Parsed, find_change, share_of
from videdit.faces.align import points_in_crop, widened
from videdit.faces.regions import NEVER, REGIONS, Touch

_LOOK = 48  # side at which two pictures are compared as a whole, pixels


Changes = dict[str, tuple[NDArray[np.float64], Change]]
"""What an edit does to one face, in the order in which it is applied, each change with the quad of
its maps. By kind, for not every frame of a track has all of them."""


def find_changes(
    rgb: NDArray[Any],
    quad: NDArray[np.float64],
    size: int,
    reconstruction: FloatArray,
    edited: FloatArray,
    parse: Callable[[FloatArray], FloatArray],
    points: Landmarks,
    touch: Touch,
    parameters: BlendingParameters = DEFAULT,
) -> Changes:
    """What an edit does to one face.

    Args:
        rgb: (H, W, 3) the frame, of an unsigned type.
        quad: (4, 2) corners of the face's crop.
        size: side of the face's crops, pixels.
        reconstruction, edited: (s, s, 3) decoded codes, RGB in [0, 1]: arrays, or tensors on a
            device, where all of it is computed then.
        parse: regions (128, 128, regions) of a crop; ``faces.regions.Parser.parse``.
        points: landmarks of source, reconstruction and edit.
        touch: what may be changed.
        parameters: of the room.
    """
    source = cut(edited, rgb, quad, size)
    parsed = Parsed(*(parse(picture) for picture in (source, reconstruction, edited)))
    changes: Changes = {}
    lips = touch.colour & {"lips"}
    goes = hair_goes(parsed, parameters) if "hair" in touch.matter else 0.0
    if goes or touch.colour - lips:
        around = widened(quad, parameters.zoom)
        wide = cut(edited, rgb, around, size)
        regions = parse(wide)
    if goes:
        beyond = find_beyond(wide, regions, goes, parameters)
        if beyond is not None:
            changes["beyond"] = around, beyond
    face = None
    if touch.shape or touch.matter or touch.renewed:
        face = find_change(source, reconstruction, edited, parsed, points, touch, parameters)
        changes["face"] = quad, face
    recolour = partial(find_colour, source, reconstruction, edited, parsed)
    if touch.colour - lips:
        hair = recolour(wide, regions, touch.colour - lips, parameters.hair, parameters)
        if hair is not None:
            hair = hair if face is None else without_painted(hair, face, parameters.zoom)
            changes["hair"] = around, hair
    if lips:
        lip = recolour(source, parsed.source, lips, parameters.lips, parameters)
        if lip is not None:
            if face is None:
                changes["lips"] = quad, lip
            else:
                changes["face"] = quad, carried(face, without_painted(lip, face, 1))
    inside = corners_inside(quad, rgb.shape[:2])
    visible = visible_share(parsed.source, points.source, inside, parameters.seen)
    visible *= likeness(source, reconstruction, points.source, parameters.seen)
    share = colour_share(source, parameters.seen)
    return {
        kind: (where, replace(without_colour(change, share), visible=visible))
        for kind, (where, change) in changes.items()
    }


def visible_share(
    regions: FloatArray,
    points: NDArray[np.floating[Any]],
    frame: NDArray[np.floating[Any]],
    parameters: Seen = DEFAULT.seen,
) -> float:
    """How much of a face is to be seen, 0 to 1: by how much of the hull of its landmarks is any
    part of a head, and how much lies in the frame. 0 behind a passer-by, in a frame that is all
    white, or where the face has left.

    Args:
        regions: (s, s, regions) probabilities of the source's crop.
        points: (68, 2) crop units.
        frame: (4, 2) the frame's corners, crop units.
    """
    side = regions.shape[0]
    face, seen = _hull(points, side), _filled(frame * side, side)
    if not face.any():
        return 0.0
    head = host(share_of(regions, frozenset(REGIONS) - NEVER))[face].mean()
    shares = ((head, parameters.hidden), (seen[face].mean(), parameters.outside))
    return float(np.prod([ramp(np.asarray(share), ends) for share, ends in shares]))


def likeness(
    source: FloatArray,
    reconstruction: FloatArray,
    points: NDArray[np.floating[Any]],
    parameters: Seen = DEFAULT.seen,
) -> float:
    """Whether a crop shows the face of its reconstruction, 0 to 1: by the correlation of their
    luma within the hull of the landmarks. What hides a face is nothing that the generator knows.

    Args:
        source, reconstruction: (s, s, 3) of any size.
        points: (68, 2) crop units.
    """
    own, theirs = (host(resized(luma(p), _LOOK)) for p in (source, reconstruction))
    face = _hull(points, _LOOK)
    if not face.any():
        return 0.0
    a, b = own[face] - own[face].mean(), theirs[face] - theirs[face].mean()
    # The noise of 8 bits keeps what is flat from being like anything.
    noise = face.sum() / 255**2
    alike = float((a * b).sum() / np.sqrt(((a * a).sum() + noise) * ((b * b).sum() + noise)))
    return float(ramp(np.asarray(alike), parameters.alike))


def _hull(points: NDArray[np.floating[Any]], side: int) -> NDArray[np.bool_]:
    corners = np.asarray(cv2.convexHull(np.asarray(points * side, np.float32)), np.float64)
    return _filled(corners[:, 0], side)


def _filled(corners: NDArray[np.floating[Any]], side: int) -> NDArray[np.bool_]:
    mask = np.zeros((side, side), np.uint8)
    cv2.fillConvexPoly(mask, np.rint(corners).astype(np.int32), 1)
    return mask > 0


def corners_inside(quad: NDArray[np.float64], size: tuple[int, ...]) -> NDArray[np.float64]:
    """(4, 2) the corners of a frame (height, width) in units of the crop with that quad."""
    height, width = size
    corners = np.array([[0, 0], [0, height], [width, height], [width, 0]], np.float64)
    return points_in_crop(corners, quad, 1)


def colour_share(source: FloatArray, parameters: Seen = DEFAULT.seen) -> float:
    """How much of a change's colour suits a crop, 0 to 1: grey pictures stay grey."""
    r, g, b = (source[:, :, c] for c in range(3))
    spread = larger(larger(r, g), b) - smaller(smaller(r, g), b)
    return float(ramp(spread.mean(), parameters.grey))

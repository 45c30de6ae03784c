"""All that an edit does to one face of a frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from videdit.blending.change import Change
from videdit.blending.hair import find_colour
from videdit.blending.parameters import DEFAULT, BlendingParameters
from videdit.blending.transfer import Landmarks, Parsed, find_change
from videdit.faces.align import cut_crop, widened
from videdit.faces.regions import Touch

FloatArray = NDArray[np.float32]


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
) -> list[tuple[NDArray[np.float64], Change]]:
    """The changes, in the order in which they are applied, each with the quad of its maps.

    Args:
        rgb: (H, W, 3) the frame, of an unsigned type.
        quad: (4, 2) corners of the face's crop.
        size: side of the face's crops, pixels.
        reconstruction, edited: (s, s, 3) decoded codes, RGB in [0, 1].
        parse: regions (128, 128, regions) of a crop; ``faces.regions.RegionParser.parse``.
        points: landmarks of source, reconstruction and edit.
        touch: what may be changed.
        parameters: of the room.
    """
    source = cut_crop(rgb, quad, size)
    parsed = Parsed(*(parse(picture) for picture in (source, reconstruction, edited)))
    changes = []
    if touch.shape or touch.matter:
        change = find_change(source, reconstruction, edited, parsed, points, touch, parameters)
        changes.append((quad, change))
    if touch.colour:
        around = widened(quad, parameters.hair.zoom)
        wide = cut_crop(rgb, around, size)
        colour = find_colour(
            source, reconstruction, edited, parsed, wide, parse(wide), touch.colour, parameters
        )
        if colour is not None:
            changes.append((around, colour))
    return changes

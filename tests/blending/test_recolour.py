"""Hair of another colour."""

from __future__ import annotations

import numpy as np
import pytest

from tests.blending.test_transfer import FACE, Picture, inside, regions, texture
from videdit.blending.change import Change, applied
from videdit.blending.recolour import find_colour
from videdit.blending.transfer import Parsed

SIZE = 256
HAIR = (0.2, 0.1, 0.8, 0.4)
HEAD = regions(hair=HAIR, skin=FACE)
CORE = (0.2, 0.1, 0.8, 0.25)


def found(
    source: Picture, reconstruction: Picture, edited: Picture, head: Picture = HEAD
) -> Change | None:
    """With the crop itself as the wide one."""
    parsed = Parsed(head, head, head)
    return find_colour(source, reconstruction, edited, parsed, source, head, frozenset({"hair"}))


def result(source: Picture, change: Change) -> Picture:
    frame = np.rint(source * 65535).astype(np.uint16)
    quad = np.array([[0, 0], [0, SIZE], [SIZE, SIZE], [SIZE, 0]], np.float64)
    x, y, colours, alpha = applied(frame, quad, change)
    h, w = alpha.shape
    out = source.copy()
    here = out[y : y + h, x : x + w]
    here += alpha[:, :, None] * (colours - here)
    return out


def hair_of(picture: Picture, mean: float, contrast: float) -> Picture:
    """The picture's strands around a mean, in the hair; the rest as it is."""
    out = picture.copy()
    here = inside(HAIR, 0)
    strands = picture[here] - picture[here].mean()
    out[here] = (mean + contrast * strands).clip(0, 1)
    out[inside(FACE, 0)] = picture[inside(FACE, 0)]
    return out


@pytest.mark.parametrize(("goal", "contrast"), [(0.75, 1.5), (0.1, 0.6)])
def test_the_colour_changes_and_the_strands_stay(goal: float, contrast: float) -> None:
    own = 0.25 if goal > 0.5 else 0.6
    source = hair_of(texture(0, 1), own, 0.5)
    reconstruction = hair_of(texture(1, 1), own, 0.5)
    edited = hair_of(texture(2, 1), goal, 0.5 * contrast)
    change = found(source, reconstruction, edited)
    assert change is not None
    out, here = result(source, change), inside(CORE, 14)
    assert out[here].mean() == pytest.approx(goal, abs=0.05)
    assert out[here].std() == pytest.approx(contrast * source[here].std(), rel=0.35)
    assert np.corrcoef(out[here].ravel(), source[here].ravel())[0, 1] > 0.9


def test_no_edit_changes_nothing() -> None:
    source, reconstruction = texture(0, 1), texture(1, 1)
    change = found(source, reconstruction, reconstruction)
    assert change is not None
    assert change.where.max() > 0.9
    # But for the brightest: what is beyond one deviation is no hair.
    assert np.abs(result(source, change) - source).max() < 2e-3


def test_face_and_background_keep_their_colours() -> None:
    source = hair_of(texture(0, 1), 0.1, 0.2)
    change = found(source, source, hair_of(texture(1, 1), 0.8, 0.4))
    assert change is not None
    out = result(source, change)
    for place in ((0.3, 0.45, 0.7, 0.8), (0.02, 0.02, 0.1, 0.9), (0.9, 0.02, 0.98, 0.9)):
        assert np.array_equal(out[inside(place, 0)], source[inside(place, 0)])


def test_what_is_mixed_changes_in_part() -> None:
    """A strand over a light background, half as dark as the hair."""
    source = np.full((SIZE, SIZE, 3), 0.8, np.float32)
    source[inside(FACE, 0)] = 0.6
    source[inside(HAIR, 0)] = 0.1
    strand = inside((0.3, 0.085, 0.7, 0.09), 0)
    source[strand] = 0.45
    edited = source.copy()
    edited[inside(HAIR, 0)] = 0.02
    change = found(source, source, edited)
    assert change is not None
    matte = change.where
    assert 0.1 < matte[strand].mean() < 0.7
    assert matte[inside((0.3, 0.2, 0.7, 0.22), 0)].min() > 0.95
    assert matte[inside((0.3, 0.03, 0.7, 0.07), 0)].max() < 0.05


def test_without_hair_there_is_no_change() -> None:
    bald = regions(skin=FACE)
    assert found(texture(0), texture(1), texture(2), bald) is None

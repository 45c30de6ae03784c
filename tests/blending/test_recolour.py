"""Hair and lips of another colour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.blending.test_transfer import FACE, SAME, Picture, inside, regions, texture
from videdit.blending.change import Change, applied
from videdit.blending.face import find_changes
from videdit.blending.parameters import DEFAULT
from videdit.blending.recolour import carried, find_colour, without_painted
from videdit.blending.transfer import Parsed
from videdit.faces.align import widened
from videdit.faces.regions import Touch

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


LIPS, MOUTH = (0.36, 0.62, 0.64, 0.76), (0.42, 0.66, 0.58, 0.72)
RED, DARK = np.array([0.6, 0.35, 0.35]), np.array([0.45, 0.1, 0.2])
OPEN = regions(hair=HAIR, skin=FACE, lips=LIPS, mouth=MOUTH)
CLOSE = regions(skin=(0, 0, 1, 1), lips=LIPS, mouth=MOUTH)


def painted_lips(colour: Picture, seed: int = 0) -> Picture:
    """A face whose lips have that mean; teeth are bright."""
    picture = 0.55 + 0.3 * (texture(seed, 1) - 0.5)
    teeth = picture[inside(MOUTH, 0)] + 0.3
    lips = picture[inside(LIPS, 0)]
    lips += colour - lips.mean((0, 1))
    picture[inside(MOUTH, 0)] = teeth
    return picture


def made_up(source: Picture, edited: Picture, head: Picture = OPEN) -> Change | None:
    parsed = Parsed(head, head, head)
    lips = frozenset({"lips"})
    return find_colour(source, source, edited, parsed, source, head, lips, DEFAULT.lips)


def test_lips_take_another_colour_and_keep_their_folds() -> None:
    source = painted_lips(RED)
    change = made_up(source, painted_lips(DARK, 1))
    assert change is not None
    out = result(source, change)
    x0, y0, x1, y1 = LIPS
    for place in ((x0, y0, x1, MOUTH[1]), (x0, MOUTH[3], x1, y1)):  # upper and lower lip
        here = inside(place, 3)
        np.testing.assert_allclose(out[here].mean((0, 1)), DARK, atol=0.04)
        assert np.corrcoef(out[here].ravel(), source[here].ravel())[0, 1] > 0.9


@pytest.mark.parametrize("head", [CLOSE, OPEN], ids=["face", "head"])
def test_nothing_but_lips_takes_their_colour(head: Picture) -> None:
    """Not what is around them, and not what is between them."""
    source = painted_lips(RED)
    change = made_up(source, painted_lips(DARK, 1), head)
    assert change is not None
    out = result(source, change)
    rim = 5
    lips = np.zeros((SIZE, SIZE), bool)
    lips[inside(LIPS, -rim)] = True
    lips[inside(MOUTH, rim)] = False
    assert np.abs(out - source)[lips].max() > 0.1
    assert (change.where[~lips] == 0).all()
    assert np.array_equal(out[~lips], source[~lips])


def test_without_lips_there_is_no_change_of_theirs() -> None:
    assert made_up(painted_lips(RED), painted_lips(DARK), HEAD) is None


@pytest.mark.parametrize("names", ["lips", "hair", "lips hair"])
def test_lips_are_looked_for_in_the_faces_crop_and_hair_around_it(names: str) -> None:
    source, edited = painted_lips(RED), painted_lips(DARK, 1)
    frame = np.rint(source * 65535).astype(np.uint16)
    quad = np.array([[0, 0], [0, SIZE], [SIZE, SIZE], [SIZE, 0]], np.float64)
    touch = Touch(colour=frozenset(names.split()))
    changes = find_changes(frame, quad, SIZE, source, edited, lambda _: OPEN, SAME, touch)
    assert list(changes) == sorted(names.split())  # in this order they are applied
    for kind, (place, change) in changes.items():
        goal = quad if kind == "lips" else widened(quad, DEFAULT.zoom)
        np.testing.assert_allclose(place, goal)
        if kind == "lips":
            alone = made_up(source, edited)
            assert alone is not None
            np.testing.assert_allclose(change.where, alone.where, atol=2e-3)


def test_what_the_edit_paints_is_not_recoloured_again() -> None:
    size = 64
    flat = np.full((size, size), 1.0, np.float32)
    colour = Change(np.zeros((8, 8, 2), np.float32), np.ones((size, size, 3), np.float32), flat)
    assert without_painted(colour, colour, 2) is colour
    matter = np.zeros((32, 32), np.float32)
    matter[:, 16:] = 1
    painted = replace(colour, matter=matter, painted=np.ones((32, 32, 3), np.float32))
    found = without_painted(colour, painted, 2).where
    assert found[16:48, 32:48].max() == 0  # the right half of the middle
    assert found.sum() == size * size - 32 * 16


def test_what_takes_another_colour_moves_with_the_face() -> None:
    size = 64
    motion = np.zeros((size, size, 2), np.float32)
    motion[:, :, 1] = 8 / size  # each row shows what lay eight rows below
    face = Change(motion, np.zeros((16, 16, 3), np.float32), np.zeros((size, size), np.float32))
    where = np.zeros((size, size), np.float32)
    where[40:48, 20:40] = 0.5
    tint = np.full((size, size, 3), (-0.2, 0.1, 0), np.float32)
    found = carried(face, Change(0 * motion, tint, where))
    assert found.motion is motion
    expected = np.zeros((size, size), np.float32)
    expected[32:40, 20:40] = 0.5
    np.testing.assert_allclose(found.where, expected, atol=1e-6)
    np.testing.assert_allclose(found.offset, expected[:, :, None] * tint, atol=1e-6)

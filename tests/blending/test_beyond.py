"""Hair that goes where the face's crop ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.blending.test_transfer import FACE, POINTS, Picture, regions
from videdit.blending.beyond import find_beyond, hair_goes
from videdit.blending.change import Change, applied
from videdit.blending.face import Changes, find_changes
from videdit.blending.maps import ramp
from videdit.blending.parameters import DEFAULT
from videdit.blending.transfer import Landmarks, Parsed
from videdit.faces.align import cut_crop
from videdit.faces.regions import REGIONS, SIDE, Touch

SIZE = 256
ROOM, SKIN, HAIR = 0.8, 0.5, 0.1  # grey values
LONG = regions(hair=(0.2, 0.0, 0.8, 0.4), skin=FACE)
SHORT = regions(hair=(0.2, 0.1, 0.8, 0.4), skin=FACE)
BALD = regions(skin=FACE)


def part_of_the_hair(share: float) -> Picture:
    """An edit that shows background instead of that share of the long hair."""
    maps = LONG.copy()
    hair, background = (REGIONS.index(name) for name in ("hair", "background"))
    here = maps[:, :, hair].copy()
    maps[:, :, hair] -= share * here
    maps[:, :, background] += share * here
    return maps


@pytest.mark.parametrize("share", [0, 0.5, 0.6, 0.65, 0.75, 0.8, 1])
def test_hair_goes_as_surely_as_the_edit_shows_background_instead(share: float) -> None:
    found = hair_goes(Parsed(LONG, LONG, part_of_the_hair(share)))
    assert found == pytest.approx(float(ramp(np.asarray(share), DEFAULT.beyond.bare)), abs=1e-4)


def test_no_hair_goes_where_the_edit_keeps_it_or_none_reaches_the_border() -> None:
    assert hair_goes(Parsed(LONG, LONG, BALD)) == 1
    assert hair_goes(Parsed(LONG, LONG, LONG)) == 0
    assert hair_goes(Parsed(SHORT, SHORT, BALD)) == 0
    assert hair_goes(Parsed(BALD, BALD, BALD)) == 0
    # Under a hat it does not go: that is no background.
    assert hair_goes(Parsed(LONG, LONG, regions(hat=(0, 0, 1, 0.3), skin=FACE))) == 0


# Of a wide crop, of which the face's is the middle: hair above the head and down one side.
ABOVE, ASIDE, HEAD = (0.3, 0.02, 0.7, 0.5), (0.04, 0.02, 0.12, 0.98), (0.35, 0.3, 0.65, 0.7)
START = (1 - 1 / DEFAULT.zoom) / 2  # of the face's crop
Place = tuple[float, float, float, float]


def box(picture: NDArray[Any], place: Place) -> NDArray[Any]:
    x0, y0, x1, y1 = (round(v * len(picture)) for v in place)
    return picture[y0:y1, x0:x1]


def wide() -> tuple[Picture, Picture]:
    """The crop and its regions."""
    picture, maps = np.full((SIZE, SIZE, 3), ROOM, np.float32), regions()
    for name, place, value in (("hair", ABOVE, HAIR), ("hair", ASIDE, HAIR), ("skin", HEAD, SKIN)):
        box(picture, place)[:] = value
        box(maps, place)[:] = np.eye(len(REGIONS))[REGIONS.index(name)]
    return picture, maps


def down(height: float) -> float:
    """A height of the face's crop in the wide one."""
    return 0.5 + (height - 0.5) / DEFAULT.zoom


def pasted(
    frame: NDArray[np.uint16], changes: Iterable[tuple[NDArray[np.float64], Change]]
) -> Picture:
    out = np.asarray(frame / 65535, np.float32)
    for quad, change in changes:
        x, y, colours, alpha = applied(frame, quad, change)
        here = out[y : y + len(alpha), x : x + alpha.shape[1]]
        here += alpha[:, :, None] * (colours - here)
    return out


def square(start: float, side: float) -> NDArray[np.float64]:
    """A quad."""
    return start + side * np.array([[0, 0], [0, 1], [1, 1], [1, 0]], np.float64)


def test_background_is_shown_instead_of_hair_around_the_faces_crop() -> None:
    picture, maps = wide()
    change = find_beyond(picture, maps, 1.0)
    assert change is not None
    frame = np.rint(picture * 65535).astype(np.uint16)
    out = pasted(frame, [(square(0, SIZE), change)])
    assert np.abs(box(out, (0.3, 0.02, 0.7, START)) - ROOM).max() < 0.02
    assert np.abs(box(out, (0.04, 0.02, 0.12, down(0.54))) - ROOM).max() < 0.02


def test_hair_within_the_faces_crop_and_farther_down_stays() -> None:
    picture, maps = wide()
    change = find_beyond(picture, maps, 1.0)
    assert change is not None
    how = DEFAULT.motion
    inner = down(how.margin + 2 * how.border) + 1 / SIZE
    assert not box(change.where, (inner, inner, 1 - inner, 1 - inner)).any()
    lower = down(DEFAULT.beyond.down[1]) + 1 / SIZE
    assert not box(change.where, (0, lower, 1, 1)).any()
    assert box(change.where, (0.05, 0.05, 0.11, down(0.55))).min() > 0.95
    # Neither room nor head changes at all.
    assert not box(change.where, (0.15, 0.03, 0.25, 0.6)).any()
    assert not box(change.where, HEAD).any()


def test_it_goes_as_far_as_it_is_sure() -> None:
    whole, half = (find_beyond(*wide(), goes) for goes in (1.0, 0.5))
    assert whole is not None
    assert half is not None
    np.testing.assert_allclose(half.where, whole.where / 2, atol=1e-6)
    assert find_beyond(*wide(), 0.0) is None


def test_the_larger_the_wide_crop_the_farther_in_the_face() -> None:
    for zoom in (1.2, 2.0):
        change = find_beyond(*wide(), 1.0, replace(DEFAULT, zoom=zoom))
        assert change is not None
        how = DEFAULT.motion
        first = 0.5 + (how.margin + 2 * how.border - 0.5) / zoom
        column = change.where[:, round(0.4 * SIZE)]
        assert np.flatnonzero(column)[-1] + 1 == pytest.approx(first * SIZE, abs=1.5)


def test_without_a_background_nothing_takes_the_hairs_place() -> None:
    picture, _ = wide()
    assert find_beyond(picture, regions(hair=(0, 0, 1, 1), skin=HEAD), 1.0) is None


def by_colour(picture: Picture) -> Picture:
    """Regions of a picture in which hair is dark and the room is bright."""
    grey = np.asarray(cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)).mean(2)
    names = np.where(grey < 0.3, "hair", np.where(grey > 0.65, "background", "skin"))
    return np.stack([names == name for name in REGIONS], 2).astype(np.float32)


BALDING = Touch(matter=frozenset({"hair"}))


def edited_frame(bald: bool, touch: Touch = BALDING) -> tuple[Picture, Picture, Changes]:
    """A frame in which hair reaches beyond the face's crop: before, after, and the changes."""
    frame, start = np.full((384, 384, 3), ROOM, np.float32), 64
    frame[20 : start + 100, start + 50 : start + 206] = HAIR
    x0, y0, x1, y1 = (round(v * SIZE) + start for v in FACE)
    skin = np.random.default_rng(0).uniform(-0.1, 0.1, (8, 8, 1)).repeat(3, 2)
    frame[y0:y1, x0:x1] = SKIN + cv2.resize(skin, (x1 - x0, y1 - y0))
    rgb = np.rint(frame * 65535).astype(np.uint16)
    quad = square(start, SIZE)
    own = cut_crop(rgb, quad, SIZE)
    edited = own.copy()
    if bald:
        edited[own < 0.3] = 0.7  # the generator's room is darker
    points = Landmarks(POINTS, POINTS, POINTS)
    changes = find_changes(rgb, quad, SIZE, own, edited, by_colour, points, touch)
    return frame, pasted(rgb, changes.values()), changes


def test_a_bald_head_has_no_hair_left_above_the_crop() -> None:
    before, after, changes = edited_frame(bald=True)
    assert list(changes) == ["beyond", "face"]
    assert before.min() == pytest.approx(HAIR)
    hair = before[:, :, 0] < 0.3
    assert np.abs(after[hair] - ROOM).mean() < 0.02
    assert after.min() > 0.35
    np.testing.assert_allclose(after[190:], before[190:], atol=1e-4)  # far from all hair


def test_an_edit_that_keeps_the_hair_changes_nothing_beyond_the_crop() -> None:
    before, after, changes = edited_frame(bald=False)
    assert list(changes) == ["face"]
    np.testing.assert_allclose(after, before, atol=2e-3)


def test_only_hair_that_may_go_goes() -> None:
    """However the edit draws the head."""
    touch = Touch(shape=frozenset({"skin"}), matter=frozenset({"hat"}))
    before, after, changes = edited_frame(True, touch)
    assert list(changes) == ["face"]
    hair = before[:, :, 0] < 0.3
    hair[55:] = False  # above the crop
    np.testing.assert_allclose(after[hair], before[hair], atol=1e-4)

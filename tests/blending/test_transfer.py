"""The edit carried over: what must come through, and what must not."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.faces.helpers import face68
from videdit.blending.change import Change, applied
from videdit.blending.parameters import DEFAULT
from videdit.blending.transfer import (
    Landmarks,
    Parsed,
    _light,
    _matter,
    _renewed,
    _uncovered,
    behind,
    find_change,
)
from videdit.faces.regions import REGIONS, SIDE, Touch

SIZE = 256
POINTS = face68() * 0.22 + (0.5, 0.42)
SAME = Landmarks(POINTS, POINTS, POINTS)
Picture = NDArray[np.float32]


def texture(seed: int, sigma: float = 2) -> Picture:
    """A picture with structure everywhere, around middle grey."""
    noise = np.random.default_rng(seed).normal(0, 1, (SIZE, SIZE, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma)
    return np.asarray(np.clip(0.5 + 0.12 * smooth / smooth.std(), 0, 1), np.float32)


def regions(**places: tuple[float, float, float, float]) -> Picture:
    """Background, and regions in rectangles: left, top, right, bottom in crop units; the later ones
    lie on the earlier."""
    maps = np.zeros((SIDE, SIDE, len(REGIONS)), np.float32)
    maps[:, :, REGIONS.index("background")] = 1
    for name, place in places.items():
        x0, y0, x1, y1 = (round(v * SIDE) for v in place)
        maps[y0:y1, x0:x1] = 0
        maps[y0:y1, x0:x1, REGIONS.index(name)] = 1
    return maps


FACE = (0.25, 0.25, 0.75, 0.85)
HEAD = regions(hair=(0.2, 0.1, 0.8, 0.4), skin=FACE)
SKIN = Touch(shape=frozenset({"skin"}))


def pasted(source: Picture, colour: Picture, alpha: Picture) -> Picture:
    return source + alpha[:, :, None] * (colour - source)


def inside(place: tuple[float, float, float, float], inset: int) -> tuple[slice, slice]:
    x0, y0, x1, y1 = (round(v * SIZE) for v in place)
    return slice(y0 + inset, y1 - inset), slice(x0 + inset, x1 - inset)


def run(
    source: Picture,
    reconstruction: Picture,
    edited: Picture,
    touch: Touch,
    maps: tuple[Picture, Picture, Picture] = (HEAD, HEAD, HEAD),
) -> tuple[Picture, Picture]:
    """The change, applied to the crop as if it were a frame: (colour, alpha)."""
    size = source.shape[0]
    change = find_change(source, reconstruction, edited, Parsed(*maps), SAME, touch)
    frame = np.rint(source * 65535).astype(np.uint16)
    quad = np.array([[0, 0], [0, size], [size, size], [size, 0]], np.float64)
    x, y, colours, where = applied(frame, quad, change)
    h, w = where.shape
    colour, alpha = source.copy(), np.zeros((size, size), np.float32)
    colour[y : y + h, x : x + w], alpha[y : y + h, x : x + w] = colours, where
    return colour, alpha


def shifted(picture: Picture, field: NDArray[Any]) -> Picture:
    axis = np.arange(SIZE, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    there = (x + field[:, :, 0]).astype(np.float32), (y + field[:, :, 1]).astype(np.float32)
    return np.asarray(cv2.remap(picture, *there, cv2.INTER_CUBIC), np.float32)


def bump(radius: float = 24) -> Picture:
    """1 in the middle of the cheek, falling to 0."""
    axis = np.arange(SIZE, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    squared = (x - 0.5 * SIZE) ** 2 + (y - 0.6 * SIZE) ** 2
    return np.exp(-squared / (2 * radius**2)).astype(np.float32)


def test_no_edit_changes_nothing() -> None:
    source, reconstruction = texture(0), texture(1)
    everything = frozenset(REGIONS) - {"background", "clothes"}
    touch = Touch(shape=everything, matter=everything, renewed=everything)
    colour, alpha = run(source, reconstruction, reconstruction, touch)
    assert alpha.max() > 0.9
    assert np.abs(pasted(source, colour, alpha) - source).max() < 2e-3


def test_what_is_not_touched_stays_to_the_last_bit() -> None:
    source, reconstruction, edited = texture(0), texture(1), texture(2)
    for touch in (SKIN, Touch(matter=frozenset({"skin"}))):
        colour, alpha = run(source, reconstruction, edited, touch)
        reach = round(0.06 * SIZE)
        outside = np.ones((SIZE, SIZE), bool)
        outside[inside(FACE, -reach)] = False
        assert (alpha[outside] == 0).all()
        changed = np.abs(pasted(source, colour, alpha) - source)[inside(FACE, reach)]
        assert changed.mean() > 0.02, touch
    _, alpha = run(source, reconstruction, edited, Touch())
    assert not alpha.any()


def test_the_sources_own_pixels_are_moved() -> None:
    """By the motion between the generator's two pictures, which look otherwise."""
    source, reconstruction = texture(0), texture(1, 3)
    field = np.stack((5 * bump(), -3 * bump()), 2)
    edited = shifted(reconstruction, field)
    colour, alpha = run(source, reconstruction, edited, SKIN)
    here = inside(FACE, 24)
    found = pasted(source, colour, alpha)
    before = np.abs(source - shifted(source, field))[here].mean()
    assert np.abs(found - shifted(source, field))[here].mean() < 0.25 * before


def test_light_is_added_and_grain_is_kept() -> None:
    source, reconstruction = texture(0, 1), texture(1, 4)
    light = np.repeat(0.15 * bump()[:, :, None], 3, 2)
    grain = 0.03 * np.random.default_rng(3).normal(0, 1, source.shape).astype(np.float32)
    colour, alpha = run(source, reconstruction, reconstruction + light + grain, SKIN)
    here = inside(FACE, 24)
    gained = (pasted(source, colour, alpha) - source)[here]
    assert np.abs(cv2.GaussianBlur(gained, (0, 0), 4) - light[here]).mean() < 0.02
    assert np.abs(gained - light[here]).std() < 0.02  # the generator's grain is 0.03


def test_the_face_keeps_its_tone_and_gets_folds() -> None:
    source, reconstruction = texture(0, 1), texture(1, 4)
    tint = np.array([0.1, 0.02, -0.06], np.float32) * bump(60)[:, :, None]
    fold = np.zeros_like(tint)
    fold[round(0.6 * SIZE) :][:4] = -0.15
    edited = reconstruction + tint + fold
    here = inside(FACE, 24)
    gained = []
    for touch in (replace(SKIN, tone=False), SKIN):
        colour, alpha = run(source, reconstruction, edited, touch)
        gained.append((pasted(source, colour, alpha) - source)[here])
    kept, toned = (np.abs(each[:20].mean((0, 1))).max() for each in gained)  # above the fold
    assert toned > 0.04
    assert kept < 0.4 * toned
    drop = [each[:40].mean() - each[64:67].mean() for each in gained]  # at the fold
    assert drop[1] > 0.03
    assert drop[0] > 0.7 * drop[1]


def test_matter_comes_and_goes() -> None:
    source, reconstruction = texture(0), texture(0)
    place = (0.3, 0.4, 0.7, 0.5)
    with_glasses = regions(hair=(0.2, 0.1, 0.8, 0.4), skin=FACE, glasses=place)
    touch = Touch(matter=frozenset({"glasses"}))
    here = inside(place, 4)
    edited = reconstruction.copy()
    edited[inside(place, 0)] = 0.1
    colour, alpha = run(source, reconstruction, edited, touch, (HEAD, HEAD, with_glasses))
    assert np.abs(pasted(source, colour, alpha)[here] - 0.1).mean() < 0.03
    # Taken off: the source wears them, so does its reconstruction.
    worn = source.copy()
    worn[inside(place, 0)] = 0.1
    maps = (with_glasses, with_glasses, HEAD)
    colour, alpha = run(worn, worn, source, touch, maps)
    assert np.abs(pasted(worn, colour, alpha) - source)[here].mean() < 0.03
    # Who wears some already keeps them, however the edit draws them.
    other = source.copy()
    other[inside(place, 0)] = 0.9
    maps = (with_glasses, with_glasses, with_glasses)
    colour, alpha = run(worn, worn, other, replace(touch, shape=frozenset({"skin"})), maps)
    assert np.abs(pasted(worn, colour, alpha) - worn)[here].max() < 0.01
    # Nothing comes where the attribute has no say.
    colour, alpha = run(
        source, reconstruction, edited, Touch(matter=frozenset({"hat"})), (HEAD, HEAD, with_glasses)
    )
    assert np.array_equal(pasted(source, colour, alpha), source)


def test_something_before_the_face_stays_before_it() -> None:
    """A hand: the parser calls it background, though reconstruction and edit show a face there."""
    source, reconstruction, edited = texture(0), texture(1), texture(2)
    hand = (0.4, 0.6, 0.6, 0.8)
    own = regions(hair=(0.2, 0.1, 0.8, 0.4), skin=FACE, background=hand)
    touch = Touch(shape=frozenset({"skin"}), matter=frozenset({"skin"}))
    _, alpha = run(source, reconstruction, edited, touch, (own, HEAD, HEAD))
    assert (alpha[inside(hand, round(0.06 * SIZE))] == 0).all()
    assert alpha[inside((0.25, 0.3, 0.75, 0.55), 16)].min() > 0.9


def test_a_face_may_grow_over_the_background() -> None:
    source = texture(0)
    wide = regions(hair=(0.2, 0.1, 0.8, 0.4), skin=(0.23, 0.25, 0.77, 0.85))
    _, narrow_alpha = run(source, texture(1), texture(2), SKIN)
    _, alpha = run(source, texture(1), texture(2), SKIN, (HEAD, HEAD, wide))
    grown = inside((0.23, 0.45, 0.245, 0.8), 0)
    assert alpha[grown].mean() > narrow_alpha[grown].mean() + 0.2
    # A little: not over half of the picture.
    everywhere = regions(skin=(0, 0, 1, 1))
    _, alpha = run(source, texture(1), texture(2), SKIN, (HEAD, HEAD, everywhere))
    assert (alpha[inside((0.02, 0.5, 0.15, 0.9), 0)] == 0).all()


def test_a_fuller_face_may_grow_farther() -> None:
    source = texture(0)
    fuller = regions(hair=(0.2, 0.1, 0.8, 0.4), skin=(0.2, 0.25, 0.8, 0.85))
    beyond = inside((0.2, 0.45, 0.22, 0.8), 0)
    _, alpha = run(source, texture(1), texture(2), SKIN, (HEAD, HEAD, fuller))
    assert alpha[beyond].max() < 0.5
    _, alpha = run(source, texture(1), texture(2), replace(SKIN, growth=4), (HEAD, HEAD, fuller))
    assert alpha[beyond].min() > 0.9


@pytest.mark.parametrize("size", [64, 512])
def test_any_size(size: int) -> None:
    source, reconstruction, edited = (
        np.asarray(cv2.resize(texture(k), (size, size)), np.float32) for k in range(3)
    )
    touch = Touch(*(frozenset({"skin", "hair"}),) * 4)
    colour, alpha = run(source, reconstruction, edited, touch)
    assert colour.shape == (size, size, 3)
    assert alpha.shape == (size, size)
    assert np.isfinite(colour).all()
    assert 0 <= alpha.min() < 0.01
    assert 0.99 < alpha.max() <= 1


def test_the_same_in_every_process() -> None:
    """Sets of names have another order in each, and sums of floats depend on it."""
    code = (
        "import hashlib; from tests.blending.test_transfer import *;"
        "names = frozenset(REGIONS) - {'background', 'clothes'};"
        "maps = np.random.default_rng(0).random((128, 128, len(REGIONS))).astype(np.float32);"
        "maps /= maps.sum(2, keepdims=True);"
        "found = run(texture(0), texture(1), texture(2), Touch(names, names, names, names),"
        " (maps, HEAD, maps));"
        "print(hashlib.sha256(found[0].tobytes() + found[1].tobytes()).hexdigest())"
    )
    digests = set()
    for seed in ("1", "2", "3"):
        ran = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        digests.add(ran.stdout)
    assert len(digests) == 1


def test_light_changes_by_as_much_less_as_the_source_is_darker() -> None:
    shown = np.full((16, 16, 3), 0.5, np.float32)
    where = np.ones((16, 16), np.float32)
    found = [_light(shown * k, shown, where, DEFAULT.motion) for k in (1.2, 1, 0.9, 0.45, 0)]
    np.testing.assert_allclose(found, [1, 1, 1, 0.5, 0], atol=1e-6)
    assert _light(shown, shown, 0 * where, DEFAULT.motion) == 1


HAIR = (0.2, 0.1, 0.8, 0.4)
BALD = regions(skin=(0.25, 0.15, 0.75, 0.85))
ROOM = np.array([0.8, 0.7, 0.6], np.float32)


WHOLE = (0.2, 0.1, 0.8, 0.85)
LONG = regions(hair=WHOLE, skin=FACE)


def is_all(found: Picture, colour: Picture, within: float = 2e-3) -> None:
    np.testing.assert_allclose(found, np.broadcast_to(colour, found.shape), atol=within)


def before_a_wall(place: tuple[float, float, float, float] = WHOLE) -> Picture:
    """Something in one place, and a wall around it."""
    inner = texture(0)
    out = np.broadcast_to(ROOM, inner.shape).copy()
    out[inside(place, 0)] = inner[inside(place, 0)]
    return out


def test_behind_a_head_is_the_wall_around_it() -> None:
    found = behind(before_a_wall(), LONG, DEFAULT)
    assert found is not None
    is_all(found, ROOM)


def test_single_hairs_near_by_are_no_part_of_the_wall() -> None:
    """The parser calls their place background: so near to the border that says nothing."""
    x0, y0, x1, y1 = WHOLE
    near = (DEFAULT.matter.traces - 1) / SIDE
    source = before_a_wall((x0 - near, y0 - near, x1 + near, y1 + near))
    found = behind(source, LONG, DEFAULT)
    assert found is not None
    is_all(found, ROOM)
    # Farther out there is something on the wall.
    near *= 3
    source = before_a_wall((x0 - near, y0 - near, x1 + near, y1 + near))
    found = behind(source, LONG, DEFAULT)
    assert found is not None
    assert np.abs(found - ROOM).max() > 0.1


def test_behind_a_head_is_what_is_nearest() -> None:
    source = before_a_wall()
    source[:, SIZE // 2 :] *= 0.5
    found = behind(source, LONG, DEFAULT)
    assert found is not None
    is_all(found[inside((0, 0.2, 0.2, 0.8), 0)], ROOM, 0.01)
    is_all(found[inside((0.8, 0.2, 1, 0.8), 0)], 0.5 * ROOM, 0.01)
    middle = found[SIZE // 2, :, 0]
    assert np.diff(middle).max() < 1e-4  # from one to the other, not beyond


def test_nothing_is_behind_a_head_that_fills_the_crop() -> None:
    full = regions(hair=(0, 0, 1, 1), skin=FACE)
    assert behind(texture(0), full, DEFAULT) is None
    # A little seen through the hair is no wall.
    little = regions(hair=(0, 0, 1, 1), skin=FACE, background=(0.02, 0.02, 0.1, 0.1))
    assert behind(texture(0), little, DEFAULT) is None
    painted = texture(1)
    assert _uncovered(painted, texture(0), full, BALD, DEFAULT) is painted


def test_the_wall_is_shown_where_the_edit_shows_any() -> None:
    painted = texture(1)
    found = _uncovered(painted, before_a_wall(), LONG, BALD, DEFAULT)
    for place in ((0, 0, 1, 0.13), (0.2, 0.1, 0.23, 0.85)):
        is_all(found[inside(place, 0)], ROOM)
    head = inside((0.25, 0.15, 0.75, 0.85), 4)
    assert np.array_equal(found[head], painted[head])


def test_an_island_of_background_in_a_hat_stays_the_hats() -> None:
    source, painted, island = before_a_wall(), texture(1), (0.4, 0.1, 0.6, 0.2)
    hats = regions(hat=(0.15, 0.05, 0.85, 0.3), skin=FACE, background=island)
    found = _uncovered(painted, source, LONG, hats, DEFAULT)
    assert np.array_equal(found[inside(island, 0)], painted[inside(island, 0)])
    # Where it reaches the crop's border it is the wall's.
    island = (0.4, 0, 0.6, 0.2)
    hats = regions(hat=(0.15, 0.05, 0.85, 0.3), skin=FACE, background=island)
    found = _uncovered(painted, source, LONG, hats, DEFAULT)
    is_all(found[inside(island, 4)], ROOM)


def test_a_bald_head_has_the_skins_colour_before_the_sources_wall() -> None:
    """Each thing of the generator's has another error, and its wall is another one."""

    def drawn(maps: Picture, **values: float) -> Picture:
        small = sum(maps[:, :, REGIONS.index(name)] * value for name, value in values.items())
        big = cv2.resize(np.asarray(small), (SIZE, SIZE), interpolation=cv2.INTER_NEAREST)
        return np.repeat(big[:, :, None], 3, 2).astype(np.float32)

    source = drawn(HEAD, background=0.8, hair=0.2, skin=0.6)
    reconstruction = drawn(HEAD, background=0.4, hair=0.3, skin=0.5)
    edited = drawn(BALD, background=0.4, skin=0.5)
    touch = Touch(matter=frozenset({"hair"}))
    colour, alpha = run(source, reconstruction, edited, touch, (HEAD, HEAD, BALD))
    found = pasted(source, colour, alpha)
    assert np.abs(found[inside((0.27, 0.17, 0.73, 0.4), 0)] - 0.6).max() < 0.03
    for place in ((0.2, 0.1, 0.235, 0.4), (0.2, 0.1, 0.8, 0.135)):
        left = np.abs(found[inside(place, 0)] - 0.8)
        assert left.mean() < 0.02
        assert left.max() < 0.08  # of 0.6, at the hair's corners
    below = inside((0.02, 0.5, 0.98, 0.98), 0)
    assert np.array_equal(found[below], source[below])


def matter_of(
    own: Picture, after: Picture, names: set[str], parameters: Any = DEFAULT.matter
) -> Picture:
    """Where the generator's pixels are shown, if both its pictures look alike."""
    nothing = np.zeros((SIZE, SIZE, 3), np.float32)
    touch = Touch(matter=frozenset(names))
    growth = DEFAULT.motion.growth
    unsure = nothing[:, :, 0]
    return _matter(own, own, after, nothing, unsure, touch, 0.0, parameters, growth)


def test_a_hat_over_hair_comes_as_a_whole() -> None:
    place = (0.2, 0.1, 0.8, 0.3)
    hats = HEAD.copy()
    x0, y0, x1, y1 = (round(v * SIDE) for v in place)
    hats[y0:y1, x0:x1] = regions(hat=(0, 0, 1, 1))[y0:y1, x0:x1]
    found = matter_of(HEAD, hats, {"hat", "hair"})
    assert found[inside(place, 4)].min() > 0.99
    assert found[inside((0.27, 0.45, 0.73, 0.8), 0)].max() < 0.01
    # Hair that stays hair is not painted anew.
    assert matter_of(HEAD, HEAD, {"hat", "hair"}).max() == 0


@pytest.mark.parametrize("traces", [2, 4, 8])
def test_what_goes_takes_its_traces_with_it(traces: int) -> None:
    """Over background up to that far away half of it goes; the square of that is shown."""
    parameters = replace(DEFAULT.matter, traces=traces)
    found = matter_of(HEAD, regions(skin=FACE), {"hair"}, parameters)
    row = found[round(0.2 * SIZE), : SIZE // 2]
    assert row[round(0.2 * SIZE) + 2 :].min() > 0.9
    first = int(np.flatnonzero(row > 0.25)[0])
    scale = SIZE // SIDE
    assert round(0.2 * SIDE) * scale - first == pytest.approx(traces * scale, abs=2)
    assert row[: first - 2 * traces * scale].max() < 1e-3


def test_what_goes_takes_no_clothes_with_it() -> None:
    coat = (0.02, 0.1, 0.2, 0.4)
    own = regions(hair=HAIR, skin=FACE, clothes=coat)
    found = matter_of(own, regions(skin=FACE, clothes=coat), {"hair"})
    assert found[inside(coat, 4)].max() < 0.01
    assert found[inside((0.22, 0.12, 0.78, 0.23), 0)].min() > 0.95


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 1, 1.5, 10])
def test_as_much_is_renewed_as_the_edit_changes(share: float) -> None:
    how = DEFAULT.matter
    change = np.full((SIDE, SIDE), share * how.change, np.float32)
    touch = Touch(renewed=frozenset({"skin", "nose"}))
    found = _renewed(HEAD, HEAD, change, touch, how)
    skin = HEAD[:, :, REGIONS.index("skin")] > 0
    np.testing.assert_allclose(found[skin], how.renewed * min(share, 1), rtol=1e-4)
    assert not found[~skin].any()
    if share == 0:
        assert not found.any()


def test_only_a_change_of_what_is_renewed_renews_it() -> None:
    """And only what is there before and after."""
    skin = HEAD[:, :, REGIONS.index("skin")]
    touch = Touch(renewed=frozenset({"skin"}))
    assert not _renewed(HEAD, HEAD, np.float32(1) - skin, touch, DEFAULT.matter).any()
    assert not _renewed(HEAD, regions(hat=(0, 0, 1, 1)), skin, touch, DEFAULT.matter).any()
    half = np.float32(0.5) * HEAD
    found = _renewed(half, HEAD, skin, touch, DEFAULT.matter)
    np.testing.assert_allclose(found, DEFAULT.matter.renewed / 2 * skin, atol=1e-6)


def renewing(light: float) -> Change:
    """A change of the skin's light, which renews it."""
    source, reconstruction = texture(0), texture(1)
    touch = replace(SKIN, renewed=frozenset({"skin"}))
    edited = reconstruction + np.float32(light)
    return find_change(source, reconstruction, edited, Parsed(HEAD, HEAD, HEAD), SAME, touch)


def test_the_generators_skin_is_shown_in_part_where_it_is_renewed() -> None:
    how, face, outside = DEFAULT.matter, inside(FACE, 8), inside((0.02, 0.02, 0.98, 0.2), 0)
    for light, share in ((how.change, 1), (how.change / 2, 0.5)):
        change = renewing(light)
        assert change.matter is not None
        np.testing.assert_allclose(change.matter[face], how.renewed * share, rtol=0.02)
        assert not change.matter[outside].any()
    change = renewing(0)
    assert change.matter is not None
    assert not change.matter.any()

"""Colour and light of the source for what the generator shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from videdit.blending.colours import match_colours
from videdit.blending.parameters import DEFAULT

SIZE, SIDE = 256, 128
SMALL = SIZE // DEFAULT.colours.reduction  # of the picture that is looked at
Picture = NDArray[np.float32]
SKIN = np.array([0.1, 0.05, -0.02], np.float32)
HAIR = np.array([-0.15, 0.02, 0.2], np.float32)


def halves(upper: Picture | float, lower: Picture | float, size: int = SIZE) -> Picture:
    """A picture of two colours, one above the other."""
    out = np.zeros((size, size, 3), np.float32)
    out[: size // 2], out[size // 2 :] = upper, lower
    return out


def share(upper: float, lower: float, side: int = SIDE) -> Picture:
    """A map of two values, one above the other."""
    return np.ascontiguousarray(halves(upper, lower, side)[:, :, 0])


def gained(error: Picture, things: list[tuple[Picture, Picture]], size: int = SIZE) -> Picture:
    """What is added to an edit where the reconstruction misses that much of the source."""
    rng = np.random.default_rng(0)
    reconstruction, edited = rng.random((2, size, size, 3)).astype(np.float32)
    both, after = (np.stack(maps, 2) for maps in zip(*things, strict=True))
    shown = match_colours(reconstruction + error, reconstruction, edited, both, after)
    return np.asarray(shown - edited, np.float32)


def check(found: Picture, goal: Picture | float, within: float = 1e-3) -> None:
    """Every pixel has that colour."""
    np.testing.assert_allclose(found, np.broadcast_to(goal, found.shape), atol=within)


@pytest.mark.parametrize("size", [64, 256])
@pytest.mark.parametrize("side", [16, 128])
def test_each_thing_takes_its_own_error(size: int, side: int) -> None:
    upper, lower = share(1, 0, side), share(0, 1, side)
    found = gained(halves(HAIR, SKIN, size), [(lower, lower), (upper, upper)], size)
    check(found[: size // 4], HAIR)
    check(found[-size // 4 :], SKIN)


def test_skin_over_former_hair_takes_the_skins_error() -> None:
    """A bald head: the edit shows skin everywhere."""
    upper, lower, all_of_it = share(1, 0), share(0, 1), share(1, 1)
    found = gained(halves(HAIR, SKIN), [(lower, all_of_it), (upper, 0 * upper)])
    check(found, SKIN)


def test_half_of_two_things_takes_half_of_both_errors() -> None:
    upper, lower, half = share(1, 0), share(0, 1), share(0.5, 0.5)
    found = gained(halves(HAIR, SKIN), [(lower, half), (upper, half)])
    check(found, np.float32(0.5) * (SKIN + HAIR))


def test_what_is_near_says_more_than_what_is_farther_away() -> None:
    """Skin in two lights, seen everywhere: each side keeps its own."""
    found = gained(halves(HAIR, SKIN), [(share(1, 1), share(1, 1))])
    check(found[:96], HAIR)
    check(found[160:], SKIN)


def test_for_what_only_the_edit_shows_the_first_things_mean_stands_in() -> None:
    """A hat on a head whose skin lies in two lights."""
    hat, skin = share(1, 0), share(0, 1)
    error = halves(0, SKIN)
    error[:, SIZE // 2 :] *= 2
    found = gained(error, [(skin, skin), (0 * hat, hat)])
    check(found[:112], np.float32(1.5) * SKIN)
    # Nothing is seen of either.
    found = gained(error, [(0 * skin, skin), (0 * hat, hat)])
    check(found, 0, 1e-6)


@pytest.mark.parametrize("cells", [2, 9])
def test_a_little_of_a_thing_says_nothing_about_the_rest_of_it(cells: int) -> None:
    """Some cells of the picture that is looked at, in one corner."""
    seen, after = share(0, 0), share(1, 0)
    cell = SIDE // SMALL
    seen[:cell, : cells * cell] = 1
    found = gained(halves(HAIR, SKIN), [(share(0, 1), share(0, 1)), (seen, after)])
    far = found[:96, SIZE // 2 + 64 :]
    goal = SKIN if cells < DEFAULT.colours.fewest else HAIR
    check(far, goal, 2e-3)


def test_what_differs_strongly_is_no_colour() -> None:
    one = share(1, 1)
    found = gained(np.full((SIZE, SIZE, 3), 0.9, np.float32), [(one, one)])
    check(found, DEFAULT.colours.limit)


def test_texture_is_no_colour() -> None:
    """Differences that change from pixel to pixel are gone; their mean stays."""
    error = 0.05 + 0.1 * np.sign(np.indices((SIZE, SIZE)).sum(0) % 2 - 0.5)
    found = gained(
        np.repeat(error[:, :, None], 3, 2).astype(np.float32), [(share(1, 1), share(1, 1))]
    )
    check(found, 0.05)


def test_the_less_is_near_the_more_counts_what_is_farther_away() -> None:
    """Skin in two lights, seen hardly at all on one side: where that little is sure, it counts."""
    error, seen = halves(HAIR, SKIN), share(0.1, 1)
    rng = np.random.default_rng(1)
    reconstruction, edited = rng.random((2, SIZE, SIZE, 3)).astype(np.float32)
    source, things = reconstruction + error, (seen[:, :, None], share(1, 1)[:, :, None])
    apart = []
    for sure in (0.05, 0.4):
        how = replace(DEFAULT.colours, sure=sure)
        found = match_colours(source, reconstruction, edited, *things, how)
        apart.append(np.abs((found - edited)[:64] - HAIR).max())
    assert apart[0] < 1e-3
    assert apart[1] > 0.02

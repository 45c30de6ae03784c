"""Lines over time, looked at pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from videdit.plot import COLOURS, Line, plot, ticks

BLUE, RED = COLOURS[:2]
LEFT, RIGHT, TOP, BOTTOM = 58, 400 - 14, 26, 200 - 22  # of the axes in a picture of 400x200
TIMES = np.linspace(0, 1, 11)


def drawn(lines: list[Line], **how: object) -> np.ndarray:
    return plot("", TIMES, lines, size=(400, 200), limits=(0.0, 1.0), **how)  # type: ignore[arg-type]


def has(picture: np.ndarray, colour: tuple[int, ...]) -> np.ndarray:
    """(h, w) where a colour is."""
    return (np.abs(picture.astype(int) - colour).max(2) < 8).astype(bool)


def at(time: float) -> int:
    """The column of a time."""
    return round(LEFT + time * (RIGHT - LEFT))


def test_a_line_goes_through_its_values() -> None:
    picture = drawn([Line("", TIMES * 0.5, BLUE)])
    assert picture.shape == (200, 400, 3)
    assert picture.dtype == np.uint8
    blue = has(picture, BLUE)
    for time in (0.1, 0.5, 0.9):
        rows = np.flatnonzero(blue[:, at(time)])
        assert len(rows) in (1, 2, 3)
        assert rows.mean() == pytest.approx(BOTTOM - 0.5 * time * (BOTTOM - TOP), abs=1)
    rows, columns = np.nonzero(blue)
    assert columns.min() >= LEFT
    assert columns.max() <= RIGHT
    assert rows.min() >= TOP


def test_a_line_is_broken_where_nothing_is_known() -> None:
    values = np.full(11, 0.5)
    values[4:7] = np.nan
    values[9] = np.nan  # what comes last is alone
    columns = has(drawn([Line("", values, BLUE)]), BLUE).any(0)
    assert columns[at(0.1) : at(0.3)].all()
    assert not columns[at(0.3) + 3 : at(0.7) - 2].any()
    assert columns[at(0.7) : at(0.8)].all()
    assert not columns[at(0.8) + 3 : at(1.0) - 3].any()
    assert columns[at(1.0) - 2 : at(1.0)].any()
    assert not has(drawn([Line("", np.full(11, np.nan), BLUE)]), BLUE).any()


def test_what_is_outside_the_limits_is_not_drawn_over_the_rest() -> None:
    blue = has(drawn([Line("", TIMES * 4 - 2, BLUE)]), BLUE)
    rows, columns = np.nonzero(blue)
    assert rows.min() >= TOP
    assert rows.max() <= BOTTOM
    assert columns.min() > at(0.4)
    assert columns.max() < at(0.8)


def test_thin_lines_lie_below_and_are_pale() -> None:
    same = np.full(11, 0.3)
    covered = drawn([Line("", same, RED), Line("", same, BLUE, thin=True)])
    assert has(covered, RED).any()
    only = drawn([Line("", same, RED)])
    assert np.abs(covered.astype(int) - only).max() < 100
    alone = drawn([Line("", same, BLUE, thin=True)])
    ink = (alone != drawn([])).any(2)
    assert ink.any(0)[LEFT + 1 : RIGHT].all()
    assert ink.sum(0).max() <= 3
    assert alone[ink].min(0).tolist() > [c + 40 for c in BLUE]


def test_marks_cuts_and_gaps() -> None:
    plain = drawn([])
    marked = drawn([], marks=[(0.5, "")], cuts=[0.25], gaps=[(0.7, 0.8)])
    changed = (plain != marked).any(2)
    inside = slice(TOP + 2, BOTTOM - 2)
    assert 0.4 < changed[inside, at(0.5)].mean() < 0.6  # dashed
    assert changed[inside, at(0.25)].all()
    gap = marked[inside, at(0.7) : at(0.8)]
    assert (gap[:, :, 2] < 220).mean() > 0.9
    elsewhere = np.ones(400, bool)
    elsewhere[[at(0.5), at(0.25), *range(at(0.7), at(0.8) + 1)]] = False
    assert not changed[:, elsewhere].any()


def test_the_legend_names_lines_that_have_a_name() -> None:
    above = drawn([Line("one", TIMES, BLUE), Line("", TIMES, RED)])[: TOP - 1]
    assert has(above, BLUE).any()
    assert not has(above, RED).any()


def test_the_axis_holds_all_values_by_default() -> None:
    picture = plot("", TIMES, [Line("", TIMES * 7 + 100, BLUE)], size=(400, 200))
    rows, columns = np.nonzero(has(picture, BLUE))
    assert TOP < rows.min() < TOP + 20
    assert BOTTOM - 20 < rows.max() < BOTTOM
    assert columns.max() - columns.min() > 0.98 * (RIGHT - LEFT)
    level = plot("", TIMES, [Line("", 7 + TIMES * 1e-9, BLUE)], size=(400, 200))
    assert has(level, BLUE).any(1).sum() <= 3
    # A constant, nothing at all, one moment: a picture all the same.
    for times, values in ((TIMES, np.full(11, 3.0)), (np.zeros(1), np.ones(1)), (np.zeros(0),) * 2):
        assert plot("x", times, [Line("x", values, RED)]).shape == (230, 1008, 3)


@pytest.mark.parametrize(
    ("low", "high", "count", "expected"),
    [
        (0, 1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-0.05, 0.35, 4, [0, 0.1, 0.2, 0.3]),
        (0, 4, 8, [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4]),
        (-1, 1, 2, [-1, 0, 1]),
        (155, 163, 4, [156, 158, 160, 162]),
        (-2300, 2100, 3, [-2000, 0, 2000]),
    ],
)
def test_ticks_are_round(low: float, high: float, count: int, expected: list[float]) -> None:
    assert ticks(low, high, count) == expected

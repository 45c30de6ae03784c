"""How far alpha 1 goes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from videdit.evaluation.lengths import LengthSearch, Tried, chosen_length

SEARCH = LengthSearch(ladder=(0.5, 0.7, 1.0, 1.5, 2.0), seen=0.8, close=0.05, least=5)


def rising(
    seen: dict[float, float], faces: int = 20, per_step: float = 0.1
) -> tuple[Callable[[float], Tried], list[float]]:
    asked: list[float] = []

    def at(length: float) -> Tried:
        asked.append(length)
        return Tried(faces, seen[length], 1.0, per_step * length)

    return at, asked


@pytest.mark.parametrize(
    ("seen", "length"),
    [
        ({0.5: 0.1, 0.7: 0.3, 1.0: 0.5, 1.5: 0.85, 2.0: 0.95}, 1.5),
        ({0.5: 0.4, 0.7: 0.85, 1.0: 0.9, 1.5: 1.0, 2.0: 1.0}, 0.7),
        ({0.5: 0.9, 0.7: 0.95, 1.0: 1.0, 1.5: 1.0, 2.0: 1.0}, 0.5),
        # Never often enough: the shortest that is about as good as the best.
        ({0.5: 0.1, 0.7: 0.2, 1.0: 0.3, 1.5: 0.5, 2.0: 0.52}, 1.5),
        ({0.5: 0.1, 0.7: 0.2, 1.0: 0.3, 1.5: 0.3, 2.0: 0.3}, 1.0),
    ],
)
def test_the_shortest_that_is_seen_often_enough(seen: dict[float, float], length: float) -> None:
    at, asked = rising(seen)
    assert chosen_length(at, SEARCH) == length
    assert len(asked) == len(set(asked))


def test_no_length_goes_beyond_the_limit() -> None:
    seen = {0.5: 0.1, 0.7: 0.2, 1.0: 0.3, 1.5: 0.5, 2.0: 0.9}
    assert chosen_length(rising(seen)[0], SEARCH, limit=0.16) == 1.5
    assert chosen_length(rising(seen)[0], SEARCH, limit=0.12) == 1.0


def test_what_breaks_is_not_pushed_on() -> None:
    at, asked = rising({0.5: 0.1, 0.7: 0.2, 1.0: 0.5, 1.5: 0.3, 2.0: 0.9})
    assert chosen_length(at, SEARCH) == 1.0
    assert 2.0 not in asked


def test_too_few_say_nothing() -> None:
    at, asked = rising(dict.fromkeys(SEARCH.ladder, 0.0), faces=4)
    assert chosen_length(at, SEARCH) == 1.0
    assert asked == [1.0]


def test_what_may_change_whom() -> None:
    limits = [SEARCH.limit(name) for name in ("Smiling", "Young", "Male")]
    assert limits == sorted(limits)
    assert limits == [SEARCH.expression, SEARCH.identity, SEARCH.sex]

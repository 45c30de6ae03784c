from __future__ import annotations

import pytest

from videdit.editing.classifier import GOAL
from videdit.training.reach import bracketed


def test_the_length_at_which_an_edit_is_seen_is_closed_in() -> None:
    low, high = bracketed(lambda length: 2 * length - 1, 0.0, 8.0, 10)
    assert low <= (GOAL + 1) / 2 <= high
    assert high - low == pytest.approx(8 / 2**10)


def test_what_is_never_reached_is_as_long_as_may_be() -> None:
    low, high = bracketed(lambda length: -1.0, 0.0, 8.0, 5)
    assert high == 8.0
    assert low == pytest.approx(8 - 8 / 32)

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from videdit.media.times import in_order


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60))
def test_times_in_coded_order_are_sorted(steps: list[int]) -> None:
    times = np.cumsum(steps)
    # Groups of up to 4 frames, shown after the frame that is coded before them.
    coded = np.concatenate(
        [np.roll(part, 1) for part in np.array_split(times, -(-len(times) // 4))]
    )
    made, jumps = in_order(coded.astype(np.int64))
    np.testing.assert_array_equal(made, times)
    assert not jumps


@given(st.lists(st.integers(20, 60), min_size=2, max_size=4))
def test_a_clock_that_starts_anew_goes_on(lengths: list[int]) -> None:
    stored = np.concatenate([np.arange(length) * 40 + 1000 for length in lengths])
    made, jumps = in_order(stored.astype(np.int64))
    np.testing.assert_array_equal(made, np.arange(sum(lengths)) * 40 + 1000)
    assert jumps


def test_times_that_rise_stay() -> None:
    stored = np.array([5, 5, 9, 40], np.int64)
    made, jumps = in_order(stored)
    np.testing.assert_array_equal(made, stored)
    assert not jumps

"""Changes of the frames around a frame."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from videdit.blending.change import Change
from videdit.stages.blend import _Found, _moments

QUAD = np.zeros((4, 2))


def change(value: float) -> Change:
    return Change(*(np.full(shape, value, np.float32) for shape in ((2, 2, 2), (2, 2, 3))),
                  where=np.ones((2, 2), np.float32))  # fmt: skip


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=14),
    st.integers(0, 20),
    st.lists(st.booleans(), min_size=14, max_size=14),
)
def test_each_frame_sees_its_track_within_reach(
    steps: list[int], reach: int, seen: list[bool]
) -> None:
    """Against the obvious way: look at every pair of frames."""
    times = np.cumsum(steps).astype(np.float64)
    first = 3  # the frames are a part of a clip
    all_times = np.concatenate((np.full(first, -1000.0), times))
    rgb = np.zeros((2, 2, 3), np.uint8)

    def found() -> Any:
        for k in range(len(times)):
            frame: Any = SimpleNamespace(index=first + k)
            changes: dict[tuple[int, str], Any] = {(9, "hair"): (QUAD, change(100 + k))}
            if seen[k]:
                changes[4, "face"] = (QUAD, change(k))
            yield _Found(frame, rgb if seen[k] else None, changes)

    moments = list(_moments(found(), all_times, reach))
    assert [moment.frame.index for moment in moments] == list(range(first, first + len(times)))
    for k, moment in enumerate(moments):
        near = [j for j in range(len(times)) if abs(times[j] - times[k]) <= reach]
        by_value = {
            float(around[0][1].offset[0, 0, 0]) >= 100: around
            for _, around in moment.around.values()
        }
        assert [index - first for index, _ in by_value[True]] == near
        expected = [j for j in near if seen[j]] if seen[k] else None
        own = by_value.get(False)
        assert (None if own is None else [index - first for index, _ in own]) == expected
        assert (moment.rgb is rgb) == seen[k]


def test_only_what_is_within_reach_is_held() -> None:
    times = np.arange(500) / 25
    alive: list[int] = []

    def found() -> Any:
        for k in range(500):
            alive.append(k)
            frame: Any = SimpleNamespace(index=k)
            yield _Found(frame, None, {(0, "face"): (QUAD, change(k))})

    for k, moment in enumerate(_moments(found(), times, 0.1)):
        assert alive[-1] <= k + 4
        ((_, around),) = moment.around.values()
        assert len(around) <= 6

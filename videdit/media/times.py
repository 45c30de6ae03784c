"""Frame times made to rise, as players make them, where a file states them otherwise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_REORDERED = 17
"""Frames by which a time may be out of place: H.264 and HEVC reorder at most 16."""


def in_order(stored: NDArray[np.int64]) -> tuple[NDArray[np.int64], bool]:
    """The times of frames that a decoder gave out in the order in which they are shown.

    Some files label frames in the order of coding (AVI with B-frames): the times are right, the
    frames that carry them are not, so they are sorted. In others the clock starts anew (recordings
    that were put together): what comes after goes on from what came before.

    Args:
        stored: (n,) as the decoder gave them, ticks.

    Returns:
        (n,) never decreasing, the first as the earliest of the stored ones around it; and whether
        the clock starts anew somewhere.
    """
    if len(stored) < 2 or np.diff(stored).min() >= 0:
        return stored, False
    parts = _stretches(stored)
    step = _usual_step(parts)
    made: list[NDArray[np.int64]] = []
    for part in parts:
        rising = np.sort(part)
        if made:
            rising = rising - rising[0] + made[-1][-1] + step
        made.append(rising)
    return np.concatenate(made), len(parts) > 1


def _stretches(stored: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The times cut where the clock goes back to before all that a decoder may hold back."""
    cuts = []
    start = 0
    for i in range(1, len(stored)):
        # Coded order mislabels by a few frames. A clock that starts anew is earlier than what is
        # farther back than that.
        before = stored[start : max(start, i - _REORDERED)]
        if len(before) and stored[i] < before[-1] and stored[i] < stored[i - _REORDERED : i].min():
            cuts.append(i)
            start = i
    return np.split(stored, cuts)


def _usual_step(parts: list[NDArray[np.int64]]) -> int:
    steps = np.concatenate([np.diff(np.sort(part)) for part in parts])
    rising = steps[steps > 0]
    return int(np.median(rising)) if len(rising) else 1

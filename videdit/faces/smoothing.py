"""Zero-phase smoothing over time, in seconds.

Every value is replaced by a Gaussian-weighted local *linear* regression evaluated at its own
time, so steady motion passes through unchanged, also at a track's first and last frames (a plain
weighted mean would drag the ends towards the middle), and unevenly spaced times need no
resampling. The weights look equally far back and ahead: there is no lag.

Nothing here knows of cuts: smooth one track at a time, a track lies within one shot.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from videdit.faces.parameters import DEFAULT

FloatArray = NDArray[np.float64]

_SLACK = 1.0 + 1e-9  # that no rounding leaves out what lies exactly at the end of a reach


def window(times_s: NDArray[np.float64], start: int, stop: int, pad_s: float) -> tuple[int, int]:
    """The frames within ``pad_s`` seconds of ``start <= frame < stop``, and one more on each side.

    :func:`smooth` over such a window, padded by its reach, gives the same inside, to the last bit,
    as over everything. It weighs a value by the time to its neighbours: hence the one more.

    Args:
        times_s: (n,) seconds of all frames, increasing.
        start, stop: at least one frame.
        pad_s: seconds.

    Returns:
        ``(first, last)``: the frames ``first <= frame < last``, all within [0, n).
    """
    reach = pad_s * _SLACK
    first = int(np.searchsorted(times_s, times_s[start] - reach, side="left"))
    last = int(np.searchsorted(times_s, times_s[stop - 1] + reach, side="right"))
    return max(0, first - 1), min(len(times_s), last + 1)


def smooth(
    values: NDArray[np.floating[Any]],
    times_s: NDArray[np.floating[Any]],
    sigma_s: float,
    reach: float = DEFAULT.aligning.smoothing.reach,
) -> FloatArray:
    """Smooth a sequence over time without lag.

    With weights ``w_j = h_j exp(-(t_j - t_i)^2 / (2 sigma^2))``, where ``h_j`` is the time that
    sample j stands for (half the way to its neighbours, so that a burst of samples counts no more
    than a few spread over the same time), and ``S_n = sum_j w_j (t_j - t_i)^n`` the result is
    ``sum_j w_j (S_2 - S_1 (t_j - t_i)) x_j / (S_0 S_2 - S_1^2)``: local linear regression (Fan
    and Gijbels, *Local Polynomial Modelling*, 1996).

    Args:
        values: (k, ...) any quantity, one entry per time.
        times_s: (k,) seconds, strictly increasing.
        sigma_s: standard deviation in seconds; 0 returns the values as they are.
        reach: standard deviations beyond which a weight is zero.

    Returns:
        float64 array of the shape of ``values``.

    Raises:
        ValueError: lengths differ, times don't increase, or sigma is negative or not finite.
    """
    source = np.asarray(values, dtype=np.float64)
    times = np.asarray(times_s, dtype=np.float64)
    if times.ndim != 1 or source.ndim == 0 or len(source) != len(times):
        raise ValueError(f"{source.shape} values do not match {times.shape} times")
    if not (np.isfinite(sigma_s) and sigma_s >= 0):
        raise ValueError(f"sigma must be a number of seconds >= 0, not {sigma_s}")
    if np.any(np.diff(times) <= 0):
        raise ValueError("times must increase strictly")
    count = len(times)
    if sigma_s == 0 or count < 2:
        return source.copy()

    flat = source.reshape(count, -1)
    reach_s = reach * sigma_s * _SLACK
    index = np.arange(count)
    back = int((index - np.searchsorted(times, times - reach_s, side="left")).max())
    ahead = int((np.searchsorted(times, times + reach_s, side="right") - 1 - index).max())
    share = np.gradient(times) / sigma_s
    s0 = np.zeros(count)
    s1 = np.zeros(count)
    s2 = np.zeros(count)
    plain = np.zeros_like(flat)  # sum of w x
    tilted = np.zeros_like(flat)  # sum of w dt x
    # One pass per offset keeps memory at a few copies of the values, whatever the length.
    for offset in range(-back, ahead + 1):
        here = slice(max(0, -offset), count - max(0, offset))
        there = slice(max(0, offset), count - max(0, -offset))
        dt = (times[there] - times[here]) / sigma_s
        weight = np.where(np.abs(dt) <= reach, share[there] * np.exp(-0.5 * dt * dt), 0.0)
        s0[here] += weight
        s1[here] += weight * dt
        s2[here] += weight * dt * dt
        # Relative to the centre value: keeps full precision far from the origin.
        step = flat[there] - flat[here]
        plain[here] += weight[:, None] * step
        tilted[here] += (weight * dt)[:, None] * step
    determinant = s0 * s2 - s1 * s1
    regular = determinant > 1e-9 * s0 * s0
    safe = np.where(regular, determinant, 1.0)
    line = (s2[:, None] * plain - s1[:, None] * tilted) / safe[:, None]
    mean = plain / s0[:, None]  # only where all the weight sits at one time
    return (flat + np.where(regular[:, None], line, mean)).reshape(source.shape)

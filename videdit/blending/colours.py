"""Colour and light of the source for what the generator shows."""

from __future__ import annotations

from videdit.blending.maps import (
    FloatArray,
    blurred,
    cubic,
    larger,
    resized,
    smaller,
    where,
    zeros,
)
from videdit.blending.parameters import DEFAULT, Colours


def match_colours(
    source: FloatArray,
    reconstruction: FloatArray,
    edited: FloatArray,
    both: FloatArray,
    after: FloatArray,
    parameters: Colours = DEFAULT.colours,
) -> FloatArray:
    """Give the edited crop the source's light and colour.

    What the reconstruction misses of the source at low frequencies is added to the edit: the two
    share one generator, so they miss the same. Each thing misses its own: a bald head where there
    was hair takes after the skin that is nearest, not after the hair.

    Args:
        source, reconstruction, edited: (size, size, 3) RGB in [0, 1].
        both: (s, s, things) in [0, 1]: where source and reconstruction both show each thing. What
            the first one misses stands in for what only the edit shows.
        after: (s, s, things) where the edit shows it.
        parameters: what of the difference is light and colour.

    Returns:
        (size, size, 3) float32, not clipped.
    """
    size = source.shape[0]
    small = max(parameters.least_side, size // parameters.reduction)
    error = resized(source - reconstruction, small)
    error = error.clip(-parameters.limit, parameters.limit)
    weight = resized(both, small).reshape(small, small, -1)
    total = weight.sum((0, 1))[:, None]
    mean = (error[:, :, None] * weight[:, :, :, None]).sum((0, 1)) / larger(total, 1e-6)
    enough = total > parameters.fewest
    start = where(enough[0], mean[0], 0.0)
    mean = where(enough, mean, start)
    found = nearest(error, weight, mean, parameters.reach * small, parameters.sure)
    here = resized(after, small).reshape(small, small, -1, 1)
    missed = (here * found).sum(2) / (here.sum(2) + 1e-6)
    return edited + cubic(missed, size)


def nearest(
    values: FloatArray, weight: FloatArray, start: FloatArray, sigma: float, sure: float
) -> FloatArray:
    """(s, s, k, 3) what values are where they are known, carried on to where they aren't: what is
    near says more than what is farther away.

    Args:
        values: (s, s, 3).
        weight: (s, s, k) in [0, 1], where they are known, for each of k things.
        start: (k, 3) what they are where nothing known is near.
        sigma: standard deviation of what is near, pixels.
        sure: share of what is near that has to be known to say all.
    """
    side, _, count = weight.shape
    known = (values[:, :, None] * weight[:, :, :, None]).reshape(side, side, -1)
    found = zeros(values, side, side, count, 3) + start
    for width in (4 * sigma, sigma):
        near = blurred(weight, width).reshape(side, side, -1, 1)
        local = blurred(known, width).reshape(side, side, -1, 3) / (near + 1e-6)
        found += smaller(near / sure, 1.0) * (local - found)
    return found

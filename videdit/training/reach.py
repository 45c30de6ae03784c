"""How far an edit must go until it is seen: what alpha 1 is, for editors that are calibrated so."""

from __future__ import annotations

from collections.abc import Callable

from ..editing.classifier import GOAL


def bracketed(
    reached: Callable[[float], float], low: float, high: float, rounds: int
) -> tuple[float, float]:
    """The lengths between which an edit reaches `GOAL`, by halving.

    Args:
        reached: the logit, towards the edit, at some length; rising.
        low, high: where to look.
        rounds: how often the distance is halved.
    """
    for _ in range(rounds):
        middle = (low + high) / 2
        low, high = (middle, high) if reached(middle) < GOAL else (low, middle)
    return low, high

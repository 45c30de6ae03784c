"""The method as papers run it."""

from __future__ import annotations

import pytest

from videdit.evaluation.plain import PlainCost, measure_plain


@pytest.mark.slow
def test_each_network_is_timed() -> None:
    found = measure_plain(64, 96)
    assert min(found.detector, found.encoder, found.generator) > 0


def test_the_total_is_of_all_three() -> None:
    assert PlainCost(3.0, 0.5, 2.0).total == 5.5

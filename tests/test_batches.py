from __future__ import annotations

import pytest

from videdit.batches import batched


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [
        (7, 3, [[0, 1, 2], [3, 4, 5], [6]]),
        (6, 3, [[0, 1, 2], [3, 4, 5]]),
        (2, 8, [[0, 1]]),
        (0, 4, []),
        (2, 1, [[0], [1]]),
    ],
)
def test_order_and_lengths(count: int, size: int, expected: list[list[int]]) -> None:
    assert list(batched(range(count), size)) == expected
    assert list(batched(iter(range(count)), size)) == expected


def test_items_are_asked_for_when_they_are_needed() -> None:
    left = iter(range(10))
    batches = batched(left, 4)
    assert next(left) == 0
    assert next(batches) == [1, 2, 3, 4]
    assert next(left) == 5


def test_a_batch_holds_something() -> None:
    with pytest.raises(ValueError, match="at least one"):
        list(batched([1], 0))

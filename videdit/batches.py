"""Several items at a time, for networks and filters that take them together.

How many at a time is decided by ``videdit.device.batch_size``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in their order, in lists of ``size``; the last may be shorter, none is empty.

    No item is asked for before the list that it belongs to.

    Raises:
        ValueError: the size is not positive.
    """
    if size < 1:
        raise ValueError(f"a batch holds at least one item, not {size}")
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch

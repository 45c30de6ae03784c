"""Several items at a time, for networks and filters that take them together.

How many at a time is decided by ``videdit.device.batch_size``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")


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


def ahead(items: Iterable[T], make: Callable[[T], R], threads: int = 1) -> Iterator[tuple[T, R]]:
    """Each item in its order with ``make`` of it, which works in threads, so many items ahead of
    the caller.

    For work that leaves Python alone while it computes: the next results are in the making while
    the caller works on this one. What ``make`` raises is raised here, in its turn.
    """
    with ThreadPoolExecutor(threads, "ahead") as pool:
        left = iter(items)
        waiting = deque((item, pool.submit(make, item)) for item in islice(left, threads))
        while waiting:
            item, result = waiting.popleft()
            made = result.result()
            waiting.extend((after, pool.submit(make, after)) for after in islice(left, 1))
            yield item, made


_END: Final = object()


def taken_ahead(items: Iterable[T], count: int) -> Generator[T, None, None]:
    """The items in their order, taken in a thread of their own, up to so many ahead of the caller.

    What taking one raises is raised here, in its turn. The thread is gone when this ends or is
    closed; it takes no item after that.
    """
    left = iter(items)
    with ThreadPoolExecutor(1, "ahead") as thread:
        waiting = deque(thread.submit(next, left, _END) for _ in range(count))
        try:
            while (item := waiting.popleft().result()) is not _END:
                waiting.append(thread.submit(next, left, _END))
                yield item  # type: ignore[misc]
        finally:
            thread.shutdown(wait=False, cancel_futures=True)

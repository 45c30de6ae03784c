from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from videdit.batches import ahead, batched, taken_ahead


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


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("ahead")}


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_ahead_keeps_the_order(count: int) -> None:
    assert list(ahead(range(count), lambda i: i * i)) == [(i, i * i) for i in range(count)]
    assert not threads()


def test_ahead_works_one_ahead_and_no_further() -> None:
    asked: list[int] = []
    begun = [threading.Event() for _ in range(6)]
    by: set[int] = set()

    def items() -> Iterator[int]:
        for i in range(6):
            asked.append(i)
            yield i

    def make(i: int) -> int:
        by.add(threading.get_ident())
        begun[i].set()
        return -i

    results = ahead(items(), make)
    assert asked == []
    for i in range(6):
        assert next(results) == (i, -i)
        # While the caller has this one the next is made, and the one after it not asked for.
        assert begun[min(i + 1, 5)].wait(60)
        assert asked == list(range(min(i + 2, 6)))
    assert next(results, None) is None
    assert threading.get_ident() not in by


def test_ahead_raises_what_make_raises_in_its_turn() -> None:
    failed = threading.Event()

    def make(i: int) -> int:
        if i == 2:
            failed.set()
            raise ArithmeticError("of the third")
        return i

    results = ahead(range(6), make)
    assert next(results) == (0, 0)
    assert next(results) == (1, 1)
    assert failed.wait(60)
    with pytest.raises(ArithmeticError, match="of the third"):
        next(results)
    assert next(results, None) is None
    assert not threads()


def test_ahead_raises_what_the_items_raise() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise ArithmeticError("of the second")

    with pytest.raises(ArithmeticError, match="of the second"):
        list(ahead(items(), abs))
    assert not threads()


def test_an_abandoned_iterator_leaves_no_thread() -> None:
    results: Any = ahead(range(6), abs)
    assert next(results) == (0, 0)
    assert len(threads()) == 1
    results.close()
    assert not threads()

    for _ in ahead(range(6), abs):
        break
    assert not threads()

    def fail() -> None:
        for _ in ahead(range(6), abs):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not threads()


@pytest.mark.parametrize("count", [0, 1, 3, 9])
def test_items_are_taken_ahead_in_order(count: int) -> None:
    assert list(taken_ahead(range(count), 3)) == list(range(count))
    assert not threads()


def test_taken_ahead_as_far_as_it_may_be() -> None:
    taken: list[int] = []
    fourth = threading.Event()

    def items() -> Iterator[int]:
        for i in range(9):
            assert threading.current_thread() is not threading.main_thread()
            taken.append(i)
            if i == 3:
                fourth.set()
            yield i

    found = taken_ahead(items(), 3)
    assert next(found) == 0
    # The next is asked for when the first was handed over.
    assert fourth.wait(30)
    assert taken == [0, 1, 2, 3]
    found.close()
    assert not threads()
    assert taken == [0, 1, 2, 3]


def test_errors_of_what_is_taken_ahead_come_in_their_turn() -> None:
    def items() -> Iterator[int]:
        yield from range(2)
        raise KeyError("third")

    found = taken_ahead(items(), 4)
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(KeyError, match="third"):
        next(found)
    assert not threads()

"""A memory of bounded size."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """Values by name, of which only those used last are kept. Threads may share it.

    Args:
        size: how many are kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[str, V] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, name: str) -> V | None:
        """The value of this name; None where it is not kept."""
        with self._lock:
            if name not in self._values:
                return None
            self._values.move_to_end(name)
            return self._values[name]

    def put(self, name: str, value: V) -> None:
        """Keeps a value, as the one used last."""
        with self._lock:
            self._values[name] = value
            self._values.move_to_end(name)
            while len(self._values) > self._size:
                self._values.popitem(last=False)

    def drop(self, name: str) -> None:
        """Lets go of a value; harmless where it is not kept."""
        with self._lock:
            self._values.pop(name, None)

    def clear(self) -> None:
        """Lets go of all."""
        with self._lock:
            self._values.clear()

"""What was found out about shards and can be found out again, kept within a budget of memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

Name = tuple[str, str]
"""A shard's id, and what was asked of it."""

_OBJECTS = 1_000
"""Bytes an entry takes besides its name and what ``size`` tells of it: more than was measured of the smallest."""


class Remembered(Generic[T]):
    """Values by name; the least recently used are dropped beyond ``budget`` bytes, names included. Thread-safe.

    ``size`` tells the bytes of a value.
    """

    def __init__(self, budget: int, size: Callable[[T], int]) -> None:
        self._budget = budget
        self._size = size
        self._held: OrderedDict[Name, tuple[T, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, name: Name) -> T | None:
        """The value, used last from now on; None where there is none, or none any longer."""
        with self._lock:
            if name not in self._held:
                return None
            self._held.move_to_end(name)
            return self._held[name][0]

    def put(self, name: Name, value: T) -> None:
        """Keep the value in the place of any other of that name, unless it is larger than all the room."""
        size = self._size(value) + sum(map(len, name)) + _OBJECTS
        with self._lock:
            self._bytes -= self._held.pop(name, (value, 0))[1]
            if size > self._budget:
                return
            self._bytes += size
            self._held[name] = value, size
            while self._bytes > self._budget:
                self._bytes -= self._held.popitem(last=False)[1][1]

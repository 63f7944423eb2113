"""What was found out about shards and can be found out again, kept within a budget of memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")

Name = tuple[str, str]
"""A shard's id, and what was asked of it."""

_LATELY = 1_000
"""Others that were used since, at most: to look through more takes longer than to wait for the next time."""
_OBJECTS = 1_000
"""Bytes an entry takes besides its name and what ``size`` tells of it: more than was measured of the smallest."""


class Remembered(Generic[T]):
    """Values by name; the least recently used are dropped beyond ``budget`` bytes, names included. Thread-safe.

    ``size`` tells the bytes of a value. What costs much to find out is found out only when it is ``wanted`` again.
    """

    def __init__(self, budget: int, size: Callable[[T], int]) -> None:
        self._budget = budget
        self._size = size
        self._held: OrderedDict[Name, tuple[T | None, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, name: Name) -> T | None:
        """The value, used last from now on; None where there is none, or none any longer."""
        with self._lock:
            value = self._held.get(name, (None, 0))[0]
            if value is not None:
                self._held.move_to_end(name)
            return value

    def wanted(self, name: Name, size: int) -> bool:
        """Whether this was called for the name lately, and a value of so many bytes, had it been kept then, would still
        be here: what was used since leaves it room. So a value is not made to be dropped before it is used. Not where
        there is a value by now."""
        with self._lock:
            if self._held.get(name, (None, 0))[0] is not None:
                return False
            room = self._budget - size - _entry(name) if name in self._held else -1
            for other, (_, taken) in islice(reversed(self._held.items()), _LATELY):
                if other == name or room < 0:
                    break
                room -= taken
            else:
                room = -1
            self._bytes -= self._held.pop(name, (None, 0))[1]
            self._keep(name, None, _entry(name))
            return room >= 0

    def put(self, name: Name, value: T) -> None:
        """Keep the value in the place of any other of that name, unless it is larger than all the room."""
        size = self._size(value) + _entry(name)
        with self._lock:
            self._bytes -= self._held.pop(name, (None, 0))[1]
            if size <= self._budget:
                self._keep(name, value, size)

    def _keep(self, name: Name, value: T | None, size: int) -> None:
        self._bytes += size
        self._held[name] = value, size
        while self._bytes > self._budget:
            self._bytes -= self._held.popitem(last=False)[1][1]


def _entry(name: Name) -> int:
    """Bytes of an entry without its value."""
    return sum(map(len, name)) + _OBJECTS

"""Searches that ask for pieces step by step, carried out side by side: their n-th steps are one round of requests."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Generic, TypeAlias, TypeVar

from bucketlens.search.ranges import Piece, Ranges

T = TypeVar("T")
R = TypeVar("R")

Asking: TypeAlias = Generator[Sequence[Piece], list[bytes], T]
"""Yields the pieces it needs next, is sent their bytes, and returns what it was for."""


def side_by_side(ranges: Ranges, one: Asking[T], other: Asking[R]) -> tuple[T, R]:
    """What the two return, in as many rounds as the longer of them has steps whose pieces are not in memory."""
    first, second = _Running(one), _Running(other)
    while any([first.waits(ranges), second.waits(ranges)]):
        mine, yours = first.wanted or (), second.wanted or ()
        bodies = ranges.read([*mine, *yours])
        first.go_on(bodies[: len(mine)])
        second.go_on(bodies[len(mine) :])
    return first.results[0], second.results[0]


class _Running(Generic[T]):
    """``wanted`` are the pieces it needs next, None when it has ended."""

    def __init__(self, task: Asking[T]) -> None:
        self._task = task
        self.results: list[T] = []
        self.wanted: Sequence[Piece] | None = ()
        self._step(None)

    def waits(self, ranges: Ranges) -> bool:
        """Whether it needs what is not in memory, once it has had what is."""
        while self.wanted is not None and ranges.holds(self.wanted):
            self._step(ranges.read(self.wanted))
        return self.wanted is not None

    def go_on(self, bodies: list[bytes]) -> None:
        """The bytes it waited for; nothing happens when it has ended."""
        if self.wanted is not None:
            self._step(bodies)

    def _step(self, bodies: list[bytes] | None) -> None:
        try:
            self.wanted = next(self._task) if bodies is None else self._task.send(bodies)
        except StopIteration as done:
            self.wanted = None
            self.results.append(done.value)

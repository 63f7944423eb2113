"""Many keys, one after the other: what is read is read ahead, and what fails fails alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

AHEAD = 4
"""Results held in memory while one is worked on."""


def ahead(threads: int, work: Callable[[str], T], keys: Iterable[str]) -> Iterator[tuple[str, Future[T]]]:
    """Each key with its finished or failed ``work``, in order; at most ``AHEAD`` are begun before they are due."""
    waiting: deque[tuple[str, Future[T]]] = deque()
    with ThreadPoolExecutor(max(1, min(threads, AHEAD))) as pool:
        for key in keys:
            waiting.append((key, pool.submit(work, key)))
            if len(waiting) > AHEAD:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()


@contextmanager
def contained(failures: dict[str, str], key: str) -> Iterator[None]:
    """Notes what goes wrong inside as the failure of ``key``, and goes on behind."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  one image's unforeseen failure must not stop its neighbours: it goes
        failures[key] = f"{type(error).__name__}: {error}"  # back to the queue and, in the end, to the dead letters

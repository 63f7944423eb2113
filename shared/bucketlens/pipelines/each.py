"""Many keys, some at a time: what fails fails alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

T = TypeVar("T")


def abreast(threads: int, work: Callable[[str], T], keys: Collection[str], failures: dict[str, str]) -> dict[str, T]:
    """What ``work`` makes of each key, in the order of ``keys``; those it fails with are noted in ``failures`` instead.

    At most ``threads`` (at least 1) keys are worked on at once, and no thread waits for another. What is no Exception
    is raised once those are finished.
    """
    made: dict[str, T] = {}
    todo = deque(keys)

    def go_on() -> None:
        with suppress(IndexError):  # nothing is left to do
            while True:
                key = todo.popleft()
                with contained(failures, key):
                    made[key] = work(key)

    count = min(threads, len(todo))
    with ThreadPoolExecutor(max(1, count)) as pool:
        try:
            for ended in [pool.submit(go_on) for _ in range(count) if todo]:
                ended.result()
        finally:
            todo.clear()
    return {key: made[key] for key in keys if key in made}


@contextmanager
def contained(failures: dict[str, str], key: str) -> Iterator[None]:
    """Notes what goes wrong inside as the failure of ``key``, and goes on behind."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  one image's unforeseen failure must not stop its neighbours: it goes
        failures[key] = f"{type(error).__name__}: {error}"  # back to the queue and, in the end, to the dead letters

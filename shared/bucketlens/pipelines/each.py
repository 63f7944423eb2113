"""Many keys, one after the other: what is read is read ahead, and what fails fails alone."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")

AHEAD = 4
"""Results held in memory while one is worked on."""


class Due(Generic[T]):
    """What became of one key, by the thread that works on it.

    A future of the standard library does more, and costs a twentieth of what embedding a small picture does.
    """

    __slots__ = ("_done", "_error", "_value", "key")

    def __init__(self, key: str) -> None:
        self.key = key
        self._done = threading.Lock()
        self._done.acquire()
        self._error: BaseException | None = None

    def do(self, work: Callable[[str], T]) -> None:
        """Work on the key, once; nothing is raised here."""
        try:
            self._value = work(self.key)
        except BaseException as error:  # noqa: BLE001  it is raised where the result is asked for
            self._error = error
        self._done.release()

    def result(self) -> T:
        """The result, once it is there. Raises what the work raised."""
        with self._done:
            if self._error is not None:
                raise self._error
            return self._value


def ahead(threads: int, work: Callable[[str], T], keys: Iterable[str]) -> Iterator[tuple[str, Due[T]]]:
    """Each key with its finished or failed ``work``, in order; at most ``AHEAD`` are begun before they are due."""
    waiting: deque[Due[T]] = deque()
    todo: SimpleQueue[Due[T] | None] = SimpleQueue()
    workers: list[threading.Thread] = []
    try:
        for key in keys:
            if len(workers) < max(1, min(threads, AHEAD)):
                workers.append(threading.Thread(target=_work, args=(todo, work), daemon=True))
                workers[-1].start()
            waiting.append(Due(key))
            todo.put(waiting[-1])
            if len(waiting) > AHEAD:
                first = waiting.popleft()
                yield first.key, first
        while waiting:
            first = waiting.popleft()
            yield first.key, first
    finally:
        for _ in workers:
            todo.put(None)
        for worker in workers:
            worker.join()


def _work(todo: SimpleQueue[Due[T] | None], work: Callable[[str], T]) -> None:
    while due := todo.get():
        due.do(work)
        del due  # what was read is not kept until the next key comes


@contextmanager
def contained(failures: dict[str, str], key: str) -> Iterator[None]:
    """Notes what goes wrong inside as the failure of ``key``, and goes on behind."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  one image's unforeseen failure must not stop its neighbours: it goes
        failures[key] = f"{type(error).__name__}: {error}"  # back to the queue and, in the end, to the dead letters

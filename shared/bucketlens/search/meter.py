"""What a request spends at the store: GETs and bytes, counted where they happen.

The count hangs on the context of the request (``contextvars``), because a request's GETs happen deep inside values that
outlive it and are shared with others: what another thread fetches at the same time is that request's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from typing import TypeVar

from bucketlens.store.forward import Forwarding
from bucketlens.store.protocol import Blob, ByteRange

T = TypeVar("T")
R = TypeVar("R")


@dataclass(slots=True)
class Spent:
    """GETs begun, and bytes of the bodies they brought."""

    gets: int = 0
    bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)


_SPENT: ContextVar[Spent | None] = ContextVar("spent", default=None)


@contextmanager
def metered() -> Iterator[Spent]:
    """Counts what this context reads through ``Metered`` stores until the block ends."""
    spent = Spent()
    token = _SPENT.set(spent)
    try:
        yield spent
    finally:
        _SPENT.reset(token)


def in_parallel(threads: int, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """``work`` on every item, at most ``threads`` at once, in the caller's context; results in the order of the items.

    Raises what the first item in that order raised, after all have ended.
    """
    listed = list(items)
    if len(listed) <= 1:
        return [work(item) for item in listed]
    with ThreadPoolExecutor(min(threads, len(listed))) as pool:
        return spread(pool, work, listed)


def spread(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """The same in the threads of ``pool``, which must not be those of the caller."""
    if len(items) <= 1:
        return [work(item) for item in items]
    futures = [pool.submit(copy_context().run, work, item) for item in items]
    wait(futures)
    return [future.result() for future in futures]


class Metered(Forwarding):
    """A store that counts for whoever asks."""

    def get(self, key: str, span: ByteRange | None = None) -> Blob:
        """See ``Store.get``."""
        spent = _SPENT.get()
        if spent is not None:
            with spent.lock:
                spent.gets += 1
        blob = super().get(key, span)
        if spent is not None:
            with spent.lock:
                spent.gets += blob.gets - 1
                spent.bytes += len(blob.body)
        return blob

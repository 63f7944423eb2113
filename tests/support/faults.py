"""Stores that fail on purpose and stores that count, around any other store."""

from __future__ import annotations

import builtins
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from bucketlens.errors import Conflict, Exists, Retryable
from bucketlens.store.protocol import Blob, ByteRange, Entry, Store

T = TypeVar("T")
Verb = Literal["get", "create", "swap", "delete", "list"]


class Crashed(BaseException):
    """The process died here. Not an Exception: nothing but a test may catch it."""


class FaultStore:
    """A store that breaks at one chosen operation. Operations are counted from 1, in the order they begin.

    ``crash_at=n`` raises Crashed ``crash`` ("before" or "after") operation n takes effect; every later operation raises
    Crashed too, for a dead process does nothing more. ``lose_reply_at=n`` carries out conditional PUT n (create and
    swap, counted from 1 among themselves) when it would succeed, and then tells the caller one of two lies: ``reply``
    "lost" raises Retryable, "refused" raises Exists or Conflict, as a client that retries by itself would see it.

    ``operations`` is the number of operations so far and ``puts`` of conditional PUTs, whether they failed or not:
    run once without a fault, then walk n through ``range(1, operations + 1)``.
    """

    def __init__(
        self,
        inner: Store,
        *,
        crash_at: int | None = None,
        crash: Literal["before", "after"] = "before",
        lose_reply_at: int | None = None,
        reply: Literal["lost", "refused"] = "lost",
    ) -> None:
        self.operations = 0
        self.puts = 0
        self._inner = inner
        self._crash_at = crash_at
        self._crash = crash
        self._lose_reply_at = lose_reply_at
        self._reply = reply
        self._lock = threading.Lock()
        self._dead = False

    def get(self, key: str, span: ByteRange | None = None) -> Blob:
        """See ``Store.get``."""
        return self._run(lambda: self._inner.get(key, span))

    def create(self, key: str, body: bytes) -> str:
        """See ``Store.create``."""
        return self._run(lambda: self._put(lambda: self._inner.create(key, body), Exists, key))

    def swap(self, key: str, body: bytes, expected: str) -> str:
        """See ``Store.swap``."""
        return self._run(lambda: self._put(lambda: self._inner.swap(key, body, expected), Conflict, key))

    def delete(self, key: str) -> None:
        """See ``Store.delete``."""
        self._run(lambda: self._inner.delete(key))

    def list(self, prefix: str) -> Iterator[Entry]:
        """See ``Store.list``. One operation, complete when the call returns."""
        return iter(self._run(lambda: builtins.list(self._inner.list(prefix))))

    def _run(self, operation: Callable[[], T]) -> T:
        with self._lock:
            self.operations += 1
            now = self.operations == self._crash_at
            if self._dead or (now and self._crash == "before"):
                self._dead = True
                raise Crashed(f"at operation {self.operations}")
        try:
            return operation()
        finally:
            if now:
                self._dead = True
                raise Crashed(f"after operation {self._crash_at}")

    def _put(self, operation: Callable[[], str], refusal: type[Exists | Conflict], key: str) -> str:
        with self._lock:
            self.puts += 1
            lost = self.puts == self._lose_reply_at
        etag = operation()
        if not lost:
            return etag
        if self._reply == "lost":
            raise Retryable("The reply was lost.", value=key)
        raise refusal("The client retried a write that had landed.", value=key)


@dataclass(slots=True)
class Tally:
    """What a store was asked: operations by verb, bytes of bodies in both directions, and the keys of GETs in order."""

    verbs: Counter[Verb] = field(default_factory=Counter)
    bytes_read: int = 0
    bytes_written: int = 0
    gets: builtins.list[tuple[str, ByteRange | None]] = field(default_factory=builtins.list)


class CountingStore:
    """A store that counts. ``tally`` is what was asked since the start or the last ``reset``, failures included."""

    def __init__(self, inner: Store) -> None:
        self.tally = Tally()
        self._inner = inner
        self._lock = threading.Lock()

    def reset(self) -> Tally:
        """Begin a new tally and return the old one."""
        with self._lock:
            done, self.tally = self.tally, Tally()
        return done

    def get(self, key: str, span: ByteRange | None = None) -> Blob:
        """See ``Store.get``."""
        with self._lock:
            self.tally.verbs["get"] += 1
            self.tally.gets.append((key, span))
        blob = self._inner.get(key, span)
        with self._lock:
            self.tally.bytes_read += len(blob.body)
        return blob

    def create(self, key: str, body: bytes) -> str:
        """See ``Store.create``."""
        self._count("create", len(body))
        return self._inner.create(key, body)

    def swap(self, key: str, body: bytes, expected: str) -> str:
        """See ``Store.swap``."""
        self._count("swap", len(body))
        return self._inner.swap(key, body, expected)

    def delete(self, key: str) -> None:
        """See ``Store.delete``."""
        self._count("delete")
        self._inner.delete(key)

    def list(self, prefix: str) -> Iterator[Entry]:
        """See ``Store.list``. Counted once, however many pages it takes."""
        self._count("list")
        return self._inner.list(prefix)

    def _count(self, verb: Verb, written: int = 0) -> None:
        with self._lock:
            self.tally.verbs[verb] += 1
            self.tally.bytes_written += written

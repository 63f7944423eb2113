"""Pieces of objects, read by range: neighbours in one request, requests in parallel, recent pieces from memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from bucketlens.errors import Corrupt, NotFound
from bucketlens.search.files import SnapshotGone
from bucketlens.search.meter import spread
from bucketlens.search.packing import Spans, joined
from bucketlens.store.protocol import ByteRange, Store

READERS = 80
"""Requests at once: a round of a cold search is at most so many, and a request that must wait doubles the round."""
MEMORY = 48 * 2**20
"""Bytes of pieces that are remembered."""


class Piece(NamedTuple):
    """Bytes ``start`` to ``end``, end exclusive, of the object ``key``."""

    key: str
    start: int
    end: int


def coalesce(pieces: Sequence[Piece]) -> list[Piece]:
    """The ranges to ask for, ascending: every piece is inside one; neighbours are joined as ``packing.joined`` says."""
    names = sorted({piece.key for piece in pieces})
    files = {key: number for number, key in enumerate(names)}
    numbers = np.array([(files[key], start, end) for key, start, end in pieces], dtype=np.int64).reshape(-1, 3)
    asked = joined(Spans(*numbers.T))
    triples = zip(asked.files.tolist(), asked.starts.tolist(), asked.ends.tolist(), strict=True)
    return [Piece(names[number], start, end) for number, start, end in triples]


class Ranges:
    """Reads pieces of immutable objects. Thread-safe. What is read by range cannot be verified: whole files are."""

    def __init__(self, store: Store, threads: int = READERS, memory: int = MEMORY) -> None:
        self._store = store
        self._pool = ThreadPoolExecutor(threads, "ranges")
        self._memory = memory
        self._held: OrderedDict[Piece, bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def holds(self, pieces: Sequence[Piece]) -> bool:
        """Whether all of these are remembered: a ``read`` that follows asks for nothing, unless others crowd them out
        meanwhile."""
        with self._lock:
            return all(piece in self._held for piece in pieces)

    def read(self, pieces: Sequence[Piece]) -> list[bytes]:
        """The bytes of each piece, in one round of requests. Raises SnapshotGone, Corrupt, Retryable."""
        with self._lock:
            found = {piece: self._held[piece] for piece in pieces if piece in self._held}
            for piece in found:
                self._held.move_to_end(piece)
        missing = sorted({piece for piece in pieces if piece not in found})
        ranges = coalesce(missing)
        bodies = spread(self._pool, self._get, ranges)
        at = 0
        for piece in missing:
            while ranges[at].key != piece.key or ranges[at].end < piece.end:
                at += 1
            start = piece.start - ranges[at].start
            found[piece] = bodies[at][start : start + piece.end - piece.start]
        self._remember({piece: found[piece] for piece in missing})
        return [found[piece] for piece in pieces]

    def forget(self, key: str) -> None:
        """Remember no piece of an object that turned out to be other than it should have been."""
        with self._lock:
            for piece in [piece for piece in self._held if piece.key == key]:
                self._size -= len(self._held.pop(piece))

    def _get(self, wanted: Piece) -> bytes:
        try:
            body = self._store.get(wanted.key, ByteRange(wanted.start, wanted.end)).body
        except NotFound as error:
            raise SnapshotGone("An index object was swept while it was being read.", value=wanted.key) from error
        if len(body) != wanted.end - wanted.start:
            raise Corrupt(
                f"An index object ends before byte {wanted.end}.",
                code="checksum_mismatch",
                value=wanted.key,
                remedy="Restore the object from a backup or rebuild the collection.",
            )
        return body

    def _remember(self, pieces: dict[Piece, bytes]) -> None:
        with self._lock:
            for piece, body in pieces.items():
                if piece not in self._held:
                    self._held[piece] = body
                    self._size += len(body)
            while self._size > self._memory:
                _, body = self._held.popitem(last=False)
                self._size -= len(body)

"""Shards brought local in the background, so that the next searches are warm."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from bucketlens.errors import BucketlensError, Corrupt
from bucketlens.index.shard import CODES, COLUMNS, HEAD
from bucketlens.search.files import DISK, DiskFull, LocalFiles
from bucketlens.table.manifest import Manifest, ObjectRef, ShardEntry

SHARE = 0.9
"""Of the disk budget: the rest is for marks and what else a view begins with, so that nothing is fetched to be thrown
out."""
AGAIN_S = 60.0
"""After so long is tried again what the disk refused though it is not full, and looked again at what was corrupt."""
KEPT_S, NOTED_S = 600.0, 1.0
"""So long after a search of a collection the shards of another do not displace its local ones; and how exactly that is
noted."""


def mapped(entry: ShardEntry) -> list[ObjectRef]:
    """What a shard is local by. Codes, which few searches need, come with it but are not missed."""
    return [ref for part, ref in entry.parts.items() if part not in (HEAD, CODES, COLUMNS)]


def wanted(entry: ShardEntry) -> list[ObjectRef]:
    """What is brought of a shard."""
    return [entry.parts[CODES], *mapped(entry)]


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Why a shard is not read, by which object, and when that was seen or was last to be seen again."""

    error: Corrupt
    ref: ObjectRef
    at: float


class Hydrator:
    """One daemon thread that works off the newest wish, one file at a time, and ends when there is nothing to do.

    Nothing is brought for which a local shard would have to go that could serve a search like the last ones
    (``KEPT_S``): what does not fit beside those stays cold, so that the same searches again fetch nothing. A shard with
    bytes that are twice not the manifest's is corrupt until the object is found restored, which ``forget`` is told.

    It holds no state that a frozen process could break: what failed because the process stood still, or was swept, is
    left to a later wish. A shard the disk had no room for is not tried again. ``clock`` counts seconds.
    """

    def __init__(
        self, files: LocalFiles, clock: Callable[[], float], forget: Callable[[str], None] = lambda key: None
    ) -> None:
        self._files = files
        self._clock = clock
        self._forget = forget
        self._wish: list[ShardEntry] = []
        self._kept: dict[str, tuple[float, Manifest]] = {}
        self._refused: dict[str, float] = {}
        self._corrupt: dict[str, _Verdict] = {}
        self._doubted: list[str] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def want(self, manifest: Manifest, shards: Sequence[ShardEntry]) -> None:
        """Bring these of a manifest that was searched just now, the first first, as many as fit. Replaces the wish
        before, if any does; returns at once."""
        now = self._clock()
        seen, known = self._kept.get(manifest.collection, (-math.inf, None))
        if known is not manifest or now - seen > NOTED_S:
            with self._lock:
                kept = {name: one for name, one in self._kept.items() if now - one[0] < KEPT_S}
                self._kept = {**kept, manifest.collection: (now, manifest)}
        if not shards:
            return
        held = self._held()
        wish = [
            entry
            for entry in shards
            if self._refused.get(entry.id, now) <= now and self._fits(entry, held) and not self.verdict(entry.id)
        ]
        with self._lock:
            self._wish = wish or self._wish
            self._start()

    def verdict(self, id: str) -> Corrupt | None:
        """Why a shard must not be read by range, if it is known to be corrupt. Its object is looked at again from time
        to time when this is asked."""
        if id not in self._corrupt:
            return None
        now = self._clock()
        with self._lock:
            known = self._corrupt.get(id)
            if known is not None and now - known.at >= AGAIN_S:
                self._corrupt[id] = _Verdict(known.error, known.ref, now)
                self._doubted.append(id)
                self._start()
        return _anew(known.error) if known is not None else None

    def wait(self, seconds: float) -> bool:
        """Whether all that was wanted is done, after at most so long."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return thread is None or not thread.is_alive()

    def _start(self) -> None:
        if (self._wish or self._doubted) and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._work, name="hydrate", daemon=True)
            self._thread.start()

    def _held(self) -> Mapping[str, int]:
        """Bytes by key of what is local of all shards that are to be kept, which counts as used."""
        with self._lock:
            entries = [entry for _, manifest in self._kept.values() for entry in manifest.shards]
        together = [refs for one in entries for refs in (mapped(one), [one.parts[CODES]], [one.parts[HEAD]])]
        return {ref.key: ref.size for refs in together if self._files.holds(refs) for ref in refs}

    def _fits(self, entry: ShardEntry, held: Mapping[str, int]) -> bool:
        lacking = sum(ref.size for ref in wanted(entry) if ref.key not in held)
        return sum(held.values()) + lacking <= SHARE * self._files.budget

    def _work(self) -> None:
        while True:
            with self._lock:
                doubted = self._doubted.pop() if self._doubted else None
                entry = self._wish.pop(0) if self._wish and doubted is None else None
                if doubted is None and entry is None:
                    self._thread = None
                    return
            if doubted is not None:
                self._look_again(doubted)
            elif entry is not None and self._fits(entry, self._held()):
                self._bring(entry)

    def _look_again(self, id: str) -> None:
        known = self._corrupt.get(id)
        if known is not None:
            with suppress(BucketlensError):
                self._files.verify(known.ref)
                self._forget(known.ref.key)
                with self._lock:
                    self._corrupt.pop(id, None)

    def _bring(self, entry: ShardEntry) -> None:
        try:
            for ref in wanted(entry):
                self._bring_file(entry.id, ref)
        except BucketlensError as error:
            with self._lock:
                if not isinstance(error, Corrupt):
                    self._wish = []
                if error.code == DISK:
                    self._refused[entry.id] = math.inf if isinstance(error, DiskFull) else self._clock() + AGAIN_S

    def _bring_file(self, id: str, ref: ObjectRef) -> None:
        """Twice if need be: the bytes may have changed on their way only."""
        try:
            try:
                self._files.path(ref)
            except Corrupt:
                self._files.path(ref)
        except Corrupt as error:
            with self._lock:
                self._corrupt[id] = _Verdict(_anew(error), ref, self._clock())
            raise


def _anew(error: Corrupt) -> Corrupt:
    """The same, never raised: a raised error keeps all that the stack held."""
    return Corrupt(error.message, code=error.code, value=error.value, remedy=error.remedy)

"""Shards brought local in the background, so that the next searches are warm."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from bucketlens.errors import BucketlensError, Corrupt
from bucketlens.search.files import DISK, LocalFiles
from bucketlens.table.manifest import ObjectRef

SHARE = 0.9
"""Of the disk budget: the rest is for heads, small shards and marks, so that nothing is fetched to be thrown out."""


Wish = tuple[str, Sequence[ObjectRef]]
"""The id of a shard, and its files."""


class Hydrator:
    """One daemon thread that works off the newest wish, one file at a time, and ends when there is nothing to do.

    It holds no state that a frozen process could break: what failed because the process stood still, or was swept, is
    left to a later wish. A shard the disk refused is not tried again. One whose bytes are twice not the manifest's is
    remembered in ``corrupt`` and must not be searched any more.
    """

    def __init__(self, files: LocalFiles) -> None:
        self._files = files
        self._wish: list[Wish] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._refused: set[str] = set()
        self.corrupt: dict[str, Corrupt] = {}

    def want(self, shards: Sequence[Wish]) -> None:
        """Bring these local, the first first, as many as fit into the budget. Replaces the wish before; returns at
        once."""
        left, fitting = SHARE * self._files.budget, list[Wish]()
        for shard in shards:
            if shard[0] in self._refused:
                continue
            size = sum(ref.size for ref in shard[1])
            if size <= left:
                fitting.append(shard)
                left -= size
        with self._lock:
            self._wish = fitting
            if fitting and (self._thread is None or not self._thread.is_alive()):
                self._thread = threading.Thread(target=self._work, name="hydrate", daemon=True)
                self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Whether all that was wanted is done, after at most so long."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return thread is None or not thread.is_alive()

    def _bring(self, ref: ObjectRef) -> None:
        """Twice if need be: the bytes may have changed on their way only."""
        try:
            self._files.path(ref)
        except Corrupt:
            self._files.path(ref)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._wish:
                    self._thread = None
                    return
                id, refs = self._wish.pop(0)
            try:
                for ref in refs:
                    self._bring(ref)
            except Corrupt as error:
                self.corrupt[id] = error
            except BucketlensError as error:
                with self._lock:
                    self._wish = []
                    if error.code == DISK:
                        self._refused.add(id)

"""Mapped files, whose pages are touched before searches need them.

The first to read a page of a mapped file waits while the system enters it into the process's tables: about 4
microseconds for 64 KiB that are in memory, and a search reads from many such places. To touch 300 MB that are in memory
takes 20 ms; what that spares the first searches of a process is in the specification.
"""

from __future__ import annotations

import mmap
import os
import threading
import weakref
from collections import deque
from contextlib import suppress

import numpy as np

from bucketlens.index.shard import Mapped

LEAST = 2**22
"""Bytes; fewer are touched soon enough. Of so many pages or more numpy looks at without the interpreter's lock."""
SHARE = 2
"""One in so many bytes of the machine's memory may be touched: beyond that pages would push out one another."""
_STEP = 2**25


class Toucher:
    """One daemon thread that touches what is mapped, in turn, and ends when there is nothing to do.

    What would come to more than ``room`` bytes with what is still mapped is left alone. Nothing is kept mapped for it
    longer than it takes to touch 32 MiB.
    """

    def __init__(self, room: int | None = None) -> None:
        self._room = _memory() // SHARE if room is None else room
        self._known: list[weakref.ref[Mapped]] = []
        self._left: deque[weakref.ref[Mapped]] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def touch(self, mapped: Mapped) -> None:
        """Begin to touch a contiguous array, which is mapped for as long as it lives; returns at once."""
        with self._lock:
            if mapped.nbytes < LEAST or self.taken + mapped.nbytes > self._room:
                return
            self._known = [*(ref for ref in self._known if ref() is not None), weakref.ref(mapped)]
            self._left.append(self._known[-1])
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="touch", daemon=True)
                with suppress(RuntimeError):  # so many threads that there can be no other: searches do without
                    self._thread.start()

    @property
    def taken(self) -> int:
        """Bytes of what was touched, or will be, and is still mapped."""
        return sum(array.nbytes for array in (ref() for ref in self._known) if array is not None)

    def wait(self, seconds: float) -> bool:
        """Whether all is touched, after at most so long."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return thread is None or not thread.is_alive()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._left:
                    self._thread = None
                    return
                ref = self._left.popleft()
            at = 0
            while (array := ref()) is not None and at < array.nbytes:
                array.reshape(-1).view(np.uint8)[at : at + _STEP : mmap.PAGESIZE].max()
                at += _STEP
                del array


def _memory() -> int:
    """Bytes of the machine; 0 where it does not say."""
    try:
        return max(0, os.sysconf("SC_PHYS_PAGES")) * mmap.PAGESIZE
    except (AttributeError, ValueError, OSError):
        return 0

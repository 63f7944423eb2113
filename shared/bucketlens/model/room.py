"""What pictures on their way to a vector share: the cores, and the memory their pixels take."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Room:
    """Room for so many pixels in memory at once, and for as many pictures at work as there are cores.

    A picture at work holds ``core`` from before it is decoded until it has its vector, in one thread: cores that decode
    and cores that embed would wait for each other. Small pictures are decoded side by side, one as large as the room is
    decoded alone. Whoever holds pixels waits for nothing, so waiting always ends.
    """

    def __init__(self, pixels: int, cores: int | None = None) -> None:
        """``pixels`` is at least 1; ``cores`` are those of this process if they are not given."""
        self.cores = cores or cores_here()
        self.core = threading.Semaphore(self.cores)
        self._all = self._free = pixels
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Holds room for a picture of so many pixels, or all there is for a larger one; waits for it.

        A thread holds at most one piece at a time.
        """
        wanted = min(pixels, self._all)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= wanted)
            self._free -= wanted
        try:
            yield
        finally:
            with self._changed:
                self._free += wanted
                self._changed.notify_all()


def cores_here() -> int:
    """Cores this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

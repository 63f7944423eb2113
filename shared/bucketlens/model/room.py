"""What threads that decode may use: so many pixels in memory at once, and the cores that the model leaves."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Room:
    """Room for so many pixels and so many decoders. Small pictures are decoded side by side, one as large as the room
    is decoded alone.

    One core is the model's, whose thread lends it while it waits: more threads at work than cores would take turns with
    the model, and it with them. On two cores ingest came to 0.86 of ONNX Runtime alone with one decoder, to 0.78 with
    four (the embedded model, 40 pictures of up to a megapixel).
    """

    def __init__(self, pixels: int, cores: int | None = None) -> None:
        """``pixels`` is at least 1; ``cores`` are those of this process if they are not given."""
        self._all = self._free = pixels
        self._idle = max(1, (cores or cores_here()) - 1)
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Holds a core, and room for a picture of so many pixels, or all there is for a larger one; waits for both.

        A thread holds at most one piece at a time, so waiting always ends.
        """
        wanted = min(pixels, self._all)
        with self._changed:
            self._changed.wait_for(lambda: self._idle > 0 and self._free >= wanted)
            self._take(1, wanted)
        try:
            yield
        finally:
            with self._changed:
                self._take(-1, -wanted)
                self._changed.notify_all()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """One more decoder may begin while the caller waits for one."""
        with self._changed:
            self._idle += 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._idle -= 1

    def _take(self, cores: int, pixels: int) -> None:
        self._idle -= cores
        self._free -= pixels


def cores_here() -> int:
    """Cores this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

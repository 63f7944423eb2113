"""How many pixels may be in memory at once, over all threads that decode."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Room:
    """Room for so many pixels. Small pictures are decoded side by side, one as large as the room is decoded alone."""

    def __init__(self, pixels: int) -> None:
        """``pixels`` is at least 1."""
        self._all = self._free = pixels
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Holds room for a picture of so many pixels, or all there is for a larger one; waits until it is free.

        A thread holds at most one piece at a time, so waiting always ends.
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

"""Silencing one library's warnings while any thread is inside, without losing anybody else's."""

from __future__ import annotations

import threading
import warnings
from types import TracebackType


class Quiet:
    """A context manager, entered by any number of threads at once.

    ``warnings.catch_warnings`` saves and restores one list for the whole process, so overlapping threads would leave
    each other's filters behind. Here the first thread in changes the filters and the last one out restores them.
    ``module`` is the beginning of the name of the module that warns.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._lock = threading.Lock()
        self._inside = 0
        self._saved: warnings.catch_warnings[None] | None = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.filterwarnings("ignore", module=rf"{self._module}\b")
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._saved is not None:
                self._saved.__exit__(kind, error, trace)
                self._saved = None

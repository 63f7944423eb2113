"""A server of the bench in a process of its own, so that its work takes no time of whoever is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]


class Child:
    """``python -m <module> <arguments>``: it says its URL in its first line, answers each line with one of JSON, and
    ends with its input. Use it as a context manager."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.url = str(self._line())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._running()
        self._process = None
        process.communicate(timeout=10)

    def ask(self, word: str) -> Any:
        """What the server answers."""
        stdin = self._running().stdin
        assert stdin is not None
        stdin.write(f"{word}\n")
        return self._line()

    def _line(self) -> Any:
        stdout = self._running().stdout
        assert stdout is not None
        line = stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(self._command)} has ended")
        return json.loads(line)

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError("the server is not running: use it in a with statement")
        return self._process

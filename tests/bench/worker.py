"""An engine in a process of its own: its memory is its own, and its threads are counted from its birth."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from tests.bench.data import Data, Spec
from tests.bench.peers.protocol import UNFILTERED, Filters, Knobs, Where

_EVERY_S = 0.02
_WARMING = 3
"""Searches before each round that are not timed: what other engines pushed out of the processor's caches returns.

They know no filter of a query's own: an engine that remembers filters would meet its first one again.
"""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Failed(RuntimeError):
    """The engine raised; the message is its own."""


@dataclass(frozen=True, slots=True)
class Timed:
    """What a search took and found, and which query it was."""

    query: int
    seconds: float
    ids: tuple[int, ...]


class Worker:
    """One engine by name over some data, in ``folder``. A context manager: the process ends with it."""

    def __init__(self, name: str, spec: Spec, folder: Path, *, threads: int = 1) -> None:
        self.name = name
        self._folder = folder
        self._threads = threads
        self._pipe, self._theirs = get_context("spawn").Pipe()
        self._process = get_context("spawn").Process(target=_serve, args=(self._theirs, name, spec))
        self._sampling = threading.Event()
        self.peak: dict[str, float] = {}

    def __enter__(self) -> Self:
        before = {name: os.environ.get(name) for name in _THREADS}
        os.environ.update(dict.fromkeys(_THREADS, str(self._threads)))
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # on a busy machine, threads that spin stop each other
        try:
            self._process.start()
            self._theirs.close()  # else the end of a process that dies would never be seen
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
        threading.Thread(target=self._sample, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sampling.set()
        self._pipe.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()

    def about(self) -> Mapping[str, Any]:
        """Name, parameters, sweep and the like. Raises Failed when the engine is not installed."""
        return self._call("about")  # type: ignore[no-any-return]

    def build(self) -> Mapping[str, float]:
        """Build into the folder; seconds in all and of steps."""
        self._forget()
        return self._call("build", self._folder, self._threads)  # type: ignore[no-any-return]

    def open(self) -> float:
        """Open what was built; seconds."""
        self._forget()
        return self._call("open", self._folder)  # type: ignore[no-any-return]

    def reach(self, endpoint: str, local: Path) -> float:
        """Open what lies behind an S3 endpoint, with an empty folder for local copies; seconds."""
        self._forget()
        return self._call("reach", endpoint, local)  # type: ignore[no-any-return]

    def first(self, knobs: Knobs, query: int, k: int = 10) -> Timed:
        """One search, with nothing before it."""
        return self._call("first", dict(knobs), query, k)  # type: ignore[no-any-return]

    def ask(self, knobs: Knobs, queries: Sequence[int], filters: Filters = UNFILTERED, k: int = 10) -> list[Timed]:
        """Search these queries one after the other.

        The engine is made ready for a shared filter before the clock starts; for a query's own that is part of the
        query.
        """
        return self._call("ask", dict(knobs), list(queries), filters, k)  # type: ignore[no-any-return]

    def memory(self) -> Mapping[str, float]:
        """Peak since the last build or open began, in MB beyond what the process had before: private and mapped."""
        return {name: value - self._before.get(name, 0.0) for name, value in self.peak.items()}

    def _call(self, *message: object) -> Any:
        self._pipe.send(message)
        try:
            kind, answer = self._pipe.recv()
        except EOFError as error:
            raise Failed(f"{self.name}: its process has ended (exit code {self._process.exitcode})") from error
        if kind == "error":
            raise Failed(f"{self.name}: {answer}")
        return answer

    def _forget(self) -> None:
        self._call("about")
        self._before = resident(self._process.pid)
        self.peak = {}

    def _sample(self) -> None:
        while not self._sampling.wait(_EVERY_S):
            for name, value in resident(self._process.pid).items():
                self.peak[name] = max(self.peak.get(name, 0.0), value)


def resident(pid: int | None) -> dict[str, float]:
    """MB of private memory and of mapped files of a process; nothing where there is no /proc."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    fields = {name: value for name, _, value in (line.partition(":") for line in lines)}
    held = {"private": "RssAnon", "mapped": "RssFile"}
    return {name: int(fields[field].split()[0]) / 1024 for name, field in held.items() if field in fields}


def _serve(pipe: Connection, name: str, spec: Spec) -> None:
    from tests.bench.peers.registry import make  # the peers' libraries are imported in this process alone

    try:
        held = Held(make(name), spec.load())
    except Exception as error:  # noqa: BLE001  whatever an engine raises becomes a row of the table
        held = error  # type: ignore[assignment]
    while True:
        try:
            word, *arguments = pipe.recv()
        except EOFError:
            return
        try:
            if isinstance(held, Exception):
                raise held
            pipe.send(("done", getattr(held, word)(*arguments)))
        except Exception as error:  # noqa: BLE001  likewise
            pipe.send(("error", f"{type(error).__name__}: {error}"))


class Held:
    """The engine inside its process."""

    def __init__(self, peer: Any, data: Data) -> None:
        self._peer = peer
        self._data = data

    def about(self) -> Mapping[str, Any]:
        names = ("name", "says", "sweep", "floor", "filters", "stored")
        return {name: getattr(self._peer, name) for name in names}

    def build(self, folder: Path, threads: int) -> Mapping[str, float]:
        numbers = {"shuffled": self._data.shuffled, "along": self._data.along}
        began = perf_counter()
        steps = self._peer.build(self._data.rows, numbers, folder, threads)
        return {"build_s": perf_counter() - began, **steps}

    def open(self, folder: Path) -> float:
        began = perf_counter()
        self._peer.open(folder)
        return perf_counter() - began

    def reach(self, endpoint: str, local: Path) -> float:
        began = perf_counter()
        self._peer.reach(endpoint, local)
        return perf_counter() - began

    def first(self, knobs: Knobs, query: int, k: int) -> Timed:
        self._peer.prepare(knobs, None)
        return self._one(query, knobs, None, k)

    def ask(self, knobs: Knobs, queries: Sequence[int], filters: Filters, k: int) -> list[Timed]:
        self._peer.prepare(knobs, filters.shared)
        for number in queries[:_WARMING]:
            self._peer.search(self._peer.form(self._data.queries[number], k), k)
        return [self._one(number, knobs, filters.own[number] if filters.own else None, k) for number in queries]

    def _one(self, number: int, knobs: Knobs, where: Where | None, k: int) -> Timed:
        """A search with a filter of its own, or with what the engine was made ready for."""
        ready = 0.0
        if where is not None:
            began = perf_counter()
            self._peer.prepare(knobs, where)
            ready = perf_counter() - began
        asked = self._peer.form(self._data.queries[number], k)
        began = perf_counter()
        found = self._peer.search(asked, k)
        took = perf_counter() - began
        return Timed(number, ready + took, tuple(self._peer.ids(found)))

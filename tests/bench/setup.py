"""One run of the bench: which rows, which engines, where their indexes are kept."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console

import bucketlens
from tests.bench.data import Data, Spec
from tests.bench.peers.registry import BUILT_AS, OURS, PACKAGES
from tests.bench.truth import Ids, K, truth
from tests.bench.worker import Failed, Worker

Found = dict[str, Any]
"""A row of a result, as it stands in the JSON."""

BUILD_THREADS = 2
_RECORD = "built.json"
_DECIDES = ("index", "table", "pipelines", "records.py", "keys.py")
"""What of bucketlens decides how an index is laid out: a change there makes ours be built anew."""


@dataclass(frozen=True)
class Bench:
    """What every question is asked of. ``out`` receives results, and holds those of earlier questions."""

    spec: Spec
    peers: tuple[str, ...]
    out: Path
    quick: bool = False
    console: Console = field(default_factory=Console)

    @cached_property
    def data(self) -> Data:
        """Rows and queries."""
        return self.spec.load()

    @cached_property
    def truth(self) -> Ids:
        """The k nearest rows of every query."""
        return truth(self.data, K)

    def sized(self, rows: int) -> Bench:
        """The same bench with fewer rows."""
        return replace(self, spec=replace(self.spec, rows=rows))

    def only(self, peers: Iterable[str]) -> Bench:
        """The same bench with those of these engines that it has."""
        return replace(self, peers=tuple(name for name in peers if name in self.peers))

    def folder(self, name: str) -> Path:
        """Where an engine's index is."""
        return self.data.folder / "indexes" / f"{self.spec.rows}-{BUILT_AS.get(name, name)}"

    def built(self, name: str) -> Mapping[str, Any]:
        """How an engine's index was built; builds it now when it is not there, or was built by another version.

        Raises Failed.
        """
        folder = self.folder(name)
        if (folder / _RECORD).exists():
            record: dict[str, Any] = json.loads((folder / _RECORD).read_text())
            if record["by"] == _built_by(name):
                return record
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with Worker(BUILT_AS.get(name, name), self.spec, folder, threads=BUILD_THREADS) as worker:
            stored = folder / worker.about()["stored"]
            took = worker.build()
            self.console.print(f"{name} is built: {took['build_s']:.0f} s")
            record = {"by": _built_by(name), **took, "build_mb": worker.memory(), "size_mb": _size(stored) / 1e6}
        (folder / _RECORD).write_text(json.dumps(record))
        return record

    @contextmanager
    def opened(self) -> Iterator[dict[str, Worker]]:
        """Every engine in a process of its own, its index opened; those that cannot run are named and left out."""
        with ExitStack() as stack:
            workers = {}
            for name in self.peers:
                try:
                    self.built(name)
                    worker = stack.enter_context(Worker(name, self.spec, self.folder(name)))
                    worker.open()
                    workers[name] = worker
                except Failed as failed:
                    self.console.print(f"[yellow]left out: {failed}[/yellow]")
            yield workers

    def result(self, question: str) -> list[Found]:
        """The rows of an earlier answer over the same data, if there is one."""
        file = self.out / f"{question}.json"
        if not file.exists():
            return []
        held = json.loads(file.read_text())
        return list(held["rows"]) if held["data"] == self.described else []

    @cached_property
    def described(self) -> Found:
        """The data, for the reader of a result."""
        return {
            "id": self.data.id,
            "says": self.data.says,
            "rows": len(self.data.rows),
            "dimension": self.data.dimension,
            "queries": len(self.data.queries),
            "k": K,
        }


def _built_by(name: str) -> str:
    if BUILT_AS.get(name, name) != OURS:
        try:
            return version(PACKAGES[name])
        except PackageNotFoundError:
            return "not installed"
    root = Path(bucketlens.__file__).parent
    files = sorted(
        file for part in _DECIDES for file in (root / part, *(root / part).glob("**/*.py")) if file.is_file()
    )
    return hashlib.blake2b(b"".join(file.read_bytes() for file in files), digest_size=8).hexdigest()


def _size(stored: Path) -> int:
    """Bytes on disk of a file or of all files of a folder."""
    return sum(file.stat().st_size for file in (stored, *stored.glob("**/*")) if file.is_file())

"""An index of a data set in a folder, built once and kept beside the rows, and a reader to whom all of it is local."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, thread_time

import numpy as np

from bucketlens.index.block import Block
from bucketlens.pipelines.compact import Compact, compact
from bucketlens.pipelines.query import QueryTools
from bucketlens.records import Kind, ModelIdentity, Row
from bucketlens.search.files import LocalFiles
from bucketlens.search.view import View, Views
from bucketlens.settings import Settings
from bucketlens.store.s3 import S3Images, connect
from bucketlens.table.policy import Limits
from tests.bench.data import Data
from tests.bench.folder import FolderStore, metadata, put
from tests.support.table import COLLECTION, sequencer

_AT_ONCE = 20_000
_ALL_AT_ONCE = Limits(rows=2**40, bytes=2**40)
_NOBODY = "http://127.0.0.1:9"
"""An address for links: nothing is asked of it."""


@dataclass(frozen=True)
class Timed:
    """Milliseconds of calls one after the other: by the clock, and of this thread's processor time."""

    wall: list[float]
    cpu: list[float]

    @classmethod
    def empty(cls) -> Timed:
        return cls([], [])

    def __enter__(self) -> None:
        self.wall.append(-perf_counter() * 1000)
        self.cpu.append(-thread_time() * 1000)

    def __exit__(self, *_: object) -> None:
        self.cpu[-1] += thread_time() * 1000
        self.wall[-1] += perf_counter() * 1000

    def told(self) -> dict[str, object]:
        """``p50_ms``, ``p95_ms`` and ``cpu_p50_ms``: on a busy machine the first two wait for others."""
        return {
            "p50_ms": float(np.median(self.wall)),
            "p95_ms": float(np.percentile(self.wall, 95)),
            "cpu_p50_ms": float(np.median(self.cpu)),
        }


def indexed(data: Data) -> Path:
    """The folder with the data's index, built in a process of its own so that its memory is not the reader's."""
    root = data.folder / f"bucketlens-{len(data.rows)}"
    if not (root / "done").exists():
        child = multiprocessing.get_context("spawn").Process(target=_build, args=(data, root))
        child.start()
        child.join()
        if child.exitcode:
            raise RuntimeError(f"The index could not be built in {root}: remove it and try again.")
    return root


def opened(root: Path) -> QueryTools:
    """A reader with every shard local that looks at the store once, and signs links as the query function does."""
    store = FolderStore(root / "bucket")
    files = LocalFiles(store, root / "local", 10**12)
    views = Views(store, files, threads=8, max_staleness_s=10**6, clock=perf_counter)
    for entry in views.view(COLLECTION, strong=True).snapshot.manifest.shards:
        for ref in entry.objects():
            files.path(ref)
    images = S3Images("bench", connect(_NOBODY, credentials=("id", "secret")))
    settings = Settings("bench", collections=(("images/", COLLECTION),))
    return QueryTools(views, images, lambda: None, settings)  # type: ignore[arg-type, return-value]


def view_of(tools: QueryTools) -> View:
    """The view every query uses."""
    return tools.views.view(COLLECTION, strong=False)


def event_of(query: np.ndarray, k: int) -> dict[str, object]:
    """A request for the k nearest rows, as the query function gets it."""
    path = f"/collections/{COLLECTION}/search"
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": {"http": {"method": "POST", "path": path}, "requestId": "bench"},
        "body": json.dumps({"vector": [float(component) for component in query], "k": k}),
        "isBase64Encoded": False,
    }


def number_of(key: str) -> int:
    """The row behind a key."""
    return int(key[7:-4])


def resident_mb() -> dict[str, object]:
    """Memory of this process: ``anonymous_mb`` is its own, ``mapped_mb`` are pages of files."""
    said = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return {
        "anonymous_mb": int(said["RssAnon"].split()[0]) / 1024,
        "mapped_mb": int(said["RssFile"].split()[0]) / 1024,
    }


def _build(data: Data, root: Path) -> None:
    store = FolderStore(root / "bucket")
    model = ModelIdentity("bench", "b" * 32, data.dimension)
    for start in range(0, len(data.rows), _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, len(data.rows)))
        rows = [Row(f"images/{n:08}.jpg", sequencer(1), Kind.IMAGE, data.rows[n], _facts(data, n)) for n in numbers]
        put(store, Block.of(rows, data.dimension), model, 1, _AT_ONCE)
    views = Views(
        store,
        LocalFiles(store, root / "compactor", 10**12),
        threads=8,
        max_staleness_s=0.0,
        clock=perf_counter,
    )
    tools = Compact(store, views, Settings("bench", sweep_grace_s=0.0), limits=_ALL_AT_ONCE)
    for number in range(100):
        if not compact(COLLECTION, tools, now=datetime.now(UTC), nonce=f"n{number}").steps:
            break
    (root / "done").touch()


def _facts(data: Data, number: int) -> dict[str, object]:
    return {
        **metadata(number),
        "shuffled": float(data.shuffled[number]),
        "along": float(data.along[number]),
    }

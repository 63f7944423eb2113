"""From a log to shards: ``python -m tests.bench.compaction [--rows R] [--dimension D] [--each 100]``.

R rows in segments of 100, as ingest writes them, are compacted step by step in a process of its own, whose rate and
memory are told. Meanwhile a reader asks exact questions and compares with brute force over the same rows. 1,000,000
rows of 512 dimensions take 5 GB of disk.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import threading
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
from rich.progress import track

from bucketlens.pipelines.compact import Compact, CompactReport, compact
from bucketlens.pipelines.query import QueryTools, search
from bucketlens.queries import ByVector, Query
from bucketlens.settings import Settings
from bucketlens.store.memory import MemoryImages
from tests.bench.command import show, sized
from tests.bench.folder import FolderStore, append, reader
from tests.bench.mixture import Mixture
from tests.support.table import COLLECTION

_PIECE = 20_000
_QUERIES = 8
_K = 10


def measure(rows: int = 40_000, dimension: int = 256, each: int = 100) -> list[dict[str, object]]:
    """One row: ``rows``, ``segments``, ``steps`` (swaps), ``shards``, ``seconds``; of the compacting process ``cpu_s``,
    ``peak_mb`` and ``base_mb`` before it began; ``rows_per_s``; ``answers`` compared meanwhile and ``wrong`` ones."""
    with tempfile.TemporaryDirectory(prefix="bench-compaction-") as folder:
        root = Path(folder)
        truth = _Truth(Mixture(dimension), FolderStore(root / "bucket"), rows, each)
        context = multiprocessing.get_context("spawn")
        told: multiprocessing.Queue[dict[str, object]] = context.Queue()
        child = context.Process(target=_compact, args=(root, told))
        child.start()
        answers = wrong = 0
        reading = reader(FolderStore(root / "bucket"), root / "reader")
        tools = QueryTools(reading, MemoryImages(), lambda: None, Settings("b"))  # type: ignore[arg-type, return-value]
        for number in count():
            which, alive = number % _QUERIES, child.is_alive()
            answer = search(
                Query(COLLECTION, ByVector(tuple(truth.queries[which].tolist())), k=_K, exact=True, strong=True), tools
            )
            answers, wrong = answers + 1, wrong + ([hit.key for hit in answer.hits] != truth.nearest(which))
            if not alive and number >= _QUERIES:
                break
            threading.Event().wait(0.2)
        child.join()
        found = {"rows": rows, "dimension": dimension, "segments": -(-rows // each), **told.get(timeout=60)}
        return [{**found, "answers": answers, "wrong": wrong}]


class _Truth:
    """The rows, written to a store and forgotten but for the nearest of some queries."""

    def __init__(self, mixture: Mixture, store: FolderStore, rows: int, each: int) -> None:
        self.queries = mixture.queries(_QUERIES)
        keys: list[list[str]] = [[] for _ in self.queries]
        scores: list[list[float]] = [[] for _ in self.queries]
        pieces = range(-(-rows // _PIECE))
        for number, drawn in track(mixture.pieces(list(pieces), _PIECE), "append", total=len(pieces), transient=True):
            piece = drawn[: rows - number * _PIECE]
            append(store, piece, range(number * _PIECE, number * _PIECE + len(piece)), 1, each)
            held = piece.astype(np.float16).astype(np.float32)
            found = held @ self.queries.T / np.linalg.norm(held, axis=1)[:, None]
            for which in range(_QUERIES):
                best = np.argsort(-found[:, which], kind="stable")[: 2 * _K]
                keys[which] += [f"images/{number * _PIECE + row:08}.jpg" for row in best.tolist()]
                scores[which] += found[best, which].tolist()
        self._nearest = [
            [key for _, key in sorted(zip((-score for score in scores[which]), keys[which], strict=True))[:_K]]
            for which in range(_QUERIES)
        ]

    def nearest(self, which: int) -> list[str]:
        """Keys of the nearest rows of a query, nearest first."""
        return self._nearest[which]


def _compact(root: Path, told: multiprocessing.Queue[dict[str, object]]) -> None:
    """Step by step until nothing is due; what it took goes to ``told``."""
    store = FolderStore(root / "bucket")
    tools = Compact(store, reader(store, root / "compactor"), Settings("b", sweep_grace_s=10**6))
    base, began, reports = peak_mb(), perf_counter(), list[CompactReport]()
    while not reports or reports[-1].steps:
        reports.append(compact(COLLECTION, tools, now=datetime.now(UTC), nonce=f"n{len(reports)}"))
    took = perf_counter() - began
    sums = {name: sum(asdict(one)[name] for one in reports) for name in ("steps", "consolidated", "absorbed", "merged")}
    manifest = tools.views.view(COLLECTION, strong=True).snapshot.manifest
    rows = sum(entry.live for entry in manifest.shards)
    told.put(
        {
            **sums,
            "shards": len(manifest.shards),
            "rows_written": sum(one.rows_written for one in reports),
            "seconds": took,
            "rows_per_s": rows / took,
            "cpu_s": process_time(),
            "base_mb": base,
            "peak_mb": peak_mb(),
        }
    )


def peak_mb() -> float:
    """The most that was resident in this process, mapped files included; getrusage begins with the parent's."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = sized(__doc__)
    parser.add_argument("--each", type=int, default=100)
    options = parser.parse_args()
    show(
        measure(options.rows, options.dimension, options.each),
        {
            "rows": "{rows:,} x {dimension}",
            "segments": "{segments:,}",
            "swaps": "{steps}",
            "shards": "{shards}",
            "s (CPU)": "{seconds:.0f} ({cpu_s:.0f})",
            "rows/s": "{rows_per_s:,.0f}",
            "peak MB": "{peak_mb:,.0f}",
            "answers": "{answers}",
            "wrong": "{wrong}",
        },
    )


if __name__ == "__main__":
    main()

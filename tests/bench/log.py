"""What a log of N segments costs a reader: ``python -m tests.bench.log [--segments 10,100,1000] [--dimension D]``.

Before and after mini-merges: the first query of a reader that has nothing, and the next query after one new segment,
from a folder without latency, best of some. The time of LIST is told apart: it grows with every object under the log,
and segments stay there for the grace period. N = 5,000 takes some minutes and 1 GB of disk at 512 dimensions.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bucketlens.pipelines.compact import Compact, compact
from bucketlens.pipelines.query import QueryTools, search
from bucketlens.queries import ByVector, Query
from bucketlens.search.view import Views
from bucketlens.settings import Settings
from bucketlens.store.memory import MemoryImages
from bucketlens.table.snapshot import read_snapshot
from tests.bench.folder import FolderStore, append, reader
from tests.bench.mixture import Mixture
from tests.support.table import COLLECTION

EACH = 100
REPEATS = 7


def measure(segments: Sequence[int] = (10, 100, 1_000), dimension: int = 256) -> list[dict[str, object]]:
    """Rows ``segments, merged``; for ``cold`` and ``next`` GETs, bytes, milliseconds besides LIST, those of LIST."""
    found = []
    for count in track(segments, "segments", transient=True):
        with tempfile.TemporaryDirectory(prefix="bench-log-") as folder:
            store = FolderStore(Path(folder) / "bucket")
            mixture = Mixture(dimension)
            for number, rows in mixture.pieces(list(range(-(-count // 100))), min(count, 100) * EACH):
                append(store, rows, range(number * 100 * EACH, number * 100 * EACH + len(rows)), 1)
            query = mixture.queries(1)[0]
            found.append({"segments": count, "merged": False, **_costs(store, Path(folder) / "a", query, 10**7)})
            took = _merge(store, Path(folder) / "m")
            after = _costs(store, Path(folder) / "b", query, 2 * 10**7)
            found.append({"segments": count, "merged": True, "merge_ms": took, **after})
    return found


def _costs(store: FolderStore, folder: Path, query: np.ndarray, first: int) -> dict[str, object]:
    warm = reader(store, folder / "warm")
    cold = _best([_asked(store, reader(store, folder / f"{n}"), query) for n in range(2)])
    _asked(store, warm, query)
    following = []
    for number in range(REPEATS):
        new = range(first + number * EACH, first + (number + 1) * EACH)
        append(store, query[None, :].repeat(EACH, axis=0), new, 1)
        following.append(_asked(store, warm, query))
    costs = {f"cold_{name}": value for name, value in cold.items()}
    return {**costs, **{f"next_{name}": value for name, value in _best(following).items()}}


def _best(told: Sequence[dict[str, float]]) -> dict[str, float]:
    return min(told, key=lambda one: one["ms"])


def _asked(store: FolderStore, views: Views, query: np.ndarray) -> dict[str, float]:
    tools = QueryTools(views, MemoryImages(), lambda: None, Settings("b"))  # type: ignore[arg-type, return-value]
    store.reset()
    began = perf_counter()
    answer = search(Query(COLLECTION, ByVector(tuple(query.tolist())), k=10, strong=True), tools)
    took = (perf_counter() - began) * 1000
    gets, size, list_s = store.reset()
    assert answer.certificate["gets"] == gets
    return {"gets": gets, "bytes": size, "ms": took - list_s * 1000, "list_ms": list_s * 1000}


def _merge(store: FolderStore, folder: Path) -> float:
    """Consolidate until few segments are left; milliseconds."""
    tools = Compact(store, reader(store, folder), Settings("b", sweep_grace_s=10**6))
    began = perf_counter()
    for number in range(1_000):
        if len(read_snapshot(store, COLLECTION).segments) <= tools.limits.segments:
            break
        compact(COLLECTION, tools, now=datetime.now(UTC), nonce=f"m{number}", more=lambda: False)
    return (perf_counter() - began) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", default="10,100,1000")
    parser.add_argument("--dimension", type=int, default=256)
    options = parser.parse_args()
    table = Table("segments", "merged", "first GETs", "MB", "ms", "LIST", "next GETs", "KB", "ms", "LIST")
    for row in measure([int(count) for count in options.segments.split(",")], options.dimension):
        size, following = float(str(row["cold_bytes"])), float(str(row["next_bytes"]))
        times = [f"{row[name]:.0f}" for name in ("cold_ms", "cold_list_ms", "next_ms", "next_list_ms")]
        counts = [f"{row[name]:,}" for name in ("segments", "cold_gets", "next_gets")]
        merged = "yes" if row["merged"] else "no"
        table.add_row(
            *(counts[0], merged, counts[1], f"{size / 1e6:.1f}", *times[:2]),
            *(counts[2], f"{following / 1e3:.0f}", *times[2:]),
        )
    Console().print(table)


if __name__ == "__main__":
    main()

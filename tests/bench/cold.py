"""Cold search from a store with latency: ``python -m tests.bench.cold [--rows N] [--dimension D] [--latency-ms L]``.

The same mixture as the warm bench. Every query begins with nothing local and nothing remembered; the store answers each
GET and LIST after the latency, any number at a time. Recall is against float32 brute force.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

import numpy as np
from rich.console import Console
from rich.table import Table as Printed

from bucketlens.pipelines.query import QueryTools, search
from bucketlens.queries import ByVector, Query
from bucketlens.settings import Settings
from bucketlens.store.memory import MemoryImages
from bucketlens.store.protocol import Blob, ByteRange, Entry, Store
from tests.bench.__main__ import K, build, mixture
from tests.support.table import COLLECTION, Table

QUERIES = 30


class Distant:
    """A store some milliseconds away, for reading."""

    def __init__(self, inner: Store, latency_s: float) -> None:
        self._inner = inner
        self._latency_s = latency_s

    def get(self, key: str, span: ByteRange | None = None) -> Blob:
        sleep(self._latency_s)
        return self._inner.get(key, span)

    def list(self, prefix: str) -> Iterator[Entry]:
        sleep(self._latency_s)
        return self._inner.list(prefix)

    def create(self, key: str, body: bytes) -> str:
        return self._inner.create(key, body)

    def swap(self, key: str, body: bytes, expected: str) -> str:
        return self._inner.swap(key, body, expected)

    def delete(self, key: str) -> None:
        self._inner.delete(key)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--latency-ms", type=float, default=30.0)
    options = parser.parse_args()
    vectors, queries = mixture(np.random.default_rng(0), options.rows, options.dimension)
    with tempfile.TemporaryDirectory() as folder:
        table = build(vectors, Path(folder))
        distant = Table(Distant(table.store, options.latency_ms / 1000), Path(folder) / "cold")
        spent, gets, read, right = [], [], [], 0
        for query in queries[:QUERIES]:
            tools = QueryTools(distant.views(), MemoryImages(), lambda: None, Settings("b"))  # type: ignore[arg-type, return-value]
            began = perf_counter()
            answer = search(Query(COLLECTION, ByVector(tuple(query.tolist())), k=K, strong=True), tools)
            spent.append(perf_counter() - began)
            gets.append(int(str(answer.certificate["gets"])))
            read.append(int(str(answer.certificate["bytes"])))
            true = set(np.argsort(-(vectors @ query))[:K].tolist())
            right += len(true & {int(hit.key[7:-4]) for hit in answer.hits})
    printed = Printed("", "recall@10", "p50 ms", "GETs p50 / most", "MB p50 / most")
    printed.add_row(
        f"{options.rows} x {options.dimension}, cold",
        f"{right / (K * QUERIES):.4f}",
        f"{median(spent) * 1000:.0f}",
        f"{median(gets):.0f} / {max(gets)}",
        f"{median(read) / 1e6:.1f} / {max(read) / 1e6:.1f}",
    )
    Console().print(printed)


if __name__ == "__main__":
    main()

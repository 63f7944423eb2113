"""Warm search against brute force over the same rows: ``python -m tests.bench [--rows N] [--dimension D]``.

Rows are a documented mixture: 1,000 centres on a sphere, each row a centre plus noise of the same length. Ground
truth is float32 brute force; queries are rows with fresh noise.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from rich.console import Console
from rich.table import Table as Printed

from bucketlens import keys
from bucketlens.filters import parse
from bucketlens.index import segment
from bucketlens.index.block import Block
from bucketlens.pipelines.compact import compact
from bucketlens.records import Kind, ModelIdentity, Row
from bucketlens.search.fuse import fuse
from bucketlens.search.scan import search_parts
from bucketlens.search.view import View
from bucketlens.store.memory import MemoryStore
from tests.support.table import COLLECTION, START, Table, sequencer

QUERIES = 200
K = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=256)
    options = parser.parse_args()
    console = Console()
    rng = np.random.default_rng(0)
    vectors, queries = mixture(rng, options.rows, options.dimension)
    with tempfile.TemporaryDirectory() as folder:
        began = perf_counter()
        view = build(vectors, Path(folder)).view()
        console.print(f"{options.rows} x {options.dimension}: built and opened in {perf_counter() - began:.1f} s")
        truth = [set(np.argsort(-(vectors @ query))[:K].tolist()) for query in queries]
        report(console, view, vectors, queries, truth)


def mixture(rng: np.random.Generator, rows: int, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows and unit queries."""
    centres = unit(rng.standard_normal((1_000, dimension)))
    held = centres[rng.integers(0, 1_000, rows)] + unit(rng.standard_normal((rows, dimension)))
    asked = held[rng.integers(0, rows, QUERIES)] + 0.5 * unit(rng.standard_normal((QUERIES, dimension)))
    return unit(held), unit(asked)


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def build(vectors: np.ndarray, folder: Path) -> Table:
    """The rows as ingest and compaction would leave them: one collection, shards with graphs."""
    table = Table(MemoryStore(lambda: START), folder)
    model = ModelIdentity("bench", "b" * 32, vectors.shape[1])
    for start in range(0, len(vectors), 20_000):
        rows = [
            Row(f"images/{n}.jpg", sequencer(n + 1), Kind.IMAGE, vectors[n], {"n": n})
            for n in range(start, min(start + 20_000, len(vectors)))
        ]
        body = segment.pack(Block.of(rows, vectors.shape[1]), model)
        table.store.create(keys.render(keys.Segment(COLLECTION, keys.segment_id(f"{start:016x}", body))), body)
    compact(COLLECTION, table.compactor(), now=START, nonce="bench")
    return table


def report(console: Console, view: View, vectors: np.ndarray, queries: np.ndarray, truth: list[set[int]]) -> None:
    def ours(query: np.ndarray, filter: dict[str, object], *, exact: bool) -> set[int]:
        condition = parse(filter)
        found = search_parts(view.parts, query, condition, K, exact=exact)
        return {int(str(hit.key)[7:-4]) for hit in fuse(found, K, None, ())}

    def brute(query: np.ndarray) -> set[int]:
        return set(np.argpartition(-(vectors @ query), K)[:K].tolist())

    ways: dict[str, Callable[[np.ndarray], set[int]]] = {
        "brute force, numpy float32": brute,
        "bucketlens, planner's choice": lambda query: ours(query, {}, exact=False),
        "bucketlens, exact": lambda query: ours(query, {}, exact=True),
    }
    table = Printed("way", "recall@10", "p50 ms", "ratio to brute force")
    baseline = 0.0
    for name, way in ways.items():
        spent, right = [], 0
        for query, wanted in zip(queries, truth, strict=True):
            began = perf_counter()
            found = way(query)
            spent.append(perf_counter() - began)
            right += len(found & wanted)
        p50 = median(spent) * 1000
        baseline = baseline or p50
        table.add_row(name, f"{right / (K * len(queries)):.4f}", f"{p50:.3f}", f"{p50 / baseline:.3f}")
    console.print(table)


if __name__ == "__main__":
    main()

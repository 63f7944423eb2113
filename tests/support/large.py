"""Tens of thousands of rows in shards, and readers to whom they are cold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np

from bucketlens import keys
from bucketlens.index import segment
from bucketlens.index.block import Block
from bucketlens.pipelines.compact import compact
from bucketlens.pipelines.query import Answer, QueryTools, search
from bucketlens.queries import ByVector, Query
from bucketlens.records import Kind, ModelIdentity, Row
from bucketlens.search.view import Views
from bucketlens.settings import Settings
from bucketlens.store.memory import MemoryImages, MemoryStore
from bucketlens.store.protocol import Store
from tests.support.table import COLLECTION, START, Table, sequencer

ROWS, DIMENSION = 30_000, 128
MODEL = ModelIdentity("large", "1" * 32, DIMENSION)


@dataclass
class Large:
    """30,000 rows around 300 centres, as they lie in the bucket."""

    store: MemoryStore
    folder: Path
    vectors: np.ndarray
    folders: Iterator[int] = field(default_factory=count)

    def table(self, store: Store | None = None) -> Table:
        """A table with an empty disk."""
        return Table(store or self.store, self.folder / f"t{next(self.folders)}")

    def true(self, query: np.ndarray, k: int, among: Iterable[int] | None = None) -> list[str]:
        chosen = np.arange(ROWS) if among is None else np.array(sorted(among))
        return [f"images/{chosen[row]}.jpg" for row in np.argsort(-(self.vectors[chosen] @ query))[:k]]

    def near(self, number: int) -> np.ndarray:
        """A query close to this row."""
        moved = self.vectors[number] + 0.05 * np.random.default_rng(number).standard_normal(DIMENSION)
        return np.asarray(moved / np.linalg.norm(moved), dtype=np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def write(store: MemoryStore, rows: list[Row]) -> None:
    body = segment.pack(Block.of(rows, DIMENSION), MODEL)
    store.create(keys.render(keys.Segment(COLLECTION, keys.segment_id(rows[-1].sequencer.base, body))), body)


def make(folder: Path, max_shard_rows: int) -> Large:
    rng = np.random.default_rng(5)
    centres = unit(rng.standard_normal((300, DIMENSION)))
    vectors = unit(centres[rng.integers(0, 300, ROWS)] + 0.7 * unit(rng.standard_normal((ROWS, DIMENSION))))
    vectors = vectors.astype(np.float16).astype(np.float32)
    store = MemoryStore(lambda: START)
    write(
        store,
        [
            Row(f"images/{n}.jpg", sequencer(n + 1), Kind.IMAGE, vectors[n], {"n": n, "even": n % 2 == 0})
            for n in range(ROWS)
        ],
    )
    large = Large(store, folder, vectors)
    table = large.table()
    table.max_shard_rows = max_shard_rows
    compact(COLLECTION, table.compactor(), now=START, nonce="a")
    return large


def copied(made: Large, folder: Path) -> Large:
    """The same shards in a bucket of one test's own."""
    store = MemoryStore(lambda: START)
    for entry in made.store.list(""):
        store.create(entry.key, made.store.get(entry.key).body)
    return Large(store, folder, made.vectors)


def answer(views: Views, query: np.ndarray, **options: object) -> Answer:
    tools = QueryTools(views, MemoryImages(), lambda: None, Settings("b"))  # type: ignore[arg-type, return-value]
    return search(Query(COLLECTION, ByVector(tuple(query.tolist())), strong=True, **options), tools)  # type: ignore[arg-type]


def found_keys(answered: Answer) -> list[str]:
    return [hit.key for hit in answered.hits]

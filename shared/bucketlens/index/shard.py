"""Shards: immutable files of image rows that compaction makes and readers map."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # noqa: TID251

from bucketlens.index import arrow, graph
from bucketlens.index.block import Block, Halves, key_at
from bucketlens.index.segment import model_facts
from bucketlens.records import ModelIdentity

ROWS, VECTORS, HEAD, GRAPH = "rows.arrow", "vectors.arrow", "head.arrow", "graph.usearch"
GRAPH_MIN_ROWS = 4_096
"""Smaller shards have no graph: scanning 4,096 x 512 float16 rows takes about as long as walking one."""

Locate = Callable[[str], Path]


class Shard:
    """A shard whose files are brought local, one by one, when first needed. ``locate`` answers where a part is."""

    def __init__(self, id: str, parts: Iterable[str], locate: Locate) -> None:
        self.id = id
        self._parts = frozenset(parts)
        self._locate = locate

    @cached_property
    def rows(self) -> pa.Table:
        """Keys, versions and metadata, mapped."""
        return arrow.map_file(self._locate(ROWS))

    @cached_property
    def vectors(self) -> Halves:
        """(n, dimension) float16, mapped: one contiguous array."""
        return arrow.vector_array(arrow.map_file(self._locate(VECTORS)).column("vector"))

    @cached_property
    def graph(self) -> graph.Graph | None:
        """The graph over all rows, deleted ones included, or None for a small shard."""
        return graph.Graph(self._locate(GRAPH), self.vectors.shape[1]) if GRAPH in self._parts else None

    def find(self, keys: Sequence[str], wanted: npt.NDArray[np.uint64]) -> dict[str, int]:
        """Row numbers of those of the keys that the shard holds. ``wanted`` are the keys' hashes (``key_hashes``)."""
        hashes, order = self._hashes
        starts = np.searchsorted(hashes, wanted, side="left")
        ends = np.searchsorted(hashes, wanted, side="right")
        found: dict[str, int] = {}
        for position in np.flatnonzero(starts < ends).tolist():
            for row in order[starts[position] : ends[position]]:
                if key_at(self.rows, int(row)) == keys[position]:
                    found[keys[position]] = int(row)
        return found

    @cached_property
    def _hashes(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
        head = arrow.map_file(self._locate(HEAD))
        return head.column("hash").to_numpy(), head.column("row").to_numpy()


def build(block: Block, model: ModelIdentity, *, threads: int) -> Mapping[str, bytes]:
    """The files of a shard that holds these image rows in this order, by part name."""
    hashes = key_hashes(block.table.column("key").to_pylist())
    order = np.argsort(hashes, kind="stable").astype(np.uint32)
    head = pa.table({"hash": hashes[order], "row": order})
    return {
        ROWS: arrow.write(block.table.combine_chunks()),
        HEAD: arrow.write(head, rows_per_batch=len(block)),
        **rebuild(block.vectors, model, threads=threads),
    }


def rebuild(vectors: Halves, model: ModelIdentity, *, threads: int) -> Mapping[str, bytes]:
    """The files that change when a shard's vectors become those of another model: the rest serves as it is."""
    table = pa.table({"vector": arrow.vector_column(vectors)})
    parts = {VECTORS: arrow.write(table, facts=model_facts(model), rows_per_batch=len(vectors))}
    if len(vectors) >= GRAPH_MIN_ROWS:
        parts[GRAPH] = graph.build(vectors, threads)
    return parts


def pack_deletes(rows: npt.NDArray[np.uint32]) -> bytes:
    """A deletion vector: the row numbers of a shard that no longer count, ascending."""
    return arrow.write(pa.table({"row": np.sort(rows).astype(np.uint32)}), rows_per_batch=max(1, len(rows)))


def unpack_deletes(body: bytes, name: str) -> npt.NDArray[np.uint32]:
    """Inverse of ``pack_deletes``. Raises Corrupt."""
    return np.asarray(arrow.read(body, name).column("row").to_numpy(), dtype=np.uint32)


def key_hashes(keys: Sequence[str]) -> npt.NDArray[np.uint64]:
    """BLAKE2b-64 of each key's UTF-8, as unsigned integers; shape (len(keys),)."""
    joined = b"".join(hashlib.blake2b(key.encode(), digest_size=8).digest() for key in keys)
    return np.frombuffer(joined, dtype=">u8").astype(np.uint64)

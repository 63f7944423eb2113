"""Shards: immutable files of image rows that compaction makes and readers map."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # noqa: TID251

from bucketlens.filters import Filter
from bucketlens.index import arrow, codes, fields, graph
from bucketlens.index.arrays import Halves, Numbers
from bucketlens.index.block import Vectors, filterable, keys_at, sequencers_at
from bucketlens.index.clusters import centroids_of, cluster
from bucketlens.index.effort import Effort, measure
from bucketlens.index.gather import Gathered
from bucketlens.index.graph import Graph
from bucketlens.index.head import Head, Outline, bad_head, batch_ends, map_head, pack
from bucketlens.index.masks import Masks, Passing
from bucketlens.index.rounded import Asked, Rounded, to_int8
from bucketlens.index.segment import model_facts
from bucketlens.index.stats import collect
from bucketlens.records import ModelIdentity, Sequencer, Vector

ROWS, VECTORS, CODES = "rows.arrow", "vectors.arrow", "codes.arrow"
HEAD, KEYS, COLUMNS, GRAPH = "head.arrow", "keys.arrow", "columns.arrow", "graph.usearch"
GRAPH_MIN_ROWS = 4_096
"""Smaller shards have no graph: scanning 4,096 x 512 float16 rows takes about as long as walking one."""

T = TypeVar("T")
Mapped = npt.NDArray[Any]
"""A mapped file, or all of it that holds values."""


class Read(Protocol):
    """How a shard reads its parts."""

    def __call__(self, part: str, mapped: Callable[[Path], T], /) -> T:
        """What ``mapped`` makes of the file that the part is in."""
        ...


class Shard:
    """A shard whose files are brought local, one by one, when first needed. ``read`` brings and opens a part, and
    ``here`` answers whether it is local already; what filters say of the rows is remembered in ``masks``, which shards
    may share."""

    def __init__(
        self,
        id: str,
        parts: Iterable[str],
        read: Read,
        masks: Masks | None = None,
        here: Callable[[str], bool] = lambda part: True,
    ) -> None:
        self.id = id
        self._parts = frozenset(parts)
        self._read = read
        self._masks = masks or Masks()
        self._here = here
        self._fresh = list[Mapped]()
        self._held = dict[str, Any]()

    @property
    def rows(self) -> pa.Table:
        """Keys, versions and metadata, mapped."""
        return self._mapped(ROWS, arrow.map_file)

    @property
    def vectors(self) -> Halves:
        """(n, dimension) float16, mapped: one contiguous array."""
        return self._mapped(VECTORS, _vectors, lambda vectors: vectors)

    def passing(self, condition: Filter) -> Passing:
        """Which rows pass a filter, deleted ones included; remembered for the next time."""
        return self._masks.get(self.id, condition, self.rows)

    def gathered(self, passing: Passing) -> Rounded | None:
        """The rounded rows of the few that pass a filter, side by side, if it was asked before (``Masks``)."""
        return self._masks.gathered(passing, lambda: self.rounded)

    @cached_property
    def head(self) -> Head:
        """Clusters, byte offsets, column statistics."""
        return self._read(HEAD, map_head)

    @property
    def graph(self) -> Graph | None:
        """The graph over all rows, deleted ones included, or None for a small shard."""
        return self._linked[0] if GRAPH in self._parts else None

    @property
    def rounded(self) -> Rounded | None:
        """The rows as the graph holds them, mapped, or None for a small shard."""
        return self._linked[1] if GRAPH in self._parts else None

    @property
    def apart(self) -> Callable[[Vector, Numbers], codes.Bits] | None:
        """By how much rows differ from a query, by ``codes.bits_apart``; None of a small shard, of few dimensions, and
        where codes are not local yet."""
        if GRAPH not in self._parts or self.head.dimension < codes.TELLING or not self._here(CODES):
            return None
        return lambda query, rows: codes.bits_apart(query, self.coded, self.head.coding, rows)

    def coding_error(self, query: Vector) -> float:
        """See ``Coding.error``."""
        return self.head.coding.error(query)

    @property
    def coded(self) -> codes.Codes:
        """(n, width), mapped."""
        return self._mapped(CODES, _codes, lambda coded: coded)

    def find(self, keys: Sequence[str], wanted: npt.NDArray[np.uint64]) -> dict[str, int]:
        """Row numbers of those of the keys that the shard holds. ``wanted`` are the keys' hashes (``key_hashes``)."""
        hashes, order = self._mapped(KEYS, _hashes)
        starts = np.searchsorted(hashes, wanted, side="left")
        ends = np.searchsorted(hashes, wanted, side="right")
        counts = ends - starts
        asked = np.repeat(np.arange(len(keys)), counts)
        # Hashes of few keys occur more than once; the n-th of those that do stands n places behind the first.
        places = np.repeat(starts, counts) + np.arange(len(asked)) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = order[places].astype(np.int64)
        held = keys_at(self.rows, rows) if len(rows) else []
        triples = zip(asked.tolist(), rows.tolist(), held, strict=True)
        return {key: row for position, row, key in triples if keys[position] == key}

    def versions(self, rows: npt.NDArray[np.int64]) -> list[Sequencer]:
        """The versions of these rows."""
        return sequencers_at(self.rows, rows)

    def let_go(self) -> None:
        """Map nothing any longer but the head; who is at work with the rest keeps it. The next use maps it again."""
        self._held, self._fresh = {}, []

    def fresh(self) -> Sequence[Mapped]:
        """What was mapped since this was asked last, of what searches read here and there."""
        fresh = self._fresh
        if fresh:
            self._fresh = []
        return fresh

    @property
    def _linked(self) -> tuple[Graph, Rounded]:
        rounding = self.head.rounding
        if rounding is None:
            raise bad_head("it does not say how the rows of its graph were rounded", f"{self.id}/{HEAD}")

        def linked(path: Path) -> tuple[Graph, Rounded]:
            links, rows = Graph.map(path, self.head.dimension)
            return links, Rounded(rows, rounding)

        return self._mapped(GRAPH, linked, lambda linked: linked[0].held)

    def _mapped(self, part: str, mapped: Callable[[Path], T], pages: Callable[[T], Mapped] | None = None) -> T:
        """A part as it was mapped before. What is let go of while it is being mapped serves this once: it is kept where
        nobody looks any longer. Searches read its
        ``pages`` here and there."""
        held = self._held
        found: T | None = held.get(part)
        if found is None:
            held[part] = found = self._read(part, mapped)
            if pages is not None and held is self._held:
                self._fresh.append(pages(found))
        return found


def _vectors(path: Path) -> Halves:
    with arrow.expected(path.name):
        return arrow.vector_array(arrow.map_file(path).column("vector"))


def _codes(path: Path) -> codes.Codes:
    with arrow.expected(path.name):
        return arrow.code_array(arrow.map_file(path).column("code"))


def _hashes(path: Path) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
    table = arrow.map_file(path)
    with arrow.expected(path.name):
        return table.column("hash").to_numpy(), table.column("row").to_numpy()


def build(rows: Gathered, model: ModelIdentity, folder: Path, *, threads: int, seed: int = 0) -> Mapping[str, Path]:
    """The files of a shard that holds these image rows, by part name, in a folder that is empty.

    Rows stand cluster by cluster, within a cluster in the order given. ``seed`` is where the clusters begin: the same
    rows and seed make the same shard, but for its graph and the effort that takes when ``threads`` is more than one.
    Memory: the clustering's, then metadata of 65,536 rows, then the graph's.
    """
    clustering = cluster(rows.vectors, seed=seed)
    rows = rows.taken(clustering.order)
    ends = list(batch_ends(clustering.firsts, _rows_per_batch(rows)))
    spans = arrow.write_batches(folder / ROWS, rows.batches(ends))
    table = arrow.map_file(folder / ROWS)
    hashes = np.concatenate([key_hashes(chunk.to_pylist()) for chunk in table.column("key").chunks])
    order = np.argsort(hashes, kind="stable").astype(np.uint32)
    keys = pa.table({"hash": hashes[order], "row": order})
    (folder / KEYS).write_bytes(arrow.write(keys, rows_per_batch=len(rows)))
    columns, places = fields.pack(filterable(table))
    (folder / COLUMNS).write_bytes(columns)
    outline = Outline(
        firsts=clustering.firsts,
        batches=np.array([0, *ends]),
        spans=spans,
        schema=arrow.schema_bytes(table),
        hashes_at=arrow.values_at(folder / KEYS, 0),
        numbers_at=arrow.values_at(folder / KEYS, 1),
        columns=collect(filterable(table)),
        fields=places,
        newest=max(Sequencer.parse(text) for chunk in table.column("sequencer").chunks for text in chunk.to_pylist()),
    )
    return {
        **{part: folder / part for part in (ROWS, KEYS, COLUMNS)},
        **rebuild(rows.vectors, outline, model, folder, threads=threads),
    }


def _rows_per_batch(rows: Gathered) -> int:
    """As many as make ``BATCH_BYTES``, going by the first of them; no more than ``ROWS_PER_BATCH``."""
    first = next(rows.batches([min(len(rows), arrow.ROWS_PER_BATCH)]))
    fitting = arrow.BATCH_BYTES * len(first) // int(first.nbytes)
    return min(arrow.ROWS_PER_BATCH, max(1, fitting))


def rebuild(
    vectors: Vectors, outline: Outline, model: ModelIdentity, folder: Path, *, threads: int
) -> Mapping[str, Path]:
    """The files that change when a shard's vectors become those of another model: the rest serves as it is.

    Rows keep their order, and with it their clusters: a matrix that helps keeps neighbours together.
    """
    held = arrow.write_vectors(folder / VECTORS, vectors, model.dimension, model_facts(model))
    coded, coding = codes.encode(held)
    code = pa.table({"code": arrow.code_column(coded)})
    (folder / CODES).write_bytes(arrow.write(code, rows_per_batch=len(held)))
    centroids = to_int8(centroids_of(held, outline.firsts))
    vectors_at, codes_at = (arrow.values_at(folder / part) for part in (VECTORS, CODES))
    head = Head(outline, centroids, coding, vectors_at, codes_at)

    def effort(links: Graph, asking: Numbers) -> Effort:
        def walked(query: Vector, count: int) -> Numbers:
            return links.nearest(Asked(query), count)[0]

        return measure(held, asking, walked, centroids, outline.firsts)

    if len(held) >= GRAPH_MIN_ROWS:
        taken, rounding = graph.build(held, threads, folder / GRAPH, effort)
        head = replace(head, effort=taken, rounding=rounding)
    (folder / HEAD).write_bytes(pack(head, model))
    return {part: folder / part for part in changing(len(held))}


def changing(rows: int) -> tuple[str, ...]:
    """The parts that ``rebuild`` makes for a shard of so many rows."""
    return (VECTORS, CODES, HEAD, GRAPH) if rows >= GRAPH_MIN_ROWS else (VECTORS, CODES, HEAD)


def pack_deletes(rows: npt.NDArray[np.uint32]) -> bytes:
    """A deletion vector: the row numbers of a shard that no longer count, ascending."""
    return arrow.write(pa.table({"row": np.sort(rows).astype(np.uint32)}), rows_per_batch=max(1, len(rows)))


def unpack_deletes(body: bytes, name: str) -> npt.NDArray[np.uint32]:
    """Inverse of ``pack_deletes``. Raises Corrupt."""
    table = arrow.read(body, name)
    with arrow.expected(name):
        return np.asarray(table.column("row").to_numpy(), dtype=np.uint32)


def key_hashes(keys: Sequence[str]) -> npt.NDArray[np.uint64]:
    """BLAKE2b-64 of each key's UTF-8, as unsigned integers; shape (len(keys),)."""
    joined = b"".join(hashlib.blake2b(key.encode(), digest_size=8).digest() for key in keys)
    return np.frombuffer(joined, dtype=">u8").astype(np.uint64)

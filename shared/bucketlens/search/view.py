"""Snapshots made searchable: which rows of which part count, and where the parts are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bucketlens import keys
from bucketlens.errors import NotFound
from bucketlens.index import segment
from bucketlens.index.adapter import unpack_matrix
from bucketlens.index.block import Block, Halves, Mask, rejection_at
from bucketlens.index.graph import Graph
from bucketlens.index.segment import Contents
from bucketlens.index.shard import Shard, key_hashes, unpack_deletes
from bucketlens.projection import Matrix
from bucketlens.records import Kind, ModelIdentity, Rejection
from bucketlens.search.files import LocalFiles, SnapshotGone
from bucketlens.search.lineage import Lineage
from bucketlens.store.protocol import Store
from bucketlens.table.manifest import Manifest, ObjectRef, ShardEntry
from bucketlens.table.settle import Settled, settle
from bucketlens.table.snapshot import Snapshot, read_snapshot

if TYPE_CHECKING:
    import pyarrow as pa  # noqa: TID251

_TURNS = 16
"""Collections whose views may be taken at the same time."""


class Rows(Protocol):
    """What a part offers to search: the same for a shard and for the log."""

    @property
    def rows(self) -> pa.Table:
        """Keys and metadata, n rows."""
        ...

    @property
    def vectors(self) -> Halves:
        """(n, dimension) float16 in the same order."""
        ...

    @property
    def graph(self) -> Graph | None:
        """The graph over the same rows, if there is one."""
        ...


@dataclass(frozen=True, slots=True)
class LogRows:
    """The counting images of the log, in memory."""

    block: Block

    @property
    def rows(self) -> pa.Table:
        """Keys and metadata."""
        return self.block.table

    @property
    def vectors(self) -> Halves:
        """(n, dimension) float16."""
        return self.block.vectors

    @property
    def graph(self) -> Graph | None:
        """The log has no graph."""
        return None


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows and which of them count. ``name`` is ``log`` or the shard's id."""

    name: str
    source: Rows
    live: Mask

    @property
    def count(self) -> int:
        """Rows that count."""
        return int(np.count_nonzero(self.live))


@dataclass(frozen=True)
class View:
    """One snapshot, opened. Cheap until a part is touched: shards are brought local by use."""

    snapshot: Snapshot
    lineage: Lineage
    log: Block
    shards: tuple[tuple[Shard, Mask], ...]
    settled: Settled = field(repr=False)

    @property
    def model(self) -> ModelIdentity | None:
        """Whose vectors these are; None while nothing is indexed."""
        return self.lineage.model

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The log, then the shards in the manifest's order; parts without a counting row are left out."""
        block = self.log.take(self.settled.rows(Kind.IMAGE))
        log = Part("log", LogRows(block), np.ones(len(block), dtype=bool))
        shards = (Part(shard.id, shard, ~dead) for (shard, _), dead in zip(self.shards, self.settled.dead, strict=True))
        return tuple(part for part in (log, *shards) if part.count)

    @cached_property
    def count(self) -> int:
        """Images searchable in this snapshot."""
        return sum(part.count for part in self.parts)

    @cached_property
    def rejections(self) -> Mapping[str, Rejection]:
        """Rejected objects by key, in order of key."""
        found = {key: said.row for key, said in self.settled.log.items() if said.kind is Kind.REJECTED}
        return {key: rejection_at(self.log.table, found[key]) for key in sorted(found)}

    def find(self, key: str) -> tuple[pa.Table, int, Halves | None] | None:
        """The table and row that says what the key is now (any kind), with its part's vectors if it is an image."""
        said = self.settled.log.get(key)
        if said is not None:
            return self.log.table, said.row, self.log.vectors if said.kind is Kind.IMAGE else None
        for (shard, _), dead in zip(self.shards, self.settled.dead, strict=True):
            row = shard.find([key], key_hashes([key])).get(key)
            if row is not None and not dead[row]:
                return shard.rows, row, shard.vectors
        return None


@dataclass(frozen=True, slots=True)
class _Opened:
    """A view with what it was made of, so that the next one need not read it again."""

    taken_at: float
    view: View
    contents: Mapping[str, Contents]
    shards: Mapping[str, Shard]


class Views:
    """The newest view of each collection, reused while it is fresh enough. Thread-safe.

    ``clock`` counts seconds and never goes back. A strong view is taken after the call began: one GET and one LIST even
    when nothing changed, shared by the callers that waited for it; objects already opened are not read again. Who can
    do with the view there is waits for nobody.
    """

    def __init__(
        self, store: Store, files: LocalFiles, *, threads: int, max_staleness_s: float, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._files = files
        self._threads = threads
        self._max_staleness_s = max_staleness_s
        self._clock = clock
        self._opened: dict[str, _Opened] = {}
        self._turns = [threading.Lock() for _ in range(_TURNS)]

    def view(self, collection: str, *, strong: bool) -> View:
        """A view of the collection; empty when nothing was indexed yet. Raises SnapshotGone, Corrupt, Misconfigured."""
        asked = self._clock()
        opened = self._fresh(collection, asked, strong)
        if opened is None:
            with self._turns[hash(collection) % _TURNS]:
                opened = self._fresh(collection, asked, strong) or self._take(collection)
        return opened.view

    def forget(self, collection: str) -> None:
        """Drop what is remembered, so that the next view is taken anew."""
        self._opened.pop(collection, None)

    def _fresh(self, collection: str, asked: float, strong: bool) -> _Opened | None:
        known = self._opened.get(collection)
        if known is None:
            return None
        fresh = known.taken_at > asked if strong else asked - known.taken_at <= self._max_staleness_s
        return known if fresh else None

    def _take(self, collection: str) -> _Opened:
        began, known = self._clock(), self._opened.get(collection)
        snapshot = read_snapshot(self._store, collection)
        if known and (known.view.snapshot.etag, known.view.snapshot.segments) == (snapshot.etag, snapshot.segments):
            opened = replace(known, taken_at=began)
        else:
            opened = self._open(snapshot, began, known)
        if snapshot.empty:  # anybody can ask for names that do not exist: remembering them would fill the memory
            self.forget(collection)
        else:
            self._opened[collection] = opened
        return opened

    def _open(self, snapshot: Snapshot, began: float, known: _Opened | None) -> _Opened:
        manifest = snapshot.manifest
        contents = self._read_segments(manifest.collection, snapshot.segments, known.contents if known else {})
        marks = [self._read_marks(manifest.marks)] if manifest.marks else []
        adapters = {checksum: self._read_matrix(ref) for checksum, ref in manifest.adapters.items()}
        lineage = Lineage.of(manifest.collection, manifest.model, adapters, [*marks, *contents.values()])
        dimension = lineage.model.dimension if lineage.model else 1
        log = Block.joined([lineage.block(part) for part in (*marks, *contents.values())], dimension)
        shards = self._open_shards(manifest, known.shards if known else {})
        dead = [self._deletes(entry) for entry in manifest.shards]
        pairs = tuple(zip(shards.values(), dead, strict=True))
        return _Opened(began, View(snapshot, lineage, log, pairs, settle(log, pairs)), contents, shards)

    def _read_segments(self, collection: str, ids: Sequence[str], known: Mapping[str, Contents]) -> dict[str, Contents]:
        def fetch(id: str) -> Contents:
            key = keys.render(keys.Segment(collection, id))
            try:
                return segment.unpack(keys.check_segment(id, self._store.get(key).body), key)
            except NotFound as error:
                raise SnapshotGone("A log segment was swept while it was being read.", value=key) from error

        missing = [id for id in ids if id not in known]
        with ThreadPoolExecutor(self._threads) as pool:
            fetched = dict(zip(missing, pool.map(fetch, missing), strict=True))
        return {id: fetched.get(id) or known[id] for id in ids}

    def _read_marks(self, ref: ObjectRef) -> Contents:
        return segment.unpack(self._files.path(ref).read_bytes(), ref.key)

    def _read_matrix(self, ref: ObjectRef) -> Matrix:
        return unpack_matrix(self._files.path(ref).read_bytes(), ref.key)

    def _open_shards(self, manifest: Manifest, known: Mapping[str, Shard]) -> dict[str, Shard]:
        def opened(entry: ShardEntry) -> Shard:
            return Shard(entry.id, entry.parts, lambda part: self._files.path(entry.parts[part]))

        return {entry.id: known.get(entry.id) or opened(entry) for entry in manifest.shards}

    def _deletes(self, entry: ShardEntry) -> Mask:
        dead = np.zeros(entry.rows, dtype=bool)
        if entry.deletes is not None:
            dead[unpack_deletes(self._files.path(entry.deletes).read_bytes(), entry.deletes.key)] = True
        return dead

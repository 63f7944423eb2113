"""Snapshots made searchable: which rows of which part count, and where the parts are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from bucketlens import keys
from bucketlens.errors import NotFound
from bucketlens.filters import ALWAYS, Filter
from bucketlens.index import segment
from bucketlens.index.adapter import unpack_matrix
from bucketlens.index.arrays import Halves, Mask
from bucketlens.index.block import keys_at, rejection_at, sequencer_at
from bucketlens.index.fields import looked_at
from bucketlens.index.segment import Contents
from bucketlens.index.shard import Shard, key_hashes, unpack_deletes
from bucketlens.projection import Matrix
from bucketlens.records import Kind, ModelIdentity, Rejection
from bucketlens.search.files import LocalFiles, SnapshotGone
from bucketlens.search.held import Held
from bucketlens.search.hydrate import Hydrator
from bucketlens.search.keysearch import settle_by_range
from bucketlens.search.lineage import Lineage
from bucketlens.search.meter import Metered, in_parallel
from bucketlens.search.part import Part
from bucketlens.search.ranges import READERS, Ranges
from bucketlens.search.reach import COLD_FROM, Reach
from bucketlens.search.remote import Cold
from bucketlens.search.settlements import Settlements
from bucketlens.search.touch import Toucher
from bucketlens.search.winners import find_cold
from bucketlens.store.protocol import Store
from bucketlens.table.log import Log
from bucketlens.table.manifest import Manifest, ObjectRef, ShardEntry
from bucketlens.table.settle import Settled
from bucketlens.table.snapshot import Snapshot, read_snapshot

if TYPE_CHECKING:
    import pyarrow as pa  # noqa: TID251

_TURNS = 16
"""Collections whose views may be taken at the same time."""


@dataclass(frozen=True)
class View:
    """One snapshot, opened. Cheap until it is searched: shards are read by range, or brought local by use."""

    snapshot: Snapshot
    lineage: Lineage
    settlements: Settlements = field(repr=False)
    reach: Reach = field(repr=False)

    @property
    def log(self) -> Log:
        """The snapshot's log."""
        return self.settlements.log

    @property
    def shards(self) -> tuple[tuple[Shard, Mask], ...]:
        """The snapshot's shards in the manifest's order, and which rows of each the manifest says are deleted."""
        return self.settlements.shards

    @property
    def model(self) -> ModelIdentity | None:
        """Whose vectors these are; None while nothing is indexed."""
        return self.lineage.model

    @property
    def settled(self) -> Settled:
        """What counts, settled against every shard. Brings the keys of all shards local."""
        return self.settlements.among(tuple(range(len(self.shards))))[0]

    @cached_property
    def _counted(self) -> Settled:
        """The same without bringing anything local: shards that are not are asked by range."""
        entries = enumerate(self.snapshot.manifest.shards)
        cold = {number: self.cold(number) for number, entry in entries if not self.reach.local(entry)}
        return settle_by_range(self.log, self.shards, cold, self.reach.ranges, sure=True) if cold else self.settled

    @property
    def parts(self) -> tuple[Part, ...]:
        """The log, then all shards in the manifest's order, each brought local when it is touched."""
        return self.among(range(len(self.shards)))[1]

    def among(self, numbers: Iterable[int]) -> tuple[Settled, tuple[Part, ...]]:
        """What counts as far as these shards tell, ``dead`` in their order; and as parts, the log first.

        Parts without a counting row are left out.
        """
        settled, parts = self.settlements.among(tuple(numbers))
        return settled, tuple(part for part in parts if part.count)

    @cached_property
    def count(self) -> int:
        """Images searchable in this snapshot."""
        settled = self._counted
        return int(np.count_nonzero(settled.images)) + sum(int(np.count_nonzero(~dead)) for dead in settled.dead)

    @cached_property
    def rejections(self) -> Mapping[str, Rejection]:
        """Rejected objects by key, in order of key."""
        table = self.log.others.rows
        rows = self._counted.others(Kind.REJECTED)
        return {key: rejection_at(table, row) for key, row in zip(keys_at(table, rows), rows.tolist(), strict=True)}

    def find(self, key: str) -> tuple[pa.Table, int, Halves | None] | None:
        """The table and row that says what the key is now (any kind), with its part's vectors if it is an image."""
        said = self.log.get(key)
        for held in self._held(key):
            if said is None or said.sequencer < sequencer_at(held[0], held[1]):
                return held
        if said is None:
            return None
        if said.kind is Kind.IMAGE:
            return self.log.images.rows, said.row, self.log.images.vectors
        return self.log.others.rows, said.row, None

    def cold(self, number: int, dead: Mask | None = None, *, shut: bool = False) -> Cold:
        """A shard as it is searched while it is not local. ``dead`` are its rows that do not count, if that is known.

        Of a shard that is ``shut`` no row is wanted, only what it says of keys of the log.
        """
        shard, deleted = self.shards[number]
        return Cold(shard, self.snapshot.manifest.shards[number], ~(deleted if dead is None else dead), shut)

    def _held(self, key: str) -> Iterator[tuple[pa.Table, int, Halves]]:
        """The counting row of a key in each shard that has one: shards that are not local are asked together."""
        local = [self.reach.local(entry) for entry in self.snapshot.manifest.shards]
        for (shard, deleted), here in zip(self.shards, local, strict=True):
            row = shard.find([key], key_hashes([key])).get(key) if here else None
            if row is not None and not deleted[row]:
                yield shard.rows, row, shard.vectors
        yield from find_cold([self.cold(at) for at, here in enumerate(local) if not here], key, self.reach.ranges)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A view with what it was made of, so that the next one need not read it again."""

    taken_at: float
    view: View
    shards: Mapping[str, Shard]


class Views:
    """The newest view of each collection, reused while it is fresh enough. Thread-safe.

    ``clock`` counts seconds and never goes back. A strong view is taken after the call began: one GET and one LIST even
    when nothing changed, shared by the callers that waited for it; objects already opened are not read again. Who can
    do with the view there is waits for nobody.
    """

    def __init__(
        self,
        store: Store,
        files: LocalFiles,
        *,
        threads: int,
        max_staleness_s: float,
        clock: Callable[[], float],
        hydrate: bool = False,
        cold_from: int = COLD_FROM,
    ) -> None:
        self._store = Metered(store)
        self._files = files
        ranges = Ranges(self._store)
        hydrator, toucher = (Hydrator(files, clock, ranges.forget), Toucher()) if hydrate else (None, None)
        self.reach = Reach(files, ranges, hydrator, cold_from, toucher=toucher)
        self._threads = threads
        self._max_staleness_s = max_staleness_s
        self._clock = clock
        self._opened: dict[str, _Opened] = {}
        self._turns = [threading.Lock() for _ in range(_TURNS)]

    def view(self, collection: str, *, strong: bool, filter: Filter = ALWAYS) -> View:
        """A view of the collection; empty when nothing was indexed yet. What a search with ``filter`` begins with is
        read in the same round, if there is one. Raises SnapshotGone, Corrupt, Misconfigured."""
        asked = self._clock()
        opened = self._fresh(collection, asked, strong)
        if opened is None:
            with self._turns[hash(collection) % _TURNS]:
                opened = self._fresh(collection, asked, strong) or self._take(collection, looked_at(filter))
        return opened.view

    def open(self, snapshot: Snapshot) -> View:
        """A view of this very snapshot, which is not remembered."""
        return self._open(snapshot, self._clock(), None, frozenset()).view

    def forget(self, collection: str) -> None:
        """Drop what is remembered, so that the next view is taken anew."""
        self._opened.pop(collection, None)

    def _fresh(self, collection: str, asked: float, strong: bool) -> _Opened | None:
        known = self._opened.get(collection)
        if known is None:
            return None
        fresh = known.taken_at > asked if strong else asked - known.taken_at <= self._max_staleness_s
        return known if fresh else None

    def _take(self, collection: str, names: frozenset[str]) -> _Opened:
        began, known = self._clock(), self._opened.get(collection)
        snapshot = read_snapshot(self._store, collection, known.view.snapshot if known else None)
        if known and (known.view.snapshot.etag, known.view.snapshot.segments) == (snapshot.etag, snapshot.segments):
            opened = replace(known, taken_at=began)
        else:
            opened = self._open(snapshot, began, known, names)
        if snapshot.empty:  # anybody can ask for names that do not exist: remembering them would fill the memory
            self.forget(collection)
        else:
            self._opened[collection] = opened
        return opened

    def _open(self, snapshot: Snapshot, began: float, known: _Opened | None, names: frozenset[str]) -> _Opened:
        manifest, earlier = snapshot.manifest, known.view if known else None
        shards = self._open_shards(manifest, known.shards if known else {})
        held = Held.of(snapshot, earlier.log, earlier.model, earlier.snapshot.manifest) if earlier else Held()
        fresh = self._read(snapshot, held, known, names)
        adapters = {checksum: self._read_matrix(ref) for checksum, ref in manifest.adapters.items()}
        lineage = Lineage.of(manifest.collection, held.model or manifest.model, adapters, list(fresh.values()))
        log = held.log or Log.empty(lineage.model.dimension if lineage.model else 1)
        log = log.grown([(name, lineage.block(part)) for name, part in fresh.items()], snapshot.log_order)
        dead = [self._deletes(number, entry, earlier) for number, entry in enumerate(manifest.shards)]
        pairs = tuple(zip(shards.values(), dead, strict=True))
        grown = earlier is not None and held.whole and earlier.snapshot.manifest.shards == manifest.shards
        settlements = Settlements(log, pairs, earlier.settlements.last if earlier and grown else {})
        return _Opened(began, View(snapshot, lineage, settlements, self.reach), shards)

    def _read(
        self, snapshot: Snapshot, held: Held, known: _Opened | None, names: frozenset[str]
    ) -> dict[str, Contents]:
        """What the log lacks, in the order it was written; and everything else the view begins with is brought local
        in the same round of requests."""
        manifest = snapshot.manifest
        missing = [id for id in snapshot.segments if id not in held.names]
        logged = [ref for ref in (manifest.marks, *(one.object for one in manifest.merged)) if ref]
        logged = [ref for ref in logged if ref.key not in held.names]
        fresh = [entry for entry in manifest.shards if known is None or entry.id not in known.shards]
        refs = [*logged, *manifest.adapters.values(), *(entry.deletes for entry in manifest.shards if entry.deletes)]
        refs += [ref for entry in fresh for ref in self.reach.first(entry)]
        jobs: list[Callable[[], object]] = [partial(self._read_segment, manifest.collection, id) for id in missing]
        jobs += [partial(self._files.path, ref) for ref in refs]
        jobs.append(partial(self.reach.look, manifest.shards, names))
        done = in_parallel(max(self._threads, READERS), lambda job: job(), jobs)
        segments = {id: part for id, part in zip(missing, done, strict=False) if isinstance(part, Contents)}
        return {**{ref.key: self._map_segment(ref) for ref in logged}, **segments}

    def _read_segment(self, collection: str, id: str) -> Contents:
        key = keys.render(keys.Segment(collection, id))
        try:
            return segment.unpack(keys.check_segment(id, self._store.get(key).body), key)
        except NotFound as error:
            raise SnapshotGone("A log segment was swept while it was being read.", value=key) from error

    def _map_segment(self, ref: ObjectRef) -> Contents:
        return self._files.opened(ref, segment.map_file)

    def _read_matrix(self, ref: ObjectRef) -> Matrix:
        return self._files.opened(ref, lambda path: unpack_matrix(path.read_bytes(), ref.key))

    def _open_shards(self, manifest: Manifest, known: Mapping[str, Shard]) -> dict[str, Shard]:
        return {entry.id: known.get(entry.id) or self.reach.open(entry) for entry in manifest.shards}

    def _deletes(self, number: int, entry: ShardEntry, earlier: View | None) -> Mask:
        if earlier and earlier.snapshot.manifest.shards[number : number + 1] == (entry,):
            return earlier.shards[number][1]
        dead = np.zeros(entry.rows, dtype=bool)
        if (ref := entry.deletes) is not None:
            dead[self._files.opened(ref, lambda path: unpack_deletes(path.read_bytes(), ref.key))] = True
        return dead

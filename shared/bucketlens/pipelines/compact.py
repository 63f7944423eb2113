"""Compact: snapshot -> policy -> merge -> create shards -> swap manifest -> sweep.

Any number may race: everything is written under names of its own (``nonce``), the swap decides, and the loser's
output is garbage for the sweep. A crash at any step leaves the old manifest or the new one; both read right.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from bucketlens import keys
from bucketlens.errors import Conflict, Exists, Retryable
from bucketlens.index import segment, shard
from bucketlens.index.block import Block, Mask
from bucketlens.records import ModelIdentity
from bucketlens.search.view import View, Views
from bucketlens.settings import Settings
from bucketlens.store.protocol import Store
from bucketlens.table.commit import commit
from bucketlens.table.compaction import Compaction
from bucketlens.table.manifest import Manifest, ObjectRef, ShardEntry, stamp
from bucketlens.table.merge import Merged, merge, split
from bucketlens.table.policy import MAX_SHARD_ROWS, Plan, choose
from bucketlens.table.snapshot import read_manifest
from bucketlens.table.sweep import forgettable, garbage


@dataclass(frozen=True, slots=True)
class Compact:
    """What compaction works with. ``threads`` build graphs; ``max_shard_rows`` is smaller only in tests."""

    store: Store
    views: Views
    settings: Settings
    threads: int = 2
    max_shard_rows: int = MAX_SHARD_ROWS


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What one run did. ``lost_race``: another compaction committed first, and this one's output is garbage."""

    collection: str
    absorbed: int = 0
    merged: int = 0
    shards_written: int = 0
    rows_written: int = 0
    swept: int = 0
    manifest_version: int = 0
    lost_race: bool = False


def compact(collection: str, tools: Compact, *, now: datetime, nonce: str) -> CompactReport:
    """One step of compaction, then a sweep. ``nonce`` must be unique to this run. Does nothing when nothing is due."""
    view = tools.views.view(collection, strong=True)
    # Rejections and tombstones stay in the marks for weeks: they are no reason to merge shards.
    plan = choose(view.snapshot.manifest.shards, view.snapshot.segments, int(np.count_nonzero(view.settled.images)))
    report = CompactReport(collection, manifest_version=view.snapshot.manifest.version)
    if plan:
        step = _write(view, plan, tools, now, nonce)
        try:
            manifest = commit(tools.store, collection, step)
            report = _report(collection, plan, step, manifest)
        except Conflict:
            report = replace(report, lost_race=True)
        tools.views.forget(collection)
    return replace(report, swept=sweep(collection, tools, now=now))


def sweep(collection: str, tools: Compact, *, now: datetime) -> int:
    """Delete what is garbage past the grace period and let the manifest forget it; returns how many objects went."""
    grace = timedelta(seconds=tools.settings.sweep_grace_s)
    listing = list(tools.store.list(keys.root(collection)))
    manifest, etag = read_manifest(tools.store, collection)
    doomed = garbage(manifest, listing, now, grace)
    with ThreadPoolExecutor(tools.settings.threads) as pool:
        for _ in pool.map(tools.store.delete, doomed):
            pass
    step = forgettable(manifest, {entry.key for entry in listing} - set(doomed), now, grace)
    if etag is not None and not step.in_effect(manifest):
        commit(tools.store, collection, step)
    return len(doomed)


def _write(view: View, plan: Plan, tools: Compact, now: datetime, nonce: str) -> Compaction:
    """Create the new objects and describe the swap that makes them count."""
    before = view.snapshot.manifest
    dead = {shard.id: mask for (shard, _), mask in zip(view.shards, view.settled.dead, strict=True)}
    merging = [(shard, dead[shard.id]) for shard, _ in view.shards if shard.id in plan.merge]
    ttl = timedelta(seconds=tools.settings.tombstone_ttl_s)
    merged = merge(view.settled, merging, now=now, tombstone_ttl=ttl)
    writer = _Writer(tools, before.collection, f"{before.version + 1:08d}-{nonce}")

    kept = [entry for entry in before.shards if entry.id not in plan.merge]
    changed = {
        entry.id: writer.deletes(entry, dead[entry.id])
        for entry in kept
        if entry.deleted < np.count_nonzero(dead[entry.id]) < entry.rows
    }
    emptied = {entry.id for entry in kept if dead[entry.id].all()}
    return Compaction(
        before=before,
        absorb=plan.absorb,
        added=writer.shards(merged, view.model),
        changed=changed,
        removed=frozenset(plan.merge) | emptied,
        marks=writer.marks(merged.marks, view.model, before.marks),
        model=view.model,
        at=stamp(now),
    )


@dataclass(frozen=True, slots=True)
class _Writer:
    """Creates objects under one run's own names."""

    tools: Compact
    collection: str
    id: str

    def shards(self, merged: Merged, model: ModelIdentity | None) -> tuple[ShardEntry, ...]:
        if model is None:
            return ()
        entries = []
        for number, block in enumerate(split(merged.images, self.tools.max_shard_rows)):
            id = f"{self.id}-{number}"
            parts = shard.build(block, model, threads=self.tools.threads)
            entries.append(ShardEntry(id, len(block), self._parts(id, parts)))
        return tuple(entries)

    def deletes(self, entry: ShardEntry, dead: Mask) -> ShardEntry:
        rows = np.flatnonzero(dead).astype(np.uint32)
        ref = self._create(
            keys.ShardPart(self.collection, entry.id, f"deletes-{self.id}.arrow"), shard.pack_deletes(rows)
        )
        return replace(entry, deleted=len(rows), deletes=ref)

    def marks(self, block: Block, model: ModelIdentity | None, present: ObjectRef | None) -> ObjectRef | None:
        if not len(block) or model is None:
            return None
        name, body = keys.Marks(self.collection, self.id), segment.pack(block, model)
        if present is not None and ObjectRef.of(present.key, body) == present:
            return present
        return self._create(name, body)

    def _parts(self, id: str, parts: Mapping[str, bytes]) -> dict[str, ObjectRef]:
        return {part: self._create(keys.ShardPart(self.collection, id, part), body) for part, body in parts.items()}

    def _create(self, name: keys.Name, body: bytes) -> ObjectRef:
        key = keys.render(name)
        for last in (False, False, True):
            try:
                self.tools.store.create(key, body)
                break
            except Exists:
                break  # the name is this run's own: an earlier attempt landed and only its reply was lost
            except Retryable:
                if last:
                    raise
        return ObjectRef.of(key, body)


def _report(collection: str, plan: Plan, step: Compaction, manifest: Manifest) -> CompactReport:
    return CompactReport(
        collection,
        absorbed=len(plan.absorb),
        merged=len(plan.merge),
        shards_written=len(step.added),
        rows_written=sum(entry.rows for entry in step.added),
        manifest_version=manifest.version,
    )

"""Compact: snapshot -> policy -> merge -> create -> swap manifest, step by step, -> sweep.

Any number may race: everything is written under names of its own (``nonce``), the swap decides, and the loser's
output is garbage for the sweep. A crash at any step leaves the old manifest or the new one; both read right. A step's
memory depends on the size of a step and of a shard, not on the collection's.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np

from bucketlens import keys
from bucketlens.errors import Conflict
from bucketlens.pipelines.writer import Writer
from bucketlens.search.view import View, Views
from bucketlens.settings import Settings
from bucketlens.store.protocol import Store
from bucketlens.table.commit import commit
from bucketlens.table.compaction import Absorption, Consolidation
from bucketlens.table.manifest import MergedEntry, stamp
from bucketlens.table.merge import merge
from bucketlens.table.policy import MAX_SHARD_ROWS, Limits, Plan, choose, consolidated, most_rows, oldest
from bucketlens.table.snapshot import Snapshot, read_manifest, read_snapshot
from bucketlens.table.sweep import forgettable, garbage

MOST_STEPS = 1_000
"""Of one run: far more than a backlog needs, so that a run ends whatever happens."""


@dataclass(frozen=True, slots=True)
class Compact:
    """What compaction works with. ``threads`` build graphs; shards and steps are smaller only in tests."""

    store: Store
    views: Views
    settings: Settings
    threads: int = 2
    max_shard_rows: int = MAX_SHARD_ROWS
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What one run did. ``lost_race``: another compaction committed first, and the last step's output is garbage.

    ``consolidated`` segments were made fewer, ``absorbed`` ones (those among them) left the log.
    """

    collection: str
    steps: int = 0
    consolidated: int = 0
    absorbed: int = 0
    merged: int = 0
    shards_written: int = 0
    rows_written: int = 0
    swept: int = 0
    manifest_version: int = 0
    lost_race: bool = False


def compact(
    collection: str, tools: Compact, *, now: datetime, nonce: str, more: Callable[[], bool] = lambda: True
) -> CompactReport:
    """Steps of compaction until what was due when it began is done, or ``more`` says that there is no time for
    another; then a sweep. ``nonce`` must be unique to this run. Does nothing when nothing is due.
    """
    report = CompactReport(collection)
    for _ in range(MOST_STEPS):
        snapshot = read_snapshot(tools.store, collection)
        report = replace(report, manifest_version=snapshot.manifest.version)
        step = _Step(snapshot, tools, now, f"{snapshot.manifest.version + 1:08d}-{nonce}")
        try:
            report, unfinished = step.take(report)
        except Conflict:
            report, unfinished = replace(report, lost_race=True), False
        if not (unfinished and more()):
            break
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


@dataclass(frozen=True, slots=True)
class _Step:
    """From one manifest to the next. ``id`` names what the step creates."""

    snapshot: Snapshot
    tools: Compact
    now: datetime
    id: str

    def take(self, report: CompactReport) -> tuple[CompactReport, bool]:
        """What is done after this step, and whether more was due when it began. Raises Conflict for a lost race."""
        batch = consolidated(self.snapshot, self.tools.limits)
        if batch is not None:
            return self._consolidate(batch, report), True
        part = oldest(self.snapshot, self.tools.limits)
        if not part.manifest.merged and not part.segments:
            plan = choose(part.manifest.shards, (), 0, self._most)
            return (self._absorb(self.tools.views.open(part), plan, report), plan.more) if plan else (report, False)
        view = self.tools.views.open(part)
        # Rejections and tombstones stay in the marks for weeks: they are no reason to merge shards.
        new = int(np.count_nonzero(view.settled.images))
        shards = [
            replace(entry, deleted=int(np.count_nonzero(dead)))
            for entry, dead in zip(part.manifest.shards, view.settled.dead, strict=True)
        ]
        plan = choose(shards, part.segments, new, self._most)
        return self._absorb(view, plan, report), plan.more or part != self.snapshot

    @property
    def _most(self) -> int:
        model = self.snapshot.manifest.model
        return most_rows(model.dimension) if model else MAX_SHARD_ROWS

    def _consolidate(self, batch: Snapshot, report: CompactReport) -> CompactReport:
        """Segments become one, no shard is asked: a reader has fewer objects to read."""
        view, before = self.tools.views.open(batch), self.snapshot.manifest
        block = view.log.newest()
        if view.model is None:
            return report
        entry = MergedEntry(self._writer.merged(block, view.model), len(block), batch.segments, stamp(self.now))
        manifest = commit(self.tools.store, before.collection, Consolidation(before, entry, view.model))
        return replace(
            report,
            steps=report.steps + 1,
            consolidated=report.consolidated + len(batch.segments),
            manifest_version=manifest.version,
        )

    def _absorb(self, view: View, plan: Plan, report: CompactReport) -> CompactReport:
        """The log's oldest part becomes shards, marks and deletion vectors, shards are merged with it."""
        step = self._absorption(view, plan)
        manifest = commit(self.tools.store, step.before.collection, step)
        return replace(
            report,
            steps=report.steps + 1,
            absorbed=report.absorbed + len(plan.absorb) + sum(len(one.segments) for one in step.merged),
            merged=report.merged + len(plan.merge),
            shards_written=report.shards_written + len(step.added),
            rows_written=report.rows_written + sum(entry.rows for entry in step.added),
            manifest_version=manifest.version,
        )

    def _absorption(self, view: View, plan: Plan) -> Absorption:
        """Create the new objects and describe the swap that makes them count."""
        before = self.snapshot.manifest
        dead = {shard.id: mask for (shard, _), mask in zip(view.shards, view.settled.dead, strict=True)}
        merging = [(shard, dead[shard.id]) for shard, _ in view.shards if shard.id in plan.merge]
        ttl = timedelta(seconds=self.tools.settings.tombstone_ttl_s)
        merged = merge(view.settled, merging, now=self.now, tombstone_ttl=ttl)
        kept = [entry for entry in before.shards if entry.id not in plan.merge]
        changed = {
            entry.id: self._writer.deletes(entry, dead[entry.id])
            for entry in kept
            if entry.deleted < np.count_nonzero(dead[entry.id]) < entry.rows
        }
        emptied = {entry.id for entry in kept if dead[entry.id].all()}
        return Absorption(
            before=before,
            absorb=plan.absorb,
            merged=view.snapshot.manifest.merged,
            added=self._writer.shards(merged.images, view.model, min(self._most, self.tools.max_shard_rows)),
            changed=changed,
            removed=frozenset(plan.merge) | emptied,
            marks=self._writer.marks(merged.marks, view.model, before.marks),
            model=view.model,
            at=stamp(self.now),
        )

    @property
    def _writer(self) -> Writer:
        return Writer(self.tools.store, self.snapshot.manifest.collection, self.id, self.tools.threads)

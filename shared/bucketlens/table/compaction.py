"""The manifest transitions of compaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bucketlens.errors import Conflict
from bucketlens.records import ModelIdentity
from bucketlens.table.manifest import Manifest, MergedEntry, ObjectRef, ShardEntry


@dataclass(frozen=True, slots=True)
class Consolidation:
    """Several segments become one, ``entry``: the oldest of the log, but for those that were merged before.

    ``before`` is the manifest it was computed from, ``model`` the model of the merged segment's vectors.
    """

    before: Manifest
    entry: MergedEntry
    model: ModelIdentity

    def in_effect(self, manifest: Manifest) -> bool:
        """Our own swap landed if our object is named, or was until another compaction absorbed it."""
        key = self.entry.object.key
        return key in manifest.retired or any(one.object.key == key for one in manifest.merged)

    def apply(self, manifest: Manifest) -> Manifest:
        """The next manifest. Raises Conflict when another compaction took one of the segments, or the model changed."""
        theirs, ours = ((one.merged, one.model, one.adapters) for one in (manifest, self.before))
        if theirs != ours or not manifest.left().keys().isdisjoint(self.entry.segments):
            raise _lost_race()
        return replace(manifest, merged=(*manifest.merged, self.entry), model=self.model)


@dataclass(frozen=True, slots=True)
class Absorption:
    """Swap inputs for outputs, at the time ``at``.

    ``before`` is the manifest it was computed from, ``absorb`` the log segments, ``merged`` the merged ones, the oldest
    there are, ``added`` the new shards, ``changed`` the kept shards with new deletion vectors, ``removed`` the ids of
    merged or emptied shards, ``marks`` the new marks.
    """

    before: Manifest
    absorb: tuple[str, ...]
    merged: tuple[MergedEntry, ...]
    added: tuple[ShardEntry, ...]
    changed: Mapping[str, ShardEntry]
    removed: frozenset[str]
    marks: ObjectRef | None
    model: ModelIdentity | None
    at: str

    def in_effect(self, manifest: Manifest) -> bool:
        """Our own swap landed if its segments are absorbed at our time, or its new shards are there."""
        shards = {shard.id for shard in manifest.shards}
        if self.added:
            return all(shard.id in shards for shard in self.added)
        ids = self._segments
        return bool(ids) and all(manifest.absorbed.get(id) == at for id, at in ids.items())

    def apply(self, manifest: Manifest) -> Manifest:
        """The next manifest. Raises Conflict when another compaction changed any of the inputs meanwhile."""
        first = len(self.merged)
        theirs, ours = ((one.shards, one.marks, one.model) for one in (manifest, self.before))
        taken = not manifest.left().keys().isdisjoint(self.absorb)
        if theirs != ours or manifest.merged[:first] != self.merged or taken:
            raise _lost_race()
        shards = tuple(self.changed.get(shard.id, shard) for shard in manifest.shards if shard.id not in self.removed)
        after = replace(
            manifest,
            model=self.model,
            shards=(*shards, *self.added),
            marks=self.marks,
            merged=manifest.merged[first:],
            absorbed={**manifest.absorbed, **self._segments},
        )
        named = {ref.key for ref in after.objects()}
        dropped = {ref.key for ref in manifest.objects()} - named
        retired = {key: at for key, at in manifest.retired.items() if key not in named}
        return replace(after, retired={**retired, **dict.fromkeys(dropped, self.at)})

    @property
    def _segments(self) -> dict[str, str]:
        """Every segment that is absorbed, merged ones included, and when."""
        merged = [id for one in self.merged for id in one.segments]
        return dict.fromkeys((*merged, *self.absorb), self.at)


def _lost_race() -> Conflict:
    return Conflict(
        "Another compaction committed first.",
        code="lost_race",
        remedy="Nothing is lost; run it again if there is more to do.",
    )

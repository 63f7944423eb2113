"""The manifest transition of a compaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bucketlens.errors import Conflict
from bucketlens.records import ModelIdentity
from bucketlens.table.manifest import Manifest, ObjectRef, ShardEntry


@dataclass(frozen=True, slots=True)
class Compaction:
    """Swap inputs for outputs, at the time ``at``.

    ``before`` is the manifest it was computed from, ``absorb`` the log segments, ``added`` the new shards, ``changed``
    the kept shards with new deletion vectors, ``removed`` the ids of merged or emptied shards, ``marks`` the new marks.
    """

    before: Manifest
    absorb: tuple[str, ...]
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
        return bool(self.absorb) and all(manifest.absorbed.get(id) == self.at for id in self.absorb)

    def apply(self, manifest: Manifest) -> Manifest:
        """The next manifest. Raises Conflict when another compaction changed any of the inputs meanwhile."""
        theirs, ours = ((one.shards, one.marks, one.model) for one in (manifest, self.before))
        if theirs != ours or any(id in manifest.absorbed for id in self.absorb):
            raise Conflict(
                "Another compaction committed first.",
                code="lost_race",
                remedy="Nothing is lost; run it again if there is more to do.",
            )
        shards = tuple(self.changed.get(shard.id, shard) for shard in manifest.shards if shard.id not in self.removed)
        after = replace(
            manifest,
            model=self.model,
            shards=(*shards, *self.added),
            marks=self.marks,
            absorbed={**manifest.absorbed, **dict.fromkeys(self.absorb, self.at)},
        )
        named = {ref.key for ref in after.objects()}
        dropped = {ref.key for ref in manifest.objects()} - named
        retired = {key: at for key, at in manifest.retired.items() if key not in named}
        return replace(after, retired={**retired, **dict.fromkeys(dropped, self.at)})

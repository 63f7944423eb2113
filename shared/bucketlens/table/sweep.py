"""Garbage: what no manifest names, no log listing shows as live, and is older than the grace period. Pure decisions.

Absorbed segments and retired objects count their age from the moment they left the manifest, not from their creation:
a reader may have loaded the manifest before that moment and still be working from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bucketlens import keys
from bucketlens.store.protocol import Entry
from bucketlens.table.manifest import Manifest


def garbage(manifest: Manifest, listing: Iterable[Entry], now: datetime, grace: timedelta) -> list[str]:
    """Keys to delete, ascending. ``listing`` is everything under the collection's index prefix."""
    named = {ref.key for ref in manifest.objects()}
    absorbed = manifest.left()
    doomed = []
    for entry in listing:
        match keys.parse(entry.key):
            case keys.Segment(_, id):
                left = absorbed.get(id)
                since = datetime.fromisoformat(left) if left else None
            case keys.ShardPart(_, shard) if manifest.building and shard.endswith(f"-{manifest.building}"):
                since = None
            case keys.Adapter(_, id) if manifest.building and id.startswith(f"{manifest.building}-"):
                since = None
            case keys.ShardPart() | keys.Marks() | keys.Merged() | keys.Adapter() if entry.key not in named:
                left = manifest.retired.get(entry.key)
                since = datetime.fromisoformat(left) if left else entry.modified
            case _:
                since = None
        if since is not None and now - since > grace:
            doomed.append(entry.key)
    return sorted(doomed)


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop absorbed segments and retired objects from the manifest once they are gone from the bucket."""

    segments: frozenset[str]
    objects: frozenset[str]

    def in_effect(self, manifest: Manifest) -> bool:
        """Whether the manifest mentions none of them."""
        return self.segments.isdisjoint(manifest.absorbed) and self.objects.isdisjoint(manifest.retired)

    def apply(self, manifest: Manifest) -> Manifest:
        """The manifest without them."""
        return replace(
            manifest,
            absorbed={id: at for id, at in manifest.absorbed.items() if id not in self.segments},
            retired={key: at for key, at in manifest.retired.items() if key not in self.objects},
        )


def forgettable(manifest: Manifest, existing: Collection[str], now: datetime, grace: timedelta) -> Forget:
    """What the manifest may forget: past the grace period and not among the ``existing`` object keys."""

    def gone(key: str, at: str) -> bool:
        return key not in existing and now - datetime.fromisoformat(at) > grace

    return Forget(
        frozenset(
            id for id, at in manifest.absorbed.items() if gone(keys.render(keys.Segment(manifest.collection, id)), at)
        ),
        frozenset(key for key, at in manifest.retired.items() if gone(key, at)),
    )

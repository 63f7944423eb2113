"""What a view takes over from the one before it."""

from __future__ import annotations

from dataclasses import dataclass

from bucketlens.records import ModelIdentity
from bucketlens.table.log import Log
from bucketlens.table.manifest import Manifest
from bucketlens.table.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Held:
    """What of an earlier log still counts: ``names`` of its origins in a snapshot's terms, ``model`` of its vectors.

    ``whole``: all of it, so that the log to come has grown out of the earlier one.
    """

    log: Log | None = None
    names: frozenset[str] = frozenset()
    model: ModelIdentity | None = None
    whole: bool = False

    @classmethod
    def of(cls, snapshot: Snapshot, log: Log, model: ModelIdentity | None, before: Manifest) -> Held:
        """What a snapshot has in common with a log that was read under another manifest, with vectors of ``model``.

        Nothing when the collection's model or the way to it has changed since. Segments that were merged since are as
        good as the merged segment: that need not be read.
        """
        manifest = snapshot.manifest
        if model is None or manifest.model not in (None, model) or manifest.adapters != before.adapters:
            return cls()
        names = log.names
        merged = {one.object.key for one in manifest.merged if names.issuperset(one.segments)}
        kept = names.intersection(snapshot.log_order)
        if manifest.model is None and not kept:  # the collection was begun anew: its model may be another
            return cls()
        left = log if kept == names else log.only(kept, snapshot.log_order)
        return cls(left, kept | merged, model, kept == names)

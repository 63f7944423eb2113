"""A snapshot: manifest + LIST of the log - segments the manifest says were absorbed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bucketlens import keys
from bucketlens.errors import Corrupt, NotFound
from bucketlens.store.protocol import Store
from bucketlens.table.manifest import Manifest, loads


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is live at one moment. ``etag`` is the manifest's version at the store, None when there is none yet.

    ``segments`` are the ids of the live log segments, in the order they were written.
    """

    manifest: Manifest
    etag: str | None
    segments: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether the collection has no index at all."""
        return self.etag is None and not self.segments


def read_snapshot(store: Store, collection: str) -> Snapshot:
    """The present snapshot: one GET and one LIST (per 1,000 segments) in parallel.

    Reading the two at different moments is safe: a segment vanishes from the listing only a grace period after the
    manifest that absorbed it, and one that appears in both is dropped here.
    """
    with ThreadPoolExecutor(1) as pool:
        listed = pool.submit(list_segments, store, collection)
        manifest, etag = read_manifest(store, collection)
        segments = listed.result()
    return Snapshot(manifest, etag, tuple(id for id in segments if id not in manifest.absorbed))


def read_manifest(store: Store, collection: str) -> tuple[Manifest, str | None]:
    """The manifest and its etag; an empty one and None when it was never written. Raises Corrupt."""
    key = keys.render(keys.Manifest(collection))
    try:
        blob = store.get(key)
    except NotFound:
        return Manifest(collection), None
    manifest = loads(blob.body, key)
    if manifest.collection != collection:
        raise Corrupt(
            f"The manifest of collection {collection!r} speaks of another one, {manifest.collection!r}.",
            code="bad_manifest",
            value=key,
            remedy="Restore an earlier version of it: manifests cannot be copied between collections.",
        )
    return manifest, blob.etag


def list_segments(store: Store, collection: str) -> list[str]:
    """Ids of every log segment that exists, absorbed ones included, in the order they were written (ties by id).

    The order matters for two rows of one event: after a crash, the redelivered event is read anew and counts.
    """
    listed = sorted(store.list(keys.log_prefix(collection)), key=lambda entry: (entry.modified, entry.key))
    names = (keys.parse(entry.key) for entry in listed)
    return [name.id for name in names if isinstance(name, keys.Segment)]

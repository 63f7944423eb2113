"""A snapshot: manifest + LIST of the log - segments the manifest says were absorbed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from bucketlens import keys
from bucketlens.errors import Corrupt, NotFound
from bucketlens.store.protocol import Store
from bucketlens.table.manifest import Manifest, loads


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is live at one moment. ``etag`` is the manifest's version at the store, None when there is none yet.

    ``segments`` are the ids of the live log segments, in the order they were written, and ``sizes`` their bytes.
    """

    manifest: Manifest
    etag: str | None
    segments: tuple[str, ...]
    sizes: tuple[int, ...]

    @property
    def empty(self) -> bool:
        """Whether the collection has no index at all."""
        return self.etag is None and not self.segments

    @property
    def log_segments(self) -> int:
        """How many log segments are not absorbed, merged or not."""
        return len(self.segments) + sum(len(one.segments) for one in self.manifest.merged)

    @property
    def newest_segment(self) -> str | None:
        """The last of those that was written; None when there is none."""
        merged = self.manifest.merged[-1].segments if self.manifest.merged else ()
        return (*merged[-1:], *self.segments[-1:])[-1] if merged or self.segments else None

    @property
    def log_order(self) -> list[str]:
        """Everything the log may be made of, in the order it was written: marks and merged segments by key, segments,
        merged ones included, by id."""
        marks = [self.manifest.marks.key] if self.manifest.marks else []
        merged = [name for one in self.manifest.merged for name in (*one.segments, one.object.key)]
        return [*marks, *merged, *self.segments]


def read_snapshot(store: Store, collection: str, known: Snapshot | None = None) -> Snapshot:
    """The present snapshot: one GET and one LIST (per 1,000 segments) in parallel. ``known`` is an earlier one: while
    the manifest is the same it is not parsed again.

    Reading the two at different moments is safe: a segment vanishes from the listing only a grace period after the
    manifest that absorbed it, and one that appears in both is dropped here.
    """
    with ThreadPoolExecutor(1) as pool:
        listed = pool.submit(list_segments, store, collection)
        manifest, etag = read_manifest(store, collection, known)
        left = manifest.left()
        segments = [entry for entry in listed.result() if entry.id not in left]
    return Snapshot(manifest, etag, tuple(one.id for one in segments), tuple(one.size for one in segments))


def read_manifest(store: Store, collection: str, known: Snapshot | None = None) -> tuple[Manifest, str | None]:
    """The manifest and its etag; an empty one and None when it was never written. Raises Corrupt."""
    key = keys.render(keys.Manifest(collection))
    try:
        blob = store.get(key)
    except NotFound:
        return Manifest(collection), None
    if known is not None and known.etag == blob.etag:
        return known.manifest, blob.etag
    manifest = loads(blob.body, key)
    if manifest.collection != collection:
        raise Corrupt(
            f"The manifest of collection {collection!r} speaks of another one, {manifest.collection!r}.",
            code="bad_manifest",
            value=key,
            remedy="Restore an earlier version of it: manifests cannot be copied between collections.",
        )
    return manifest, blob.etag


class Listed(NamedTuple):
    """A log segment in the bucket: its id, and its size in bytes."""

    id: str
    size: int


def list_segments(store: Store, collection: str) -> list[Listed]:
    """Every log segment that exists, absorbed ones included, in the order they were written (ties by id).

    The order matters for two rows of one event: after a crash, the redelivered event is read anew and counts.
    """
    listed = sorted(store.list(keys.log_prefix(collection)), key=lambda entry: (entry.modified, entry.key))
    names = ((keys.parse(entry.key), entry.size) for entry in listed)
    return [Listed(name.id, size) for name, size in names if isinstance(name, keys.Segment)]

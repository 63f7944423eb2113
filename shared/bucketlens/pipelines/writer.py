"""The objects of one compaction step, created under names of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bucketlens import keys
from bucketlens.errors import Exists, Retryable
from bucketlens.index import segment, shard
from bucketlens.index.arrays import Mask
from bucketlens.index.block import Block
from bucketlens.index.gather import Gathered
from bucketlens.index.head import map_head
from bucketlens.records import ModelIdentity
from bucketlens.search.files import refused_by_disk
from bucketlens.store.protocol import Body, Store
from bucketlens.table.manifest import ObjectRef, ShardEntry

LISTED_FIELDS = 100
"""Metadata columns of a shard whose places stand in the manifest, which every reader reads: some 5 KB."""


@contextmanager
def building() -> Iterator[Path]:
    """A folder for the files of one shard, gone afterwards. Raises Retryable (``disk``) for what the disk refuses."""
    try:
        with TemporaryDirectory(prefix="bucketlens-") as folder:
            yield Path(folder)
    except OSError as error:
        raise refused_by_disk("a shard that was being built", str(error.filename), error) from error


@contextmanager
def mapped(path: Path) -> Iterator[Body]:
    """The bytes of a file that is not empty: the largest of a shard has a gigabyte, which need not be in memory."""
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as body:
        yield body


@dataclass(frozen=True, slots=True)
class Writer:
    """``id`` is the step's, and no other's. ``threads`` build graphs."""

    store: Store
    collection: str
    id: str
    threads: int

    def shards(self, images: Gathered, model: ModelIdentity | None, most: int) -> tuple[ShardEntry, ...]:
        """Shards of at most so many rows each, built one after the other in a temporary folder."""
        if model is None:
            return ()
        return tuple(self._shard(f"{self.id}-{number}", rows, model) for number, rows in enumerate(images.split(most)))

    def deletes(self, entry: ShardEntry, dead: Mask) -> ShardEntry:
        """The entry with a new deletion vector."""
        rows = np.flatnonzero(dead).astype(np.uint32)
        name = keys.ShardPart(self.collection, entry.id, f"deletes-{self.id}.arrow")
        return replace(entry, deleted=len(rows), deletes=self._create(name, shard.pack_deletes(rows)))

    def marks(self, block: Block, model: ModelIdentity | None, present: ObjectRef | None) -> ObjectRef | None:
        """The marks, which are the present ones when they say the same."""
        if not len(block) or model is None:
            return None
        name, body = keys.Marks(self.collection, self.id), segment.pack(block, model)
        if present is not None and ObjectRef.of(present.key, body) == present:
            return present
        return self._create(name, body)

    def merged(self, block: Block, model: ModelIdentity) -> ObjectRef:
        """A merged segment."""
        return self._create(keys.Merged(self.collection, self.id), segment.pack(block, model))

    def _shard(self, id: str, rows: Gathered, model: ModelIdentity) -> ShardEntry:
        with building() as folder:
            paths = shard.build(rows, model, folder, threads=self.threads)
            fields = map_head(paths[shard.HEAD]).outline.fields[:LISTED_FIELDS]
            return ShardEntry(
                id, len(rows), self._parts(id, paths), fields=tuple((name, start, end) for name, start, end in fields)
            )

    def _parts(self, id: str, paths: Mapping[str, Path]) -> dict[str, ObjectRef]:
        refs = {}
        for part, path in paths.items():
            with mapped(path) as body:
                refs[part] = self._create(keys.ShardPart(self.collection, id, part), body)
        return refs

    def _create(self, name: keys.Name, body: Body) -> ObjectRef:
        key = keys.render(name)
        for last in (False, False, True):
            try:
                self.store.create(key, body)
                break
            except Exists:
                break  # the name is this step's own: an earlier attempt landed and only its reply was lost
            except Retryable:
                if last:
                    raise
        return ObjectRef.of(key, body)

"""The one write of ingest: rows become a log segment, under a name made of their content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bucketlens import keys
from bucketlens.errors import Exists, NotFound
from bucketlens.index import segment
from bucketlens.index.block import Block
from bucketlens.model.encode import Encoder
from bucketlens.model.room import Room
from bucketlens.pipelines.each import contained
from bucketlens.pipelines.observe import Eyes
from bucketlens.records import ModelIdentity, Row
from bucketlens.search.lineage import Lineage
from bucketlens.search.view import Views
from bucketlens.settings import Settings
from bucketlens.store.protocol import Images, Store
from bucketlens.table.snapshot import read_manifest


@dataclass(frozen=True, slots=True)
class Ingest:
    """What ingest works with."""

    store: Store
    images: Images
    encoder: Encoder
    views: Views
    settings: Settings

    def eyes(self) -> Eyes:
        """What looking at the images of one batch needs."""
        return Eyes(self.images, self.encoder, self.settings, Room(self.settings.max_image_pixels))


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that can be stored, in order of their keys, and the same in columns."""

    rows: tuple[Row, ...]
    block: Block


def storable(rows: Sequence[Row], tools: Ingest, failures: dict[str, str]) -> Batch:
    """The rows that can be stored; why another cannot is noted in ``failures``: in the segment it would take its
    neighbours along. They are looked at one by one only when together they do not fit."""
    dimension = tools.encoder.identity.dimension
    ordered = sorted(rows, key=lambda row: row.key)
    try:
        return Batch(tuple(ordered), Block.of(ordered, dimension))
    except Exception:  # noqa: BLE001  whatever it was is met again below, by the row it belongs to
        kept = []
        for row in ordered:
            with contained(failures, row.key):
                Block.of((row,), dimension)
                kept.append(row)
        return Batch(tuple(kept), Block.of(kept, dimension))


def append(collection: str, batch: Batch, tools: Ingest) -> tuple[list[str], list[str]]:
    """One log segment by one conditional PUT: (new segments, segments that were there already)."""
    if not batch.rows:
        return [], []
    body = segment.pack(batch.block, tools.encoder.identity)
    id = keys.segment_id(max(row.sequencer for row in batch.rows).base, body)
    try:
        tools.store.create(keys.render(keys.Segment(collection, id)), body)
    except Exists:
        return [], [id]
    return [id], []


def check_model(collection: str, tools: Ingest) -> None:
    """Raises Misconfigured when the collection was made with a model that has nothing to do with this one.

    One GET, and two more until the collection is first compacted.
    """
    manifest, _ = read_manifest(tools.store, collection)
    mine = tools.encoder.identity
    if mine.checksum not in manifest.adapters:
        Lineage(collection, manifest.model or _logged_model(collection, tools.store)).matrix_from(mine)


def _logged_model(collection: str, store: Store) -> ModelIdentity | None:
    first = next(store.list(keys.log_prefix(collection)), None)
    if first is None:
        return None
    try:
        return segment.unpack(store.get(first.key).body, first.key).model
    except NotFound:
        return None  # swept since: then there is a manifest with a model now, and the compactor will compare

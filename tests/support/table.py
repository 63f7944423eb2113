"""An index without models: rows with made-up vectors, written as ingest writes them, read as queries read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import numpy as np

from bucketlens import keys
from bucketlens.errors import Exists
from bucketlens.index import segment
from bucketlens.index.block import Block, identities
from bucketlens.pipelines.compact import Compact
from bucketlens.records import Kind, Metadata, ModelIdentity, Rejection, Row, Sequencer
from bucketlens.search.files import LocalFiles
from bucketlens.search.view import View, Views
from bucketlens.settings import Settings
from bucketlens.store.protocol import Store
from bucketlens.table.policy import Limits

DIMENSION = 16
MODEL = ModelIdentity("made-up", "0" * 32, DIMENSION)
COLLECTION = "default"
START = datetime(2026, 1, 1, tzinfo=UTC)


def vector(seed: int, dimension: int = DIMENSION) -> np.ndarray:
    """A unit vector that depends on the seed alone."""
    drawn = np.random.default_rng(seed).standard_normal(dimension)
    return np.asarray(drawn / np.linalg.norm(drawn), dtype=np.float32)


def image(key: str, at: int | Sequencer, metadata: Metadata | None = None, seed: int | None = None) -> Row:
    """An image row whose vector depends on the key, the version, or the seed given."""
    stamp = at if isinstance(at, Sequencer) else sequencer(at)
    return Row(
        key,
        stamp,
        Kind.IMAGE,
        vector(hash_of(key, str(stamp)) if seed is None else seed),
        metadata or {"at": str(stamp)},
    )


def tombstone(key: str, at: int) -> Row:
    """A deletion."""
    return Row(key, sequencer(at), Kind.TOMBSTONE)


def rejected(key: str, at: int, code: str = "corrupt_image") -> Row:
    """A rejection."""
    return Row(key, sequencer(at), Kind.REJECTED, metadata={}, rejection=Rejection(code, "Made up.", START))


def sequencer(at: int) -> Sequencer:
    """The version an event numbered ``at`` carries."""
    return Sequencer(f"{at:018X}")


def hash_of(*parts: str) -> int:
    """A seed from text, the same in every process."""
    return int(keys.digest("|".join(parts).encode())[:12], 16)


def append(store: Store, rows: Sequence[Row], collection: str = COLLECTION, model: ModelIdentity = MODEL) -> str:
    """One log segment; the same rows write nothing new."""
    body = segment.pack(Block.of(rows, DIMENSION), model)
    id = keys.segment_id(max(row.sequencer for row in rows).base, body)
    with suppress(Exists):
        store.create(keys.render(keys.Segment(collection, id)), body)
    return id


@dataclass
class Table:
    """A table on a store, with readers and compactors of its own."""

    store: Store
    folder: Path
    settings: Settings = field(default_factory=lambda: Settings("bucket", sweep_grace_s=3600.0))
    max_shard_rows: int = 262_144
    cold_from: int = 4_096
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self._folders = count()

    def views(self, *, hydrate: bool = False, clock: Callable[[], float] = lambda: 0.0) -> Views:
        """A reader that remembers nothing and has an empty disk."""
        files = LocalFiles(self.store, self.folder / str(next(self._folders)), 10**9)
        return Views(
            self.store,
            files,
            threads=2,
            max_staleness_s=0.0,
            clock=clock,
            hydrate=hydrate,
            cold_from=self.cold_from,
        )

    def view(self, collection: str = COLLECTION) -> View:
        """The present state, read from nothing."""
        return self.views().view(collection, strong=True)

    def compactor(self) -> Compact:
        """A compactor that remembers nothing."""
        return Compact(self.store, self.views(), self.settings, 1, self.max_shard_rows, self.limits)


def contents(view: View) -> dict[str, str]:
    """Key -> version of everything searchable. Fails when a key is live twice."""
    found: dict[str, str] = {}
    for part in view.parts:
        rows = [said for said, live in zip(identities(part.source.rows), part.live.tolist(), strict=True) if live]
        for key, version, kind in rows:
            assert kind is Kind.IMAGE
            assert key not in found, f"{key} is live twice"
            found[key] = str(version)
    return found


def truth(rows: Iterable[Row]) -> dict[str, str]:
    """What ``contents`` must be after these rows, in any order."""
    newest: dict[str, Row] = {}
    for row in rows:
        known = newest.get(row.key)
        if known is None or row.sequencer > known.sequencer:
            newest[row.key] = row
    return {key: str(row.sequencer) for key, row in newest.items() if row.kind is Kind.IMAGE}

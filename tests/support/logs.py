"""Logs drawn at random, small steps of compaction, and all that a view says."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import numpy as np

from bucketlens.index.block import metadata_at, sequencer_at
from bucketlens.pipelines.compact import CompactReport, compact
from bucketlens.records import Kind, Row
from bucketlens.search.view import View
from bucketlens.store.memory import MemoryStore
from bucketlens.table.policy import Limits
from tests.support.faults import FaultStore
from tests.support.table import COLLECTION, START, Table, append, image, rejected, tombstone

LATER = START + timedelta(hours=2)


SMALL = Limits(segments=4, merged_bytes=12_000, rows=12, bytes=30_000)
"""Segments of these tests have about 3,000 bytes: four of them are merged at a time."""


Stated = dict[str, tuple[str, object, bytes]]
"""Key -> version, which of the rows written it is, vector."""


class Ticking(MemoryStore):
    """A store whose clock moves with every write, so that segments are ordered as they were written."""

    def __init__(self) -> None:
        ticks = count()
        super().__init__(lambda: START + timedelta(milliseconds=next(ticks)))


def stated(view: View) -> Stated:
    """All that is searchable. Fails when a key is live twice."""
    found: Stated = {}
    for part in view.parts:
        for row in np.flatnonzero(part.live).tolist():
            key = part.source.rows.column("key")[row].as_py()
            assert key not in found, f"{key} is live twice"
            version, (metadata,) = sequencer_at(part.source.rows, row), metadata_at(part.source.rows, [row])
            found[key] = str(version), metadata["n"], part.source.vectors[row].tobytes()
    return found


def rows_of(rng: random.Random, number: int, keys: int = 12) -> list[Row]:
    """A batch with versions that are late, new, or another row's own."""
    made = []
    for at in range(rng.randint(1, 4)):
        key, when = f"images/{rng.randrange(keys)}.jpg", rng.randint(1, 6)
        kind = rng.choices([Kind.IMAGE, Kind.TOMBSTONE, Kind.REJECTED], [6, 2, 1])[0]
        if kind is Kind.IMAGE:
            made.append(image(key, when, {"n": number * 10.0 + at}, seed=number * 10 + at))
        else:
            made.append((tombstone if kind is Kind.TOMBSTONE else rejected)(key, when))
    return made


def wanted(written: list[Row]) -> Stated:
    """What is searchable after these rows: the newest of a key, of equal versions the one written later."""
    newest: dict[str, Row] = {}
    for row in written:
        if row.key not in newest or row.sequencer >= newest[row.key].sequencer:
            newest[row.key] = row
    return {
        key: (str(row.sequencer), row.metadata["n"], np.asarray(row.vector, np.float16).tobytes())
        for key, row in newest.items()
        if row.kind is Kind.IMAGE
    }


def run(
    store: MemoryStore | FaultStore, folder: Path, nonce: str, now: datetime = START, **limits: int
) -> CompactReport:
    table = Table(store, folder, limits=replace(SMALL, **limits), max_shard_rows=40)
    return compact(COLLECTION, table.compactor(), now=now, nonce=nonce)


def only_consolidate(store: MemoryStore, folder: Path, nonce: str) -> CompactReport:
    """One batch of segments made one, and no more."""
    table = Table(store, folder, limits=SMALL)
    return compact(COLLECTION, table.compactor(), now=START, nonce=nonce, more=lambda: False)


def fill(store: MemoryStore, rng: random.Random, batches: int) -> list[Row]:
    written = []
    for number in range(batches):
        batch = rows_of(rng, number)
        append(store, batch)
        written += batch
    return written


def world() -> tuple[MemoryStore, list[Row]]:
    store = Ticking()
    return store, fill(store, random.Random(5), 10)

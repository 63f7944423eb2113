"""What a compaction writes: which rows, in which order. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from bucketlens.index.arrays import Mask
from bucketlens.index.block import Block, rejection_at, stamped
from bucketlens.index.columns import unify
from bucketlens.index.gather import Gathered
from bucketlens.index.shard import Shard
from bucketlens.records import Kind
from bucketlens.table.settle import Settled


@dataclass(frozen=True, slots=True)
class Merged:
    """``images`` in order of key, for new shards; ``marks`` to keep: rejections and tombstones not yet forgotten."""

    images: Gathered
    marks: Block


def merge(
    settled: Settled,
    merging: Sequence[tuple[Shard, Mask]],
    *,
    now: datetime,
    tombstone_ttl: timedelta,
) -> Merged:
    """Counting rows of the log and of the shards being merged (with their dead rows).

    A tombstone gets the time ``now`` when it is first merged, and is forgotten ``tombstone_ttl`` after that.
    """
    log = settled.spoken.images
    parts = [(Block(log.rows, log.vectors), np.flatnonzero(settled.images))]
    parts += [(Block(shard.rows, shard.vectors), np.flatnonzero(~dead)) for shard, dead in merging]
    return Merged(Gathered.of(parts), _marks(settled, now, tombstone_ttl))


def _marks(settled: Settled, now: datetime, tombstone_ttl: timedelta) -> Block:
    others, dimension = settled.spoken.others, settled.spoken.images.vectors.shape[1]
    tombstones = stamped(others.take(settled.others(Kind.TOMBSTONE)).table, now)
    young = [row for row in range(len(tombstones)) if now - (rejection_at(tombstones, row).at or now) < tombstone_ttl]
    kept = unify([others.take(settled.others(Kind.REJECTED)).table, tombstones.take(np.array(young, dtype=np.int64))])
    return Block(kept, np.zeros((kept.num_rows, dimension), dtype=np.float16))

"""What a compaction writes: pure, from rows in memory to rows in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from bucketlens.index.block import Block, Mask, rejection_at, stamped
from bucketlens.index.columns import unify
from bucketlens.index.shard import Shard
from bucketlens.records import Kind
from bucketlens.table.settle import Settled


@dataclass(frozen=True, slots=True)
class Merged:
    """``images`` in order of key, for new shards; ``marks`` to keep: rejections and tombstones not yet forgotten."""

    images: Block
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
    log = settled.spoken
    blocks = [Block(log.images.rows, log.images.vectors).take(np.flatnonzero(settled.images))]
    blocks += [Block(shard.rows, shard.vectors).take(np.flatnonzero(~dead)) for shard, dead in merging]
    images = Block.joined([block for block in blocks if len(block)], log.images.vectors.shape[1])
    order = np.argsort(np.array(images.table.column("key").to_pylist(), dtype=object), kind="stable")
    return Merged(images.take(order.astype(np.int64)), _marks(settled, now, tombstone_ttl))


def _marks(settled: Settled, now: datetime, tombstone_ttl: timedelta) -> Block:
    others, dimension = settled.spoken.others, settled.spoken.images.vectors.shape[1]
    tombstones = stamped(others.take(settled.others(Kind.TOMBSTONE)).table, now)
    young = [row for row in range(len(tombstones)) if now - (rejection_at(tombstones, row).at or now) < tombstone_ttl]
    kept = unify([others.take(settled.others(Kind.REJECTED)).table, tombstones.take(np.array(young, dtype=np.int64))])
    return Block(kept, np.zeros((kept.num_rows, dimension), dtype=np.float16))


def split(block: Block, most: int) -> Iterator[Block]:
    """The block in parts of nearly equal size, at most ``most`` rows each; nothing for an empty block."""
    if len(block):
        for rows in np.array_split(np.arange(len(block)), -(-len(block) // most)):
            yield block.take(rows)

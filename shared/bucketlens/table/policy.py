"""When to compact what. Pure: decides and does nothing.

Shards grow by a factor of four (256, 1 k, 4 k, 16 k, 65 k, 262 k rows). New rows make a small shard; as soon as a tier
would hold four, its shards become one of the next tier. A row is rewritten at most once in each tier above the
smallest, and in that one 256 / 3n times where each compaction brings n new rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bucketlens.table.manifest import ShardEntry

MAX_SHARD_ROWS = 262_144
GROWTH = 4
SMALLEST_TIER_ROWS = 256
HIGHEST_TIER = 5
MAX_DELETED_SHARE = 0.3
"""A shard with more superseded rows than this is rewritten: they cost every search and are reclaimed only then."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Log segments to absorb and shards to merge with them, by id. Empty: there is nothing to do."""

    absorb: tuple[str, ...] = ()
    merge: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.absorb or self.merge)


def choose(shards: Sequence[ShardEntry], segments: Sequence[str], new_rows: int) -> Plan:
    """The next compaction for these shards and live segments, which hold about ``new_rows`` rows.

    Always absorbs the log; merges tiers upward from the new rows' own while one would be full.
    """
    absorb = tuple(segments)
    merge = {shard.id for shard in shards if shard.deleted > MAX_DELETED_SHARE * shard.rows}
    rows = (new_rows if absorb else 0) + sum(shard.live for shard in shards if shard.id in merge)
    growing = [shard for shard in shards if shard.id not in merge and shard.live < MAX_SHARD_ROWS // 2]
    if rows == 0:
        return Plan(absorb, tuple(sorted(merge)))
    while True:
        peers = [shard for shard in growing if shard.id not in merge and tier(shard.live) <= tier(rows)]
        if len(peers) < GROWTH - 1:
            return Plan(absorb, tuple(sorted(merge)))
        merge |= {shard.id for shard in peers}
        rows += sum(shard.live for shard in peers)


def tier(rows: int) -> int:
    """0 up to 256 rows, then one more for each factor of four: 1 up to 1,024, ..., 4 up to 65,536, 5 above."""
    level = 0
    while level < HIGHEST_TIER and rows > SMALLEST_TIER_ROWS * GROWTH**level:
        level += 1
    return level

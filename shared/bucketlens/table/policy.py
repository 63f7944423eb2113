"""When to compact what. Pure: decides and does nothing.

The log first: many small segments become few merged ones, then it is absorbed, the oldest part first.

Shards grow by a factor of four (256, 1 k, 4 k, 16 k, 65 k, 262 k, 1 M rows). New rows make a small shard; as soon as
a tier would hold four, its shards become one of the next tier. A row is rewritten at most once in each tier above the
smallest, and in that one 256 / 3n times where each compaction brings n new rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bucketlens.table.manifest import ShardEntry
from bucketlens.table.snapshot import Snapshot

MAX_SHARD_ROWS = 1_048_576
MAX_SHARD_COMPONENTS = 2**29
"""Four graphs take two to three times as long as one over the same rows at equal recall (measured at 65,536 against
262,144). Of more than 512 dimensions the largest shard has a fourth of the rows: its files stay near 2 GB, and it is
built well within a function's 15 minutes."""
GROWTH = 4
SMALLEST_TIER_ROWS = 256
HIGHEST_TIER = 6
MAX_DELETED_SHARE = 0.25
"""A shard with more superseded rows than this is rewritten: they cost every search and are reclaimed only then."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one step. Smaller only in tests.

    More live segments than ``segments`` are consolidated first, for a reader asks for each by itself: at most
    ``merged_bytes`` of them become one, which a reader takes up in about a second. Of the log, at most ``rows`` rows of
    merged segments and ``bytes`` bytes in all are absorbed in one step: they are in memory meanwhile.
    """

    segments: int = 64
    merged_bytes: int = 64 * 2**20
    rows: int = 262_144
    bytes: int = 512 * 2**20


@dataclass(frozen=True, slots=True)
class Plan:
    """Log segments to absorb and shards to merge with them, by id. Empty: there is nothing to do.

    ``more``: there are shards to rewrite that must wait for another step.
    """

    absorb: tuple[str, ...] = ()
    merge: tuple[str, ...] = ()
    more: bool = False

    def __bool__(self) -> bool:
        return bool(self.absorb or self.merge)


def consolidated(snapshot: Snapshot, limits: Limits) -> Snapshot | None:
    """The part of a log that is to become one merged segment, None while there are few segments: the oldest ones.

    Without shards, marks and what is merged already: segments are made one without asking those.
    """
    if len(snapshot.segments) <= limits.segments:
        return None
    count = _fitting(snapshot.sizes, limits.merged_bytes)
    manifest = replace(snapshot.manifest, shards=(), marks=None, merged=())
    return replace(snapshot, manifest=manifest, segments=snapshot.segments[:count], sizes=snapshot.sizes[:count])


def oldest(snapshot: Snapshot, limits: Limits) -> Snapshot:
    """The snapshot with the oldest part of its log only: what one step absorbs."""
    merged = snapshot.manifest.merged
    first = min(
        _fitting([one.rows for one in merged], limits.rows), _fitting([one.object.size for one in merged], limits.bytes)
    )
    left = limits.bytes - sum(one.object.size for one in merged[:first])
    count = _fitting(snapshot.sizes, left, least=0 if merged else 1) if first == len(merged) else 0
    manifest = replace(snapshot.manifest, merged=merged[:first])
    return replace(snapshot, manifest=manifest, segments=snapshot.segments[:count], sizes=snapshot.sizes[:count])


def most_rows(dimension: int) -> int:
    """Rows of the largest shard."""
    most = MAX_SHARD_ROWS
    while most * dimension > MAX_SHARD_COMPONENTS and most > SMALLEST_TIER_ROWS:
        most //= GROWTH
    return most


def choose(shards: Sequence[ShardEntry], segments: Sequence[str], new_rows: int, most: int = MAX_SHARD_ROWS) -> Plan:
    """The next compaction for these shards and log segments, which hold about ``new_rows`` rows with what is merged;
    shards may have at most ``most`` rows.

    Always absorbs these segments; merges tiers upward from the new rows' own while one would be full. Of the shards
    to rewrite, as many as fit into one, those with the most superseded rows first; and with them the shards of lower
    tiers that fit, smallest first: to copy those costs little beside, and every shard costs every search.
    """
    wasted = [shard for shard in shards if shard.deleted > MAX_DELETED_SHARE * shard.rows]
    wasted.sort(key=lambda shard: (-shard.deleted / shard.rows, shard.id))
    rewritten = wasted[: _fitting([shard.live for shard in wasted], most)]
    merge, more = {shard.id for shard in rewritten}, len(rewritten) < len(wasted)
    rows = new_rows + sum(shard.live for shard in rewritten)
    growing = [shard for shard in shards if shard not in wasted and shard.live < most // 2]
    if rewritten:
        lower = sorted(
            (shard for shard in growing if tier(shard.live) < tier(rows)), key=lambda one: (one.live, one.id)
        )
        taken = lower[: _fitting([rows, *(shard.live for shard in lower)], most) - 1]
        merge |= {shard.id for shard in taken}
        rows += sum(shard.live for shard in taken)
    while rows:
        peers = [shard for shard in growing if shard.id not in merge and tier(shard.live) <= tier(rows)]
        if len(peers) < GROWTH - 1:
            break
        merge |= {shard.id for shard in peers}
        rows += sum(shard.live for shard in peers)
    return Plan(tuple(segments), tuple(sorted(merge)), more)


def tier(rows: int) -> int:
    """0 up to 256 rows, then one more for each factor of four: 1 up to 1,024, ..., 5 up to 262,144, 6 above."""
    level = 0
    while level < HIGHEST_TIER and rows > SMALLEST_TIER_ROWS * GROWTH**level:
        level += 1
    return level


def _fitting(sizes: Sequence[int], most: int, least: int = 1) -> int:
    """How many of these, from the first, are at most ``most`` together; ``least`` if there are any."""
    total = 0
    for number, size in enumerate(sizes):
        total += size
        if total > most:
            return max(number, least)
    return len(sizes)

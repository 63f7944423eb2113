"""The compaction policy: pure, and rows are rewritten a bounded number of times."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucketlens.table.manifest import Manifest, MergedEntry, ObjectRef, ShardEntry
from bucketlens.table.policy import (
    GROWTH,
    MAX_SHARD_ROWS,
    SMALLEST_TIER_ROWS,
    Limits,
    Plan,
    choose,
    consolidated,
    most_rows,
    oldest,
    tier,
)
from bucketlens.table.snapshot import Snapshot


def shard(id: str, rows: int, deleted: int = 0) -> ShardEntry:
    return ShardEntry(id, rows, {}, deleted, ObjectRef("d", 1, "c") if deleted else None)


SHARDS = st.lists(st.tuples(st.integers(1, 300_000), st.floats(0, 0.99)), max_size=20).map(
    lambda drawn: [shard(f"s{n}", rows, int(rows * share)) for n, (rows, share) in enumerate(drawn)]
)


@settings(max_examples=60, deadline=None)
@given(SHARDS, st.lists(st.sampled_from("abc"), unique=True), st.integers(0, 10_000))
def test_a_plan_absorbs_the_whole_log_and_merges_only_shards_that_exist_each_once(
    shards: list[ShardEntry], segments: list[str], new: int
) -> None:
    plan = choose(shards, segments, new)
    assert plan.absorb == tuple(segments)
    assert len(set(plan.merge)) == len(plan.merge)
    assert set(plan.merge) <= {one.id for one in shards}
    assert choose(shards, segments, new) == plan


def test_with_nothing_new_and_nothing_wasted_there_is_nothing_to_do() -> None:
    assert not choose([shard("a", 10), shard("b", 10), shard("c", 10), shard("d", 10)], (), 0)
    assert choose((), (), 0) == Plan()


def test_a_shard_with_many_superseded_rows_is_rewritten_even_alone() -> None:
    assert choose([shard("a", 100_000, 26_000), shard("b", 100_000, 24_000)], (), 0).merge == ("a",)
    assert choose([shard("full", MAX_SHARD_ROWS), shard("b", 10)], ("x",), 5).merge == ()


def test_of_many_wasted_shards_as_many_are_rewritten_as_make_one_the_worst_first() -> None:
    shards = [shard(f"s{n}", 100_000, 40_000 + n) for n in range(9)]
    plan = choose(shards, (), 0, 262_144)
    assert plan.merge == ("s5", "s6", "s7", "s8")
    assert plan.more
    assert choose(shards[:5], (), 0, 262_144) == Plan((), ("s1", "s2", "s3", "s4"), more=True)
    assert choose(shards[:1], (), 0) == Plan((), ("s0",))


def test_a_rewritten_shard_takes_along_those_of_lower_tiers_that_fit_the_smallest_first() -> None:
    shards = [shard("worn", 100_000, 40_000), shard("a", 3_000), shard("b", 70_000), shard("c", 10_000)]
    assert choose(shards, ("x",), 500).merge == ("a", "c", "worn"), "b is as large as what is rewritten"
    assert choose(shards, (), 0, 65_536).merge == ("a", "worn"), "c does not fit"
    assert choose(shards[1:], ("x",), 500).merge == (), "nothing is rewritten"


LOGS = st.builds(
    lambda merged, sizes: Snapshot(
        Manifest("default", merged=tuple(logged(number, rows, size) for number, (rows, size) in enumerate(merged))),
        "e",
        tuple(f"segment{number}" for number in range(len(sizes))),
        tuple(sizes),
    ),
    st.lists(st.tuples(st.integers(1, 90), st.integers(1, 900)), max_size=8),
    st.lists(st.integers(1, 400), max_size=12),
)


def logged(number: int, rows: int, size: int) -> MergedEntry:
    return MergedEntry(ObjectRef(f"m{number}", size, "c"), rows, (f"old{number}",), "2026-01-01T00:00:00+00:00")


@settings(max_examples=200, deadline=None)
@given(LOGS, st.integers(0, 6))
def test_the_oldest_part_of_the_log_comes_first_and_within_bounds(snapshot: Snapshot, most: int) -> None:
    limits = Limits(segments=most, merged_bytes=600, rows=100, bytes=1_000)
    merged, segments = snapshot.manifest.merged, snapshot.segments
    batch = consolidated(snapshot, limits)
    assert (batch is None) == (len(segments) <= most)
    if batch is not None:
        assert batch.segments == segments[: len(batch.segments)] != ()
        assert sum(batch.sizes) <= limits.merged_bytes or len(batch.sizes) == 1
        assert not batch.manifest.merged
    part = oldest(snapshot, limits)
    taken = part.manifest.merged
    assert merged[: len(taken)] == taken
    assert segments[: len(part.segments)] == part.segments
    assert taken == merged or not part.segments, "what was merged is older than any segment"
    assert bool(taken or part.segments) == bool(merged or segments), "there is progress"
    if len(taken) + len(part.segments) > 1:
        assert sum(one.rows for one in taken) <= limits.rows
        assert sum(one.object.size for one in taken) + sum(part.sizes) <= limits.bytes


def test_deletions_alone_merge_nothing() -> None:
    assert choose([shard(f"s{n}", 10) for n in range(9)], ("x",), 0) == Plan(("x",), ())


def test_the_fourth_of_a_tier_merges_it_and_a_full_shard_is_left_alone() -> None:
    peers = [shard(f"s{n}", 200) for n in range(3)]
    assert choose(peers[:2], ("x",), 200).merge == ()
    assert choose([*peers, shard("big", 200_000)], ("x",), 200).merge == ("s0", "s1", "s2")


def test_tiers_grow_by_a_factor_of_four() -> None:
    ends = [SMALLEST_TIER_ROWS * GROWTH**level for level in range(7)]
    assert ends[-1] == MAX_SHARD_ROWS
    assert [tier(rows) for rows in ends] == [0, 1, 2, 3, 4, 5, 6]
    assert [tier(rows + 1) for rows in ends] == [1, 2, 3, 4, 5, 6, 6]


def test_the_largest_shard_has_fewer_rows_the_more_dimensions_they_have() -> None:
    assert [most_rows(d) for d in (64, 512, 513, 768, 2_048, 2_049)] == [2**20, 2**20, 2**18, 2**18, 2**18, 2**16]
    peers = [shard(f"s{n}", 262_144) for n in range(3)]
    assert choose(peers, ("x",), 262_144, most_rows(512)).merge == ("s0", "s1", "s2")
    assert choose(peers, ("x",), 262_144, most_rows(768)).merge == ()


def lifetime(batches: list[int]) -> tuple[float, int]:
    """(rows written per row that came, most shards at any moment) when each batch is compacted at once."""
    shards: list[ShardEntry] = []
    written = most = 0
    for step, batch in enumerate(batches):
        plan = choose(shards, ("log",), batch)
        rows = batch + sum(one.live for one in shards if one.id in plan.merge)
        shards = [one for one in shards if one.id not in plan.merge]
        parts = -(-rows // MAX_SHARD_ROWS)
        shards += [shard(f"{step}-{part}", rows // parts + (part < rows % parts)) for part in range(parts)]
        written += rows
        most = max(most, len(shards))
    assert sum(one.rows for one in shards) == sum(batches), "a row was lost"
    return written / sum(batches), most


@pytest.mark.parametrize("batch", [1, 3, 10, 50, 200, 1_000, 5_000])
def test_a_row_is_written_a_bounded_number_of_times_over_many_small_compactions(batch: int) -> None:
    count = 2_000
    amplification, most = lifetime([batch] * count)
    # Once when it comes, once in each tier it passes, and in the smallest tier at most every third compaction.
    tiers = max(0.0, math.log(min(batch * count, MAX_SHARD_ROWS) / SMALLEST_TIER_ROWS, GROWTH))
    assert amplification <= 2 + tiers + SMALLEST_TIER_ROWS / (GROWTH - 1) / batch
    assert most <= (GROWTH - 1) * 7 + batch * count / (MAX_SHARD_ROWS / 2)


@pytest.mark.parametrize("seed", range(5))
def test_batches_of_very_different_sizes_are_no_worse(seed: int) -> None:
    rng = random.Random(seed)
    amplification, most = lifetime([int(10 ** rng.uniform(0, 4)) for _ in range(500)])
    assert amplification <= 10
    assert most <= 30

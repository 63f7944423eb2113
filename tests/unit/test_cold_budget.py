"""A cold search's requests and bytes stay within its budget whatever matches, and leave no wanted row out: on shards of
a million rows that are nothing but an outline, read from a store of zeros."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.table import vector

from bucketlens.index.codes import Coding
from bucketlens.index.head import Head, Outline
from bucketlens.records import Sequencer
from bucketlens.search.budget import Budget
from bucketlens.search.cold import candidates
from bucketlens.search.ranges import coalesce
from bucketlens.search.remote import Cold, Sought
from bucketlens.table.manifest import ObjectRef, ShardEntry

DIMENSION = 64
QUERY = vector(1, DIMENSION)
BATCH_ROWS, BATCH = 1_000, 200_000


@dataclass(frozen=True)
class Spent:
    steps: int
    gets: int
    size: int
    sought: list[Sought]


def shard(number: int, rows: int, clusters: int, seed: int) -> Cold:
    """A shard whose clusters are of random sizes, some very large."""
    rng = np.random.default_rng(seed)
    cuts = np.sort(rng.choice(np.arange(1, rows), min(clusters, rows) - 1, replace=False))
    if seed % 2:
        cuts = cuts[cuts > rows // 2]
    firsts = np.concatenate([[0], cuts, [rows]]).astype(np.int64)
    centroids = rng.integers(-127, 128, (len(firsts) - 1, DIMENSION), dtype=np.int8)
    batches = np.append(np.arange(0, rows, BATCH_ROWS), rows)
    spans = [(at * BATCH, (at + 1) * BATCH) for at in range(len(batches) - 1)]
    outline = Outline(firsts, batches, spans, b"", 0, 0, {}, [], Sequencer("0"))
    head = Head(outline, centroids, Coding(np.zeros(DIMENSION, np.float32), 0.1), 64, 64)
    names = ("rows.arrow", "vectors.arrow", "codes.arrow")
    parts = {name: ObjectRef(f"{number}/{name}", 10**9, "") for name in names}
    opened: Any = SimpleNamespace(head=head, id=str(number))
    return Cold(opened, ShardEntry(str(number), rows, parts), np.ones(rows, bool))


def carried_out(shards: list[Cold], masks: list[np.ndarray], k: int, budget: Budget) -> Spent:
    task = candidates(shards, masks, QUERY, k, budget)
    steps = gets = size = 0
    bodies: list[bytes] | None = None
    try:
        while True:
            pieces = next(task) if bodies is None else task.send(bodies)
            ranges = coalesce(pieces)
            steps, gets, size = steps + 1, gets + len(ranges), size + sum(one.end - one.start for one in ranges)
            bodies = [bytes(piece.end - piece.start) for piece in pieces]
    except StopIteration as done:
        return Spent(steps, gets, size, done.value)


def matching(rows: int, share: float, kind: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    count = min(rows, max(1, round(share * rows)))
    mask = np.zeros(rows, bool)
    if kind == "anywhere":
        mask[rng.choice(rows, count, replace=False)] = True
    elif kind == "together":
        start = int(rng.integers(0, rows - count + 1))
        mask[start : start + count] = True
    else:
        mask[:: max(1, rows // count)] = True
    return mask


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.sampled_from([4_096, 65_536, 262_144]), min_size=1, max_size=6),
    share=st.sampled_from([0.00001, 0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 1.0]),
    kind=st.sampled_from(["anywhere", "together", "regularly"]),
    k=st.sampled_from([1, 10, 40, 200]),
    spare=st.sampled_from([0, 6]),
    seed=st.integers(0, 100),
)
def test_whatever_the_filter_and_the_layout_a_search_keeps_its_budget_and_no_wanted_row_is_left_out(
    sizes: list[int], share: float, kind: str, k: int, spare: int, seed: int
) -> None:
    shards = [shard(number, rows, rows // 250, seed + number) for number, rows in enumerate(sizes)]
    masks = [matching(rows, share, kind, seed + number) for number, rows in enumerate(sizes)]
    wanted = k + spare
    budget = Budget.after(1 + 3 * len(shards), 3_000_000, wanted, BATCH)
    spent = carried_out(shards, masks, k, budget)
    assert spent.steps <= 2
    assert spent.gets <= budget.gets
    matched = sum(int(mask.sum()) for mask in masks)
    found = [one.rows for one in spent.sought]
    assert sum(map(len, found)) >= min(wanted, matched)
    assert all(mask[rows].all() for mask, rows in zip(masks, found, strict=True))
    assert spent.size <= budget.size


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.5])
def test_an_answer_over_a_million_rows_in_four_shards_is_within_the_promise(share: float) -> None:
    shards = [shard(number, 262_144, 1_048, 2 * number) for number in range(4)]
    masks = [matching(262_144, share, "anywhere", number) for number in range(4)]
    opened = 1 + 3 * len(shards)
    spent = carried_out(shards, masks, 10, Budget.after(opened, 6_000_000, 10, BATCH))
    assert opened + spent.gets + 10 <= 80
    assert 6_000_000 + spent.size + 10 * BATCH <= 24_000_000

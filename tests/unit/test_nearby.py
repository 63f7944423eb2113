"""The clusters of a shard around a query: what is counted and looked up there is what a mask of all rows says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import table
from tests.support.shards import reading
from tests.support.table import image
from tests.unit.test_codes import around, unit

from bucketlens.index import shard
from bucketlens.index.block import Block
from bucketlens.index.codes import bits_apart, encode
from bucketlens.index.gather import Gathered
from bucketlens.index.masks import Passing
from bucketlens.index.rounded import Asked
from bucketlens.index.shard import Shard
from bucketlens.index.vectors import exact_cosines
from bucketlens.records import ModelIdentity
from bucketlens.search.nearby import Nearby
from bucketlens.search.part import HeldRows, Matching, Part
from bucketlens.search.sift import FIRST, LOOKED, sift

ROWS, DIMENSION, K = 24_000, 256, 10


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Shard:
    rows = around(ROWS, DIMENSION)
    block = Block(Block.of([image(f"images/{n:05}.jpg", n + 1, {}) for n in range(ROWS)], table.DIMENSION).table, rows)
    model = ModelIdentity("m", "0" * 32, DIMENSION)
    made = shard.build(Gathered.of([(block, np.arange(ROWS))]), model, tmp_path_factory.mktemp("shard"), threads=2)
    return Shard("s", made, reading(made.__getitem__))


def matching(source: Shard, seed: int, share: float, deleted: float, *, few: bool) -> Matching:
    """Rows that pass a filter, as numbers where they are ``few`` and as a mask otherwise."""
    rng = np.random.default_rng(seed)
    passing, live = rng.random(ROWS) < share, rng.random(ROWS) >= deleted
    told = Passing(ROWS, np.flatnonzero(passing)) if few else Passing(ROWS, None, passing)
    return Matching(Part("s", source, live), told)


@given(
    seed=st.integers(0, 1_000),
    share=st.sampled_from([0.0, 0.001, 0.3, 1.0]),
    deleted=st.sampled_from([0.0, 0.2, 1.0]),
    few=st.booleans(),
    start=st.integers(0, 100),
    count=st.integers(0, 100),
)
def test_the_ground_is_the_mask_in_the_order_of_the_clusters(
    source: Shard, seed: int, share: float, deleted: float, few: bool, start: int, count: int
) -> None:
    chosen, query = matching(source, seed, share, deleted, few=few), around(1, DIMENSION, seed)[0].astype(np.float32)
    mask, firsts, asked = chosen.mask, source.head.outline.firsts, Asked(query)
    ground, near = Nearby(chosen, asked).ground(), source.head.closeness(asked)
    order = np.argsort(-near)
    assert np.array_equal(ground.nearness, near[order])
    assert ground.counts.tolist() == [int(mask[firsts[n] : firsts[n + 1]].sum()) for n in order]
    rows, nearness = ground.rows(slice(start, start + count))
    of = np.searchsorted(firsts, np.arange(ROWS), side="right") - 1
    assert np.array_equal(rows, np.flatnonzero(mask & np.isin(of, order[start : start + count])))
    assert np.array_equal(nearness, near[of[rows]])


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize(("rows", "most"), [(1, 64), (1_000, 64), (1_000, 2), (10**9, 10**9)])
def test_the_share_is_that_of_the_rows_of_the_nearest_clusters(source: Shard, few: bool, rows: int, most: int) -> None:
    chosen, query = matching(source, 1, 0.3, 0.1, few=few), around(1, DIMENSION, 1)[0].astype(np.float32)
    spans = source.head.near(Asked(query), None, rows, most)
    held = np.concatenate([chosen.mask[first:end] for first, end in spans])
    assert Nearby(chosen, Asked(query)).share(rows, most) == pytest.approx(held.mean())


def test_without_a_graph_there_is_no_share_and_one_ground(source: Shard) -> None:
    block = Block(source.rows.slice(0, 100), source.vectors[:100])
    nearby = Nearby(Matching(Part("log", HeldRows(block), np.arange(100) % 2 == 0), None), Asked(source.vectors[0]))
    assert nearby.share(1_000, 64) == 0.0
    rows, nearness = nearby.ground().rows(slice(None))
    assert rows.tolist() == list(range(0, 100, 2))
    assert len(nearness) == len(rows)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_clusters_that_hold_no_hit_are_not_looked_at(source: Shard, share: float) -> None:
    chosen = matching(source, 2, share, 0.0, few=False)
    codes, coding = encode(source.vectors)
    right, looked = 0, list[int]()
    for row in source.vectors[::600].astype(np.float32):
        query = unit((row + 0.03 * np.random.default_rng(3).standard_normal(DIMENSION))[None, :])[0]
        cosines = exact_cosines(query, source.vectors)
        found = sift(
            cosines.__getitem__,
            lambda rows, query=query: bits_apart(query, codes, coding, rows),  # type: ignore[misc]
            Nearby(chosen, Asked(query)).ground(),
            K,
        )
        assert chosen.mask[found.rows].all()
        assert np.array_equal(found.cosines, cosines[found.rows])
        assert len(set(found.rows.tolist())) == len(found.rows) <= found.looked <= chosen.count
        right += int(np.count_nonzero(np.sort(found.cosines)[-K:] >= np.sort(cosines[chosen.numbers])[-K]))
        looked.append(found.looked)
    assert right >= 0.99 * K * len(looked)
    assert np.median(looked) < 2 * LOOKED * FIRST < chosen.count

"""The clusters of a shard around a query: what is counted and looked up there is what a mask of all rows says."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa  # noqa: TID251
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import table
from tests.support.shards import reading
from tests.support.table import image
from tests.unit.test_codes import around, unit

from bucketlens.index import shard
from bucketlens.index.block import Block
from bucketlens.index.codes import Coding, bits_apart, encode
from bucketlens.index.gather import Gathered
from bucketlens.index.masks import Passing
from bucketlens.index.ordered import Bound, Ordered
from bucketlens.index.rounded import Asked
from bucketlens.index.shard import Shard
from bucketlens.index.vectors import exact_cosines
from bucketlens.records import ModelIdentity
from bucketlens.search.nearby import Nearby
from bucketlens.search.part import HeldRows, Matching, Part
from bucketlens.search.sift import FIRST, LOOKED, Ground, sift

ROWS, DIMENSION, K = 24_000, 256, 10
FORMS, ONE = ("numbers", "mask", "stretch"), Bound("eq", 1)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Shard:
    rows = around(ROWS, DIMENSION)
    block = Block(Block.of([image(f"images/{n:05}.jpg", n + 1, {}) for n in range(ROWS)], table.DIMENSION).table, rows)
    model = ModelIdentity("m", "0" * 32, DIMENSION)
    made = shard.build(Gathered.of([(block, np.arange(ROWS))]), model, tmp_path_factory.mktemp("shard"), threads=2)
    return Shard("s", made, reading(made.__getitem__))


def matching(source: Shard, seed: int, share: float, deleted: float, form: str) -> Matching:
    """Rows that pass a filter, in one of the forms in which that is known."""
    rng = np.random.default_rng(seed)
    passing, live = rng.random(ROWS) < share, rng.random(ROWS) >= deleted
    told = {
        "numbers": Passing(ROWS, numbers=np.flatnonzero(passing)),
        "mask": Passing(ROWS, told=passing),
        "stretch": Passing(ROWS, stretch=Ordered.of(pa.chunked_array([passing.astype(float)])).within([ONE])),
    }
    return Matching(Part("s", source, live), told[form])


@given(
    seed=st.integers(0, 1_000),
    share=st.sampled_from([0.0, 0.001, 0.3, 1.0]),
    deleted=st.sampled_from([0.0, 0.2, 1.0]),
    form=st.sampled_from(FORMS),
    start=st.integers(0, 100),
    count=st.integers(0, 100),
)
def test_the_ground_is_the_mask_in_the_order_of_the_clusters(
    source: Shard, seed: int, share: float, deleted: float, form: str, start: int, count: int
) -> None:
    chosen, query = matching(source, seed, share, deleted, form), around(1, DIMENSION, seed)[0].astype(np.float32)
    mask, firsts, asked = chosen.mask, source.head.outline.firsts, Asked(query)
    ground, near = Nearby(chosen, asked).ground(), source.head.closeness(asked)
    order = np.argsort(-near)
    assert np.array_equal(ground.nearness, near[order])
    assert ground.counts.tolist() == [int(mask[firsts[n] : firsts[n + 1]].sum()) for n in order]
    rows, nearness = ground.rows(slice(start, start + count))
    of = np.searchsorted(firsts, np.arange(ROWS), side="right") - 1
    assert np.array_equal(rows, np.flatnonzero(mask & np.isin(of, order[start : start + count])))
    assert np.array_equal(nearness, near[of[rows]])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("rows", "most"), [(1, 64), (1_000, 64), (1_000, 2), (10**9, 10**9)])
def test_the_share_is_that_of_the_rows_of_the_nearest_clusters(source: Shard, form: str, rows: int, most: int) -> None:
    chosen, query = matching(source, 1, 0.3, 0.1, form), around(1, DIMENSION, 1)[0].astype(np.float32)
    spans = source.head.near(source.head.closeness(Asked(query)), rows, most)
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
    chosen = matching(source, 2, share, 0.0, "mask")
    codes, coding = encode(source.vectors)
    right, looked = 0, list[int]()
    for row in source.vectors[::600].astype(np.float32):
        query = unit((row + 0.03 * np.random.default_rng(3).standard_normal(DIMENSION))[None, :])[0]
        cosines = exact_cosines(query, source.vectors)
        found = sift(cosines.__getitem__, partial(bits, query, codes, coding), Nearby(chosen, Asked(query)).ground(), K)
        assert found is not None
        assert chosen.mask[found.rows].all()
        assert np.array_equal(found.cosines, cosines[found.rows])
        assert len(set(found.rows.tolist())) == len(found.rows) <= found.looked <= chosen.count
        right += int(np.count_nonzero(np.sort(found.cosines)[-K:] >= np.sort(cosines[chosen.numbers])[-K]))
        looked.append(found.looked)
    assert right >= 0.99 * K * len(looked)
    assert np.median(looked) < 2 * LOOKED * FIRST < chosen.count


def bits(query: np.ndarray, codes: np.ndarray, coding: Coding, rows: np.ndarray) -> np.ndarray:
    return bits_apart(query, codes, coding, rows)


def drawn(seed: int, middles: np.ndarray, sizes: np.ndarray) -> tuple[Ground, np.ndarray, np.ndarray]:
    """Clusters of such sizes whose rows' cosines lie around these middles; the cosines, and bits that tell of them."""
    rng = np.random.default_rng(seed)
    firsts = np.concatenate([[0], np.cumsum(sizes)])
    cosines = (np.repeat(middles, sizes) + 0.06 * rng.standard_normal(firsts[-1])).astype(np.float32)
    told = np.clip(np.rint(128 - 120 * cosines + 5 * rng.standard_normal(firsts[-1])), 0, 256).astype(np.uint16)

    def rows(places: slice) -> tuple[np.ndarray, np.ndarray]:
        of = np.arange(len(sizes))[places]
        found = np.concatenate([np.zeros(0, np.int64), *(np.arange(firsts[n], firsts[n + 1]) for n in of)])
        return found, np.repeat(middles[places], sizes[places])

    return Ground(middles.astype(np.float32), sizes, rows), cosines, told


@given(seed=st.integers(0, 10_000), fall=st.sampled_from([0.0, 0.0002, 0.001, 0.01]), k=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_hits_behind_the_first_clusters_are_found(seed: int, fall: float, k: int) -> None:
    """Of clusters that are nearer by ``fall`` one than the next."""
    rng = np.random.default_rng(seed)
    ground, cosines, told = drawn(seed, 0.5 - fall * np.arange(200), rng.integers(0, 200, 200))
    asked = list[np.ndarray]()

    def score(rows: np.ndarray) -> np.ndarray:
        asked.append(rows)
        return np.asarray(cosines[rows])

    found = sift(score, told.__getitem__, ground, k)
    assert all((np.diff(rows) > 0).all() for rows in asked)
    if found is None:
        return
    assert sorted(found.rows.tolist()) == sorted(np.concatenate(asked).tolist())
    assert len(set(found.rows.tolist())) == len(found.rows) <= found.looked <= len(cosines)
    assert np.array_equal(found.cosines, cosines[found.rows])
    hits = np.count_nonzero(np.sort(found.cosines)[-k:] >= np.sort(cosines)[-k])
    assert hits >= k - 1 - 0.1 * k
    if fall >= 0.001:
        assert found.looked < len(cosines)


def test_where_clusters_are_much_larger_than_most_more_of_them_are_looked_at() -> None:
    """Two values of nearness tell nothing of how cosines fall with it."""
    right = 0
    for seed in range(10):
        sizes = np.concatenate([[2_500, 2_500], np.full(120, 250)])
        fallen = np.random.default_rng(seed).normal(0, 0.01, 122)
        ground, cosines, told = drawn(seed, 0.5 - 0.0005 * np.arange(122) + fallen, sizes)
        found = sift(cosines.__getitem__, told.__getitem__, ground, K)
        assert found is not None
        right += int(np.count_nonzero(np.sort(found.cosines)[-K:] >= np.sort(cosines)[-K]))
    assert right >= 0.95 * 10 * K


def test_copies_do_not_make_codes_seem_to_tell_more_than_they_do() -> None:
    """Their codes are the same: when the nearest by code are copies of one row, the line through them has no error."""
    rows = around(16_000, 128, seed=1)
    query = around(1, 128, seed=3)[0].astype(np.float32)
    codes, coding = encode(rows)
    cosines, apart = exact_cosines(query, rows), bits_apart(query, codes, coding, np.arange(len(rows)))
    far = np.flatnonzero(np.argsort(np.argsort(-cosines)) >= 100)
    copied = rows[far[np.argmin(apart[far])]].astype(np.float32)
    copies = copied + 0.15 / np.sqrt(128) * np.random.default_rng(0).standard_normal((1_500, 128))
    rows = np.concatenate([rows, unit(copies).astype(np.float16)])
    codes, coding = encode(rows)
    cosines, apart = exact_cosines(query, rows), partial(bits, query, codes, coding)

    def found(error: float) -> int:
        sifted = sift(cosines.__getitem__, apart, Ground.of(np.arange(len(rows))), K, error=error)
        return K if sifted is None else int(np.count_nonzero(np.sort(sifted.cosines)[-K:] >= np.sort(cosines)[-K]))

    assert found(coding.error(query)) == K > found(0.0)


@given(
    seed=st.integers(0, 1_000),
    deleted=st.sampled_from([0.0, 0.2, 1.0]),
    form=st.sampled_from(FORMS),
    among=st.integers(0, 50),
)
def test_some_rows_and_their_number_are_those_of_the_mask(
    source: Shard, seed: int, deleted: float, form: str, among: int
) -> None:
    chosen, rows = matching(source, seed, 0.3, deleted, form), np.random.default_rng(seed).choice(ROWS, among)
    held = chosen.holds(rows)
    first, end = sorted(np.random.default_rng(seed).choice(ROWS, 2).tolist())
    within, count = chosen.within(first, end), chosen.count
    if form == "stretch" and deleted < 0.25:
        assert "mask" not in {*chosen.__dict__, *vars(chosen.passing)}, "none of all rows is made for that"
    assert np.array_equal(held, chosen.mask[rows])
    assert (within, count) == (np.count_nonzero(chosen.mask[first:end]), np.count_nonzero(chosen.mask))

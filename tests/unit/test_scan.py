"""Local parts searched together: the log by its codes, after the shards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.shards import reading
from tests.support.table import DIMENSION, image
from tests.unit.test_codes import around, piled, unit

from bucketlens.filters import ALWAYS, parse
from bucketlens.index import shard
from bucketlens.index.block import Block
from bucketlens.index.effort import Effort
from bucketlens.index.gather import Gathered
from bucketlens.index.pile import Pile
from bucketlens.index.rounded import Asked, Rounded, round_rows, scale_of
from bucketlens.index.shard import Shard
from bucketlens.index.vectors import exact_cosines
from bucketlens.records import ModelIdentity
from bucketlens.search import plan, scan
from bucketlens.search import sift as sifting
from bucketlens.search.part import HeldRows, Part
from bucketlens.search.plan import EXACT_BELOW
from bucketlens.search.plan import Path as SearchPath
from bucketlens.search.scan import search_parts
from bucketlens.search.sift import Ground, all_scored, first, sift

K = 10
LOGGED = 3 * EXACT_BELOW // 2


@dataclass(frozen=True)
class Heights:
    """A part, and the direction along which its rows' metadata ``height`` ascends, from 0 to 1."""

    part: Part
    up: np.ndarray


def heights(rows: np.ndarray, folder: Path | None) -> Heights:
    """A shard in a folder, or a log."""
    up = np.linalg.svd(rows[:2_000].astype(np.float32), full_matrices=False)[2][1]
    height = np.argsort(np.argsort(rows.astype(np.float32) @ up)) / len(rows)
    images = [image(f"images/{n:05}.jpg", n + 1, {"height": float(height[n])}) for n in range(len(rows))]
    block, live = Block(Block.of(images, DIMENSION).table, rows), np.ones(len(rows), bool)
    if folder is None:
        pile = Pile.empty(rows.shape[1]).plus([block])
        return Heights(Part("log", pile, live, pile.near), up)
    model = ModelIdentity("m", "0" * 32, rows.shape[1])
    made = shard.build(Gathered.of([(block, np.arange(len(block)))]), model, folder, threads=2)
    return Heights(Part("s", Shard("s", made, reading(made.__getitem__)), live), up)


def uneven(count: int, dimension: int, seed: int = 0) -> np.ndarray:
    """Rows whose components differ in size."""
    drawn = np.random.default_rng(seed).standard_normal((count, dimension)) / np.sqrt(np.arange(1, dimension + 1))
    return unit(drawn).astype(np.float16)


@pytest.mark.parametrize("deleted", [0.0, 0.2])
@pytest.mark.parametrize(
    ("drawn", "dimension", "usual"),
    [(around, 128, SearchPath.CODES), (around, 24, SearchPath.EXACT), (uneven, 128, SearchPath.EXACT)],
)
def test_where_few_rows_near_the_query_match_codes_are_compared(
    drawn: Callable[..., np.ndarray],
    dimension: int,
    usual: SearchPath,
    deleted: float,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for module in (plan, scan):
        monkeypatch.setattr(module, "EXACT_FILTERED_BELOW", 5_000)
    monkeypatch.setattr(plan, "LEAST_COMPARED", 5_000)
    monkeypatch.setattr(sifting, "FIRST", 500)
    made, right, seen = heights(drawn(16_000, dimension, seed=1), tmp_path), 0, set()
    source, live = made.part.source, np.random.default_rng(0).random(16_000) >= deleted
    part, condition = replace(made.part, live=live), parse({"height": {"$lt": 0.5}})
    counting = live & source.passing(condition).mask
    for sideways in drawn(40, dimension, seed=3).astype(np.float32):
        query = unit((3 * made.up + sideways)[None, :])[0]
        (found,) = search_parts([part], query, condition, K, exact=False)
        seen.add(found.choice.path)
        assert found.scanned <= found.matched == np.count_nonzero(counting)
        assert counting[found.rows].all()
        kth = np.sort(exact_cosines(query, source.vectors[counting]))[-K]
        right += int(np.count_nonzero(found.scores[:K] >= kth))
        assert found.choice.path is SearchPath.CODES or found.scores[K - 1] >= kth, "exact is exact"
    assert usual in seen <= {usual, SearchPath.EXACT}
    assert right >= 0.96 * K * 40, "of so few rows the nearest 500 tell less than 1,000 do"


@pytest.fixture(scope="module")
def high(tmp_path_factory: pytest.TempPathFactory) -> Heights:
    made = heights(around(16_000, 128, seed=1), tmp_path_factory.mktemp("high"))
    source, effort = made.part.source, made.part.effort
    assert isinstance(source, Shard)
    assert effort is not None
    source.head = replace(source.head, effort=Effort(96, 0, effort.found))  # as of rows that a walk alone finds
    return made


@pytest.mark.parametrize("deleted", [0.0, 0.2])
def test_a_walk_that_begins_by_the_share_of_all_rows_sees_when_fewer_match_near_the_query(
    deleted: float, high: Heights, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (plan, scan):
        monkeypatch.setattr(module, "EXACT_FILTERED_BELOW", 5_000)
    monkeypatch.setattr(plan, "LEAST_COMPARED", 5_000)
    monkeypatch.setattr(sifting, "FIRST", 500)
    live = np.random.default_rng(0).random(16_000) >= deleted
    part, condition = replace(high.part, live=live), parse({"height": {"$lt": 0.6}})
    counting = live & part.source.passing(condition).mask
    for towards in (1, 0, -1):
        right, walked = 0, 0
        for sideways in around(40, 128, seed=3).astype(np.float32):
            query = unit((3 * towards * high.up + sideways)[None, :])[0]
            (found,) = search_parts([part], query, condition, K, exact=False)
            assert counting[found.rows].all()
            kth = np.sort(exact_cosines(query, part.source.vectors[counting]))[-K]
            right += int(np.count_nonzero(found.scores[:K] >= kth))
            walked += found.choice.path is SearchPath.GRAPH and found.choice.rank > 0
            assert found.choice.path is not SearchPath.CODES or found.choice.rank == 0, "the clusters were asked"
        assert walked < 10 or towards <= 0
        assert walked > 30 or towards >= 0
        assert right >= 0.96 * K * 40


def islands(count: int, dimension: int, seed: int = 0) -> np.ndarray:
    """Rows in 500 tight islands, in 12 dimensions but for noise: several of them share each cluster."""
    rng, same = np.random.default_rng(seed), np.random.default_rng(9)
    axes, middles = same.standard_normal((12, dimension)), same.standard_normal((500, 12))
    inner = middles[rng.integers(0, 500, count)] + 0.15 * rng.standard_normal((count, 12))
    return unit(inner @ axes + 0.3 * rng.standard_normal((count, dimension))).astype(np.float16)


def test_islands_of_rows_that_share_clusters_are_not_missed_as_a_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for module in (plan, scan):
        monkeypatch.setattr(module, "EXACT_FILTERED_BELOW", 5_000)
    monkeypatch.setattr(plan, "LEAST_COMPARED", 5_000)
    made, looked = heights(islands(24_000, 256, seed=1), tmp_path), list[float]()
    source, condition = made.part.source, parse({"height": {"$lt": 0.5}})
    matching = source.passing(condition).mask
    for sideways in islands(40, 256, seed=3).astype(np.float32):
        query = unit((3 * made.up + sideways)[None, :])[0]
        (found,) = search_parts([made.part], query, condition, K, exact=False)
        kth = np.sort(exact_cosines(query, source.vectors[matching]))[-K]
        assert np.count_nonzero(found.scores[:K] >= kth) >= K - 2
        looked.append(found.scanned / found.matched)
    assert np.median(looked) < 1


def test_a_shard_whose_codes_are_not_local_is_scanned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(plan, "LEAST_COMPARED", 2_000)
    for module in (plan, scan):
        monkeypatch.setattr(module, "EXACT_FILTERED_BELOW", 2_000)
    made = heights(around(5_000, 128, seed=1), tmp_path)
    files = {path.name: path for path in tmp_path.iterdir()}
    (tmp_path / shard.CODES).unlink()
    absent = Shard("s", files, reading(files.__getitem__), None, lambda part: files[part].exists())
    assert absent.apart is None
    found = search_parts([replace(made.part, source=absent)], made.up, parse({"height": {"$lt": 0.5}}), K, exact=False)
    assert found[0].choice.path is SearchPath.EXACT


@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 12_000),
    k=st.integers(1, 80),
    noise=st.sampled_from([0.0, 0.1, 5.0]),
)
@settings(max_examples=40, deadline=None)
def test_of_the_rows_that_are_scored_none_of_the_nearest_is_left_out(
    seed: int, rows: int, k: int, noise: float
) -> None:
    """Whatever codes tell: ``noise`` is how far their bits are off."""
    rng = np.random.default_rng(seed)
    vectors, query = unit(rng.standard_normal((rows, 32))), unit(rng.standard_normal((1, 32)))[0]
    held = vectors.astype(np.float16)
    cosines = exact_cosines(query, held)
    bits = np.clip(np.round(100 - 60 * cosines + noise * 10 * rng.standard_normal(rows)), 0, 512).astype(np.uint16)
    asked, rounded = Asked(query), Rounded(*round_rows(held, scale_of(held)))
    found = sift(lambda numbers: rounded.cosines(asked, numbers), bits.__getitem__, Ground.of(np.arange(rows)), k)
    if found is None:
        assert noise > 1 or rows <= all_scored(k)
        return
    left = rounded.likely(asked, [found.rows], [found.cosines], k)
    assert (np.diff(left) > 0).all()
    assert first(k) <= len(set(found.rows.tolist())) == len(found.rows) <= rows / 2
    assert found.looked == rows
    if noise == 0:
        assert np.sort(cosines[left])[-k:].sum() >= np.sort(cosines)[-k:].sum() - 1e-4


@pytest.fixture(scope="module")
def log() -> Pile:
    return piled([around(LOGGED, 512, seed=5)])


def held(rows: np.ndarray) -> Part:
    block = Block(piled([rows]).rows, rows)
    return Part("shard", HeldRows(block), np.ones(len(rows), bool))


@pytest.mark.parametrize("beside", [0, 5, 3_000])
@pytest.mark.parametrize("alive", [1.0, 0.7])
def test_a_log_is_found_by_its_codes_whatever_there_is_beside_it(log: Pile, beside: int, alive: float) -> None:
    others = around(beside, 512, seed=6)
    live = np.random.default_rng(1).random(LOGGED) < alive
    live[:1_000] = True
    parts = [Part("log", log, live, log.near), *([held(others)] if beside else [])]
    right = 0
    for query in around(40, 512, seed=7).astype(np.float32):
        found = search_parts(parts, query, ALWAYS, K, exact=False)
        assert [one.part for one in found] == parts, "in their order"
        assert found[0].choice.path is SearchPath.CODES
        assert live[found[0].rows].all()
        cosines = np.concatenate(
            [np.where(live, log.vectors.astype(np.float32) @ query, -1), others.astype(np.float32) @ query]
        )
        least = np.sort(cosines)[-K]
        right += sum(int(np.count_nonzero(one.scores >= least - 1e-3)) for one in found)
    assert right >= 0.95 * K * 40


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("drawn", [around, uneven])
def test_a_log_without_the_rows_nearest_to_the_query_is_found_by_its_codes(
    beside: bool, drawn: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (plan, scan):
        monkeypatch.setattr(module, "EXACT_FILTERED_BELOW", 5_000)
    made, others = heights(drawn(LOGGED, 128, seed=1), None), drawn(3_000, 128, seed=2)
    other = Part("shard", Pile.empty(128).plus([Block(made.part.source.rows[:3_000], others)]), np.ones(3_000, bool))
    parts, right, seen = [made.part, *([other] if beside else [])], 0, set()
    for sideways in drawn(20, 128, seed=3).astype(np.float32):
        query = unit((2 * made.up + sideways)[None, :])[0]
        for share in (0.9, 0.5):
            condition = parse({"height": {"$lt": share}})
            found = search_parts(parts, query, condition, K, exact=False)
            matching = [part.matching(condition).numbers for part in parts]
            cosines = [
                exact_cosines(query, part.source.vectors[rows]) for part, rows in zip(parts, matching, strict=True)
            ]
            kth = np.sort(np.concatenate(cosines))[-K]
            right += min(K, sum(int(np.count_nonzero(one.scores >= kth)) for one in found))
            seen.add(found[0].choice.path)
    assert SearchPath.CODES in seen or drawn is uneven
    assert right >= 0.98 * K * 40


def test_fewer_rows_are_scored_where_they_must_come_up_to_those_of_others() -> None:
    rows = around(30_000, 256, seed=1)
    query = unit(rows[:1].astype(np.float32) + 0.2 * unit(np.random.default_rng(2).standard_normal((1, 256))))[0]
    cosines = exact_cosines(query, rows)
    numbers = np.flatnonzero(cosines < np.quantile(cosines, 0.5))
    apart = partial(piled([rows]).apart, query)

    def scored(least: float | None) -> int:
        sifted = sift(cosines.__getitem__, apart, Ground.of(numbers), K, least=least)
        return len(sifted.rows) if sifted else len(numbers)

    assert scored(float(cosines[numbers].max()) + 0.3) < 1.2 * sifting.FIRST < scored(None)

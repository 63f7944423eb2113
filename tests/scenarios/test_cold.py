"""Shards that are not local: the same answers by ranged reads, within a budget of them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.scenarios.test_search import FILTERS, brute_force, metadata
from tests.support.faults import CountingStore
from tests.support.large import ROWS, Large, answer, found_keys, write
from tests.support.rounds import RoundStore
from tests.support.table import COLLECTION, START, Table, append, image, sequencer, tombstone, vector

from bucketlens.filters import parse
from bucketlens.pipelines.compact import compact
from bucketlens.records import Kind, Row
from bucketlens.search import cold
from bucketlens.search.budget import Budget
from bucketlens.search.cold import candidates
from bucketlens.search.fuse import fuse
from bucketlens.search.rounds import Asking, side_by_side
from bucketlens.search.searched import search_view
from bucketlens.store.memory import MemoryStore


def build(folder: Path, seed: int, steps: int) -> tuple[Table, dict[str, Row]]:
    """Log and shards with overwrites, deletes and late events, and readers to whom every shard is cold."""
    rng = random.Random(seed)
    table = Table(MemoryStore(lambda: START), folder, max_shard_rows=max(8, steps // 3), cold_from=0)
    newest: dict[str, Row] = {}
    for step in range(1, steps + 1):
        at = 2 * step + rng.choice([0, 0, 0, -61]) + 61  # never the same version twice
        key = f"images/{rng.randrange(steps)}.jpg"
        row = tombstone(key, at) if rng.random() < 0.2 else image(key, at, metadata(at))  # type: ignore[arg-type]
        append(table.store, [row])
        if key not in newest or newest[key].sequencer < row.sequencer:
            newest[key] = row
        if rng.random() < 0.05:
            compact(COLLECTION, table.compactor(), now=START, nonce=str(step))
    live = {key: row for key, row in newest.items() if row.kind is Kind.IMAGE}
    return table, live


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 90), k=st.integers(1, 40))
def test_every_filter_over_cold_shards_and_a_log_with_late_events_answers_as_brute_force_does(
    tmp_path_factory: pytest.TempPathFactory, seed: int, steps: int, k: int
) -> None:
    table, live = build(tmp_path_factory.mktemp("t"), seed, steps)
    view, query = table.view(), vector(seed + 1)
    for document in FILTERS:
        condition = parse(document)
        searched = search_view(view, query, condition, k, exact=False)
        hits = fuse(searched.found, k, None, None)
        wanted = brute_force(live, query, condition, k)
        assert [hit.key for hit in hits] == [key for key, _ in wanted]
        assert np.allclose([hit.score for hit in hits], [score for _, score in wanted], atol=1e-6)
        assert all(hit.metadata == live[hit.key].metadata for hit in hits)
    assert view.count == len(live)
    for key in [f"images/{number}.jpg" for number in range(0, steps, 7)]:
        found = view.find(key)
        assert (found is not None and found[2] is not None) == (key in live)
        if found is not None and found[2] is not None:
            assert np.allclose(found[2][found[1]], np.asarray(live[key].vector), atol=1e-3)


def test_a_cold_search_finds_nearly_all_true_neighbours_and_reads_a_small_part(large: Large) -> None:
    views = large.table().views()
    shared = 0
    whole = sum(entry.size for entry in large.store.list("") if "/shards/" in entry.key)
    for number in range(0, ROWS, 1_500):
        query = large.near(number)
        answered = answer(views, query)
        assert (answered.certificate["mode"], answered.certificate["shards_cold"]) == ("approximate", 1)
        assert int(str(answered.certificate["gets"])) <= 80
        assert int(str(answered.certificate["bytes"])) < whole / 4
        shared += len(set(found_keys(answered)) & set(large.true(query, 10)))
    assert shared >= 0.97 * 200


def test_cold_and_warm_give_the_same_hits_with_the_same_scores_and_metadata(large: Large) -> None:
    cold, warm = large.table().views(), large.table().views()
    for part in warm.view(COLLECTION, strong=True).parts:
        _ = part.source.rows, part.source.vectors, part.source.graph
    for number in (3, 17_000):
        one, other = answer(cold, large.near(number)), answer(warm, large.near(number))
        assert (one.certificate["shards_cold"], other.certificate["shards_cold"]) == (1, 0)
        assert one.hits == other.hits


def test_the_certificate_counts_every_get_and_every_byte(large: Large) -> None:
    write(large.store, [Row("images/new.jpg", sequencer(ROWS + 1), Kind.IMAGE, large.vectors[7], {"n": -1})])
    counting = CountingStore(large.store)
    views = large.table(counting).views()
    for options in ({}, {}, {"filter": parse({"n": {"$lt": 50}})}, {"exact": True}, {"k": 200}):
        counting.reset()
        answered = answer(views, large.near(7), **options)
        tally = counting.reset()
        assert answered.certificate["gets"] == tally.verbs["get"]
        assert answered.certificate["bytes"] == tally.bytes_read


def test_a_cold_search_asks_in_four_rounds_when_the_likely_hits_are_the_hits(large: Large) -> None:
    store = RoundStore(large.store)
    answer(large.table(store).views(), large.near(9))
    assert [sorted(set(asked)) for asked in store.rounds] == [
        ["log/", "manifest.json"],
        ["head.arrow"],
        ["codes.arrow"],
        ["rows.arrow", "vectors.arrow"],
    ]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("k", [10, 60])
@pytest.mark.parametrize(
    "document", [{}, {"n": {"$lt": 40}}, {"n": {"$lt": 900}}, {"even": True}, {"key": "images/77.jpg"}]
)
def test_no_cold_search_asks_in_more_than_five_rounds_nor_reads_a_shard(
    several: Large, document: dict[str, object], k: int, late: bool
) -> None:
    query = several.near(60)
    true = several.true(query, 20)
    if late:  # of every hit the log has an older row, of some with a better place
        rows = [Row(key, sequencer(0), Kind.IMAGE, query, {"n": 0, "even": True}) for key in true[:5]]
        rows += [Row("images/new.jpg", sequencer(ROWS + 9), Kind.IMAGE, query, {"n": 1, "even": True})]
        write(several.store, rows)
    store = RoundStore(CountingStore(several.store), quiet_s=0.25)
    views = several.table(store).views()
    answered = answer(views, query, filter=parse(document), k=k)
    assert len(store.rounds) <= 5, store.rounds
    asked = [name for names in store.rounds for name in names]
    assert answered.certificate["gets"] == len(asked) - 1, "the listing is no GET"
    assert int(str(answered.certificate["shards_cold"])) + int(str(answered.certificate["shards_pruned"])) == 4
    entries = views.view(COLLECTION, strong=False).snapshot.manifest.shards
    assert not any(views.reach.files.holds([entry.parts["rows.arrow"]]) for entry in entries)
    if not document:
        expected = (["images/new.jpg"] if late else []) + true
        assert found_keys(answered)[:10] == expected[:10]


def test_what_was_read_by_range_is_not_read_again(large: Large) -> None:
    views = large.table().views()
    answer(views, large.near(9))
    assert answer(views, large.near(9)).certificate["gets"] == 1, "the manifest"


@pytest.mark.parametrize(
    "document", [{"n": {"$lt": 40}}, {"n": {"$in": [5, 20_000, 29_999]}}, {"key": "images/77.jpg"}]
)
def test_a_filter_that_few_rows_pass_is_answered_exactly(large: Large, document: dict[str, object]) -> None:
    views, query = large.table().views(), large.near(123)
    passing = {"n": range(40), "key": [77]}[next(iter(document))]
    if "$in" in str(document):
        passing = [5, 20_000, 29_999]
    answered = answer(views, query, filter=parse(document))
    assert answered.certificate["mode"] == "exact"
    assert found_keys(answered) == large.true(query, 10, passing)


def test_a_filter_that_many_rows_pass_is_never_answered_short_nor_with_rows_that_do_not(large: Large) -> None:
    views = large.table().views()
    for k in (10, 40):
        query = large.near(444)
        answered = answer(views, query, filter=parse({"even": True}), k=k)
        assert len(answered.hits) == k
        assert all(hit.metadata["even"] for hit in answered.hits)
        true = large.true(query, k, range(0, ROWS, 2))
        assert len(set(found_keys(answered)) & set(true)) >= 0.9 * k


def _nothing() -> Asking[None]:
    yield ()


def test_what_a_filter_leaves_far_from_the_query_is_sought_among_more_candidates(
    large: Large, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the 5,000 rows nearest to the query; the first time as if codes told everything."""
    view = large.table().view()
    rows = np.array([int(key[7:-4]) for key in large.table().view().shards[0][0].rows.column("key").to_pylist()])

    def found() -> int:
        right = 0
        for number in range(0, ROWS, 2_500):
            query = large.near(number)
            cosines = large.vectors[rows] @ query
            mask = np.argsort(np.argsort(-cosines)) >= 5_000
            task = candidates([view.cold(0)], [mask], query, 10, Budget(60, 20_000_000, 10))
            (sought,), _ = side_by_side(view.reach.ranges, task, _nothing())
            assert mask[sought.rows].all()
            right += len(set(sought.rows[:10].tolist()) & set(np.argsort(np.where(mask, -cosines, 2))[:10].tolist()))
        return right

    monkeypatch.setattr(cold, "UNTOLD", -100)
    before = found()
    monkeypatch.undo()
    assert found() > 1.3 * before


def test_a_shard_that_statistics_rule_out_is_not_opened(large: Large) -> None:
    answered = answer(large.table().views(), large.near(1), filter=parse({"n": {"$gt": ROWS}}), explain=True)
    certificate = answered.certificate
    assert (certificate["shards_pruned"], certificate["shards_searched"]) == (1, 0)
    assert certificate["gets"] == 3, "the manifest, and together the head and the column"
    assert answered.hits == ()
    (told,) = certificate["plan"]  # type: ignore[misc]
    assert (told["path"], told["reason"]) == ("none", "column statistics rule it out")


@pytest.mark.parametrize("k", [1, 4, 8, 11])
def test_copies_over_several_cold_shards_come_in_order_of_key_as_in_local_ones(tmp_path: Path, k: int) -> None:
    store = MemoryStore(lambda: START)
    copies = [image(f"images/{number:03}.jpg", number + 1, seed=7) for number in range(16)]
    for number, some in enumerate((copies[8:], copies[:8], [image("images/zz.jpg", 99)])):
        append(store, some)
        writer = Table(store, tmp_path / f"w{number}", max_shard_rows=8)
        compact(COLLECTION, writer.compactor(), now=START, nonce=f"n{number}")
    for cold_from in (0, 4_096):
        view = Table(store, tmp_path / str(cold_from), max_shard_rows=8, cold_from=cold_from).view()
        searched = search_view(view, vector(7), parse({}), k, exact=False)
        assert searched.exact
        assert len(searched.cold) == (3 if cold_from == 0 else 0)
        hits = fuse(searched.found, k, None, None)
        assert [hit.key for hit in hits] == [row.key for row in copies[:k]]

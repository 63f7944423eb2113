"""Search against brute force over the same rows: every path, filter and pattern of deletes."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.table import COLLECTION, START, Table, append, image, tombstone, vector

from bucketlens.filters import Filter, matches, parse
from bucketlens.pipelines.compact import compact
from bucketlens.records import Kind, Row
from bucketlens.search.fuse import fuse
from bucketlens.search.plan import Path as SearchPath
from bucketlens.search.scan import Found, search_parts
from bucketlens.search.view import View
from bucketlens.store.memory import MemoryStore

FILTERS: list[dict[str, object]] = [
    {},
    {"n": {"$lt": 20}},
    {"n": {"$lt": 1}},
    {"colour": "red", "n": {"$gte": 10}},
    {"$or": [{"colour": "blue"}, {"n": {"$in": [1, 2, 3]}}]},
    {"$not": {"colour": "red"}},
    {"missing": {"$exists": False}},
    {"missing": 1},
    {"key": "images/5.jpg"},
]


def metadata(number: int) -> dict[str, object]:
    return {"n": float(number % 50), "colour": ("red", "green", "blue")[number % 3]}


def brute_force(rows: dict[str, Row], query: np.ndarray, condition: Filter, k: int) -> list[tuple[str, float]]:
    """Rows as stored, in float16, compared in float32."""
    scored = []
    for key, row in rows.items():
        if matches(condition, {**row.metadata, "key": key}):
            stored = np.asarray(row.vector, dtype=np.float16).astype(np.float32)
            scored.append((key, float(stored @ query / np.linalg.norm(stored) / np.linalg.norm(query))))
    return sorted(scored, key=lambda pair: (-pair[1], pair[0]))[:k]


def answer(view: View, query: np.ndarray, condition: Filter, k: int, *, exact: bool = False) -> list[Found]:
    return search_parts(view.parts, query, condition, k, exact=exact)


def build(folder: Path, seed: int, count: int) -> tuple[View, dict[str, Row]]:
    """Log and shards with overwrites and deletes."""
    rng = random.Random(seed)
    table = Table(MemoryStore(lambda: START), folder, max_shard_rows=max(8, count // 3))
    live: dict[str, Row] = {}
    for at in range(1, count + 1):
        key = f"images/{rng.randrange(count)}.jpg"
        row = tombstone(key, at) if rng.random() < 0.2 else image(key, at, metadata(at))  # type: ignore[arg-type]
        append(table.store, [row])
        live.pop(key, None)
        if row.kind is Kind.IMAGE:
            live[key] = row
        if rng.random() < 0.05:
            compact(COLLECTION, table.compactor(), now=START, nonce=str(at))
    return table.view(), live


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), count=st.integers(1, 90), k=st.integers(1, 40))
def test_every_filter_over_log_and_shards_answers_as_brute_force_does(
    tmp_path_factory: pytest.TempPathFactory, seed: int, count: int, k: int
) -> None:
    view, live = build(tmp_path_factory.mktemp("t"), seed, count)
    query = vector(seed + 1)
    for document in FILTERS:
        condition = parse(document)
        hits = fuse(answer(view, query, condition, k), k, None, None)
        wanted = brute_force(live, query, condition, k)
        assert [hit.key for hit in hits] == [key for key, _ in wanted]
        assert np.allclose([hit.score for hit in hits], [score for _, score in wanted], atol=1e-6)
        assert all(hit.metadata == live[hit.key].metadata for hit in hits)


def test_fields_choose_what_metadata_comes_back_and_min_score_cuts_the_tail(tmp_path: Path) -> None:
    view, _ = build(tmp_path, 3, 60)
    found = answer(view, vector(4), parse({}), 10)
    hits = fuse(found, 10, None, ("n",))
    assert all(set(hit.metadata) == {"n"} for hit in hits)
    cut = fuse(found, 10, hits[3].score, None)
    assert [hit.key for hit in cut] == [hit.key for hit in hits[:4]]


def test_equal_scores_are_ordered_by_key_across_parts(tmp_path: Path) -> None:
    table = Table(MemoryStore(lambda: START), tmp_path)
    append(table.store, [image("images/c.jpg", 1, seed=5), image("images/a.jpg", 2, seed=5)])
    compact(COLLECTION, table.compactor(), now=START, nonce="a")
    append(table.store, [image("images/b.jpg", 3, seed=5)])
    hits = fuse(answer(table.view(), vector(5), parse({}), 2), 2, None, None)
    assert [hit.key for hit in hits] == ["images/a.jpg", "images/b.jpg"]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[View, dict[str, Row]]:
    """One shard of 24,000 rows with a graph, 3,000 of them superseded since."""
    table = Table(MemoryStore(lambda: START), tmp_path_factory.mktemp("large"))
    rows = {f"images/{n}.jpg": image(f"images/{n}.jpg", n + 1, metadata(n), seed=n) for n in range(24_000)}  # type: ignore[arg-type]
    append(table.store, list(rows.values()))
    compact(COLLECTION, table.compactor(), now=START, nonce="a")
    for n in range(3_000):
        rows[f"images/{n}.jpg"] = image(f"images/{n}.jpg", n + 60_000, metadata(n), seed=n + 100_000)  # type: ignore[arg-type]
    append(table.store, [rows[f"images/{n}.jpg"] for n in range(3_000)])
    return table.view(), rows


def test_the_graph_finds_nearly_all_true_neighbours_and_no_superseded_row(large: tuple[View, dict[str, Row]]) -> None:
    view, rows = large
    keys = list(rows)
    matrix = np.stack([np.asarray(rows[key].vector) for key in keys])
    shared, paths = 0, set()
    for seed in range(30):
        query = vector(seed + 200_000)
        found = answer(view, query, parse({}), 10)
        paths |= {part.choice.path for part in found}
        hits = fuse(found, 10, None, None)
        wanted = {keys[row] for row in np.argsort(-(matrix @ query))[:10]}
        shared += len(wanted & {hit.key for hit in hits})
        assert all(abs(hit.score - float(np.asarray(rows[hit.key].vector) @ query)) < 2e-3 for hit in hits)
    assert SearchPath.GRAPH in paths
    assert shared >= 0.97 * 300


def test_a_selective_filter_over_a_graph_is_answered_exactly_and_never_short(
    large: tuple[View, dict[str, Row]],
) -> None:
    view, rows = large
    query = vector(9)
    for document in (
        {"n": 7},
        {"colour": "red", "n": {"$lt": 5}},
        {"key": {"$in": ["images/1.jpg", "images/23999.jpg"]}},
    ):
        condition = parse(document)
        found = answer(view, query, condition, 10)
        assert {part.choice.path for part in found} == {SearchPath.EXACT}
        hits = fuse(found, 10, None, None)
        assert [hit.key for hit in hits] == [key for key, _ in brute_force(rows, query, condition, 10)]


def test_an_exact_answer_can_be_asked_for_whatever_the_size(large: tuple[View, dict[str, Row]]) -> None:
    view, rows = large
    query = vector(11)
    found = answer(view, query, parse({}), 10, exact=True)
    assert {part.choice.path for part in found} == {SearchPath.EXACT}
    assert [hit.key for hit in fuse(found, 10, None, None)] == [
        key for key, _ in brute_force(rows, query, parse({}), 10)
    ]


@pytest.mark.parametrize("exact", [False, True])
def test_of_equal_scores_the_keys_decide_before_and_after_compaction(tmp_path: Path, exact: bool) -> None:
    table, one = Table(MemoryStore(lambda: START), tmp_path), vector(7)
    for at, number in enumerate(np.random.default_rng(0).permutation(40).tolist()):
        append(table.store, [replace(image(f"images/{number:02}.jpg", at + 1), vector=one)])
    for shards in (0, 1):
        view = table.view()
        assert len(view.snapshot.manifest.shards) == shards
        found = answer(view, one, parse({}), 5, exact=exact)
        assert [hit.key for hit in fuse(found, 5, None, None)] == [f"images/{number:02}.jpg" for number in range(5)]
        compact(COLLECTION, table.compactor(), now=START, nonce="a")

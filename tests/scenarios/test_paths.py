"""A large shard by whatever path the planner takes, against arithmetic over the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.table import COLLECTION, DIMENSION, START, Table, append, sequencer

from bucketlens.filters import Filter, parse
from bucketlens.index.vectors import exact_cosines
from bucketlens.pipelines.compact import compact
from bucketlens.records import Kind, Row
from bucketlens.search.part import Part
from bucketlens.search.plan import Path as SearchPath
from bucketlens.search.scan import search_parts
from bucketlens.search.view import View
from bucketlens.store.memory import MemoryStore

ROWS, CENTRES, AXES = 54_000, 600, 3


@dataclass(frozen=True)
class Large:
    """One shard around islands. ``along`` (axes, n) says how far each row is along some directions, as a share."""

    view: View
    directions: np.ndarray
    along: np.ndarray

    @property
    def part(self) -> Part:
        return self.view.parts[0]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Large:
    rng = np.random.default_rng(5)
    centres = unit(rng.standard_normal((CENTRES, DIMENSION)))
    vectors = unit(centres[rng.integers(0, CENTRES, ROWS)] + 0.3 * unit(rng.standard_normal((ROWS, DIMENSION))))
    directions = unit(rng.standard_normal((AXES, DIMENSION)))
    along = np.argsort(np.argsort(directions @ vectors.T, axis=1), axis=1) / ROWS
    table = Table(MemoryStore(lambda: START), tmp_path_factory.mktemp("paths"))
    lots = rng.random(ROWS)

    def facts(number: int) -> Mapping[str, float]:
        return {"lot": float(lots[number]), **{f"a{axis}": float(along[axis, number]) for axis in range(AXES)}}

    append(
        table.store,
        [Row(f"images/{n}.jpg", sequencer(n + 1), Kind.IMAGE, vectors[n], facts(n)) for n in range(ROWS)],
    )
    compact(COLLECTION, table.compactor(), now=START, nonce="a")
    return Large(table.view(), directions, along)


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def filter_of(relation: str, share: float, axis: int) -> Filter:
    if relation == "independent":
        return parse({"lot": {"$lt": share}})
    return parse({f"a{axis}": {"$gte": 1 - share} if relation == "correlated" else {"$lt": share}})


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10_000),
    k=st.integers(1, 60),
    share=st.sampled_from([0.0002, 0.01, 0.3, 0.95, 1.0]),
    relation=st.sampled_from(["independent", "correlated", "anti"]),
    deleted=st.sampled_from([0.0, 0.001, 0.3]),
)
def test_filters_and_deletes_make_no_answer_short_and_let_no_wrong_row_in(
    large: Large, seed: int, k: int, share: float, relation: str, deleted: float
) -> None:
    rng, axis = np.random.default_rng(seed), seed % AXES
    query = unit(large.directions[[axis]] + 0.5 * unit(rng.standard_normal((1, DIMENSION))))[0]
    live = rng.random(ROWS) >= deleted
    condition, whole = filter_of(relation, share, axis), large.part
    matching = live & whole.source.passing(condition)
    (found,) = search_parts([Part(whole.name, whole.source, live)], query, condition, k, exact=False)
    assert found.matched == np.count_nonzero(matching)
    assert len(set(found.rows.tolist())) == len(found.rows) == min(k, found.matched), "never fewer than match"
    assert matching[found.rows].all()
    right = np.sort(exact_cosines(query, whole.source.vectors[matching]))[::-1][:k]
    assert np.array_equal(found.scores, exact_cosines(query, whole.source.vectors[found.rows]))
    if found.matched <= 50_000:
        assert found.choice.path is SearchPath.EXACT
    if found.choice.path is SearchPath.EXACT:
        assert np.array_equal(found.scores, right), "exact is exact"


def test_neighbours_on_islands_are_found_with_and_without_a_filter(large: Large) -> None:
    vectors = large.part.source.vectors
    for condition in (parse({}), parse({"lot": {"$lt": 0.97}})):
        matching, shared, paths = large.part.matching(condition), 0.0, set()
        for row in range(0, ROWS, ROWS // 60):
            query = unit(vectors[[row]].astype(np.float32) + 0.1 * large.directions[[row % AXES]])[0]
            (found,) = search_parts([large.part], query, condition, 10, exact=False)
            right = np.sort(exact_cosines(query, vectors[matching]))[::-1][9]
            shared += np.count_nonzero(found.scores >= right) / 10
            paths.add(found.choice.path)
        assert paths == {SearchPath.GRAPH}
        assert shared >= 0.98 * 60


def test_a_filter_far_from_the_query_ends_in_an_exact_answer(large: Large) -> None:
    query, condition = large.directions[0], parse({"a0": {"$lt": 0.94}})
    (found,) = search_parts([large.part], query, condition, 10, exact=False)
    assert found.matched > 50_000
    assert (found.choice.path, found.scanned) == (SearchPath.EXACT, found.matched)
    matching = large.part.matching(condition)
    assert np.array_equal(found.scores, np.sort(exact_cosines(query, large.part.source.vectors[matching]))[::-1][:10])

"""A large shard by whatever path the planner takes, against arithmetic over the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.table import COLLECTION, DIMENSION, START, Table, append, sequencer

from bucketlens.filters import Filter, parse
from bucketlens.index.effort import Effort
from bucketlens.index.head import Head
from bucketlens.index.vectors import exact_cosines
from bucketlens.pipelines.compact import compact
from bucketlens.records import Kind, Row
from bucketlens.search.part import Part, Rows
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


@dataclass(frozen=True)
class Told:
    """A shard of whose graph something else was measured."""

    shard: Rows
    effort: Effort

    @property
    def head(self) -> Head | None:
        return replace(self.shard.head, effort=self.effort) if self.shard.head else None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.shard, name)


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
    around=st.booleans(),
    effort=st.sampled_from([None, Effort(0, 500, 1.0), Effort(16, 0, 1.0), Effort(48, 1_000, 1.0)]),
)
def test_filters_and_deletes_make_no_answer_short_and_let_no_wrong_row_in(
    large: Large, seed: int, k: int, share: float, relation: str, deleted: float, around: bool, effort: Effort | None
) -> None:
    rng, axis = np.random.default_rng(seed), seed % AXES
    query = unit(large.directions[[axis]] + 0.5 * unit(rng.standard_normal((1, DIMENSION))))[0]
    condition, whole = filter_of(relation, share, axis), large.part
    live = rng.random(ROWS) >= deleted
    if around:  # nothing is left of the clusters that are nearest
        live[np.argsort(-(whole.source.vectors.astype(np.float32) @ query))[: int(deleted * ROWS)]] = False
    source = Told(whole.source, effort) if effort else whole.source
    matching = live & whole.source.passing(condition).mask
    (found,) = search_parts([Part(whole.name, source, live)], query, condition, k, exact=False)
    assert found.matched == np.count_nonzero(matching)
    assert (found.scores[k:] == found.scores[k - 1 : k]).all(), "those that equal the last"
    assert len(set(found.rows.tolist())) == len(found.rows)
    assert len(found.rows[:k]) == min(k, found.matched), "never fewer than match"
    assert matching[found.rows].all()
    right = np.sort(exact_cosines(query, whole.source.vectors[matching]))[::-1][:k]
    assert np.array_equal(found.scores, exact_cosines(query, whole.source.vectors[found.rows]))
    if found.matched <= 50_000:
        assert found.choice.path is SearchPath.EXACT
    if found.choice.path is SearchPath.EXACT:
        assert np.array_equal(found.scores[:k], right), "exact is exact"


def test_neighbours_on_islands_are_found_with_and_without_a_filter(large: Large) -> None:
    vectors = large.part.source.vectors
    for condition in (parse({}), parse({"lot": {"$lt": 0.97}})):
        matching, shared, paths = large.part.matching(condition).mask, 0.0, set()
        for row in range(0, ROWS, ROWS // 60):
            query = unit(vectors[[row]].astype(np.float32) + 0.1 * large.directions[[row % AXES]])[0]
            (found,) = search_parts([large.part], query, condition, 10, exact=False)
            right = np.sort(exact_cosines(query, vectors[matching]))[::-1][9]
            shared += np.count_nonzero(found.scores >= right) / 10
            paths.add(found.choice.path)
        assert SearchPath.EXACT not in paths
        assert shared >= 0.98 * 60


def test_where_clusters_hold_the_neighbours_nothing_is_walked(large: Large) -> None:
    part = Part(large.part.name, Told(large.part.source, Effort(0, 1_000, 0.995)), large.part.live)
    (found,) = search_parts([part], large.directions[0], parse({}), 10, exact=False)
    assert found.choice.path is SearchPath.CLUSTERS
    assert "99.5%" in found.choice.reason
    assert 1_000 <= found.scanned < 3_000
    (many,) = search_parts([part], large.directions[0], parse({}), 40, exact=False)
    assert many.scanned >= 4_000


def test_a_filter_far_from_the_query_ends_in_an_exact_answer(large: Large) -> None:
    query, condition = large.directions[0], parse({"a0": {"$lt": 0.94}})
    (found,) = search_parts([large.part], query, condition, 10, exact=False)
    assert found.matched > 50_000
    assert (found.choice.path, found.scanned) == (SearchPath.EXACT, found.matched)
    matching = large.part.matching(condition).mask
    right = np.sort(exact_cosines(query, large.part.source.vectors[matching]))[::-1][:10]
    assert np.array_equal(found.scores[:10], right)

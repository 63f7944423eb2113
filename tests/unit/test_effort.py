"""What a search takes is measured with rows that the graph does not know yet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bucketlens.index import effort, graph
from bucketlens.index.effort import (
    ENOUGH,
    PROBES,
    Effort,
    _behind_copies,
    _chosen,
    _nearest_of_all,
    _probes,
    _Tried,
    measure,
    strangers,
)
from bucketlens.index.rounded import Asked, to_int8
from bucketlens.index.vectors import exact_cosines

ROWS, DIMENSION, CLUSTER = 6_000, 24, 100


def vectors(spread: float) -> np.ndarray:
    """Rows cluster by cluster around 60 centres."""
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((ROWS // CLUSTER, DIMENSION))
    rows = np.repeat(centres, CLUSTER, axis=0) + spread * rng.standard_normal((ROWS, DIMENSION))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float16)


FIRSTS = np.arange(0, ROWS + 1, CLUSTER)


def centroids_of(rows: np.ndarray) -> np.ndarray:
    return to_int8(rows.reshape(-1, CLUSTER, DIMENSION).astype(np.float32).mean(axis=1))


def near_clusters(rows: np.ndarray, query: np.ndarray) -> np.ndarray:
    """All clusters, the nearest first."""
    wide = centroids_of(rows).astype(np.float32)
    return np.argsort(-(wide @ query) / np.linalg.norm(wide, axis=1))


def measured(rows: np.ndarray, walk: str) -> Effort:
    """The effort beside a graph of no use, a perfect one, or one that does not come to the first cluster, where none of
    those who ask stand, ever or for few candidates."""
    asking = np.random.default_rng(2).permutation(np.arange(CLUSTER, ROWS))[:200]

    def nearest(query: np.ndarray, count: int) -> np.ndarray:
        scores = exact_cosines(query, rows)
        scores[asking] = -2
        scores[: CLUSTER * (walk == "blind" or (walk == "narrowly blind" and count < 48))] = -2
        return np.arange(count) if walk == "useless" else np.argsort(-scores)[:count]

    return measure(rows, asking, nearest, centroids_of(rows), FIRSTS)


def test_tight_clusters_need_no_walk_and_a_graph_that_finds_everything_needs_no_clusters() -> None:
    tight = measured(vectors(0.1), "useless")
    assert (tight.candidates, tight.beside) == (0, 500)
    assert tight.found >= ENOUGH
    perfect = measured(vectors(3.0), "perfect")
    assert (perfect.candidates, perfect.beside) == (32, 0)
    assert perfect.found >= ENOUGH


def test_a_walk_that_goes_astray_is_not_trusted_alone_however_well_others_fare() -> None:
    assert measured(vectors(0.1), "perfect").beside == 0
    blind = measured(vectors(0.1), "blind")
    assert (blind.candidates, blind.beside) == (0, 500)
    assert blind.found >= ENOUGH


def test_when_nothing_finds_enough_the_effort_is_what_finds_most() -> None:
    cheap, middle, dear = Effort(0, 500, 0.5), Effort(64, 500, 0.9), Effort(192, 8_000, 0.8)
    assert _chosen([_Tried(cheap, 0.9), _Tried(middle, 0.1), _Tried(dear, 0.9)]) == middle


def test_a_wider_walk_is_tried_where_a_narrow_one_goes_astray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort, "SCANNING", 10_000)  # else clusters would be cheaper
    narrow = measured(vectors(0.1), "narrowly blind")
    assert (narrow.candidates, narrow.beside) == (48, 0)


def test_the_measured_share_holds_for_queries_the_shard_never_saw(tmp_path: Path) -> None:
    rows = vectors(0.6)
    taken, _ = graph.build(
        rows,
        1,
        tmp_path / "graph",
        lambda links, asking: measure(
            rows,
            asking,
            lambda query, count: links.nearest(Asked(query), count)[0],
            centroids_of(rows),
            FIRSTS,
        ),
    )
    links, _ = graph.Graph.map(tmp_path / "graph", DIMENSION)
    assert len(links) == ROWS, "the rows that asked are linked in the end"
    found = []
    for seed in range(200):
        rng = np.random.default_rng([3, seed])
        query = rows[rng.integers(ROWS)].astype(np.float32) + 0.1 * rng.standard_normal(DIMENSION).astype(np.float32)
        query /= np.linalg.norm(query)
        right = np.argsort(-exact_cosines(query, rows))[:10]
        near = near_clusters(rows, query)[: -(-taken.beside // CLUSTER)]
        walked = links.nearest(Asked(query), taken.candidates)[0] if taken.candidates else np.zeros(0, np.int64)
        found.append(np.mean(np.isin(right, walked) | np.isin(right // CLUSTER, near)))
    assert abs(float(np.mean(found)) - taken.found) < 0.02


def test_few_rows_are_kept_apart_for_it() -> None:
    assert strangers(4_096) == 256
    assert strangers(1_600) == 100
    assert strangers(10) == 0


def test_copies_of_a_row_do_not_count_as_its_neighbours() -> None:
    copied = vectors(3.0)
    copied[1::2] = copied[::2]  # every second row is a copy of the one before
    copied[1::2] += (0.001 * np.random.default_rng(0).standard_normal(copied[1::2].shape)).astype(np.float16)
    asking = np.arange(0, ROWS, ROWS // 100)
    wide = copied[asking].astype(np.float32)
    found = _behind_copies(*_nearest_of_all(wide, copied, asking))
    assert not (found == asking[:, None] + 1).any()
    for query, row in zip(wide, found, strict=True):
        order = np.argsort(-exact_cosines(query, copied), kind="stable")
        others = order[~np.isin(order, asking)].tolist()
        first = others.index(row[0])
        assert 1 <= first <= 30
        assert set(row) == set(others[first : first + 10]), "ten in a row"


def test_neighbours_behind_copies_are_worth_some_effort_and_none_when_they_are_in_no_order() -> None:
    cheap, middle, dear = Effort(0, 500, 0.996), Effort(64, 500, 0.999), Effort(192, 8_000, 1.0)
    assert _chosen([_Tried(cheap, 0.90), _Tried(middle, 0.98), _Tried(dear, 0.999)]) == middle
    assert _chosen([_Tried(cheap, 0.996), _Tried(middle, 0.998), _Tried(dear, 0.999)]) == cheap
    assert _chosen([_Tried(cheap, 0.60), _Tried(middle, 0.80), _Tried(dear, 0.999)]) == cheap
    poor = Effort(0, 500, 0.5)
    assert _chosen([_Tried(poor, 0.999), _Tried(dear, 0.1)]) == dear, "first of all its own ten"


def test_where_clusters_hold_the_neighbours_few_are_probed() -> None:
    assert measured(vectors(0.1), "useless").probes == PROBES[0]
    assert measured(vectors(3.0), "perfect").probes == PROBES[-1]


def test_probes_hold_the_rows_behind_copies_too_where_these_can_be_found() -> None:
    own = [1.0] * len(PROBES)
    assert _probes(*zip(own, [0.5, 0.9, 0.97, 0.997, 0.999, 1.0], strict=True)) == PROBES[3]
    assert _probes(*zip(own, [0.2, 0.3, 0.4, 0.5, 0.6, 0.7], strict=True)) == PROBES[0], "in no order"
    assert _probes(*zip([0.9] * len(PROBES), own, strict=True)) == PROBES[-1]

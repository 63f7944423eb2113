"""The bench's own arithmetic: its rows, its ground truth, its tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.bench.checks import HarnessError, check_recall, suspicions
from tests.bench.data import Data, load
from tests.bench.latency import fastest
from tests.bench.mixture import Mixture
from tests.bench.report import markdown, tables
from tests.bench.scaling import exponent, sizes
from tests.bench.truth import nearest, recall, truth


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return load(6_000, 20, dimension=16, cache=tmp_path_factory.mktemp("cache"))


def test_rows_are_unit_vectors_and_the_same_in_every_run(data: Data, tmp_path: Path) -> None:
    again = load(6_000, 20, dimension=16, cache=tmp_path)
    assert np.array_equal(again.rows, data.rows)
    assert np.array_equal(again.queries, data.queries)
    assert np.allclose(np.linalg.norm(data.rows, axis=1), 1, atol=1e-6)


def test_fewer_rows_are_the_first_ones_of_more(data: Data) -> None:
    fewer = load(5_000, 20, dimension=16, cache=data.folder.parent)
    assert np.array_equal(fewer.rows, data.rows[:5_000])


def test_more_rows_begin_with_those_that_are_there(data: Data) -> None:
    more = load(9_000, 20, dimension=16, cache=data.folder.parent)
    assert np.array_equal(more.rows[:6_000], data.rows)


def test_queries_are_no_rows(data: Data) -> None:
    assert (data.queries @ data.rows.T).max() < 1 - 1e-6


def test_selectivities_are_exact(data: Data) -> None:
    assert np.count_nonzero(data.shuffled < 60) == 60
    assert sorted(data.along) == list(range(6_000))


@pytest.mark.parametrize("count", [1, 60, 3_000, 6_000])
@pytest.mark.parametrize("near", [True, False])
def test_a_window_has_as_many_rows_as_asked_for(data: Data, count: int, near: bool) -> None:
    for query in data.queries:
        low, high = data.window(query, count, near=near)
        assert np.count_nonzero((data.along >= low) & (data.along < high)) == count


def test_rows_near_the_query_hold_more_of_its_neighbours_than_rows_far_from_it(data: Data) -> None:
    right = truth(data)

    def held(near: bool) -> float:
        windows = [data.window(query, 1_500, near=near) for query in data.queries]
        return float(
            np.mean(
                [
                    np.mean((data.along[ids] >= a) & (data.along[ids] < b))
                    for ids, (a, b) in zip(right, windows, strict=True)
                ]
            )
        )

    assert held(near=True) > 3 * held(near=False)


def test_ground_truth_is_brute_force(data: Data) -> None:
    found = nearest(data.rows, data.queries, 10)
    for query, ids in zip(data.queries, found, strict=True):
        assert ids.tolist() == np.argsort(-(data.rows @ query), kind="stable")[:10].tolist()


def test_ground_truth_spans_the_pieces_it_is_computed_in() -> None:
    mixture = Mixture(8, centres=5)
    rows = next(iter(mixture.pieces([0], 40_000)))[1]
    query = rows[[39_999]]
    assert nearest(rows, query, 1)[0, 0] == 39_999


def test_recall_counts_each_right_answer_once(data: Data) -> None:
    query, right = data.queries[0], truth(data)[0]
    assert recall(data.rows, query, right.tolist(), right) == 1.0
    assert recall(data.rows, query, right[:5].tolist() * 2, right) == 0.5
    assert recall(data.rows, query, (), right) == 0.0
    assert recall(data.rows, query, (), right[:0]) == 1.0


def test_which_of_two_equal_rows_is_found_makes_no_difference() -> None:
    rows = np.eye(4, dtype=np.float32)[[0, 0, 1]]
    assert recall(rows, rows[0], [1], np.array([0])) == 1.0


def test_an_id_that_is_no_row_is_an_error(data: Data) -> None:
    with pytest.raises(ValueError, match="mapped wrongly"):
        recall(data.rows, data.queries[0], [6_000], truth(data)[0])


def test_a_recall_above_one_stops_the_bench() -> None:
    with pytest.raises(HarnessError):
        check_recall(1.01, "engine")


def test_an_engine_far_below_what_it_is_known_for_is_suspected() -> None:
    found = [{"peer": "a", "recall": 0.5}, {"peer": "a", "recall": 0.97}, {"peer": "b", "recall": 0.5}]
    assert [doubt.split(":")[0] for doubt in suspicions(found, {"a": 0.95, "b": 0.95, "c": 0.95})] == ["b"]


def test_the_fastest_setting_is_one_that_finds_enough() -> None:
    def row(recall: float, p50: float) -> dict[str, object]:
        return {"peer": "a", "recall": recall, "p50_ms": p50}

    assert fastest([row(0.7, 1), row(0.98, 3), row(0.99, 2), row(1.0, 4)], "a") == row(0.99, 2)
    assert fastest([row(0.7, 1), row(0.96, 3), row(0.97, 4)], "a") == row(0.96, 3)
    assert fastest([row(0.7, 1), row(0.8, 3)], "a") == row(0.8, 3)
    assert fastest([row(0.99, 1)], "b") is None


def test_the_exponent_of_a_power_law_is_found() -> None:
    rows = sizes(1_000_000)
    assert rows == [10_000, 100_000, 1_000_000]
    assert exponent(rows, [3e-6 * count**0.7 for count in rows]) == pytest.approx(0.7)


def test_results_become_markdown() -> None:
    row = {"setting": "ef 10", "recall": 0.99, "p50_ms": 0.5, "p95_ms": 1.0, "queries": 9, "knobs": {}}
    rows = [{"peer": "slow", **row}, {"peer": "fast", **row, "p50_ms": 0.4, "recall": 0.96}]
    result = {
        "question": "warm",
        "rows": rows,
        "command": "python -m tests.bench warm",
        "data": {"says": "made up", "rows": 10, "dimension": 2},
        "machine": {
            "processor": "x",
            "cores": 2,
            "memory_gb": 1,
            "system": "s",
            "python": "3",
            "commit": "c",
            "versions": {},
        },
    }
    text = markdown([result])
    assert text.index("| fast | ef 10 | 0.960 | 0.400 | 1.00 | 9 | never 0.98 |") < text.index(
        "| slow | ef 10 | 0.990 |"
    )
    assert "made up; 10 x 2" in text
    assert tables("warm", []) == []

"""The bench's own arithmetic: its rows, its ground truth, its turns, its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from tests.bench.checks import HarnessError, check_recall, suspicions
from tests.bench.data import Data, load
from tests.bench.latency import FAIR, GOOD, fastest
from tests.bench.mixture import Floats, Mixture
from tests.bench.peers.protocol import UNFILTERED, Filters, Knobs, Where
from tests.bench.report import Shown, markdown, tables
from tests.bench.rounds import rounds, sliced
from tests.bench.scaling import exponent, sizes
from tests.bench.selective import KINDS
from tests.bench.truth import nearest, recall, truth
from tests.bench.worker import Failed, Held, Timed


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


def test_a_row_that_does_not_pass_the_filter_is_no_right_answer(data: Data) -> None:
    query, near = data.queries[0], truth(data)[0]
    passing = np.ones(6_000, dtype=np.bool_)
    passing[near[:5]] = False
    right = near[5:]
    assert recall(data.rows, query, near.tolist(), right, passing) == 1.0
    assert recall(data.rows, query, near[:5].tolist(), right) == 1.0
    assert recall(data.rows, query, near[:5].tolist(), right, passing) == 0.0


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
        return {"recall": recall, "p50_ms": p50}

    assert fastest([row(0.7, 1), row(0.98, 3), row(0.99, 2), row(1.0, 4)], GOOD, FAIR) == row(0.99, 2)
    assert fastest([row(0.7, 1), row(0.96, 3), row(0.97, 4)], GOOD, FAIR) == row(0.96, 3)
    assert fastest([row(0.7, 1), row(0.96, 3), row(0.97, 4)], GOOD) == row(0.97, 4)
    assert fastest([row(0.7, 1), row(0.8, 3)], GOOD, FAIR) == row(0.8, 3)
    assert fastest([], GOOD) is None
    assert fastest([row(0.98 - 1e-16, 1), row(0.98, 2)], GOOD) == row(0.98 - 1e-16, 1), "as much, added up otherwise"


def test_a_setting_with_wrong_hits_is_taken_only_where_there_is_no_other() -> None:
    wrong, right = _filtered("a", recall=0.99, p50_ms=1, wrong=2), _filtered("a", recall=0.9, p50_ms=3)
    assert fastest([wrong, right], GOOD) == right
    assert fastest([wrong], GOOD) == wrong


class _Engine:
    """Finds row 0; notes what it was made ready for and when it searched, by the first component of the query."""

    def __init__(self) -> None:
        self.noted: list[Any] = []

    def prepare(self, knobs: Knobs, where: Where | None) -> None:
        self.noted.append(where)

    def form(self, query: Floats, k: int) -> Floats:
        return query

    def search(self, asked: Floats, k: int) -> list[int]:
        self.noted.append("search")
        return [0]

    def ids(self, found: list[int]) -> list[int]:
        return found


def test_a_filter_of_a_query_s_own_is_new_to_the_engine_in_a_slice_of_one_too(data: Data) -> None:
    engine, wheres = _Engine(), [Where("along", low, low + 9) for low in range(3)]
    times = Held(engine, data).ask({}, [2], Filters(own=wheres), 10)
    assert engine.noted == [None, "search", wheres[2], "search"]
    assert [one.query for one in times] == [2]


def test_a_shared_filter_is_made_ready_before_the_clock_starts(data: Data) -> None:
    engine, where = _Engine(), Where("shuffled", 0, 9)
    Held(engine, data).ask({}, [0, 1], Filters(where), 10)
    assert engine.noted == [where, *["search"] * 4]


class _Asked:
    """A worker that takes a second for each query, and notes who was asked what; it fails at ``bad``."""

    def __init__(self, name: str, noted: list[tuple[str, int, int, Filters]]) -> None:
        self._name = name
        self._noted = noted

    def ask(self, knobs: Knobs, queries: Sequence[int], filters: Filters = UNFILTERED) -> list[Timed]:
        self._noted.append((self._name, knobs["ef"], queries[0], filters))
        if "bad" in knobs:
            raise Failed("out of sorts")
        return [Timed(number, 1.0, (0,)) for number in queries]


def _rounds(
    asked: Sequence[tuple[str, Knobs]], seconds: float, filters: Filters = UNFILTERED
) -> tuple[Mapping[str, int], list[tuple[str, int, int, Filters]]]:
    """How many queries each engine's settings answered, and who was asked what."""
    noted: list[tuple[str, int, int, Filters]] = []
    workers: dict[str, Any] = {name: _Asked(name, noted) for name, _ in asked}
    taken = rounds(workers, asked, sliced(5, 2), seconds, Console(file=StringIO()), filters)
    return {f"{name} {knobs['ef']}": len(times) for name, knobs, times in taken}, noted


def test_every_round_begins_with_another_setting_and_every_setting_with_an_untimed_pass() -> None:
    answered, noted = _rounds([("a", {"ef": 1}), ("a", {"ef": 2}), ("b", {"ef": 3})], seconds=9)
    assert answered == {"a 1": 5, "a 2": 5, "b 3": 5}
    in_turn = {0: [("a", 1), ("a", 2), ("b", 3)], 2: [("a", 2), ("b", 3), ("a", 1)], 4: [("b", 3), ("a", 1), ("a", 2)]}
    assert [(name, ef, start) for name, ef, start, _ in noted] == [
        (name, ef, start) for start, turns in in_turn.items() for name, ef in turns for _ in range(2)
    ]


def test_a_setting_leaves_the_rounds_when_its_seconds_are_used_up_or_it_fails_at_first() -> None:
    answered, noted = _rounds([("a", {"ef": 1}), ("b", {"ef": 2, "bad": 1})], seconds=3)
    assert answered == {"a 1": 4}
    assert [(name, start) for name, _, start, _ in noted] == [("a", 0), ("a", 0), ("b", 0), ("a", 2), ("a", 2)]


def test_the_untimed_pass_knows_a_shared_filter_and_none_of_a_query_s_own() -> None:
    own = Filters(own=[Where("along", low, low + 9) for low in range(5)])
    assert [filters for *_, filters in _rounds([("a", {"ef": 1})], 9, own)[1]] == [UNFILTERED, own] * 3
    shared = Filters(Where("shuffled", 0, 9))
    assert [filters for *_, filters in _rounds([("a", {"ef": 1})], 9, shared)[1]] == [shared] * 6


def _filtered(peer: str, kind: str = KINDS[0], share: float = 0.1, **other: float) -> dict[str, Any]:
    return {"peer": peer, "kind": kind, "share": share, "recall": 0.99, "p50_ms": 2.0, "short": 0, "wrong": 0, **other}


def _same_recall(found: Sequence[dict[str, Any]]) -> list[Shown]:
    return [shown for shown in tables("filtered", found) if "at the same recall" in shown.title]


def test_at_the_same_recall_is_at_that_of_ours_wherever_ours_stands() -> None:
    found = [
        _filtered("first", recall=0.5, p50_ms=0.1),
        _filtered("first", recall=0.995, p50_ms=3.0),
        _filtered("never", recall=0.98),
        _filtered("bucketlens"),
    ]
    (shown,) = _same_recall(found)
    assert shown.cells == [["first", "3.00"], ["never", "(0.980)"], ["bucketlens", "2.00"]]
    assert "as much as bucketlens" in shown.says


def test_at_the_same_recall_short_and_wrong_answers_are_marked() -> None:
    found = [
        _filtered("bucketlens"),
        _filtered("a", short=1),
        _filtered("b", wrong=1),
        _filtered("c", recall=0.5, short=2),
    ]
    (shown,) = _same_recall(found)
    assert [line[1] for line in shown.cells] == ["2.00", "2.00*", "2.00 WRONG", "(0.500)*"]
    assert "* fewer hits" in shown.says


def test_what_ours_or_another_engine_lacks_is_a_dash() -> None:
    found = [_filtered("a"), _filtered("a", share=0.5), _filtered("b", share=0.5), _filtered("bucketlens", share=0.5)]
    (shown,) = _same_recall(found)
    assert shown.columns == ("engine", "10.00%", "50.00%")
    assert shown.cells == [["a", "-", "2.00"], ["b", "-", "2.00"], ["bucketlens", "-", "2.00"]]


def test_without_ours_there_is_no_table_at_its_recall() -> None:
    shown = tables("filtered", [_filtered("a"), _filtered("b", kind=KINDS[1])])
    assert [KINDS.index(kind) for each in shown for kind in KINDS if kind in each.title] == [0, 1, 2]
    assert all(each.title.endswith("recall@10 / p50 ms") for each in shown)


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

"""The planner: pure choices, each for a reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bucketlens.index.effort import PROBES, Effort
from bucketlens.search.plan import (
    EXACT_BELOW,
    EXACT_FILTERED_BELOW,
    PROBED_ROWS,
    ROWS_PER_CANDIDATE,
    SPARSE_ROWS,
    Choice,
    Local,
    Path,
    choose,
    choose_cold,
    enough,
    presumed,
    probed,
    wider,
)
from bucketlens.search.sift import all_scored

WALK = Effort(64, 250, 0.99)


def planned(
    rows: int, matching: int, k: int, *, among: int, filtered: bool, exact: bool, effort: Effort | None, **known: Any
) -> Choice:
    return choose(Local(rows, matching, effort, **known), k, among, filtered=filtered, exact=exact)


def test_a_local_part_is_scanned_when_it_is_small_or_few_rows_match_and_walked_otherwise() -> None:
    def path(
        rows: int,
        matching: int,
        k: int = 10,
        *,
        among: int = 10**6,
        filtered: bool = False,
        effort: Effort | None = WALK,
        exact: bool = False,
        near: float = 0.0,
    ) -> Path:
        return planned(rows, matching, k, among=among, filtered=filtered, effort=effort, exact=exact, near=near).path

    assert path(250_000, 250_000) is Path.GRAPH
    assert path(250_000, 250_000, exact=True) is Path.EXACT
    assert path(4_000, 4_000, effort=None) is Path.EXACT
    assert path(20_000, 20_000, among=EXACT_BELOW) is Path.EXACT
    assert path(20_001, 20_001, among=EXACT_BELOW + 1) is Path.GRAPH
    assert path(250_000, 40_000, among=EXACT_FILTERED_BELOW, filtered=True) is Path.EXACT
    assert path(250_000, 40_000, among=EXACT_FILTERED_BELOW + 1, filtered=True) is Path.GRAPH, "together many match"
    assert path(250_000, 10_000) is Path.EXACT, "to scan them is cheaper than to walk the graph"
    clusters = Effort(0, 1_000, 0.99)
    assert path(250_000, 250_000, effort=clusters) is Path.CLUSTERS
    assert path(250_000, 100_000, effort=clusters) is Path.GRAPH, "so many deleted rows may leave clusters empty"
    assert path(250_000, 240_000, filtered=True, effort=clusters) is Path.GRAPH, "so may a filter"
    assert path(250_000, 240_000, filtered=True, effort=clusters, near=0.9) is Path.CLUSTERS, "which is not so here"
    assert path(60_000, 60_000, k=1_000) is Path.EXACT, "the graph would visit a large share"


def test_more_hits_and_deleted_rows_take_more_candidates_and_a_filter_rows_of_clusters_too() -> None:
    def chosen(matching: int, k: int = 10, *, filtered: bool = False) -> tuple[int, int]:
        walk = Effort(96, 500, 0.995)
        choice = planned(300_000, matching, k, among=matching, filtered=filtered, effort=walk, exact=False)
        return choice.candidates, choice.beside

    assert chosen(300_000) == (96, 500)
    assert chosen(300_000, 5) == (96, 500)
    assert chosen(300_000, 60) == (196, 3_000)
    assert chosen(300_000, 200) == (601, 10_000)
    assert chosen(225_000) == (104, 500), "fourteen of all hold ten that count"
    assert chosen(150_000, filtered=True) == (96, 2_000)
    assert chosen(150_000, 20, filtered=True) == (121, 4_000)
    alone = Effort(96, 0, 0.995)
    choice = planned(300_000, 150_000, 10, among=150_000, filtered=True, effort=alone, exact=False)
    assert (choice.candidates, choice.beside) == (96, 2_000), (
        "where a walk alone does, a filter may still need clusters"
    )


def test_where_many_rows_near_the_query_match_a_filter_a_walk_goes_to_the_rank_where_the_last_hit_is_expected() -> None:
    def chosen(near: float, k: int = 10) -> tuple[int, int]:
        walk = Effort(96, 500, 0.995)
        choice = planned(10**6, 10**5, k, among=10**5, filtered=True, effort=walk, exact=False, near=near)
        return choice.candidates, choice.beside

    assert chosen(0.39) == (301, 2_000), "as if it knew nothing"
    assert chosen(0.5) == (96 + 2 * (33 - 10), 500)
    assert chosen(1.0) == (96 + 2 * (17 - 10), 500)
    assert chosen(0.5, 100) == (3 * 100 * 2 + 1, 5_000), "three for each hit"
    walk = Effort(96, 0, 0.995)
    found = planned(10**6, 10**5, 10, among=10**6, filtered=True, effort=walk, exact=False, near=0.9)
    assert found.candidates == 96 + 2 * (19 - 10), "others match elsewhere, and these are still the nearest"


def test_a_walk_begins_by_the_share_of_all_rows_where_that_is_large_and_it_needs_no_clusters() -> None:
    def share(matching: int, effort: Effort | None) -> float | None:
        return presumed(Local(10**6, matching, effort))

    alone = Effort(96, 0, 0.995)
    assert share(500_000, alone) == 0.5
    assert share(390_000, alone) is None, "others may be near the query"
    assert share(900_000, WALK) is None, "its clusters are looked up anyway, and tell"
    assert share(900_000, Effort(0, 1_000, 0.99)) is None
    assert share(900_000, None) is None

    known = Local(10**6, 500_000, alone, near=0.5)
    told, guessed = (
        choose(local, 10, 500_000, filtered=True, exact=False) for local in (known, replace(known, presumed=True))
    )
    assert replace(guessed, rank=0) == told
    assert guessed.rank == 33, "up to where the tenth of every second row is expected, and two deviations beyond"


def test_graphs_that_share_the_rows_are_asked_for_fewer_but_not_in_proportion() -> None:
    def asked(parts: int) -> int:
        walk = Effort(80, 0, 0.995)
        return planned(10**6, 10**6, 10, among=parts * 10**6, filtered=False, effort=walk, exact=False).candidates

    assert [asked(parts) for parts in (1, 2, 4, 8, 100)] == [80, 60, 45, 34, 32]


@given(
    rows=st.integers(50_001, 10**6),
    share=st.floats(0.01, 1.0),
    rate=st.floats(0, 1),
    k=st.integers(1, 1_000),
    comparable=st.booleans(),
)
def test_a_walk_that_finds_too_few_ends_in_a_scan_and_costs_less_than_two_more(
    rows: int, share: float, rate: float, k: int, comparable: bool
) -> None:
    matching = max(1, int(rows * share))
    choice = planned(rows, matching, k, among=10**6, filtered=True, effort=WALK, exact=False)
    spent, last = 0, 0
    while choice.path is Path.GRAPH and int(choice.candidates * rate) < enough(k):
        assert choice.candidates >= 2 * last
        last = choice.candidates
        spent += choice.candidates * ROWS_PER_CANDIDATE
        choice = wider(choice, int(choice.candidates * rate), matching, k, comparable=comparable)
    assert spent <= 2 * matching


def test_where_a_walk_would_come_too_far_codes_are_compared() -> None:
    def after(passing: int, matching: int, *, comparable: bool = True) -> tuple[Path, int]:
        choice = wider(Choice(Path.GRAPH, "", 96, 2_000), passing, matching, 10, comparable=comparable)
        return choice.path, choice.candidates

    assert after(0, 131_072) == (Path.CODES, 0)
    assert after(0, 131_072, comparable=False) == (Path.GRAPH, 2_881)
    assert after(0, 40_000, comparable=False)[0] is Path.EXACT
    assert after(8, 131_072) == (Path.GRAPH, 361), "that is cheaper"
    assert after(0, 19_000)[0] is Path.EXACT


def test_where_few_rows_near_the_query_match_no_walk_is_begun() -> None:
    def path(near: float, matching: int = 131_072, *, k: int = 10, comparable: bool = True) -> Path:
        told = {"among": matching, "effort": WALK, "near": near, "comparable": comparable}
        return planned(2 * matching, matching, k, filtered=True, exact=False, **told).path

    assert [path(near) for near in (0.0, 0.1, 0.3, 0.5, 0.9)] == 3 * [Path.CODES] + 2 * [Path.GRAPH]
    assert path(0.0, comparable=False) is Path.GRAPH
    assert path(0.0, 19_000) is not Path.CODES
    assert [path(0.5, k=k) for k in (10, 1_000)] == [Path.GRAPH, Path.EXACT]
    assert [path(0.5, 10**6, k=k) for k in (10, 1_000)] == [Path.GRAPH, Path.CODES]


def test_codes_of_shards_are_compared_for_filters_only_and_those_of_small_shards_never() -> None:
    def path(*, filtered: bool = True, effort: Effort | None = WALK, near: float = 0.0, k: int = 100) -> Path:
        return planned(
            10**6, 60_000, k, among=10**6, filtered=filtered, effort=effort, exact=False, comparable=True, near=near
        ).path

    assert path() is Path.CODES
    assert path(near=0.9) is Path.GRAPH
    assert path(k=1_000) is not Path.CODES, "so few would all be scored"
    assert path(filtered=False) is not Path.CODES
    assert path(effort=None) is Path.EXACT


@given(matching=st.integers(1, 10**6), k=st.integers(1, 1_000), filtered=st.booleans(), exact=st.booleans())
def test_a_log_is_searched_by_codes_only_where_a_scan_takes_longer_and_the_answer_is_no_exact_one_anyway(
    matching: int, k: int, filtered: bool, exact: bool
) -> None:
    def logged(among: int) -> Choice:
        return planned(10**6, matching, k, among=among, filtered=filtered, effort=None, has_codes=True, exact=exact)

    most = EXACT_FILTERED_BELOW if filtered else EXACT_BELOW
    if matching <= most:
        assert logged(most).path is Path.EXACT
    choice, few = logged(2 * 10**6), all_scored(k) if filtered else 2_000
    if exact or matching <= few:
        assert choice.path is Path.EXACT
    if choice.path is Path.CODES:
        assert 4 * k <= choice.candidates <= matching / 8
    else:
        assert exact or matching <= few or matching <= 8 * 4 * k


def test_a_cold_shard_is_read_exactly_when_no_row_matches_or_its_vectors_are_few_reads() -> None:
    assert choose_cold(0, few=False).path is Path.EXACT
    assert choose_cold(1_000, few=True).path is Path.EXACT
    assert choose_cold(1_000, few=False).path is Path.CLUSTERS


@given(counts=st.lists(st.integers(1, 500), max_size=300), k=st.integers(1, 1_000), sparse=st.booleans())
def test_codes_are_wanted_of_enough_cells_that_hold_enough_rows(counts: list[int], k: int, sparse: bool) -> None:
    cells = probed([None], np.array(counts, np.int64), k, sparse=sparse)
    assert cells >= PROBES[-1]
    rows = max(SPARSE_ROWS if sparse else PROBED_ROWS, 4 * k)
    assert cells >= len(counts) or sum(counts[:cells]) >= rows


def test_the_probes_of_all_shards_are_probed_together_but_no_more_than_where_none_was_measured() -> None:
    counts = np.full(300, 250)
    told = Effort(0, 500, 0.999, 8)
    assert probed([told], counts, 10, sparse=False) == 9
    assert probed([told], counts, 20, sparse=False) == 18
    assert probed([told], counts, 100, sparse=False) == probed([None], counts, 100, sparse=False) == 74
    assert probed([told], counts, 10, sparse=True) == 65
    assert probed([told] * 3, counts, 10, sparse=False) == 25
    assert probed([told] * 30, counts, 10, sparse=False) == probed([None], counts, 10, sparse=False) == 65

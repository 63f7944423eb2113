"""The planner: pure choices, each for a reason."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bucketlens.index.effort import Effort
from bucketlens.search.plan import (
    EXACT_BELOW,
    EXACT_BYTES,
    EXACT_FILTERED_BELOW,
    EXACT_RANGES,
    FILTERED_RUNS,
    PROBED_ROWS,
    PROBES,
    ROWS_PER_CANDIDATE,
    VECTOR_RUNS,
    Choice,
    Path,
    choose,
    choose_cold,
    enough,
    probed,
    runs,
    wider,
)

WALK = Effort(64, 250, 0.99)

shards = st.lists(st.lists(st.tuples(st.floats(-1, 1, width=32), st.integers(0, 500)), max_size=60), max_size=4)


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
    ) -> Path:
        return choose(rows, matching, k, among=among, filtered=filtered, effort=effort, exact=exact).path

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
    assert path(60_000, 60_000, k=1_000) is Path.EXACT, "the graph would visit a large share"


@given(rows=st.integers(50_001, 10**6), share=st.floats(0.01, 1.0), rate=st.floats(0, 1), k=st.integers(1, 1_000))
def test_a_walk_that_finds_too_few_ends_in_a_scan_and_costs_less_than_two_more(
    rows: int, share: float, rate: float, k: int
) -> None:
    matching = max(1, int(rows * share))
    choice = choose(rows, matching, k, among=10**6, filtered=True, effort=WALK, exact=False)
    spent, last = 0, 0
    while choice.path is Path.GRAPH and int(choice.candidates * rate) < enough(k):
        assert choice.candidates >= 2 * last
        last = choice.candidates
        spent += choice.candidates * ROWS_PER_CANDIDATE
        choice = wider(choice, int(choice.candidates * rate), matching, k)
    assert spent <= 2 * matching


@given(matching=st.integers(1, 10**6), k=st.integers(1, 1_000), filtered=st.booleans(), exact=st.booleans())
def test_a_log_is_searched_by_codes_only_where_a_scan_takes_longer_and_the_answer_is_no_exact_one_anyway(
    matching: int, k: int, filtered: bool, exact: bool
) -> None:
    def logged(among: int) -> Choice:
        return choose(10**6, matching, k, among=among, filtered=filtered, effort=None, has_codes=True, exact=exact)

    most = EXACT_FILTERED_BELOW if filtered else EXACT_BELOW
    if matching <= most:
        assert logged(most).path is Path.EXACT
    choice = logged(2 * 10**6)
    if exact or matching <= 2_000:
        assert choice.path is Path.EXACT
    if choice.path is Path.CODES:
        assert 4 * k <= choice.candidates <= matching / 8
    else:
        assert exact or matching <= 2_000 or matching <= 8 * 4 * k


def test_a_cold_shard_is_read_exactly_when_that_is_few_reads_of_few_bytes() -> None:
    assert choose_cold(1_000, EXACT_RANGES, EXACT_BYTES).path is Path.EXACT
    assert choose_cold(1_000, EXACT_RANGES + 1, 10).path is Path.CLUSTERS
    assert choose_cold(1_000, 1, EXACT_BYTES + 1).path is Path.CLUSTERS


@given(shards=shards, k=st.integers(1, 1_000), filtered=st.booleans())
def test_the_clusters_read_are_the_nearest_of_all_shards_and_hold_enough_matching_rows(
    shards: list[list[tuple[float, int]]], k: int, filtered: bool
) -> None:
    closeness = [np.array([near for near, _ in shard], np.float32) for shard in shards]
    matching = [np.array([rows for _, rows in shard], np.int64) for shard in shards]
    ends = [np.arange(len(shard) + 1) * 16_000 for shard in shards]
    chosen = probed(closeness, matching, ends, k, filtered=filtered)
    read = [(number, cluster) for number, clusters in enumerate(chosen) for cluster in clusters.tolist()]
    rest = [
        (number, cluster)
        for number, shard in enumerate(shards)
        for cluster in range(len(shard))
        if (number, cluster) not in read and matching[number][cluster]
    ]
    assert all(matching[number][cluster] for number, cluster in read)
    if rest:
        furthest = min(closeness[number][cluster] for number, cluster in read)
        assert all(closeness[number][cluster] <= furthest for number, cluster in rest)
        assert len(read) >= PROBES
        assert sum(int(matching[number][cluster]) for number, cluster in read) >= max(PROBED_ROWS, 4 * k)


def test_with_a_filter_codes_of_many_more_rows_are_read_as_far_as_their_bytes_allow() -> None:
    closeness, matching = [np.linspace(1, 0, 4_000, dtype=np.float32)], [np.full(4_000, 2)]
    small, large = ([np.arange(4_001) * size] for size in (16_000, 64_000))
    assert len(probed(closeness, matching, small, 10, filtered=False)[0]) == 100
    assert len(probed(closeness, matching, small, 10, filtered=True)[0]) == 1_000
    assert 100 < len(probed(closeness, matching, large, 10, filtered=True)[0]) <= 2**24 / 64_000


@given(clusters=st.lists(st.integers(0, 400), min_size=1, max_size=900), k=st.integers(1, 400), filtered=st.booleans())
def test_rescored_candidates_lie_in_few_clusters_but_are_enough_and_the_best_is_among_them(
    clusters: list[int], k: int, filtered: bool
) -> None:
    kept = runs(np.array(clusters), k, filtered=filtered)
    assert kept[0]
    assert int(kept.sum()) >= min(2 * k, len(clusters))
    named = set(np.array(clusters)[kept].tolist())
    assert len(named) <= max(FILTERED_RUNS if filtered else VECTOR_RUNS, 2 * k)
    assert all(kept[position] == (cluster in named) for position, cluster in enumerate(clusters))

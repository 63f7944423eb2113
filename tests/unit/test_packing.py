"""Packing: every span is inside one request, never more of them or more bytes than allowed, and none for nothing."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bucketlens.search.budget import BYTES, GETS, Budget
from bucketlens.search.packing import GAP, MOST, Spans, joined, most

SIZE = 40
UNIT = 4_096


def spans(pairs: list[tuple[int, int]]) -> Spans:
    """Spans of one unit each: file, and place in units."""
    files, places = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return Spans(files, places * UNIT, (places + 1) * UNIT)


several = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5_000)), max_size=60, unique=True).map(spans)
one_file = st.lists(st.integers(0, 5_000), min_size=1, max_size=9, unique=True)


@given(wanted=several, gets=st.integers(1, 40))
def test_every_span_is_inside_one_request_and_requests_are_as_few_as_asked_but_one_a_file(
    wanted: Spans, gets: int
) -> None:
    requests = joined(wanted, gets)
    assert len(requests.files) <= max(gets, len(set(wanted.files.tolist())))
    asked = list(zip(*(column.tolist() for column in requests), strict=True))
    for file, start, end in zip(*(column.tolist() for column in wanted), strict=True):
        assert sum(f == file and s <= start and end <= e for f, s, e in asked) == 1
    assert all(one[0] < other[0] or one[2] <= other[1] for one, other in pairwise(asked))
    assert sum(end - start for _, start, end in asked) == requests.size


@given(places=one_file, gets=st.integers(1, 9))
def test_no_other_way_to_make_as_few_requests_reads_fewer_bytes_but_for_what_is_near(
    places: list[int], gets: int
) -> None:
    requests = joined(spans([(0, place) for place in places]), gets)
    ordered = sorted(places)
    least = min(
        sum(ordered[end - 1] + 1 - ordered[start] for start, end in pairwise([0, *cuts, len(ordered)]))
        for count in range(min(gets, len(ordered)))
        for cuts in combinations(range(1, len(ordered)), count)
    )
    assert requests.size <= least * UNIT + len(places) * GAP
    if len(requests.files) == gets:
        apart = [other - one for one, other in zip(requests.ends[:-1], requests.starts[1:], strict=True)]
        assert all(
            gap > GAP or end - start >= MOST - GAP for gap, start, end in zip(apart, *requests[1:], strict=False)
        )


@given(wanted=several, gets=st.integers(0, 40), size=st.integers(0, 2_000 * UNIT))
def test_the_first_spans_that_are_said_to_fit_do_and_one_more_does_not(wanted: Spans, gets: int, size: int) -> None:
    count = most(wanted, gets, size)
    fitting = joined(wanted.first(count), gets)
    assert len(fitting.files) <= gets or not count
    assert fitting.size <= size
    if count < len(wanted.files):
        beyond = joined(wanted.first(count + 1), gets)
        assert len(beyond.files) > gets or beyond.size > size


def test_a_long_run_is_asked_for_in_parts_while_there_are_requests() -> None:
    run = spans([(0, place) for place in range(1_000)])
    assert len(joined(run).files) == -(-1_000 * UNIT // MOST)
    assert len(joined(run, 1).files) == 1
    assert joined(run).size == joined(run, 1).size == 1_000 * UNIT


@given(
    gets=st.integers(0, 200),
    size=st.integers(0, 50_000_000),
    wanted=st.integers(1, 1_016),
    batch=st.integers(1, 10**6),
)
def test_a_budget_keeps_the_promise_where_little_is_spent_and_always_has_room_for_the_wanted_rows(
    gets: int, size: int, wanted: int, batch: int
) -> None:
    budget = Budget.after(gets, size, wanted, batch)
    if gets <= 20 and wanted <= 16:
        assert gets + budget.gets + wanted <= GETS
    if size <= 8_000_000 and wanted <= 16 and batch <= 2**18:
        assert size + budget.size + wanted * batch <= BYTES
    codes_gets, codes_bytes = budget.codes
    assert codes_gets >= wanted
    assert budget.gets - codes_gets >= wanted
    assert codes_bytes < budget.size

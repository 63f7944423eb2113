"""What a request of a cold search may bring."""

from __future__ import annotations

import numpy as np
import pytest

from bucketlens.search.packing import Spans, joined, within
from bucketlens.search.worth import of_candidates, of_cells, worthwhile


def _spans(*places: tuple[int, int, int]) -> Spans:
    return Spans(*np.array(places, dtype=np.int64).reshape(-1, 3).T)


@pytest.mark.parametrize(("hits", "shards"), [(10, 1), (10, 4), (100, 1)])
def test_shares_fall_with_the_rank_and_make_one_together(hits: int, shards: int) -> None:
    for shares in (of_cells(2_000_000, hits, shards), of_candidates(2_000_000, hits)):
        assert (np.diff(shares) < 0).all()
        assert shares.sum() == pytest.approx(1, abs=0.1)


def test_the_share_of_a_rank_spreads_over_hits_and_shards() -> None:
    assert of_cells(40, 10, 4)[:4].sum() == pytest.approx(of_cells(1, 10, 1)[0], rel=0.2)
    assert of_candidates(1, 100)[0] == pytest.approx(of_candidates(1, 10)[0] / 10)
    assert of_candidates(1, 3)[0] == of_candidates(1, 10)[0]


def test_a_request_is_dropped_when_all_it_brings_is_unlikely() -> None:
    spans = _spans((0, 0, 10), (0, 1_000, 1_010), (1, 1_000, 1_010), (1, 1_020, 1_030))
    requests = joined(spans, gap=100)
    assert within(requests, spans).tolist() == [0, 1, 2, 2]
    kept = worthwhile(requests, spans, np.array([0.5, 0.1, 0.1, 0.1]), 0.2, sure=0)
    assert [column.tolist() for column in kept] == [[0, 1], [0, 1_000], [10, 1_030]]


def test_the_first_spans_are_read_whatever_they_are_worth() -> None:
    spans = _spans((0, 5_000, 5_010), (0, 0, 10), (0, 9_000, 9_010))
    kept = worthwhile(joined(spans, gap=100), spans, np.full(3, 0.01), 0.2, sure=2)
    assert kept.starts.tolist() == [0, 5_000]


def test_nothing_is_dropped_for_a_share_of_nothing() -> None:
    spans = _spans((0, 0, 10), (0, 1_000, 1_010))
    requests = joined(spans, gap=100)
    kept = worthwhile(requests, spans, np.zeros(2), 0.0, sure=0)
    assert kept.starts.tolist() == requests.starts.tolist()
    none = spans.first(0)
    assert len(worthwhile(joined(none), none, np.zeros(0), 0.1, sure=5).files) == 0

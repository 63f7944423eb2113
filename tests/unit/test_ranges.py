"""Ranged reads: every piece is what the object holds there, neighbours share a request, and recent ones cost none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.faults import CountingStore

from bucketlens.errors import Corrupt
from bucketlens.search.files import SnapshotGone
from bucketlens.search.meter import Metered, in_parallel, metered
from bucketlens.search.ranges import Piece, Ranges, coalesce
from bucketlens.store.memory import MemoryStore

BODY = bytes(range(256)) * 40
pieces = st.builds(
    lambda key, start, size: Piece(key, start, start + size),
    st.sampled_from(["a", "b"]),
    st.integers(0, len(BODY) - 600),
    st.integers(1, 500),
)


def store() -> CountingStore:
    inner = MemoryStore()
    inner.create("a", BODY)
    inner.create("b", BODY[::-1])
    return CountingStore(inner)


@given(wanted=st.lists(pieces, max_size=20))
def test_every_piece_is_inside_one_range_and_neighbours_are_joined(wanted: list[Piece]) -> None:
    ranges = coalesce(wanted)
    for piece in wanted:
        assert sum(one.key == piece.key and one.start <= piece.start and piece.end <= one.end for one in ranges) == 1
    assert [one.key for one in ranges] == sorted({piece.key for piece in wanted}), "the objects are small"


@given(batches=st.lists(st.lists(pieces, max_size=12), max_size=4), memory=st.sampled_from([0, 700, 10**6]))
def test_pieces_are_the_objects_bytes_however_they_were_asked_for_before(
    batches: list[list[Piece]], memory: int
) -> None:
    ranges = Ranges(store(), 4, memory)
    for wanted in batches:
        bodies = {"a": BODY, "b": BODY[::-1]}
        assert ranges.read(wanted) == [bodies[piece.key][piece.start : piece.end] for piece in wanted]


def test_neighbours_share_a_request_and_what_is_remembered_needs_none() -> None:
    counting = store()
    ranges = Ranges(counting)
    ranges.read([Piece("a", 0, 10), Piece("a", 5_000, 5_010), Piece("b", 7, 9)])
    assert counting.reset().verbs["get"] == 2
    ranges.read([Piece("a", 5_000, 5_010), Piece("b", 7, 9)])
    assert counting.reset().verbs["get"] == 0


def test_an_object_that_is_gone_or_cut_short_is_told_apart() -> None:
    ranges = Ranges(store())
    with pytest.raises(SnapshotGone):
        ranges.read([Piece("c", 0, 1)])
    with pytest.raises(Corrupt):
        ranges.read([Piece("a", 0, len(BODY) + 1)])


def test_reads_count_for_the_request_that_made_them_in_whatever_thread() -> None:
    metering = Metered(store())

    def read(times: int) -> tuple[int, int]:
        with metered() as spent:
            in_parallel(3, lambda _: metering.get("a"), range(times))
        return spent.gets, spent.bytes

    assert in_parallel(8, read, range(8)) == [(n, n * len(BODY)) for n in range(8)]
    metering.get("a")


def test_pieces_of_an_object_that_is_forgotten_are_read_again() -> None:
    source = store()
    ranges = Ranges(source)
    a, b = Piece("a", 0, 10), Piece("b", 0, 10)
    ranges.read([a, b])
    ranges.forget("a")
    assert (ranges.holds([a]), ranges.holds([b])) == (False, True)
    assert ranges.read([a, b]) == [BODY[:10], BODY[::-1][:10]]
    assert source.tally.verbs["get"] == 3

"""What every storage adapter promises. Run on a real bucket with ``pytest tests/contract --bucket NAME``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, timedelta
from functools import partial
from pathlib import Path

import pytest
from tests.contract.conftest import THREADS, Bench
from tests.support.faults import FaultStore

from bucketlens.errors import BucketlensError, Conflict, Exists, NotFound, Retryable
from bucketlens.pipelines.writer import mapped
from bucketlens.store.protocol import ByteRange

BODY = bytes(range(100))
HARD_NAMES = ["a b", "a+b", "a%20b", "a%2Bb", "ä/日本語", "a&b=c?d#e", "it's (1)", "~tilde", "😀.jpg"]


def test_a_created_object_reads_back_with_its_etag_and_size(bench: Bench) -> None:
    etag = bench.store.create(bench.prefix + "a", BODY)
    blob = bench.store.get(bench.prefix + "a")
    assert (blob.body, blob.etag, blob.size) == (BODY, etag, 100)


def test_a_mapped_file_is_written_as_its_bytes_are(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(BODY * 10_000)
    with mapped(tmp_path / "file") as body:
        etag = bench.store.create(bench.prefix + "a", body)
        with pytest.raises(Exists):
            bench.store.create(bench.prefix + "a", body)
        assert bench.store.create(bench.prefix + "b", body) == etag, "from its beginning, however far it was read"
    for name in ("a", "b"):
        blob = bench.store.get(bench.prefix + name)
        assert (blob.body, blob.etag, blob.size) == (BODY * 10_000, etag, 1_000_000)


def test_an_empty_object_reads_back_empty_whole_and_by_range(bench: Bench) -> None:
    etag = bench.store.create(bench.prefix + "a", b"")
    for blob in (bench.store.get(bench.prefix + "a"), bench.store.get(bench.prefix + "a", ByteRange(0, 10))):
        assert (blob.body, blob.etag, blob.size) == (b"", etag, 0)


def test_reading_what_is_not_there_raises_not_found(bench: Bench) -> None:
    with pytest.raises(NotFound):
        bench.store.get(bench.prefix + "a")
    with pytest.raises(NotFound):
        bench.store.get(bench.prefix + "a", ByteRange(0, 1))


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (ByteRange(0, 100), BODY),
        (ByteRange(0, 1), BODY[:1]),
        (ByteRange(10, 20), BODY[10:20]),
        (ByteRange(99, 100), BODY[99:]),
        (ByteRange(90, 1000), BODY[90:]),
        (ByteRange(100, 101), b""),
        (ByteRange(5000, 6000), b""),
    ],
)
def test_a_range_is_clipped_to_the_object_and_tells_the_whole_size(
    bench: Bench, span: ByteRange, expected: bytes
) -> None:
    etag = bench.store.create(bench.prefix + "a", BODY)
    blob = bench.store.get(bench.prefix + "a", span)
    assert (blob.body, blob.etag, blob.size) == (expected, etag, 100)


def test_a_second_create_raises_exists_and_changes_nothing(bench: Bench) -> None:
    bench.store.create(bench.prefix + "a", b"first")
    with pytest.raises(Exists):
        bench.store.create(bench.prefix + "a", b"second")
    assert bench.store.get(bench.prefix + "a").body == b"first"


def test_swap_replaces_the_expected_version_and_no_other(bench: Bench) -> None:
    first = bench.store.create(bench.prefix + "a", b"first")
    second = bench.store.swap(bench.prefix + "a", b"second", first)
    with pytest.raises(Conflict):
        bench.store.swap(bench.prefix + "a", b"third", first)
    blob = bench.store.get(bench.prefix + "a")
    assert (blob.body, blob.etag) == (b"second", second)


def test_swapping_an_object_that_is_gone_raises_conflict_and_creates_nothing(bench: Bench) -> None:
    etag = bench.store.create(bench.prefix + "a", b"first")
    bench.store.delete(bench.prefix + "a")
    with pytest.raises(Conflict):
        bench.store.swap(bench.prefix + "a", b"second", etag)
    with pytest.raises(NotFound):
        bench.store.get(bench.prefix + "a")


def test_a_deleted_object_is_gone_and_deleting_it_again_succeeds(bench: Bench) -> None:
    bench.store.create(bench.prefix + "a", BODY)
    bench.store.delete(bench.prefix + "a")
    bench.store.delete(bench.prefix + "a")
    assert list(bench.store.list(bench.prefix)) == []
    bench.store.create(bench.prefix + "a", BODY)


def test_of_many_racing_creates_exactly_one_wins(bench: Bench) -> None:
    for turn in range(3):
        key = f"{bench.prefix}{turn}"
        results = race(partial(_create_numbered, bench, key))
        winners = [me for me, result in enumerate(results) if isinstance(result, str)]
        assert len(winners) == 1
        assert bench.store.get(key).body == b"%d" % winners[0]
        assert all(isinstance(result, (str, Exists)) for result in results)


def test_of_many_racing_swaps_exactly_one_wins(bench: Bench) -> None:
    key = bench.prefix + "a"
    etag = bench.store.create(key, b"start")
    for turn in range(3):
        results = race(partial(_swap_numbered, bench, key, etag, turn))
        winners = [me for me, result in enumerate(results) if isinstance(result, str)]
        assert len(winners) == 1
        assert all(isinstance(result, (str, Conflict)) for result in results)
        blob = bench.store.get(key)
        assert blob.body == b"%d of %d" % (winners[0], turn)
        etag = blob.etag


def test_racing_read_modify_writes_lose_no_update(bench: Bench) -> None:
    key = bench.prefix + "counter"
    bench.store.create(key, b"0")

    def increment(_: int) -> str:
        for _attempt in range(THREADS):
            blob = bench.store.get(key)
            try:
                return bench.store.swap(key, b"%d" % (int(blob.body) + 1), blob.etag)
            except Conflict:
                continue
        raise AssertionError("a swap fails only because another one succeeded")

    assert all(isinstance(result, str) for result in race(increment))
    assert int(bench.store.get(key).body) == THREADS


def test_a_listing_is_sorted_by_the_bytes_of_the_key_and_stays_under_its_prefix(bench: Bench) -> None:
    names = ["b/2", "b/10", "a", "B", "b", "ä", "b.", "b/", "日", "😀", "z"]
    etags = {bench.prefix + name: bench.store.create(bench.prefix + name, name.encode()) for name in names}
    found = list(bench.store.list(bench.prefix))
    assert [entry.key for entry in found] == sorted(etags, key=str.encode)
    assert {entry.key: entry.etag for entry in found} == etags
    assert {entry.size for entry in found} == {len(name.encode()) for name in names}
    assert all(entry.modified.tzinfo is UTC for entry in found)
    assert max(entry.modified for entry in found) - min(entry.modified for entry in found) < timedelta(minutes=10)
    assert [entry.key for entry in bench.store.list(bench.prefix + "b/")] == [
        bench.prefix + name for name in ("b/", "b/10", "b/2")
    ]
    assert list(bench.store.list(bench.prefix + "nothing")) == []


def test_a_listing_goes_on_past_a_thousand_objects(bench: Bench) -> None:
    names = [f"{bench.prefix}{number:05d}" for number in range(1005)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: bench.store.create(name, b""), names))
    assert [entry.key for entry in bench.store.list(bench.prefix)] == names


@pytest.mark.parametrize("name", HARD_NAMES)
def test_every_verb_takes_keys_that_need_encoding(bench: Bench, name: str) -> None:
    key = bench.prefix + name
    etag = bench.store.create(key, b"one")
    bench.store.swap(key, b"two", etag)
    assert bench.store.get(key, ByteRange(1, 3)).body == b"wo"
    assert [entry.key for entry in bench.store.list(key)] == [key]
    bench.store.delete(key)
    assert list(bench.store.list(bench.prefix)) == []


def test_a_create_whose_reply_was_lost_raises_exists_on_the_retry_and_holds_its_own_bytes(bench: Bench) -> None:
    faulty = FaultStore(bench.store, lose_reply_at=1)
    with pytest.raises(Retryable):
        faulty.create(bench.prefix + "a", BODY)
    with pytest.raises(Exists):
        faulty.create(bench.prefix + "a", BODY)
    assert faulty.get(bench.prefix + "a").body == BODY


@pytest.mark.parametrize("reply", ["lost", "refused"])
def test_a_swap_whose_reply_was_lost_raises_conflict_on_the_retry_and_holds_its_own_bytes(
    bench: Bench, reply: str
) -> None:
    faulty = FaultStore(bench.store, lose_reply_at=2, reply="refused" if reply == "refused" else "lost")
    etag = faulty.create(bench.prefix + "a", b"old")
    with pytest.raises(Conflict if reply == "refused" else Retryable):
        faulty.swap(bench.prefix + "a", b"new", etag)
    with pytest.raises(Conflict):
        faulty.swap(bench.prefix + "a", b"new", etag)
    assert faulty.get(bench.prefix + "a").body == b"new"


def _create_numbered(bench: Bench, key: str, me: int) -> str:
    return bench.store.create(key, b"%d" % me)


def _swap_numbered(bench: Bench, key: str, expected: str, turn: int, me: int) -> str:
    return bench.store.swap(key, b"%d of %d" % (me, turn), expected)


def race(attempt: Callable[[int], str]) -> list[str | BucketlensError]:
    """The results of ``attempt(0)`` ... ``attempt(15)``, begun together: what it returned, or the error it raised."""
    barrier = threading.Barrier(THREADS)

    def run(me: int) -> str | BucketlensError:
        barrier.wait(30)
        try:
            return attempt(me)
        except BucketlensError as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))

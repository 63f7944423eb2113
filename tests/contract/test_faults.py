"""The faulty and the counting store do what scenario tests rely on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.faults import CountingStore, Crashed, FaultStore

from bucketlens.errors import Conflict, Exists, NotFound, Retryable
from bucketlens.store.memory import MemoryStore
from bucketlens.store.protocol import ByteRange, Store


def five_operations(store: Store) -> None:
    etag = store.create("a", b"1")
    store.get("a")
    store.swap("a", b"2", etag)
    list(store.list(""))
    store.delete("a")


def test_without_a_fault_everything_passes_and_is_counted() -> None:
    store = FaultStore(MemoryStore())
    five_operations(store)
    assert (store.operations, store.puts) == (5, 2)


@pytest.mark.parametrize("n", range(1, 6))
def test_a_crash_before_operation_n_leaves_what_the_operations_before_it_did(n: int) -> None:
    inner = MemoryStore()
    store = FaultStore(inner, crash_at=n)
    with pytest.raises(Crashed):
        five_operations(store)
    assert contents(inner) == [None, b"1", b"1", b"2", b"2"][n - 1]


@pytest.mark.parametrize("n", range(1, 6))
def test_a_crash_after_operation_n_leaves_what_it_did_too(n: int) -> None:
    inner = MemoryStore()
    store = FaultStore(inner, crash_at=n, crash="after")
    with pytest.raises(Crashed):
        five_operations(store)
    assert contents(inner) == [b"1", b"1", b"2", b"2", None][n - 1]


def test_a_crashed_process_does_nothing_more_and_no_handler_of_exceptions_saves_it() -> None:
    store = FaultStore(MemoryStore(), crash_at=1)
    attempts: list[Callable[[], object]] = [
        lambda: store.get("a"),
        lambda: store.create("a", b""),
        lambda: store.list(""),
    ]
    for attempt in attempts:
        with pytest.raises(Crashed):
            attempt()
    assert not issubclass(Crashed, Exception)


@pytest.mark.parametrize(("reply", "error"), [("lost", Retryable), ("refused", Exists)])
def test_a_create_whose_reply_is_lost_has_happened(reply: str, error: type[Exception]) -> None:
    inner = MemoryStore()
    with pytest.raises(error):
        FaultStore(inner, lose_reply_at=1, reply="lost" if reply == "lost" else "refused").create("a", b"1")
    assert contents(inner) == b"1"


def test_a_write_that_would_have_failed_fails_as_it_would_have() -> None:
    inner = MemoryStore()
    inner.create("a", b"1")
    with pytest.raises(Conflict):
        FaultStore(inner, lose_reply_at=1).swap("a", b"2", "another")
    assert contents(inner) == b"1"


def test_a_counting_store_counts_verbs_bytes_and_the_keys_of_gets() -> None:
    store = CountingStore(MemoryStore())
    five_operations(store)
    store.create("b", b"12345")
    store.get("b", ByteRange(1, 3))
    with pytest.raises(NotFound):
        store.get("a")
    tally = store.reset()
    assert tally.verbs == {"create": 2, "get": 3, "swap": 1, "list": 1, "delete": 1}
    assert (tally.bytes_read, tally.bytes_written) == (3, 7)
    assert tally.gets == [("a", None), ("b", ByteRange(1, 3)), ("a", None)]
    assert store.tally.verbs == {}


def contents(store: MemoryStore) -> bytes | None:
    try:
        return store.get("a").body
    except NotFound:
        return None

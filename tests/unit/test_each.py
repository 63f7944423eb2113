"""Work done ahead: in order, not too far, and failures where they belong."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from bucketlens.pipelines.each import AHEAD, ahead

KEYS = [f"key {number:02}" for number in range(20)]


def test_results_come_in_the_order_of_the_keys_whatever_takes_longest() -> None:
    def work(key: str) -> str:
        time.sleep(0.01 if key.endswith("0") else 0)
        return key.upper()

    found = [(key, due.result()) for key, due in ahead(3, work, KEYS)]
    assert found == [(key, key.upper()) for key in KEYS]


def test_a_failure_is_that_of_its_key_and_the_others_go_on() -> None:
    def work(key: str) -> str:
        if key == "key 07":
            raise ValueError(key)
        return key

    for key, due in ahead(4, work, KEYS):
        if key == "key 07":
            with pytest.raises(ValueError, match="key 07"):
                due.result()
        else:
            assert due.result() == key


def test_no_more_are_begun_than_may_be_ahead() -> None:
    begun: list[str] = []
    for number, (_, due) in enumerate(ahead(50, lambda key: begun.append(key), KEYS)):
        due.result()
        assert len(begun) <= number + 1 + AHEAD


@pytest.mark.parametrize(("threads", "used"), [(0, 1), (2, 2), (50, AHEAD)])
def test_there_are_as_many_threads_as_asked_for_and_never_more_than_keys_ahead(threads: int, used: int) -> None:
    together = threading.Barrier(used, timeout=30)

    def work(key: str) -> int:
        together.wait()
        return threading.get_ident()

    found = {due.result() for _, due in ahead(threads, work, KEYS)}
    assert len(found) == used


def test_no_thread_is_left_when_the_keys_are_used_up_or_nobody_asks_for_more() -> None:
    before = threading.active_count()
    assert len([due.result() for _, due in ahead(4, str, KEYS)]) == len(KEYS)
    assert threading.active_count() == before
    begun = ahead(4, str, KEYS)
    next(begun)
    begun.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert list(ahead(4, str, [])) == []


def test_keys_that_cannot_be_listed_end_the_threads_too() -> None:
    def keys() -> Iterator[str]:
        yield "one"
        raise OSError("listing")

    before = threading.active_count()
    with pytest.raises(OSError, match="listing"):
        list(ahead(4, str, keys()))
    assert threading.active_count() == before

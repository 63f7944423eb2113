"""Work on many keys at once: told in order, and failures where they belong."""

from __future__ import annotations

import threading
import time

import pytest

from bucketlens.pipelines.each import abreast

KEYS = [f"key {number:02}" for number in range(20)]


def test_results_come_in_the_order_of_the_keys_whatever_takes_longest() -> None:
    def work(key: str) -> str:
        time.sleep(0.01 if key.endswith("0") else 0)
        return key.upper()

    failures: dict[str, str] = {}
    assert list(abreast(3, work, KEYS, failures).items()) == [(key, key.upper()) for key in KEYS]
    assert failures == {}


def test_a_failure_is_that_of_its_key_and_the_others_go_on() -> None:
    def work(key: str) -> str | None:
        if key == "key 07":
            raise IndexError(key)
        return None

    failures = {"earlier": "stays"}
    assert list(abreast(4, work, KEYS, failures)) == [key for key in KEYS if key != "key 07"]
    assert failures == {"earlier": "stays", "key 07": "IndexError: key 07"}


def test_the_others_need_not_wait_for_a_key_that_takes_long() -> None:
    rest = threading.Semaphore(0)

    def work(key: str) -> None:
        if key == KEYS[0]:
            for _ in KEYS[1:]:
                assert rest.acquire(timeout=30)
        rest.release()

    failures: dict[str, str] = {}
    assert len(abreast(2, work, KEYS, failures)) == len(KEYS)
    assert failures == {}


@pytest.mark.parametrize(("threads", "used"), [(1, 1), (2, 2), (50, 20)])
def test_there_are_as_many_threads_as_asked_for_and_never_more_than_keys(threads: int, used: int) -> None:
    together = threading.Barrier(used, timeout=30)

    def work(key: str) -> int:
        together.wait()
        return threading.get_ident()

    assert len(set(abreast(threads, work, KEYS, {}).values())) == used


def test_no_keys_need_no_thread() -> None:
    before = threading.active_count()
    assert abreast(4, str, [], {}) == {}
    assert threading.active_count() == before


def test_what_is_no_exception_ends_the_rest_and_leaves_no_thread() -> None:
    begun: list[str] = []

    def work(key: str) -> None:
        begun.append(key)
        if key == "key 03":
            raise KeyboardInterrupt
        time.sleep(0.01)

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        abreast(1, work, KEYS, {})
    assert threading.active_count() == before
    assert begun == KEYS[:4]

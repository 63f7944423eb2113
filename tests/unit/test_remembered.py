"""Memory that is counted: names and all."""

from __future__ import annotations

import tracemalloc

from bucketlens.index.remembered import Remembered


def test_the_least_recently_used_go_first_and_a_new_value_takes_the_place_of_the_old_one() -> None:
    kept = Remembered[bytes](4_500, len)
    for name in ("a", "b", "c"):
        kept.put(("s", name), b"x" * 400)
    assert kept.get(("s", "a")) == b"x" * 400
    kept.put(("s", "d"), b"y" * 400)
    assert kept.get(("s", "b")) is None
    assert kept.get(("s", "a")) is not None
    kept.put(("s", "a"), b"z" * 500)
    assert kept.get(("s", "a")) == b"z" * 500
    assert [kept.get(("s", name)) is None for name in ("c", "d")] == [False, False]


def test_a_value_larger_than_all_the_room_is_not_kept() -> None:
    kept = Remembered[bytes](5_000, len)
    for name, size in (("b", 100), ("a", 200), ("a", 10_000)):
        kept.put(("s", name), b"x" * size)
    assert kept.get(("s", "a")) is None
    assert kept.get(("s", "b")) is not None, "nothing went for it"


def test_many_small_values_with_long_names_stay_within_the_budget() -> None:
    tracemalloc.start()
    kept = Remembered[bytes](300_000, len)
    for number in range(2_000):
        kept.put(("shard", f"{number:020}" * 30), b"")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 400_000


def test_a_value_is_wanted_from_the_second_time_on_if_it_would_have_been_kept_since_the_first() -> None:
    kept = Remembered[bytes](10_000, len)
    assert [kept.wanted(("s", "a"), 100) for _ in range(3)] == [False, True, True]
    assert [kept.wanted(("s", "b"), 10_000) for _ in range(3)] == [False] * 3, "no room for that"
    kept.put(("s", "a"), b"x" * 100)
    assert kept.get(("s", "a")) is not None


def test_values_that_do_not_fit_in_together_do_not_drive_one_another_out() -> None:
    kept = Remembered[bytes](12_000, len)
    made = list[str]()
    for _ in range(20):
        for name in ("a", "b", "c"):
            if kept.get(("s", name)) is None and kept.wanted(("s", name), 4_000):
                kept.put(("s", name), b"x" * 4_000)
                made.append(name)
    assert made == ["a", "b"]
    for _ in range(3):  # but nobody asks for these any more
        if kept.get(("s", "d")) is None and kept.wanted(("s", "d"), 4_000):
            kept.put(("s", "d"), b"x" * 4_000)
    assert kept.get(("s", "d")) is not None


def test_what_another_has_kept_meanwhile_stays() -> None:
    kept = Remembered[bytes](10_000, len)
    assert [kept.wanted(("s", "a"), 100) for _ in range(2)] == [False, True]
    kept.put(("s", "a"), b"x" * 100)
    assert not kept.wanted(("s", "a"), 100)
    assert kept.get(("s", "a")) is not None


def test_what_was_asked_for_long_ago_is_as_good_as_never() -> None:
    kept = Remembered[bytes](10**8, len)
    for others, again in ((900, True), (1_100, False)):
        kept.wanted(("s", "a"), 100)
        for number in range(others):
            kept.wanted(("s", f"{others}-{number}"), 100)
        assert kept.wanted(("s", "a"), 100) is again

"""The log: views that grow out of one another, and segments that become fewer, against reading everything anew."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.faults import CountingStore, Crashed, FaultStore
from tests.support.logs import (
    LATER,
    SMALL,
    Stated,
    Ticking,
    fill,
    only_consolidate,
    rows_of,
    run,
    stated,
    wanted,
    world,
)
from tests.support.table import COLLECTION, START, Table, append, contents, image, truth

from bucketlens.errors import Retryable
from bucketlens.pipelines.compact import compact
from bucketlens.records import Row
from bucketlens.search.view import View
from bucketlens.store.memory import MemoryStore


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), steps=st.lists(st.sampled_from("aaaaaaaavvcms"), min_size=4, max_size=40))
def test_a_view_that_grew_says_what_one_read_anew_says_whatever_happened_in_between(
    tmp_path_factory: pytest.TempPathFactory, seed: int, steps: list[str]
) -> None:
    folder, store, rng = tmp_path_factory.mktemp("log"), Ticking(), random.Random(seed)
    reader = Table(store, folder / "r").views()
    written: list[Row] = []
    kept: list[tuple[View, Stated]] = []
    for number, step in enumerate(steps):
        match step:
            case "a":
                batch = rows_of(rng, number)
                append(store, batch)
                written += batch
            case "c":
                run(store, folder / f"{number}", f"c{number}")
            case "m":
                only_consolidate(store, folder / f"{number}", f"m{number}")
            case "s":
                run(store, folder / f"{number}", f"s{number}", LATER)
            case _:
                view = reader.view(COLLECTION, strong=True)
                assert stated(view) == wanted(written)
                assert view.rejections.keys() == Table(store, folder / f"{number}").view().rejections.keys()
                kept.append((view, wanted(written)))
    assert stated(reader.view(COLLECTION, strong=True)) == wanted(written)
    assert stated(Table(store, folder / "anew").view()) == wanted(written)
    for view, then in kept[-3:]:
        assert stated(view) == then, "an older view shares memory with newer ones and must not change"


@pytest.mark.parametrize("seed", range(3))
def test_many_segments_are_absorbed_in_several_steps_by_one_run(tmp_path: Path, seed: int) -> None:
    store, rng = Ticking(), random.Random(seed)
    written = fill(store, rng, 40)
    report = run(store, tmp_path, "a")
    assert report.consolidated >= 30
    assert report.absorbed == 40
    assert report.steps > 10
    view = Table(store, tmp_path / "r").view()
    assert view.snapshot.segments == view.snapshot.manifest.merged == ()
    assert stated(view) == wanted(written)
    run(store, tmp_path / "b", "b")  # rewrites what the last steps have left half deleted
    again = run(store, tmp_path / "c", "c")
    assert (again.steps, again.consolidated, again.absorbed) == (0, 0, 0)


def test_a_run_without_time_for_more_ends_after_a_step_and_the_next_takes_over(tmp_path: Path) -> None:
    store = Ticking()
    written = fill(store, random.Random(1), 14)
    for turn in range(20):
        report = only_consolidate(store, tmp_path / f"{turn}", f"n{turn}")
        assert stated(Table(store, tmp_path / f"r{turn}").view()) == wanted(written)
        if not report.steps:
            break
        assert report.steps == 1
    assert turn > 4
    snapshot = Table(store, tmp_path / "last").view().snapshot
    assert snapshot.segments == snapshot.manifest.merged == ()


def test_a_cold_reader_asks_for_merged_segments_and_what_came_since(tmp_path: Path) -> None:
    inner = Ticking()
    written = fill(inner, random.Random(2), 15)
    for turn in range(3):
        only_consolidate(inner, tmp_path / f"{turn}", f"n{turn}")
    store = CountingStore(inner)
    view = Table(store, tmp_path / "r").view()
    merged = view.snapshot.manifest.merged
    assert (len(merged), len(view.snapshot.segments)) == (3, 15 - sum(len(one.segments) for one in merged))
    assert stated(view) == wanted(written)
    asked = store.reset().verbs
    assert (asked["get"], asked["list"]) == (1 + len(merged) + len(view.snapshot.segments), 1)


def test_segments_that_were_merged_still_count_as_the_logs_in_a_certificate(tmp_path: Path) -> None:
    store = Ticking()
    fill(store, random.Random(4), 6)
    told = []
    for turn in range(3):
        snapshot = Table(store, tmp_path / f"r{turn}").view().snapshot
        told.append((snapshot.log_segments, snapshot.newest_segment))
        only_consolidate(store, tmp_path / f"{turn}", f"n{turn}")
    assert told[0] == told[1] == (6, told[0][1])
    snapshot = Table(store, tmp_path / "last").view().snapshot
    assert (snapshot.log_segments, snapshot.newest_segment) == (0, None)


def test_a_reader_that_has_the_segments_does_not_read_what_they_were_merged_into(tmp_path: Path) -> None:
    inner = Ticking()
    written = fill(inner, random.Random(3), 6)
    store = CountingStore(inner)
    reader = Table(store, tmp_path / "r").views()
    before = reader.view(COLLECTION, strong=True)
    only_consolidate(inner, tmp_path / "c", "a")
    store.reset()
    after = reader.view(COLLECTION, strong=True)
    assert after.snapshot.manifest.merged
    assert store.reset().verbs == {"get": 1, "list": 1}
    assert after.log.images.room is before.log.images.room
    assert stated(after) == wanted(written)


def test_a_new_segment_is_added_to_what_the_reader_has_without_copying_it(tmp_path: Path) -> None:
    store = Ticking()
    reader = Table(store, tmp_path).views()
    append(store, [image(f"images/{n}.jpg", 1, {"n": float(n)}) for n in range(64)])
    rooms = set()
    for number in range(200):
        append(store, [image(f"images/new{number}.jpg", 1, {"n": float(number)})])
        view = reader.view(COLLECTION, strong=True)
        rooms.add(id(view.log.images.room))
        assert len(view.log.images.runs) <= 9
        assert len(view.log.layers) <= 9
    assert view.count == 264
    assert len(rooms) <= 4


def test_what_shards_say_of_the_log_is_asked_only_of_new_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Ticking()
    append(store, [image(f"images/{n}.jpg", 1, {"n": float(n)}) for n in range(50)])
    run(store, tmp_path / "c", "a")
    append(store, [image(f"images/{n}.jpg", 2, {"n": n + 100.0}) for n in range(20)])
    reader = Table(store, tmp_path / "r").views()
    first = reader.view(COLLECTION, strong=True)
    assert first.count == 50
    asked: list[int] = []
    shard = first.shards[0][0]
    find = shard.find
    monkeypatch.setattr(shard, "find", lambda keys, hashes: asked.append(len(keys)) or find(keys, hashes))  # type: ignore[func-returns-value]
    append(store, [image("images/40.jpg", 2, {"n": 7.0}), image("images/x.jpg", 2, {"n": 8.0})])
    second = reader.view(COLLECTION, strong=True)
    assert second.count == 51
    assert asked == [2]
    append(store, [image("images/y.jpg", 2, {"n": 9.0})])
    third = reader.view(COLLECTION, strong=True)
    assert third.count == 52
    assert third.parts[1] is second.parts[1], "nothing changed in the shard"


@pytest.mark.parametrize("crash", ["before", "after"])
def test_a_crash_at_any_operation_of_a_run_of_many_steps_loses_nothing(tmp_path: Path, crash: str) -> None:
    counted = FaultStore(world()[0])
    _run_and_sweep(counted, tmp_path / "count")
    for n in range(1, counted.operations + 1):
        store, rows = world()
        broken = FaultStore(store, crash_at=n, crash=crash)  # type: ignore[arg-type]
        with pytest.raises(Crashed):
            _run_and_sweep(broken, tmp_path / f"{n}")
        assert stated(Table(store, tmp_path / f"{n}r").view()) == wanted(rows), f"after a crash at operation {n}"
        run(store, tmp_path / f"{n}again", "z", LATER)
        view = Table(store, tmp_path / f"{n}s").view()
        assert stated(view) == wanted(rows)
        assert view.log.images.count == 0


@pytest.mark.parametrize("reply", ["lost", "refused"])
def test_a_lost_reply_of_any_put_of_a_run_of_many_steps_changes_nothing(tmp_path: Path, reply: str) -> None:
    counted = FaultStore(world()[0])
    undisturbed = run(counted, tmp_path / "count", "x")
    assert counted.puts > 10
    for n in range(1, counted.puts + 1):
        store, rows = world()
        report = run(FaultStore(store, lose_reply_at=n, reply=reply), tmp_path / f"{n}", "x")  # type: ignore[arg-type]
        assert stated(Table(store, tmp_path / f"{n}r").view()) == wanted(rows), f"after losing the reply of PUT {n}"
        assert report == undisturbed


def test_whoever_loses_the_race_for_the_same_segments_leaves_only_garbage(tmp_path: Path) -> None:
    for turn, winner in enumerate((run, only_consolidate)):
        store = Ticking()
        rows = fill(store, random.Random(turn), 9)
        overtaken = Overtaken(
            store, lambda store=store, turn=turn, winner=winner: winner(store, tmp_path / f"w{turn}", "w")
        )  # type: ignore[misc]
        table = Table(overtaken, tmp_path / f"{turn}", limits=SMALL)
        report = compact(COLLECTION, table.compactor(), now=START, nonce="loser")
        assert report.lost_race
        assert any("loser" in entry.key for entry in store.list(""))
        assert stated(Table(store, tmp_path / f"r{turn}").view()) == wanted(rows)
        run(store, tmp_path / f"s{turn}", "s", LATER)
        run(store, tmp_path / f"t{turn}", "t", LATER + timedelta(hours=2))
        assert not any("loser" in entry.key or "/merged/" in entry.key for entry in store.list(""))
        assert stated(Table(store, tmp_path / f"q{turn}").view()) == wanted(rows)


class Overtaken(FaultStore):
    """A store on which somebody else is always a little faster, once."""

    def __init__(self, inner: MemoryStore, first) -> None:  # type: ignore[no-untyped-def]
        super().__init__(inner)
        self._first = first

    def create(self, key: str, body: bytes) -> str:
        first, self._first = self._first, None
        if first is not None:
            first()
        return super().create(key, body)


def test_readers_ingests_and_compactors_race_and_no_answer_is_ever_wrong(tmp_path: Path) -> None:
    store = Ticking()
    batches = [[image(f"images/{n % 90}.jpg", n + 1, {"n": float(n)})] for n in range(240)]

    def ingest(number: int) -> None:
        for batch in batches[number::4]:
            append(store, batch)

    def compactor(number: int) -> None:
        for turn in range(4):
            with suppress(Retryable):
                run(store, tmp_path / f"c{number}x{turn}", f"r{number}x{turn}")

    def read(number: int) -> None:
        reader, seen = Table(store, tmp_path / f"r{number}").views(), dict[str, str]()
        for _ in range(12):
            now = contents(reader.view(COLLECTION, strong=True))
            assert all(key in now and now[key] >= version for key, version in seen.items()), "an answer went back"
            seen = now

    with ThreadPoolExecutor(9) as pool:
        jobs = [pool.submit(ingest, n) for n in range(4)] + [pool.submit(compactor, n) for n in range(2)]
        for job in [*jobs, *(pool.submit(read, n) for n in range(3))]:
            job.result()
    run(store, tmp_path / "last", "last")
    assert contents(Table(store, tmp_path / "anew").view()) == truth(row for batch in batches for row in batch)


def _run_and_sweep(store: FaultStore, folder: Path) -> None:
    run(store, folder / "x", "x")
    run(store, folder / "y", "y", LATER)

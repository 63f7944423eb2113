"""Compaction against crashes, lost replies, races and time: nothing is lost, nothing is doubled."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.faults import Crashed, FaultStore
from tests.support.table import COLLECTION, START, Table, append, contents, image, rejected, tombstone, truth

from bucketlens import keys
from bucketlens.errors import Retryable
from bucketlens.pipelines.compact import compact
from bucketlens.records import Row
from bucketlens.store.memory import MemoryStore

LATER = START + timedelta(hours=2)


def history(seed: int, keys_count: int = 30, events: int = 120) -> list[list[Row]]:
    """Batches of uploads, overwrites, deletes and rejections in an order no queue would guarantee."""
    rng = random.Random(seed)
    rows = []
    for at in range(1, events + 1):
        key = f"images/{rng.randrange(keys_count)}.jpg"
        rows.append(rng.choices([image, tombstone, rejected], [6, 2, 1])[0](key, at))
    rng.shuffle(rows)
    return [rows[start : start + 10] for start in range(0, len(rows), 10)]


def ready(store: MemoryStore, folder: Path) -> list[Row]:
    """A table with two shards, deletions, marks and a live log; returns every row ever written."""
    table = Table(store, folder)
    batches = history(7)
    for number, batch in enumerate(batches):
        append(store, batch)
        if number in {3, 7}:
            compact(COLLECTION, table.compactor(), now=START, nonce=f"seed{number}")
    return [row for batch in batches for row in batch]


@pytest.mark.parametrize("seed", range(5))
def test_any_history_compacted_at_any_moment_reads_as_the_newest_version_of_each_key(tmp_path: Path, seed: int) -> None:
    store = MemoryStore(lambda: START)
    table = Table(store, tmp_path)
    rng = random.Random(seed)
    written: list[Row] = []
    for number, batch in enumerate(history(seed)):
        append(store, batch)
        written += batch
        if rng.random() < 0.6:
            compact(COLLECTION, table.compactor(), now=START, nonce=f"n{number}")
        assert contents(table.view()) == truth(written)


def test_a_rerun_with_nothing_new_writes_nothing(tmp_path: Path) -> None:
    store = MemoryStore(lambda: START)
    ready(store, tmp_path)
    table = Table(store, tmp_path / "x")
    compact(COLLECTION, table.compactor(), now=START, nonce="a")
    before = {entry.key: entry.etag for entry in store.list("")}
    report = compact(COLLECTION, table.compactor(), now=START, nonce="b")
    assert (report.absorbed, report.shards_written) == (0, 0)
    assert {entry.key: entry.etag for entry in store.list("")} == before


@pytest.mark.parametrize("crash", ["before", "after"])
def test_a_crash_at_any_store_operation_leaves_a_readable_index_and_a_rerun_finishes_the_job(
    tmp_path: Path, crash: str
) -> None:
    counted = FaultStore(_world(tmp_path / "count")[0])
    _compact_and_sweep(counted, tmp_path / "count2")
    assert counted.operations > 10
    for n in range(1, counted.operations + 1):
        store, rows = _world(tmp_path / f"{n}")
        with pytest.raises(Crashed):
            _compact_and_sweep(FaultStore(store, crash_at=n, crash=crash), tmp_path / f"{n}c")  # type: ignore[arg-type]
        assert contents(Table(store, tmp_path / f"{n}r").view()) == truth(rows), f"after a crash at operation {n}"
        _compact_and_sweep(store, tmp_path / f"{n}again")
        view = Table(store, tmp_path / f"{n}s").view()
        assert contents(view) == truth(rows)
        assert view.snapshot.segments == ()


@pytest.mark.parametrize("reply", ["lost", "refused"])
def test_a_lost_reply_of_any_conditional_put_changes_nothing_but_the_effort(tmp_path: Path, reply: str) -> None:
    counted = FaultStore(_world(tmp_path / "count")[0])
    _compact_and_sweep(counted, tmp_path / "count2")
    for n in range(1, counted.puts + 1):
        store, rows = _world(tmp_path / f"{n}")
        _compact_and_sweep(FaultStore(store, lose_reply_at=n, reply=reply), tmp_path / f"{n}c")  # type: ignore[arg-type]
        view = Table(store, tmp_path / f"{n}r").view()
        assert contents(view) == truth(rows), f"after losing the reply of conditional PUT {n}"
        assert view.snapshot.segments == ()
        assert view.snapshot.manifest.version == 4, "the swap was committed twice"


def test_racing_compactors_and_ingests_lose_nothing(tmp_path: Path) -> None:
    store = MemoryStore(lambda: START)
    table = Table(store, tmp_path)
    batches = history(3, keys_count=60, events=640)

    def ingest(number: int) -> None:
        for batch in batches[number::16]:
            append(store, batch)

    def run(number: int) -> None:
        for turn in range(4):
            with suppress(Retryable):
                compact(COLLECTION, table.compactor(), now=START, nonce=f"r{number}x{turn}")

    with ThreadPoolExecutor(20) as pool:
        futures = [pool.submit(ingest, number) for number in range(16)] + [pool.submit(run, n) for n in range(4)]
        for future in futures:
            future.result()
    rows = [row for batch in batches for row in batch]
    assert contents(table.view()) == truth(rows)
    compact(COLLECTION, table.compactor(), now=LATER, nonce="last")
    view = table.view()
    assert contents(view) == truth(rows)
    assert view.snapshot.segments == ()


def test_a_loser_of_the_race_leaves_only_garbage_and_the_sweep_takes_it(tmp_path: Path) -> None:
    store = MemoryStore(lambda: START)
    rows = ready(store, tmp_path)
    table = Table(store, tmp_path / "t")
    loser = table.compactor()
    winner_ran = False

    class Overtaken(FaultStore):
        def swap(self, key: str, body: bytes, expected: str) -> str:
            nonlocal winner_ran
            if not winner_ran:
                winner_ran = True
                compact(COLLECTION, table.compactor(), now=START, nonce="winner")
            return super().swap(key, body, expected)

    report = compact(COLLECTION, replace(loser, store=Overtaken(store)), now=START, nonce="loser")
    assert report.lost_race
    assert any("loser" in entry.key for entry in store.list(""))
    compact(COLLECTION, table.compactor(), now=LATER, nonce="sweeper")
    assert not any("loser" in entry.key for entry in store.list(""))
    assert contents(table.view()) == truth(rows)


def test_nothing_a_reader_may_still_use_is_swept_before_the_grace_period_is_over(tmp_path: Path) -> None:
    store = MemoryStore(lambda: START)
    rows = ready(store, tmp_path)
    table = Table(store, tmp_path / "t")
    old = table.view()
    compact(COLLECTION, table.compactor(), now=START + timedelta(minutes=59), nonce="a")
    assert contents(old) == truth(rows), "the old snapshot must stay readable"
    compact(COLLECTION, table.compactor(), now=START + timedelta(hours=3), nonce="b")
    present = {entry.key for entry in store.list("")}
    manifest = table.view().snapshot.manifest
    assert present == {ref.key for ref in manifest.objects()} | {keys.render(keys.Manifest(COLLECTION))}
    assert (manifest.absorbed, manifest.retired) == ({}, {})
    assert contents(table.view()) == truth(rows)


def test_a_row_that_arrives_after_its_deletion_was_absorbed_stays_deleted_until_the_tombstone_expires(
    tmp_path: Path,
) -> None:
    store = MemoryStore(lambda: START)
    table = Table(store, tmp_path)
    append(store, [image("images/a.jpg", 1), image("images/b.jpg", 1)])
    append(store, [tombstone("images/a.jpg", 5)])
    compact(COLLECTION, table.compactor(), now=START, nonce="a")
    append(store, [image("images/a.jpg", 3)])
    assert contents(table.view()) == {"images/b.jpg": str(image("images/b.jpg", 1).sequencer)}
    compact(COLLECTION, table.compactor(), now=START + timedelta(days=1), nonce="b")
    assert "images/a.jpg" not in contents(table.view())
    assert table.view().snapshot.manifest.marks is not None
    append(store, [image("images/c.jpg", 9)])
    compact(COLLECTION, table.compactor(), now=START + timedelta(days=15), nonce="c")
    assert table.view().snapshot.manifest.marks is None
    assert set(contents(table.view())) == {"images/b.jpg", "images/c.jpg"}


def test_a_rejection_survives_compaction_and_is_cleared_by_a_good_version(tmp_path: Path) -> None:
    store = MemoryStore(lambda: START)
    table = Table(store, tmp_path)
    append(store, [image("images/a.jpg", 1), rejected("images/bad.jpg", 2)])
    compact(COLLECTION, table.compactor(), now=START, nonce="a")
    assert [*table.view().rejections] == ["images/bad.jpg"]
    append(store, [image("images/bad.jpg", 3)])
    assert not table.view().rejections
    compact(COLLECTION, table.compactor(), now=START, nonce="b")
    view = table.view()
    assert not view.rejections
    assert set(contents(view)) == {"images/a.jpg", "images/bad.jpg"}


def test_shards_are_split_at_the_largest_size_and_merged_by_tiers(tmp_path: Path) -> None:
    store = MemoryStore(lambda: START)
    table = Table(store, tmp_path, max_shard_rows=25)
    append(store, [image(f"images/{n}.jpg", n + 1) for n in range(60)])
    compact(COLLECTION, table.compactor(), now=START, nonce="a")
    assert [shard.rows for shard in table.view().snapshot.manifest.shards] == [20, 20, 20]
    small = Table(store, tmp_path / "2")
    append(store, [image("images/new.jpg", 100)])
    compact(COLLECTION, small.compactor(), now=START, nonce="b")
    assert [shard.rows for shard in small.view().snapshot.manifest.shards] == [61]


def test_collections_never_see_each_others_rows(tmp_path: Path) -> None:
    store = MemoryStore(lambda: START)
    table = Table(store, tmp_path)
    append(store, [image("images/a.jpg", 1)], "default")
    append(store, [image("shop/b.jpg", 1)], "shop")
    for name in ("default", "shop"):
        compact(name, table.compactor(), now=LATER, nonce=name)
    assert set(contents(table.view("default"))) == {"images/a.jpg"}
    assert set(contents(table.view("shop"))) == {"shop/b.jpg"}


def _world(folder: Path) -> tuple[MemoryStore, list[Row]]:
    store = MemoryStore(lambda: START)
    return store, ready(store, folder)


def _compact_and_sweep(store: MemoryStore | FaultStore, folder: Path) -> None:
    """Absorb now, and sweep what that made garbage later."""
    tools = Table(store, folder).compactor()
    compact(COLLECTION, tools, now=START, nonce="x" + folder.name)
    compact(COLLECTION, tools, now=LATER, nonce="y" + folder.name)

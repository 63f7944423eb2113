"""Views: how fresh they are, what they read, whom they keep waiting, and what happens when a snapshot is swept."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.faults import CountingStore
from tests.support.table import COLLECTION, START, Table, append, contents, image, rejected, tombstone, vector

from bucketlens import keys
from bucketlens.errors import Misconfigured, NotFound, Retryable
from bucketlens.index import segment
from bucketlens.index.block import Block
from bucketlens.pipelines.compact import compact
from bucketlens.pipelines.query import QueryTools, look_up, search, with_view
from bucketlens.queries import ByKey, ByVector, Query
from bucketlens.records import ModelIdentity
from bucketlens.search.files import LocalFiles, SnapshotGone
from bucketlens.search.view import View, Views
from bucketlens.settings import Settings
from bucketlens.store.memory import MemoryImages, MemoryStore
from bucketlens.store.protocol import Entry, Store

PATIENCE_S = 20.0
LATER = START + timedelta(hours=2)


class Clock:
    """Seconds that pass when told to, and a little whenever somebody looks."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


def views(store: Store, folder: Path, clock: Clock, staleness: float = 5.0) -> Views:
    files = LocalFiles(store, folder / "files", 10**9)
    return Views(store, files, threads=2, max_staleness_s=staleness, clock=clock)


def tools(found: Views) -> QueryTools:
    def no_encoder() -> object:
        raise AssertionError("no query here needs the model")

    return QueryTools(found, MemoryImages(), no_encoder, Settings("b"))  # type: ignore[arg-type]


def keys_of(view: View) -> list[str]:
    return sorted(contents(view))


def test_a_strong_view_sees_every_write_and_an_eventual_one_is_at_most_as_old_as_allowed(tmp_path: Path) -> None:
    store, clock = MemoryStore(), Clock()
    found = views(store, tmp_path, clock)
    append(store, [image("images/a.jpg", 1)])
    assert keys_of(found.view(COLLECTION, strong=False)) == ["images/a.jpg"]
    append(store, [image("images/b.jpg", 2)])
    clock.now += 4
    assert keys_of(found.view(COLLECTION, strong=False)) == ["images/a.jpg"]
    assert keys_of(found.view(COLLECTION, strong=True)) == ["images/a.jpg", "images/b.jpg"]
    append(store, [tombstone("images/a.jpg", 3)])
    clock.now += 4
    assert len(keys_of(found.view(COLLECTION, strong=False))) == 2, "the strong view made it younger"
    clock.now += 2
    assert keys_of(found.view(COLLECTION, strong=False)) == ["images/b.jpg"]


def test_an_unchanged_snapshot_costs_one_get_and_one_list_and_an_eventual_view_nothing(tmp_path: Path) -> None:
    inner = MemoryStore()
    store = CountingStore(inner)
    append(inner, [image(f"images/{n}.jpg", n + 1) for n in range(5)])
    compact(COLLECTION, Table(inner, tmp_path / "c").compactor(), now=START, nonce="a")
    append(inner, [image("images/new.jpg", 99)])
    found = views(store, tmp_path, Clock())
    first = found.view(COLLECTION, strong=True)
    store.reset()
    assert found.view(COLLECTION, strong=True) is first
    assert dict(store.reset().verbs) == {"get": 1, "list": 1}
    assert found.view(COLLECTION, strong=False) is first
    assert dict(store.reset().verbs) == {}
    append(inner, [image("images/newer.jpg", 100)])
    found.view(COLLECTION, strong=True)
    assert dict(store.reset().verbs) == {"get": 2, "list": 1}, "only the new segment is read"


class Gate(MemoryStore):
    """A store whose listings wait at a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.open.set()
        self.waiting = threading.Semaphore(0)
        self.lists = 0

    def list(self, prefix: str) -> Iterator[Entry]:
        self.lists += 1
        self.waiting.release()
        assert self.open.wait(PATIENCE_S)
        return super().list(prefix)


def test_who_can_do_with_the_present_view_waits_for_nobody(tmp_path: Path) -> None:
    store, clock = Gate(), Clock()
    append(store, [image("images/a.jpg", 1)])
    found = views(store, tmp_path, clock)
    first = found.view(COLLECTION, strong=True)
    store.open.clear()
    slow = threading.Thread(target=lambda: found.view(COLLECTION, strong=True))
    slow.start()
    assert store.waiting.acquire(timeout=PATIENCE_S)
    assert store.waiting.acquire(timeout=PATIENCE_S), "the strong view is under way"
    assert found.view(COLLECTION, strong=False) is first
    store.open.set()
    slow.join(PATIENCE_S)
    assert not slow.is_alive()


def test_strong_views_asked_for_while_another_is_taken_share_the_next_one(tmp_path: Path) -> None:
    store, clock = Gate(), Clock()
    append(store, [image("images/a.jpg", 1)])
    found = views(store, tmp_path, clock)
    store.open.clear()
    answers: list[list[str]] = []
    first = threading.Thread(target=lambda: found.view(COLLECTION, strong=True))
    first.start()
    assert store.waiting.acquire(timeout=PATIENCE_S)
    append(store, [image("images/b.jpg", 2)])
    asked = clock.now
    others = [
        threading.Thread(target=lambda: answers.append(keys_of(found.view(COLLECTION, strong=True)))) for _ in range(8)
    ]
    for thread in others:
        thread.start()
    for _ in range(2000):
        if clock.now >= asked + 0.0079:
            break
        threading.Event().wait(0.01)
    store.open.set()
    for thread in [first, *others]:
        thread.join(PATIENCE_S)
    assert answers == [["images/a.jpg", "images/b.jpg"]] * 8
    assert store.lists <= 3


def test_names_that_do_not_exist_are_not_remembered(tmp_path: Path) -> None:
    found = views(MemoryStore(), tmp_path, Clock())
    for number in range(50):
        with pytest.raises(NotFound):
            with_view(f"c{number}", tools(found), False, lambda view: view.count)
    assert not found._opened


def test_a_query_on_a_swept_snapshot_takes_a_new_one_and_answers(tmp_path: Path) -> None:
    store, clock = MemoryStore(lambda: START), Clock()
    table = Table(store, tmp_path / "t")
    rows = [image(f"images/{n}.jpg", n + 1, seed=n) for n in range(6)]
    append(store, rows[:3])
    compact(COLLECTION, table.compactor(), now=START, nonce="a")
    found = views(store, tmp_path, clock, staleness=1e9)
    old = found.view(COLLECTION, strong=True)
    append(store, rows[3:])
    (entry,) = old.snapshot.manifest.shards
    for ref in entry.objects():
        store.delete(ref.key)
    store.delete("index/default/manifest.json")
    for file in (tmp_path / "files").iterdir():
        file.unlink()
    append(store, rows[:3])
    with pytest.raises(SnapshotGone):
        keys_of(old)
    hits = search(Query(COLLECTION, ByVector(tuple(vector(4).tolist())), k=6), tools(found)).hits
    assert hits[0].key == "images/4.jpg"
    assert len(hits) == 6


def test_an_eventual_query_survives_compaction_and_sweep_at_any_age_of_its_view(tmp_path: Path) -> None:
    store, clock = MemoryStore(lambda: START), Clock()
    table = Table(store, tmp_path / "t")
    append(store, [image(f"images/{n}.jpg", n + 1, seed=n) for n in range(10)])
    compact(COLLECTION, table.compactor(), now=START, nonce="a")
    found = views(store, tmp_path, clock, staleness=1e9)
    found.view(COLLECTION, strong=True)
    append(store, [image(f"images/{n}.jpg", n + 50, seed=n) for n in range(6)])
    compact(COLLECTION, table.compactor(), now=LATER, nonce="b")
    compact(COLLECTION, table.compactor(), now=LATER + timedelta(hours=2), nonce="c")
    hits = search(Query(COLLECTION, ByKey("images/3.jpg"), k=10), tools(found)).hits
    assert (hits[0].key, len(hits)) == ("images/3.jpg", 10)


def test_an_object_that_never_comes_back_is_an_error_and_not_a_loop(tmp_path: Path) -> None:
    store = MemoryStore()
    append(store, [image("images/a.jpg", 1)])
    compact(COLLECTION, Table(store, tmp_path / "t").compactor(), now=START, nonce="a")
    found = views(store, tmp_path, Clock())
    for ref in list(found.view(COLLECTION, strong=True).snapshot.manifest.objects()):
        store.delete(ref.key)
    for file in (tmp_path / "files").iterdir():
        file.unlink()
    with pytest.raises(SnapshotGone):
        look_up(COLLECTION, "images/a.jpg", tools(found), strong=True)


def test_a_file_removed_from_the_disk_between_request_and_use_is_fetched_again(tmp_path: Path) -> None:
    store = MemoryStore()
    append(store, [image("images/a.jpg", 1, seed=1)])
    compact(COLLECTION, Table(store, tmp_path / "t").compactor(), now=START, nonce="a")
    lost = 0

    class Forgetful(LocalFiles):
        def path(self, ref):  # type: ignore[no-untyped-def]
            nonlocal lost
            found = super().path(ref)
            if lost < 2:
                lost += 1
                found.unlink()
            return found

    found = Views(store, Forgetful(store, tmp_path / "f", 1), threads=1, max_staleness_s=9.0, clock=Clock())
    assert look_up(COLLECTION, "images/a.jpg", tools(found), strong=False).key == "images/a.jpg"


def test_a_file_that_goes_each_time_before_it_is_mapped_is_a_matter_of_trying_again(tmp_path: Path) -> None:
    store = MemoryStore()
    append(store, [image("images/a.jpg", 1, seed=1)])
    compact(COLLECTION, Table(store, tmp_path / "t").compactor(), now=START, nonce="a")

    class Forgetful(LocalFiles):
        def path(self, ref):  # type: ignore[no-untyped-def]
            found = super().path(ref)
            found.unlink()
            return found

    found = Views(store, Forgetful(store, tmp_path / "f", 1), threads=1, max_staleness_s=9.0, clock=Clock())
    with pytest.raises(Retryable) as caught:
        look_up(COLLECTION, "images/a.jpg", tools(found), strong=False)
    assert caught.value.code == "disk"
    assert ".arrow" in str(caught.value.value)


def test_a_rejection_and_a_deletion_hide_what_stood_before(tmp_path: Path) -> None:
    store = MemoryStore()
    table = Table(store, tmp_path)
    append(store, [image(f"images/{name}.jpg", 1) for name in "abc"])
    compact(COLLECTION, table.compactor(), now=START, nonce="a")
    append(store, [tombstone("images/a.jpg", 2), rejected("images/b.jpg", 2)])
    view = table.view()
    assert keys_of(view) == ["images/c.jpg"]
    assert (view.count, list(view.rejections)) == (1, ["images/b.jpg"])
    found = {name: view.find(f"images/{name}.jpg") for name in "abcd"}
    assert [found[name] is not None and found[name][2] is not None for name in "abc"] == [False, False, True]  # type: ignore[index]
    assert found["d"] is None


def test_vectors_of_two_models_in_one_log_are_an_error_that_names_both(tmp_path: Path) -> None:
    store = MemoryStore()
    append(store, [image("images/a.jpg", 1)])
    other = ModelIdentity("other", "f" * 32, 16)
    body = segment.pack(Block.of([image("images/b.jpg", 2)], 16), other)
    store.create(keys.render(keys.Segment(COLLECTION, keys.segment_id("0B", body))), body)
    with pytest.raises(Misconfigured, match="other"):
        views(store, tmp_path, Clock()).view(COLLECTION, strong=True)


def test_a_collection_begun_anew_with_another_model_is_read_by_who_knew_the_old_one(tmp_path: Path) -> None:
    store = MemoryStore()
    found = views(store, tmp_path, Clock())
    other = ModelIdentity("other", "f" * 32, 16)
    for compacted in (False, True):
        append(store, [image("images/a.jpg", 1)])
        if compacted:
            compact(COLLECTION, Table(store, tmp_path / "c").compactor(), now=START, nonce="a")
        assert found.view(COLLECTION, strong=True).count == 1
        for entry in list(store.list("")):
            store.delete(entry.key)
        append(store, [image("images/b.jpg", 1)], model=other)
        view = found.view(COLLECTION, strong=True)
        assert (view.model, keys_of(view)) == (other, ["images/b.jpg"])
        for entry in list(store.list("")):
            store.delete(entry.key)

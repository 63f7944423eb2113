"""Local copies of index objects: verified, within a budget, safe among threads."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest
from tests.support.faults import CountingStore

from bucketlens.errors import Corrupt, Retryable
from bucketlens.search.files import DiskFull, LocalFiles, SnapshotGone
from bucketlens.store.memory import MemoryStore
from bucketlens.store.protocol import Blob, ByteRange
from bucketlens.table.manifest import ObjectRef

PATIENCE_S = 20.0


def put(store: MemoryStore, name: str, size: int = 100) -> ObjectRef:
    key, body = f"index/default/shards/s/{name}", (name.encode() * size)[:size]
    store.create(key, body)
    return ObjectRef.of(key, body)


def on_disk(folder: Path) -> set[str]:
    return {path.name.partition("-")[2] for path in folder.iterdir()}


def test_an_object_is_fetched_once_and_is_what_the_store_holds(tmp_path: Path) -> None:
    inner = MemoryStore()
    store = CountingStore(inner)
    ref = put(inner, "a", 34_000_000)
    files = LocalFiles(store, tmp_path / "deep" / "folder", 10**9)
    assert files.path(ref).read_bytes() == inner.get(ref.key).body
    assert store.reset().verbs["get"] == 9, "in pieces of 4 MiB"
    assert files.path(ref) == files.path(ref)
    assert store.reset().verbs["get"] == 0
    assert LocalFiles(store, tmp_path / "deep" / "folder", 10**9).path(ref).exists()
    assert store.reset().verbs["get"] == 0, "a later process uses what is there"


@pytest.mark.parametrize("body", [b"", b"x" * 99, b"x" * 100, b"x" * 101], ids=["empty", "short", "other", "long"])
def test_bytes_that_are_not_the_manifest_s_are_refused_and_leave_nothing(tmp_path: Path, body: bytes) -> None:
    store = MemoryStore()
    ref = put(store, "a")
    store.swap(ref.key, body, store.get(ref.key).etag)
    with pytest.raises((Corrupt, SnapshotGone)) as caught:
        LocalFiles(store, tmp_path, 10**9).path(ref)
    if len(body) <= 100:
        assert caught.value.code == "checksum_mismatch"
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_is_gone_says_that_the_snapshot_is(tmp_path: Path) -> None:
    store = MemoryStore()
    ref = put(store, "a")
    store.delete(ref.key)
    with pytest.raises(SnapshotGone):
        LocalFiles(store, tmp_path, 10**9).path(ref)


def test_a_damaged_file_of_another_size_is_fetched_again(tmp_path: Path) -> None:
    store = MemoryStore()
    ref = put(store, "a")
    files = LocalFiles(store, tmp_path, 10**9)
    files.path(ref).write_bytes(b"cut")
    assert files.path(ref).read_bytes() == store.get(ref.key).body


def test_the_least_recently_used_go_first_when_the_budget_is_spent(tmp_path: Path) -> None:
    store = MemoryStore()
    a, b, c, d = (put(store, name) for name in "abcd")
    files = LocalFiles(store, tmp_path, 300)
    for ref in (a, b, c, a, d):
        files.path(ref)
    assert on_disk(tmp_path) == {"a", "c", "d"}
    files.path(put(store, "huge", 1_000))
    assert on_disk(tmp_path) == {"huge"}, "one larger than the budget is kept alone"
    files.path(b)
    assert on_disk(tmp_path) == {"b"}


def test_what_an_earlier_process_left_counts_and_its_unfinished_files_go_first(tmp_path: Path) -> None:
    store = MemoryStore()
    a, b = put(store, "a"), put(store, "b")
    LocalFiles(store, tmp_path, 300).path(a)
    (tmp_path / ".torn-x.123").write_bytes(bytes(150))
    LocalFiles(store, tmp_path, 300).path(b)
    assert on_disk(tmp_path) == {"a", "b"}


def test_a_file_in_use_stays_readable_when_it_is_removed(tmp_path: Path) -> None:
    store = MemoryStore()
    files = LocalFiles(store, tmp_path, 100)
    a, b = put(store, "a"), put(store, "b")
    with files.path(a).open("rb") as opened:
        files.path(b)
        assert on_disk(tmp_path) == {"b"}
        assert opened.read() == store.get(a.key).body


@pytest.mark.parametrize("trouble", ["a file where the folder should be", "a folder where the copy should be"])
def test_a_disk_that_refuses_is_an_error_with_a_remedy(tmp_path: Path, trouble: str) -> None:
    store = MemoryStore()
    ref = put(store, "a")
    folder = tmp_path / "cache"
    if trouble.startswith("a file"):
        folder.write_bytes(b"")
    else:
        (folder / f"{ref.checksum}-a" / "x").mkdir(parents=True)
    with pytest.raises(Retryable) as caught:
        LocalFiles(store, folder, 10**9).path(ref)
    assert caught.value.code == "disk"
    assert "CACHE_BYTES" in caught.value.remedy


class SmallDisk(LocalFiles):
    """A disk of ``size`` bytes, of which ``taken`` are somebody else's."""

    size, taken = 300, 0

    def _free(self) -> int:
        return self.size - self.taken - sum(path.stat().st_size for path in self._folder.iterdir())

    def _fetch(self, ref: ObjectRef, target: Path) -> None:
        if ref.size > self._free():
            raise OSError(errno.ENOSPC, "No space left on device")
        super()._fetch(ref, target)


def test_where_the_disk_is_full_before_the_budget_the_least_recently_used_go_first(tmp_path: Path) -> None:
    store = MemoryStore()
    a, b, c, d = (put(store, name) for name in "abcd")
    files = SmallDisk(store, tmp_path, 10**9)
    for ref in (a, b, c, a, d):
        files.path(ref)
    assert on_disk(tmp_path) == {"a", "c", "d"}
    assert files.budget == 300, "who plans with the budget plans with what there is"


def test_what_no_disk_has_room_for_costs_the_others_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    a, huge = put(store, "a"), put(store, "huge", 1_000)
    files = SmallDisk(store, tmp_path, 10**9)
    files.path(a)
    with pytest.raises(Retryable) as caught:
        files.path(huge)
    assert caught.value.code == "disk"
    assert on_disk(tmp_path) == {"a"}
    assert files.budget == 10**9
    files.taken = 200
    with pytest.raises(Retryable):
        files.path(put(store, "b", 150))
    assert on_disk(tmp_path) == {"a"}


def test_who_maps_a_file_is_told_when_it_is_removed(tmp_path: Path) -> None:
    class User:
        told = 0

        def let_go(self) -> None:
            self.told += 1

    store = MemoryStore()
    a, b, c = put(store, "a"), put(store, "b"), put(store, "c")
    files = LocalFiles(store, tmp_path, 200)
    user, other, gone, last = User(), User(), User(), User()
    files.used_by(user, [a])
    files.used_by(other, [a])
    files.used_by(gone, [b])
    files.used_by(last, [a])
    del gone, last
    for ref, told in ((a, 0), (b, 0), (c, 1), (a, 1), (b, 1), (c, 2)):
        files.path(ref)
        assert (user.told, other.told) == (told, told), "each who maps it, whoever came last"


def test_what_failed_to_come_takes_no_room(tmp_path: Path) -> None:
    store = MemoryStore()
    a, b, c = (put(store, name) for name in "abc")
    store.delete(c.key)
    files = LocalFiles(store, tmp_path, 300)
    for ref in (a, b):
        files.path(ref)
    for _ in range(2):
        with pytest.raises(SnapshotGone):
            files.path(c)
    files.path(put(store, "d"))
    assert on_disk(tmp_path) == {"a", "b", "d"}


def test_what_is_larger_than_the_disk_is_refused_at_once_with_both_sizes(tmp_path: Path) -> None:
    inner = MemoryStore()
    a, huge = put(inner, "a"), put(inner, "huge", 1_000)
    store = CountingStore(inner)
    files = SmallDisk(store, tmp_path, 200)
    files.path(a)
    store.reset()
    with pytest.raises(DiskFull) as caught:
        files.path(huge)
    assert "1,000 bytes" in caught.value.message
    assert "room for 300" in caught.value.message
    assert "ephemeral storage" in caught.value.remedy
    assert "`exact`" in caught.value.remedy
    assert store.tally.verbs["get"] == 0
    assert on_disk(tmp_path) == {"a"}


@pytest.mark.parametrize("living", [True, False])
def test_what_another_process_is_fetching_is_left_to_it_while_it_lives(living: bool, tmp_path: Path) -> None:
    store = MemoryStore()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        try:
            if not living:
                other.kill()
                other.wait()
            partial = tmp_path / f".x-graph.usearch.{other.pid}"
            partial.write_bytes(bytes(150))
            LocalFiles(store, tmp_path, 200).path(put(store, "a"))
            assert partial.exists() == living
        finally:
            other.kill()


@pytest.mark.parametrize("restored", [True, False])
def test_a_copy_that_was_damaged_here_is_fetched_once_more(restored: bool, tmp_path: Path) -> None:
    class User:
        told = 0

        def let_go(self) -> None:
            self.told += 1

    def read(path: Path) -> bytes:
        if path.read_bytes() != b"a" * 100:
            raise Corrupt("Not what it was.", code="bad_arrow_file")
        return path.read_bytes()

    inner = MemoryStore()
    store, ref, user = CountingStore(inner), put(inner, "a"), User()
    files = LocalFiles(store, tmp_path, 300)
    files.used_by(user, [ref])
    files.path(ref).write_bytes(b"b" * 100)
    if not restored:
        inner.swap(ref.key, b"b" * 100, inner.get(ref.key).etag)
    store.reset()
    with nullcontext() if restored else pytest.raises(Corrupt, match="checksum"):
        assert files.opened(ref, read) == b"a" * 100
    assert (store.tally.verbs["get"], user.told) == (1, 1 if restored else 2)


def test_what_is_unreadable_as_it_came_is_not_fetched_again(tmp_path: Path) -> None:
    inner = MemoryStore()
    store, ref = CountingStore(inner), put(inner, "a")
    files = LocalFiles(store, tmp_path, 300)

    def read(path: Path) -> bytes:
        raise Corrupt("Of another version.", code="unknown_format")

    for _ in range(2):
        with pytest.raises(Corrupt, match="version"):
            files.opened(ref, read)
    assert store.tally.verbs["get"] == 1


def test_an_object_is_verified_without_being_kept(tmp_path: Path) -> None:
    store = MemoryStore()
    ref = put(store, "a")
    files = LocalFiles(store, tmp_path, 300)
    files.verify(ref)
    store.swap(ref.key, b"b" * 100, store.get(ref.key).etag)
    with pytest.raises(Corrupt):
        files.verify(ref)
    assert list(tmp_path.iterdir()) == []


def test_many_threads_fetch_each_object_once(tmp_path: Path) -> None:
    inner = MemoryStore()
    store = CountingStore(inner)
    refs = [put(inner, f"n{n}") for n in range(10)]
    files = LocalFiles(store, tmp_path, 10**9)
    with ThreadPoolExecutor(16) as pool:
        bodies = list(pool.map(lambda n: files.path(refs[n % 10]).read_bytes(), range(200)))
    assert bodies == [inner.get(refs[n % 10].key).body for n in range(200)]
    assert store.tally.verbs["get"] == 10


def test_many_threads_over_a_small_budget_always_get_the_right_bytes_or_find_them_gone(tmp_path: Path) -> None:
    store = MemoryStore()
    refs = [put(store, f"n{n}") for n in range(8)]
    files = LocalFiles(store, tmp_path, 350)

    def read(number: int) -> bool:
        ref = refs[number % 8]
        try:
            return files.path(ref).read_bytes() == store.get(ref.key).body
        except FileNotFoundError:
            return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(400)))
    files.path(put(store, "last"))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 350


def test_who_has_a_file_does_not_wait_for_another_one_s_download(tmp_path: Path) -> None:
    started, finish = threading.Event(), threading.Event()

    class Slow(MemoryStore):
        def get(self, key: str, span: ByteRange | None = None) -> Blob:
            if key.endswith("slow"):
                started.set()
                assert finish.wait(PATIENCE_S)
            return super().get(key, span)

    store = Slow()
    slow = put(store, "slow")
    quick = next(
        ref
        for ref in (put(store, f"q{n}") for n in range(100))
        if hash(f"{ref.checksum}-{ref.key.rpartition('/')[2]}") % 16 != hash(f"{slow.checksum}-slow") % 16
    )
    files = LocalFiles(store, tmp_path, 10**9)
    with ThreadPoolExecutor(1) as pool:
        fetching = pool.submit(files.path, slow)
        assert started.wait(PATIENCE_S)
        assert files.path(quick).exists()
        finish.set()
        assert fetching.result(PATIENCE_S).exists()

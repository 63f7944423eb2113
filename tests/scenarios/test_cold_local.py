"""How shards become local, and what may come between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.faults import CountingStore
from tests.support.large import Large, answer, found_keys
from tests.support.table import COLLECTION

from bucketlens.errors import Corrupt
from bucketlens.filters import parse
from bucketlens.search.files import DiskFull, SnapshotGone
from bucketlens.search.hydrate import AGAIN_S, KEPT_S, SHARE, wanted
from bucketlens.search.plan import Path as SearchPath
from bucketlens.search.searched import search_view
from bucketlens.search.view import Views
from bucketlens.store.forward import Forwarding
from bucketlens.store.protocol import Blob, ByteRange
from bucketlens.table.manifest import ObjectRef, ShardEntry

PATIENCE_S = 60.0
MAPS = Path("/proc/self/maps")


def test_an_exact_search_is_exact_also_from_nothing(large: Large) -> None:
    query = large.near(80)
    answered = answer(large.table().views(), query, exact=True, k=50)
    assert answered.certificate["mode"] == "exact"
    assert found_keys(answered) == large.true(query, 50)


def test_what_an_exact_search_brought_is_local_from_then_on_though_it_needs_no_codes(large: Large) -> None:
    views = large.table().views()
    answer(views, large.near(1), exact=True)
    (entry,) = views.view(COLLECTION, strong=True).snapshot.manifest.shards
    assert not views.reach.files.holds([entry.parts["codes.arrow"]])
    assert answer(views, large.near(3)).certificate["shards_cold"] == 0


def test_the_background_brings_searched_shards_local_and_the_next_search_is_warm(large: Large) -> None:
    views = large.table().views(hydrate=True)
    first = answer(views, large.near(90))
    assert first.certificate["shards_cold"] == 1
    assert views.reach.hydrator is not None
    assert views.reach.hydrator.wait(PATIENCE_S)
    (entry,) = views.view(COLLECTION, strong=True).snapshot.manifest.shards
    assert views.reach.files.holds([entry.parts["codes.arrow"]])
    second = answer(views, large.near(90), explain=True)
    assert (second.certificate["shards_cold"], second.certificate["gets"]) == (0, 1)
    assert second.hits == first.hits
    paths = {part["path"] for part in second.certificate["plan"]}  # type: ignore[attr-defined]
    assert len(paths) == 1
    assert paths <= {SearchPath.GRAPH.value, SearchPath.CLUSTERS.value}


def test_a_shard_larger_than_the_disk_stays_cold_and_is_searched_all_the_same(large: Large) -> None:
    views = large.table().views(hydrate=True)
    views.reach.files.budget = 3_000_000
    for number in (1, 2):
        assert answer(views, large.near(number)).certificate["shards_cold"] == 1
        assert views.reach.hydrator is not None
        assert views.reach.hydrator.wait(PATIENCE_S)


def test_a_disk_that_refuses_leaves_the_shard_cold_and_searchable(large: Large) -> None:
    views = large.table().views(hydrate=True)
    ref = views.view(COLLECTION, strong=True).snapshot.manifest.shards[0].parts["vectors.arrow"]
    (large.folder / "t0" / "0" / f"{ref.checksum}-vectors.arrow" / "in the way").mkdir(parents=True)
    for number in (1, 2):
        assert answer(views, large.near(number)).certificate["shards_cold"] == 1
        assert views.reach.hydrator is not None
        assert views.reach.hydrator.wait(PATIENCE_S)


@pytest.mark.skipif(not MAPS.exists(), reason="only Linux tells what a process has mapped")
def test_a_shard_that_is_removed_from_the_disk_is_mapped_no_longer(large: Large) -> None:
    def mapped() -> list[str]:
        return [line for line in MAPS.read_text().splitlines() if str(large.folder) in line]

    views = large.table().views(hydrate=True)
    first = answer(views, large.near(4))
    assert views.reach.hydrator is not None
    assert views.reach.hydrator.wait(PATIENCE_S)
    assert answer(views, large.near(4)).hits == first.hits
    assert any(line.endswith("vectors.arrow") for line in mapped())
    views.reach.files.budget = 1_000_000
    (entry, *_) = views.view(COLLECTION, strong=True).snapshot.manifest.shards
    views.reach.files.path(entry.parts["codes.arrow"])
    assert not [line for line in mapped() if line.endswith("(deleted)") and "head.arrow" not in line]
    assert answer(views, large.near(4)).hits == first.hits


def test_a_shard_swept_between_snapshot_and_search_says_so(large: Large) -> None:
    view = large.table().view()
    for part, ref in view.snapshot.manifest.shards[0].parts.items():
        if part != "head.arrow":
            large.store.delete(ref.key)
    with pytest.raises(SnapshotGone):
        search_view(view, large.near(5), parse({}), 10, exact=False)


def test_a_file_that_came_wrong_once_is_brought_again(large: Large) -> None:
    graph = large.table().view().snapshot.manifest.shards[0].parts["graph.usearch"].key

    class Once(Forwarding):
        wrong = 0

        def get(self, key: str, span: ByteRange | None = None) -> Blob:
            blob = super().get(key, span)
            if key != graph or self.wrong:
                return blob
            self.wrong += 1
            return replace(blob, body=bytes(len(blob.body)))

    store = Once(large.store)
    views = large.table(store).views(hydrate=True)
    answer(views, large.near(3))
    assert views.reach.hydrator is not None
    assert views.reach.hydrator.wait(PATIENCE_S)
    assert store.wrong == 1
    assert answer(views, large.near(3)).certificate["shards_cold"] == 0


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def settled(views: Views) -> None:
    """Wait for the background."""
    assert views.reach.hydrator is not None
    assert views.reach.hydrator.wait(PATIENCE_S)


def damage(large: Large, ref: ObjectRef) -> bytes:
    """Other bytes in the bucket; returns the right ones."""
    blob = large.store.get(ref.key)
    large.store.swap(ref.key, bytes(len(blob.body)), blob.etag)
    return blob.body


def restore(large: Large, ref: ObjectRef, body: bytes) -> None:
    large.store.swap(ref.key, body, large.store.get(ref.key).etag)


def disk_for(shards: float, entries: Sequence[ShardEntry]) -> int:
    """Bytes that so many of these shards, which are about equal, take beside the share that is left to others."""
    return int(shards * max(sum(ref.size for ref in wanted(entry)) for entry in entries) / SHARE)


def test_an_index_larger_than_the_disk_is_not_fetched_again_and_again(several: Large) -> None:
    store = CountingStore(several.store)
    views = several.table(store).views(hydrate=True)
    entries = views.view(COLLECTION, strong=True).snapshot.manifest.shards
    assert len(entries) > 2
    views.reach.files.budget = disk_for(2.4, entries)
    cold, fetched = [], []
    for number in (0, 0, 0, 1, 2, 3, 4, 5, 0, 0):
        store.reset()
        told = answer(views, several.near(number)).certificate
        settled(views)
        cold.append(told["shards_cold"])
        fetched.append(store.tally.verbs["get"] - int(str(told["gets"])))
    assert cold == [len(entries)] + 9 * [len(entries) - 2]
    assert fetched[0] > 0
    assert not any(fetched[1:])


def test_shards_of_another_collection_and_of_no_snapshot_make_room_but_only_when_nobody_asks_for_them(
    several: Large,
) -> None:
    clock = Clock()
    views = several.table().views(hydrate=True, clock=clock)
    view = views.view(COLLECTION, strong=True)
    manifest, hydrator = view.snapshot.manifest, views.reach.hydrator
    assert hydrator is not None
    one, two, *_ = manifest.shards
    views.reach.files.budget = disk_for(1.4, manifest.shards)

    def local() -> list[bool]:
        return [views.reach.local(entry) for entry in (one, two)]

    def want(collection: str, entry: ShardEntry) -> None:
        hydrator.want(replace(manifest, collection=collection, shards=(entry,)), [entry])
        settled(views)

    want("a", one)
    want("b", two)
    assert local() == [True, False], "one that is asked for is not displaced"
    clock.now += KEPT_S
    want("b", two)
    assert local() == [False, True], "one that nobody asked for is"
    want("b", one)
    assert local() == [True, False], "and one that a compaction replaced"


def test_shards_that_find_no_room_do_not_take_the_place_of_those_that_wait(
    several: Large, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = several.table().views(hydrate=True)
    manifest, hydrator = views.view(COLLECTION, strong=True).snapshot.manifest, views.reach.hydrator
    assert hydrator is not None
    one, two, *_ = manifest.shards
    views.reach.files.budget = disk_for(1.4, manifest.shards)
    large = replace(two, parts={name: replace(ref, size=10 * ref.size) for name, ref in two.parts.items()})
    with monkeypatch.context() as patch:
        patch.setattr(hydrator, "_start", lambda: None)
        hydrator.want(replace(manifest, shards=(one,)), [one])
        hydrator.want(replace(manifest, collection="other", shards=(large,)), [large])
        assert hydrator._wish == [one]
    hydrator.want(manifest, [one])
    settled(views)
    assert views.reach.local(one)


def test_codes_that_a_local_shard_lacks_are_brought(large: Large) -> None:
    store = CountingStore(large.store)
    views = large.table(store).views(hydrate=True)
    (entry,) = views.view(COLLECTION, strong=True).snapshot.manifest.shards
    codes, files = entry.parts["codes.arrow"], views.reach.files
    answer(views, large.near(1), exact=True)
    settled(views)
    assert files.holds([codes])
    answer(views, large.near(2))
    files.budget = sum(ref.size for ref in (*wanted(entry), entry.parts["columns.arrow"])) - 1
    files.path(entry.parts["columns.arrow"])
    assert not files.holds([codes]), "it is what was used longest ago"
    for _ in range(3):
        store.reset()
        told = answer(views, large.near(2)).certificate
        settled(views)
        assert (told["shards_cold"], store.tally.verbs["get"]) == (0, told["gets"]), "what has no room is not fetched"
    files.budget = 10**9
    answer(views, large.near(2))
    settled(views)
    assert files.holds(wanted(entry))


def test_a_shard_whose_bytes_are_not_the_manifests_is_not_searched_by_range_until_they_are_restored(
    large: Large,
) -> None:
    clock = Clock()
    store = CountingStore(large.store)
    views = large.table(store).views(hydrate=True, clock=clock)
    entries = views.view(COLLECTION, strong=True).snapshot.manifest.shards
    ref = entries[-1].parts["vectors.arrow"]
    body, query = damage(large, ref), large.near(5_000)
    answer(views, query)
    settled(views)
    told = list[Corrupt]()
    for _ in range(3):
        store.reset()
        with pytest.raises(Corrupt) as caught:
            answer(views, query)
        settled(views)
        told.append(caught.value)
        assert {key for key, _ in store.tally.gets} == {f"index/{COLLECTION}/manifest.json"}
        clock.now += AGAIN_S / 3
    assert views.reach.hydrator is not None
    assert all(one.error.__traceback__ is None for one in views.reach.hydrator._corrupt.values()), "it holds the chunks"
    assert {(one.code, one.value) for one in told} == {("checksum_mismatch", ref.key)}
    for restored in (False, True):
        if restored:
            restore(large, ref, body)
        with pytest.raises(Corrupt):
            answer(views, query)
        settled(views)
        clock.now += AGAIN_S
    healed = answer(views, query)
    assert healed.certificate["shards_cold"] == 1
    assert healed.hits == answer(large.table().views(), query).hits, "bad pieces are forgotten"
    settled(views)
    assert answer(views, query).certificate["shards_cold"] == 0


def test_a_corrupt_shard_is_no_trouble_to_searches_that_do_not_read_it(several: Large) -> None:
    views = several.table().views(hydrate=True)
    entries = views.view(COLLECTION, strong=True).snapshot.manifest.shards
    damage(several, entries[-1].parts["vectors.arrow"])
    answer(views, several.near(3))
    settled(views)
    with pytest.raises(Corrupt):
        answer(views, several.near(3))
    answered = answer(views, several.near(3), filter=parse({"n": {"$gte": 10_000}}))
    assert answered.certificate["shards_pruned"] == 1, "the last has rows 3,248 to 9,999, going by their keys"
    assert len(answered.hits) == 10


def test_codes_that_are_corrupt_leave_a_local_shard_searchable(large: Large) -> None:
    store = CountingStore(large.store)
    views = large.table(store).views(hydrate=True)
    (entry,) = views.view(COLLECTION, strong=True).snapshot.manifest.shards
    damage(large, entry.parts["codes.arrow"])
    answer(views, large.near(1), exact=True)
    settled(views)
    for _ in range(2):
        store.reset()
        told = answer(views, large.near(1)).certificate
        settled(views)
        assert (told["shards_cold"], store.tally.verbs["get"]) == (0, told["gets"])


def test_local_copies_that_were_damaged_are_fetched_again(large: Large) -> None:
    views = large.table().views(hydrate=True)
    first = answer(views, large.near(4))
    settled(views)
    (disk,) = (large.folder / "t0").iterdir()
    for path in disk.iterdir():
        path.with_suffix(".new").write_bytes(bytes(path.stat().st_size))
        path.with_suffix(".new").replace(path)
    later = Views(large.store, views.reach.files, threads=2, max_staleness_s=0.0, clock=lambda: 0.0)
    answered = answer(later, large.near(4))
    assert (answered.certificate["shards_cold"], answered.hits) == (0, first.hits)
    assert found_keys(answer(later, large.near(4), exact=True)) == large.true(large.near(4), 10)


def test_an_exact_search_of_a_shard_larger_than_the_disk_tells_both_sizes(
    large: Large, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = large.table().views()
    (entry,) = views.view(COLLECTION, strong=True).snapshot.manifest.shards
    views.reach.files.budget = 3_000_000
    monkeypatch.setattr(views.reach.files, "_free", lambda: 1_000_000)
    with pytest.raises(DiskFull) as caught:
        answer(views, large.near(5), exact=True)
    assert f"{sum(ref.size for ref in wanted(entry)):,} bytes" in caught.value.message
    assert "ephemeral storage" in caught.value.remedy


def test_what_the_disk_refused_though_it_is_not_full_is_tried_again_after_a_while(large: Large) -> None:
    clock = Clock()
    views = large.table().views(hydrate=True, clock=clock)
    (entry,) = views.view(COLLECTION, strong=True).snapshot.manifest.shards
    ref = entry.parts["vectors.arrow"]
    way = large.folder / "t0" / "0" / f"{ref.checksum}-vectors.arrow"
    (way / "in the way").mkdir(parents=True)
    answer(views, large.near(1))
    settled(views)
    (way / "in the way").rmdir()
    way.rmdir()
    for cold in (1, 1, 1, 0):
        assert answer(views, large.near(1)).certificate["shards_cold"] == cold
        settled(views)
        clock.now += AGAIN_S / 2

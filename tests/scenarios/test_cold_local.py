"""How shards become local, and what may come between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.large import Large, answer, found_keys
from tests.support.table import COLLECTION, START, Table, append, image

from bucketlens.errors import Corrupt
from bucketlens.filters import parse
from bucketlens.pipelines.compact import compact
from bucketlens.search.files import SnapshotGone
from bucketlens.search.hydrate import Hydrator
from bucketlens.search.parts import search_view
from bucketlens.search.plan import Path as SearchPath
from bucketlens.search.view import View
from bucketlens.store.forward import Forwarding
from bucketlens.store.memory import MemoryStore
from bucketlens.store.protocol import Blob, ByteRange

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


def test_a_shard_whose_bytes_are_not_the_manifests_is_not_searched_once_that_is_known(large: Large) -> None:
    view: View = large.table().view()
    ref = view.snapshot.manifest.shards[0].parts["graph.usearch"]
    body = bytearray(large.store.get(ref.key).body)
    body[-1] ^= 1
    large.store.swap(ref.key, bytes(body), large.store.get(ref.key).etag)
    views = large.table().views(hydrate=True)
    answer(views, large.near(3))
    assert views.reach.hydrator is not None
    assert views.reach.hydrator.wait(PATIENCE_S)
    with pytest.raises(Corrupt):
        answer(views, large.near(3))


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


def test_a_shard_known_to_be_corrupt_is_refused_anew_each_time(tmp_path: Path) -> None:
    table = Table(MemoryStore(lambda: START), tmp_path)
    append(table.store, [image("images/a.jpg", 1)])
    compact(COLLECTION, table.compactor(), now=START, nonce="a")
    view = table.view()
    entries = view.snapshot.manifest.shards
    known = Corrupt("Its bytes are others.", code="checksum_mismatch", value=entries[0].id, remedy="Restore it.")
    hydrator = Hydrator(view.reach.files)
    hydrator.corrupt[entries[0].id] = known
    reach = replace(view.reach, hydrator=hydrator)
    told = []
    for _ in range(2):
        with pytest.raises(Corrupt) as caught:
            reach.check(entries)
        told.append(caught.value)
    assert told[0] is not told[1]
    assert known.__traceback__ is None
    assert [(one.code, one.value, str(one)) for one in told] == [(known.code, known.value, str(known))] * 2

"""Cold shards beside a log that supersedes, deletes and comes late; and what is asked of single keys."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.faults import CountingStore
from tests.support.large import ROWS, Large, answer, found_keys, write
from tests.support.rounds import RoundStore
from tests.support.table import COLLECTION, START, rejected, sequencer

from bucketlens.filters import parse
from bucketlens.pipelines.compact import compact
from bucketlens.pipelines.query import QueryTools, look_up, search
from bucketlens.queries import ByKey, Query
from bucketlens.records import Kind, Row
from bucketlens.settings import Settings
from bucketlens.store.memory import MemoryImages


def test_rows_the_log_supersedes_or_deletes_are_never_hits(large: Large) -> None:
    query = large.near(50)
    true = large.true(query, 400)
    write(large.store, [Row(key, sequencer(ROWS + 1), Kind.TOMBSTONE) for key in true[:8]])
    assert found_keys(answer(large.table().views(), query)) == true[8:18]
    write(large.store, [Row(key, sequencer(ROWS + 2), Kind.TOMBSTONE) for key in true[8:390]])
    answered = answer(large.table().views(), query)
    assert len(answered.hits) == 10, "an answer is not short because candidates were superseded"
    assert not set(found_keys(answered)) & set(true[:390])
    moved = Row(true[395], sequencer(ROWS + 3), Kind.IMAGE, query, {"n": 1})
    write(large.store, [moved])
    answered = answer(large.table().views(), query)
    assert found_keys(answered)[0] == true[395]
    assert found_keys(answered).count(true[395]) == 1


@pytest.mark.parametrize("document", [{}, {"even": True}])
def test_a_log_that_supersedes_nearly_every_candidate_costs_a_second_search_and_keys_but_brings_nothing_local(
    several: Large, document: dict[str, object]
) -> None:
    query = several.near(60)
    true = several.true(query, 3_000)
    write(several.store, [Row(key, sequencer(ROWS + 1), Kind.TOMBSTONE) for key in true[:2_500]])
    store = RoundStore(CountingStore(several.store), quiet_s=0.25)
    views = several.table(store).views()
    answered = answer(views, query, filter=parse(document))
    assert len(answered.hits) == 10
    assert not set(found_keys(answered)) & set(true[:2_500])
    assert len(store.rounds) <= 10, store.rounds
    assert int(str(answered.certificate["gets"])) <= 2 * 80 + 4 * 16 + 2 * 4
    entries = views.view(COLLECTION, strong=False).snapshot.manifest.shards
    refs = [entry.parts[part] for entry in entries for part in ("rows.arrow", "keys.arrow")]
    assert not any(views.reach.files.holds([ref]) for ref in refs)


def test_a_late_event_in_the_log_does_not_replace_the_newer_row_of_a_cold_shard(large: Large) -> None:
    query = large.near(60)
    true = large.true(query, 20)
    far = f"images/{np.argmin(large.vectors @ query)}.jpg"
    late = [
        Row(true[0], sequencer(0), Kind.TOMBSTONE),
        Row(far, sequencer(0), Kind.IMAGE, query, {"n": -5}),
    ]
    write(large.store, late)
    assert found_keys(answer(large.table().views(), query)) == true[:10]


def test_deletion_vectors_hold_in_cold_shards(large: Large) -> None:
    query = large.near(70)
    true = large.true(query, 20)
    write(large.store, [Row(key, sequencer(ROWS + 1), Kind.TOMBSTONE) for key in true[:5]])
    compact(COLLECTION, large.table().compactor(), now=START, nonce="b")
    assert found_keys(answer(large.table().views(), query)) == true[5:15]


def test_a_stored_image_is_found_and_searched_by_key_without_bringing_its_shard_local(large: Large) -> None:
    counting = CountingStore(large.store)
    views = large.table(counting).views()
    tools = QueryTools(views, MemoryImages(), lambda: None, Settings("b"))  # type: ignore[arg-type, return-value]
    assert look_up(COLLECTION, "images/1234.jpg", tools, strong=True).metadata["n"] == 1_234
    assert counting.reset().bytes_read < 1_000_000
    hits = search(Query(COLLECTION, ByKey("images/1234.jpg"), k=3), tools).hits
    assert hits[0].key == "images/1234.jpg"


def test_an_image_is_looked_up_in_all_cold_shards_at_once(several: Large) -> None:
    store = RoundStore(several.store)
    tools = QueryTools(several.table(store).views(), MemoryImages(), lambda: None, Settings("b"))  # type: ignore[arg-type, return-value]
    assert look_up(COLLECTION, "images/29999.jpg", tools, strong=True).metadata["n"] == 29_999
    assert [sorted(set(asked)) for asked in store.rounds] == [
        ["log/", "manifest.json"],
        ["head.arrow"],
        ["keys.arrow"],
        ["rows.arrow", "vectors.arrow"],
    ]


@pytest.mark.parametrize("many", [3, 3_000])
def test_a_collection_is_counted_without_bringing_its_shards_local(several: Large, many: int) -> None:
    rows = [Row(f"images/{n}.jpg", sequencer(ROWS + 1), Kind.TOMBSTONE) for n in range(many)]
    rows += [Row(f"images/{n}.jpg", sequencer(0), Kind.TOMBSTONE) for n in range(many, 2 * many)]
    rows += [rejected("images/bad.jpg", ROWS + 1), rejected(f"images/{2 * many}.jpg", ROWS + 1)]
    rows += [rejected(f"images/{2 * many + 1}.jpg", 0)]
    rows += [Row("images/new.jpg", sequencer(ROWS + 2), Kind.IMAGE, several.vectors[0], {"n": 0})]
    write(several.store, rows)
    counting = CountingStore(several.store)
    view = several.table(counting).view()
    counting.reset()
    assert view.count == ROWS - many - 1 + 1
    assert list(view.rejections) == [f"images/{2 * many}.jpg", "images/bad.jpg"]
    assert not any(view.reach.files.holds([entry.parts["rows.arrow"]]) for entry in view.snapshot.manifest.shards)
    if many == 3:
        whole = sum(entry.parts["rows.arrow"].size for entry in view.snapshot.manifest.shards)
        assert counting.reset().bytes_read < whole

"""Shards that are not local: the same answers by ranged reads, within a budget of them, whatever the log supersedes."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.scenarios.test_search import FILTERS, brute_force, metadata
from tests.support.faults import CountingStore
from tests.support.rounds import RoundStore
from tests.support.table import COLLECTION, START, Table, append, image, rejected, sequencer, tombstone, vector

from bucketlens import keys
from bucketlens.errors import Corrupt
from bucketlens.filters import parse
from bucketlens.index import segment
from bucketlens.index.block import Block
from bucketlens.pipelines.compact import compact
from bucketlens.pipelines.query import Answer, QueryTools, look_up, search
from bucketlens.queries import ByKey, ByVector, Query
from bucketlens.records import Kind, ModelIdentity, Row
from bucketlens.search.files import SnapshotGone
from bucketlens.search.fuse import fuse
from bucketlens.search.parts import search_view
from bucketlens.search.plan import Path as SearchPath
from bucketlens.search.view import View, Views
from bucketlens.settings import Settings
from bucketlens.store.memory import MemoryImages, MemoryStore
from bucketlens.store.protocol import Store

PATIENCE_S = 60.0
ROWS, DIMENSION = 30_000, 128
MODEL = ModelIdentity("large", "1" * 32, DIMENSION)


def build(folder: Path, seed: int, steps: int) -> tuple[Table, dict[str, Row]]:
    """Log and shards with overwrites, deletes and late events, and readers to whom every shard is cold."""
    rng = random.Random(seed)
    table = Table(MemoryStore(lambda: START), folder, max_shard_rows=max(8, steps // 3), cold_from=0)
    newest: dict[str, Row] = {}
    for step in range(1, steps + 1):
        at = 2 * step + rng.choice([0, 0, 0, -61]) + 61  # never the same version twice
        key = f"images/{rng.randrange(steps)}.jpg"
        row = tombstone(key, at) if rng.random() < 0.2 else image(key, at, metadata(at))  # type: ignore[arg-type]
        append(table.store, [row])
        if key not in newest or newest[key].sequencer < row.sequencer:
            newest[key] = row
        if rng.random() < 0.05:
            compact(COLLECTION, table.compactor(), now=START, nonce=str(step))
    live = {key: row for key, row in newest.items() if row.kind is Kind.IMAGE}
    return table, live


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 90), k=st.integers(1, 40))
def test_every_filter_over_cold_shards_and_a_log_with_late_events_answers_as_brute_force_does(
    tmp_path_factory: pytest.TempPathFactory, seed: int, steps: int, k: int
) -> None:
    table, live = build(tmp_path_factory.mktemp("t"), seed, steps)
    view, query = table.view(), vector(seed + 1)
    for document in FILTERS:
        condition = parse(document)
        searched = search_view(view, query, condition, k, exact=False)
        hits = fuse(searched.found, k, None, None)
        wanted = brute_force(live, query, condition, k)
        assert [hit.key for hit in hits] == [key for key, _ in wanted]
        assert np.allclose([hit.score for hit in hits], [score for _, score in wanted], atol=1e-6)
        assert all(hit.metadata == live[hit.key].metadata for hit in hits)
    assert view.count == len(live)
    for key in [f"images/{number}.jpg" for number in range(0, steps, 7)]:
        found = view.find(key)
        assert (found is not None and found[2] is not None) == (key in live)
        if found is not None and found[2] is not None:
            assert np.allclose(found[2][found[1]], np.asarray(live[key].vector), atol=1e-3)


@dataclass
class Large:
    """30,000 rows around 300 centres, as they lie in the bucket."""

    store: MemoryStore
    folder: Path
    vectors: np.ndarray
    folders: Iterator[int] = field(default_factory=count)

    def table(self, store: Store | None = None) -> Table:
        """A table with an empty disk."""
        return Table(store or self.store, self.folder / f"t{next(self.folders)}")

    def true(self, query: np.ndarray, k: int, among: Iterable[int] | None = None) -> list[str]:
        chosen = np.arange(ROWS) if among is None else np.array(sorted(among))
        return [f"images/{chosen[row]}.jpg" for row in np.argsort(-(self.vectors[chosen] @ query))[:k]]

    def near(self, number: int) -> np.ndarray:
        """A query close to this row."""
        moved = self.vectors[number] + 0.05 * np.random.default_rng(number).standard_normal(DIMENSION)
        return np.asarray(moved / np.linalg.norm(moved), dtype=np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def write(store: MemoryStore, rows: list[Row]) -> None:
    body = segment.pack(Block.of(rows, DIMENSION), MODEL)
    store.create(keys.render(keys.Segment(COLLECTION, keys.segment_id(rows[-1].sequencer.base, body))), body)


def make(folder: Path, max_shard_rows: int) -> Large:
    rng = np.random.default_rng(5)
    centres = unit(rng.standard_normal((300, DIMENSION)))
    vectors = unit(centres[rng.integers(0, 300, ROWS)] + 0.7 * unit(rng.standard_normal((ROWS, DIMENSION))))
    vectors = vectors.astype(np.float16).astype(np.float32)
    store = MemoryStore(lambda: START)
    write(
        store,
        [
            Row(f"images/{n}.jpg", sequencer(n + 1), Kind.IMAGE, vectors[n], {"n": n, "even": n % 2 == 0})
            for n in range(ROWS)
        ],
    )
    large = Large(store, folder, vectors)
    table = large.table()
    table.max_shard_rows = max_shard_rows
    compact(COLLECTION, table.compactor(), now=START, nonce="a")
    return large


def copied(made: Large, folder: Path) -> Large:
    """The same shards in a bucket of one test's own."""
    store = MemoryStore(lambda: START)
    for entry in made.store.list(""):
        store.create(entry.key, made.store.get(entry.key).body)
    return Large(store, folder, made.vectors)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Large:
    return make(tmp_path_factory.mktemp("large"), ROWS)


@pytest.fixture(scope="module")
def made_several(tmp_path_factory: pytest.TempPathFactory) -> Large:
    return make(tmp_path_factory.mktemp("several"), ROWS // 4)


@pytest.fixture
def large(made: Large, tmp_path: Path) -> Large:
    """One shard."""
    return copied(made, tmp_path)


@pytest.fixture
def several(made_several: Large, tmp_path: Path) -> Large:
    """Four shards."""
    return copied(made_several, tmp_path)


def answer(views: Views, query: np.ndarray, **options: object) -> Answer:
    tools = QueryTools(views, MemoryImages(), lambda: None, Settings("b"))  # type: ignore[arg-type, return-value]
    return search(Query(COLLECTION, ByVector(tuple(query.tolist())), strong=True, **options), tools)  # type: ignore[arg-type]


def found_keys(answered: Answer) -> list[str]:
    return [hit.key for hit in answered.hits]


def test_a_cold_search_finds_nearly_all_true_neighbours_and_reads_a_small_part(large: Large) -> None:
    views = large.table().views()
    shared = 0
    whole = sum(entry.size for entry in large.store.list("") if "/shards/" in entry.key)
    for number in range(0, ROWS, 1_500):
        query = large.near(number)
        answered = answer(views, query)
        assert (answered.certificate["mode"], answered.certificate["shards_cold"]) == ("approximate", 1)
        assert int(str(answered.certificate["gets"])) <= 80
        assert int(str(answered.certificate["bytes"])) < whole / 4
        shared += len(set(found_keys(answered)) & set(large.true(query, 10)))
    assert shared >= 0.97 * 200


def test_cold_and_warm_give_the_same_hits_with_the_same_scores_and_metadata(large: Large) -> None:
    cold, warm = large.table().views(), large.table().views()
    for part in warm.view(COLLECTION, strong=True).parts:
        _ = part.source.rows, part.source.vectors, part.source.graph
    for number in (3, 17_000):
        one, other = answer(cold, large.near(number)), answer(warm, large.near(number))
        assert (one.certificate["shards_cold"], other.certificate["shards_cold"]) == (1, 0)
        assert one.hits == other.hits


def test_the_certificate_counts_every_get_and_every_byte(large: Large) -> None:
    write(large.store, [Row("images/new.jpg", sequencer(ROWS + 1), Kind.IMAGE, large.vectors[7], {"n": -1})])
    counting = CountingStore(large.store)
    views = large.table(counting).views()
    for options in ({}, {}, {"filter": parse({"n": {"$lt": 50}})}, {"exact": True}, {"k": 200}):
        counting.reset()
        answered = answer(views, large.near(7), **options)
        tally = counting.reset()
        assert answered.certificate["gets"] == tally.verbs["get"]
        assert answered.certificate["bytes"] == tally.bytes_read


def test_a_cold_search_asks_in_four_rounds_when_the_likely_hits_are_the_hits(large: Large) -> None:
    store = RoundStore(large.store)
    answer(large.table(store).views(), large.near(9))
    assert [sorted(set(asked)) for asked in store.rounds] == [
        ["log/", "manifest.json"],
        ["head.arrow"],
        ["codes.arrow"],
        ["rows.arrow", "vectors.arrow"],
    ]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("k", [10, 60])
@pytest.mark.parametrize(
    "document", [{}, {"n": {"$lt": 40}}, {"n": {"$lt": 900}}, {"even": True}, {"key": "images/77.jpg"}]
)
def test_no_cold_search_asks_in_more_than_five_rounds_nor_reads_a_shard(
    several: Large, document: dict[str, object], k: int, late: bool
) -> None:
    query = several.near(60)
    true = several.true(query, 20)
    if late:  # of every hit the log has an older row, of some with a better place
        rows = [Row(key, sequencer(0), Kind.IMAGE, query, {"n": 0, "even": True}) for key in true[:5]]
        rows += [Row("images/new.jpg", sequencer(ROWS + 9), Kind.IMAGE, query, {"n": 1, "even": True})]
        write(several.store, rows)
    store = RoundStore(CountingStore(several.store), quiet_s=0.25)
    views = several.table(store).views()
    answered = answer(views, query, filter=parse(document), k=k)
    assert len(store.rounds) <= 5, store.rounds
    asked = [name for names in store.rounds for name in names]
    assert answered.certificate["gets"] == len(asked) - 1, "the listing is no GET"
    assert int(str(answered.certificate["shards_cold"])) + int(str(answered.certificate["shards_pruned"])) == 4
    entries = views.view(COLLECTION, strong=False).snapshot.manifest.shards
    assert not any(views.reach.files.holds([entry.parts["rows.arrow"]]) for entry in entries)
    if not document:
        expected = (["images/new.jpg"] if late else []) + true
        assert found_keys(answered)[:10] == expected[:10]


def test_what_was_read_by_range_is_not_read_again(large: Large) -> None:
    views = large.table().views()
    answer(views, large.near(9))
    assert answer(views, large.near(9)).certificate["gets"] == 1, "the manifest"


@pytest.mark.parametrize(
    "document", [{"n": {"$lt": 40}}, {"n": {"$in": [5, 20_000, 29_999]}}, {"key": "images/77.jpg"}]
)
def test_a_filter_that_few_rows_pass_is_answered_exactly(large: Large, document: dict[str, object]) -> None:
    views, query = large.table().views(), large.near(123)
    passing = {"n": range(40), "key": [77]}[next(iter(document))]
    if "$in" in str(document):
        passing = [5, 20_000, 29_999]
    answered = answer(views, query, filter=parse(document))
    assert answered.certificate["mode"] == "exact"
    assert found_keys(answered) == large.true(query, 10, passing)


def test_a_filter_that_many_rows_pass_is_never_answered_short_nor_with_rows_that_do_not(large: Large) -> None:
    views = large.table().views()
    for k in (10, 40):
        query = large.near(444)
        answered = answer(views, query, filter=parse({"even": True}), k=k)
        assert len(answered.hits) == k
        assert all(hit.metadata["even"] for hit in answered.hits)
        true = large.true(query, k, range(0, ROWS, 2))
        assert len(set(found_keys(answered)) & set(true)) >= 0.9 * k


def test_a_shard_that_statistics_rule_out_is_not_opened(large: Large) -> None:
    answered = answer(large.table().views(), large.near(1), filter=parse({"n": {"$gt": ROWS}}), explain=True)
    certificate = answered.certificate
    assert (certificate["shards_pruned"], certificate["shards_searched"]) == (1, 0)
    assert certificate["gets"] == 3, "the manifest, and together the head and the column"
    assert answered.hits == ()
    (told,) = certificate["plan"]  # type: ignore[misc]
    assert (told["path"], told["reason"]) == ("none", "column statistics rule it out")


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


def test_an_exact_search_is_exact_also_from_nothing(large: Large) -> None:
    query = large.near(80)
    answered = answer(large.table().views(), query, exact=True, k=50)
    assert answered.certificate["mode"] == "exact"
    assert found_keys(answered) == large.true(query, 50)


def test_the_background_brings_searched_shards_local_and_the_next_search_is_warm(large: Large) -> None:
    views = large.table().views(hydrate=True)
    first = answer(views, large.near(90))
    assert first.certificate["shards_cold"] == 1
    assert views.reach.hydrator is not None
    assert views.reach.hydrator.wait(PATIENCE_S)
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

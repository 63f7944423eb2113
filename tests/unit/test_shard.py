"""The files of a shard: clusters, codes, and a head after which every other file is read by ranges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.shards import reading
from tests.support.table import image

from bucketlens.errors import Corrupt
from bucketlens.index import arrow, columns, gather, shard
from bucketlens.index.block import Block
from bucketlens.index.clusters import centroids_of, cluster, unit
from bucketlens.index.codes import MAX_BYTES, encode, estimates
from bucketlens.index.gather import Gathered
from bucketlens.index.head import batch_ends
from bucketlens.index.rounded import Asked
from bucketlens.index.shard import Shard
from bucketlens.records import ModelIdentity

T = TypeVar("T")

ROWS, DIMENSION = 3_000, 24
MODEL = ModelIdentity("m", "0" * 32, DIMENSION)


def mixture(rows: int, dimension: int, seed: int = 0) -> np.ndarray:
    """Unit float16 rows around 30 centres."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.standard_normal((30, dimension)).astype(np.float32))
    noise = unit(rng.standard_normal((rows, dimension)).astype(np.float32))
    return unit(centres[rng.integers(0, 30, rows)] + 0.6 * noise + 0.3).astype(np.float16)


def built(block: Block) -> Mapping[str, bytes]:
    """The files of a shard with these rows."""
    with TemporaryDirectory() as folder:
        rows = Gathered.of([(block, np.arange(len(block)))])
        made = shard.build(rows, MODEL, Path(folder), threads=1)
        return {name: path.read_bytes() for name, path in made.items()}


@pytest.fixture(scope="module")
def block() -> Block:
    rows = [image(f"images/{n:05}.jpg", n + 1, {"n": n, "colour": ("red", "blue")[n % 2]}) for n in range(ROWS)]
    return Block(Block.of(rows, 16).table, mixture(ROWS, DIMENSION))


@pytest.fixture(scope="module")
def files(block: Block) -> Mapping[str, bytes]:
    return built(block)


@pytest.fixture(scope="module")
def opened(files: Mapping[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Shard:
    folder = tmp_path_factory.mktemp("shard")
    for name, body in files.items():
        (folder / name).write_bytes(body)
    return Shard("s", files, reading(folder.joinpath))


def test_every_row_is_in_one_cluster_and_keeps_its_order_inside_it() -> None:
    rows = mixture(5_000, 16)
    found = cluster(rows, seed=3)
    assert sorted(found.order.tolist()) == list(range(5_000))
    assert (found.firsts[0], found.firsts[-1]) == (0, 5_000)
    assert 10 <= len(found.firsts) - 1 <= 20
    for start, end in zip(found.firsts[:-1], found.firsts[1:], strict=True):
        assert start < end
        assert (np.diff(found.order[start:end]) > 0).all()
    again = cluster(rows, seed=3)
    assert (again.order == found.order).all()


def test_rows_of_a_cluster_are_nearer_to_its_centroid_than_to_others() -> None:
    rows = mixture(5_000, 16)
    found = cluster(rows, seed=1)
    held = rows[found.order].astype(np.float32)
    nearest = np.argmax(held @ unit(centroids_of(held.astype(np.float16), found.firsts)).T, axis=1)
    own = np.repeat(np.arange(len(found.firsts) - 1), np.diff(found.firsts))
    assert (nearest == own).mean() > 0.9


@pytest.mark.parametrize("rows", [1, 2, 999, 1_001])
def test_few_rows_are_one_cluster_and_equal_rows_are_no_trouble(rows: int) -> None:
    assert len(cluster(mixture(rows, 16), seed=0).firsts) == (2 if rows < 1_000 else 5)
    same = np.repeat(mixture(1, 16), rows, axis=0)
    assert len(cluster(same, seed=0).order) == rows
    assert len(cluster(np.zeros((rows, 16), np.float16), seed=0).order) == rows


@pytest.mark.parametrize("dimension", [3, 24, 512, 768, 1_200])
def test_codes_are_small_and_rank_the_nearest_rows_first(dimension: int) -> None:
    rows = mixture(2_000, dimension)
    coded, coding = encode(rows)
    assert coded.shape == (2_000, min(MAX_BYTES, -(-dimension // 8)))
    if dimension < 24:
        return
    wide = rows.astype(np.float32)
    found = 0
    for number in range(20):
        query = unit((wide[number] + 0.02 * np.random.default_rng(number).standard_normal(dimension))[None, :])[0]
        query = query.astype(np.float32)
        guessed = estimates(query, coded, coding)
        true = set(np.argsort(-(wide @ query))[:10].tolist())
        found += len(true & set(np.argsort(-guessed)[:200].tolist()))
        assert abs(float(np.mean(guessed - wide @ query))) < 0.05, "an estimate of the cosine itself"
    assert found >= 170, "random candidates would find 20"


@given(st.lists(st.integers(1, 900), min_size=1, max_size=40))
@settings(deadline=None)
def test_record_batches_end_with_clusters_and_hold_no_more_than_they_should(sizes: list[int]) -> None:
    firsts = np.concatenate([[0], np.cumsum(sizes)])
    ends = list(batch_ends(firsts, 1_000))
    assert ends[-1] == firsts[-1]
    assert set(ends) <= set(firsts.tolist())
    starts = [0, *ends[:-1]]
    assert all(end - start <= 1_000 for start, end in zip(starts, ends, strict=True))


def test_the_head_leads_to_every_vector_code_and_row_without_opening_their_files(
    files: Mapping[str, bytes], opened: Shard
) -> None:
    head = opened.head
    outline = head.outline
    firsts = outline.firsts.tolist()
    assert (outline.rows, head.dimension) == (ROWS, DIMENSION)
    for start, end in [(0, ROWS), *pairwise(firsts)]:
        first, last = head.vector_span(start, end)
        read = np.frombuffer(files["vectors.arrow"][first:last], np.float16).reshape(-1, DIMENSION)
        assert (read == opened.vectors[start:end]).all()
        first, last = head.code_span(start, end)
        codes = np.frombuffer(files["codes.arrow"][first:last], np.uint8).reshape(-1, head.coding.width)
        assert (codes == encode(opened.vectors)[0][start:end]).all()
    for number, (first, last) in enumerate(outline.spans):
        alone = arrow.read_batch(outline.schema, files["rows.arrow"][first:last], "rows.arrow")
        start, end = outline.batches[number : number + 2].tolist()
        assert alone.to_pydict() == opened.rows.slice(start, end - start).to_pydict()
        assert (outline.batch_of(np.arange(start, end)) == number).all()


def test_every_key_is_found_where_its_hash_is_expected(files: Mapping[str, bytes], opened: Shard, block: Block) -> None:
    keys = block.table.column("key").to_pylist()
    outline = opened.head.outline
    rows = opened.find(keys, shard.key_hashes(keys))
    assert len(rows) == ROWS
    for key, hashed in list(zip(keys, shard.key_hashes(keys).tolist(), strict=True))[::50]:
        places = outline.places_near(hashed)
        assert places[1] - places[0] < ROWS / 2
        hashes = np.frombuffer(files["keys.arrow"][slice(*outline.hash_span(places))], np.uint64)
        numbers = np.frombuffer(files["keys.arrow"][slice(*outline.number_span(places))], np.uint32)
        assert rows[key] in numbers[hashes == hashed]
    assert opened.find(["images/none.jpg"], shard.key_hashes(["images/none.jpg"])) == {}


def test_rows_stand_with_their_vectors_and_every_file_is_plain_arrow(opened: Shard, block: Block) -> None:
    before = dict(zip(block.table.column("key").to_pylist(), block.vectors.tolist(), strict=True))
    after = dict(zip(opened.rows.column("key").to_pylist(), opened.vectors.tolist(), strict=True))
    assert before == after


def test_centroids_are_near_and_the_nearest_clusters_hold_the_nearest_rows(opened: Shard) -> None:
    head = opened.head
    true = unit(centroids_of(opened.vectors, head.outline.firsts))
    query = true[0]
    assert np.abs(head.closeness(Asked(query)) - true @ query).max() < 0.03
    assert head.closeness(Asked(query)).dtype == np.float32


def test_clusters_near_a_query_are_as_many_as_hold_enough_rows(opened: Shard) -> None:
    head, firsts = opened.head, opened.head.outline.firsts
    rng = np.random.default_rng(0)
    for share in (0.02, 0.5, 1.0, None):
        mask = rng.random(ROWS) < share if share else None
        for enough, most in ((1, 100), (50, 3), (200, 100), (10**9, 100), (10**9, 2)):
            query = unit(rng.standard_normal((1, DIMENSION)))[0]
            expected, held, counting = np.zeros(ROWS, bool), 0, np.ones(ROWS, bool) if mask is None else mask
            for number in np.argsort(-head.closeness(Asked(query)), kind="stable")[:most]:
                expected[firsts[number] : firsts[number + 1]] = True
                held += np.count_nonzero(counting[firsts[number] : firsts[number + 1]])
                if held >= enough:
                    break
            within = None if mask is None else lambda first, end, mask=mask: np.count_nonzero(mask[first:end])
            spans = head.near(head.closeness(Asked(query)), enough, most, within)
            found = np.zeros(ROWS, bool)
            for first, end in spans:
                found[first:end] = True
            assert np.array_equal(found, expected)
            assert (np.diff(np.array(spans).reshape(-1)) > 0).all(), "ascending, and those that adjoin are one"


def test_codes_are_mapped_but_not_compared_in_a_small_shard(files: Mapping[str, bytes], opened: Shard) -> None:
    assert opened.coded.tobytes() in files["codes.arrow"]
    assert opened.coded.shape == (ROWS, opened.head.coding.width)
    assert opened.apart is None


def test_the_same_rows_and_seed_make_the_same_shard(files: Mapping[str, bytes], block: Block) -> None:
    assert built(block) == files


def test_a_shard_is_the_same_from_whatever_blocks_its_rows_are_gathered(
    files: Mapping[str, bytes], block: Block, tmp_path: Path
) -> None:
    evens, odds = np.arange(0, ROWS, 2), np.arange(1, ROWS, 2)
    shuffled = block.take(np.random.default_rng(1).permutation(odds))
    wasted = Block.joined([block.take(evens), block.take(odds)], DIMENSION)
    rows = Gathered.of([(shuffled, np.arange(len(odds))), (wasted, np.arange(len(evens)))])
    made = shard.build(rows, MODEL, tmp_path, threads=1)
    assert {name: path.read_bytes() for name, path in made.items()} == files


def test_metadata_are_gathered_window_by_window(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "_WINDOW", 100)
    order = np.random.default_rng(2).permutation(ROWS)
    rows = Gathered.of([(block, np.arange(ROWS))]).taken(order)
    ends = [7, 90, 400, 401, 450, ROWS]
    batches = list(rows.batches(ends))
    assert [table.num_rows for table in batches] == np.diff([0, *ends]).tolist()
    assert columns.unify(batches).to_pydict() == block.take(order).table.to_pydict()
    assert (rows.vectors[5:50] == block.vectors[order][5:50]).all()
    assert [len(part) for part in rows.split(1_600)] == [1_500, 1_500]


def test_a_rebuilt_shard_differs_only_in_what_hangs_on_its_vectors(
    files: Mapping[str, bytes], opened: Shard, tmp_path: Path
) -> None:
    made = shard.rebuild(opened.vectors, opened.head.outline, MODEL, tmp_path, threads=1)
    assert set(made) == set(shard.changing(ROWS))
    assert all(files[name] == path.read_bytes() for name, path in made.items())


def test_a_head_that_is_no_head_is_corrupt(files: Mapping[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "head.arrow").write_bytes(files["keys.arrow"])
    with pytest.raises(Corrupt) as caught:
        _ = Shard("s", files, reading(tmp_path.joinpath)).head
    assert caught.value.code == "bad_head"


def test_a_head_that_does_not_say_how_rows_were_rounded_is_corrupt(files: Mapping[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "head.arrow").write_bytes(files["head.arrow"].replace(b"rounding", b"turnings"))
    with pytest.raises(Corrupt) as caught:
        _ = Shard("s", files, reading(tmp_path.joinpath)).head
    assert caught.value.code == "bad_head", "as shards of another release say it"
    for name, body in {**files, "graph.usearch": b""}.items():
        (tmp_path / name).write_bytes(body)
    with pytest.raises(Corrupt, match="how the rows of its graph were rounded") as caught:
        _ = Shard("s", [*files, "graph.usearch"], reading(tmp_path.joinpath)).graph
    assert (caught.value.code, caught.value.value) == ("bad_head", "s/head.arrow")


def test_what_is_let_go_of_while_it_is_being_mapped_serves_once_and_is_not_kept(
    files: Mapping[str, bytes], tmp_path: Path
) -> None:
    for name, body in files.items():
        (tmp_path / name).write_bytes(body)
    reads = list[str]()

    def read(part: str, mapped: Callable[[Path], T]) -> T:
        reads.append(part)
        found = mapped(tmp_path / part)
        if len(reads) == 1:
            opened.let_go()  # as when the file is removed here
        return found

    opened = Shard("s", files, read)
    assert opened.vectors.shape == opened.vectors.shape == (ROWS, DIMENSION)
    assert reads == ["vectors.arrow"] * 2
    assert opened.vectors is opened.vectors
    opened.let_go()
    assert opened.vectors.shape == (ROWS, DIMENSION)
    assert reads == ["vectors.arrow"] * 3


@pytest.mark.parametrize("part", ["vectors", "coded"])
def test_a_part_without_its_column_is_corrupt(part: str, files: Mapping[str, bytes], tmp_path: Path) -> None:
    opened = Shard("s", files, reading(lambda _: tmp_path / "keys.arrow"))
    (tmp_path / "keys.arrow").write_bytes(files["keys.arrow"])
    with pytest.raises(Corrupt) as caught:
        getattr(opened, part)
    assert caught.value.code == "bad_arrow_file"

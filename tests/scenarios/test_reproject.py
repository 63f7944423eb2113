"""A model change by matrix: resumable, seamless for readers, and the same as projecting every vector by hand."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from tests.support.faults import Crashed, FaultStore
from tests.support.table import COLLECTION, DIMENSION, MODEL, START, Table, append, contents, image, tombstone, vector

from bucketlens.errors import InvalidRequest, Misconfigured
from bucketlens.pipelines.compact import compact, sweep
from bucketlens.pipelines.reproject import reproject
from bucketlens.projection import Matrix, project
from bucketlens.records import ModelIdentity
from bucketlens.search.view import View
from bucketlens.store.memory import MemoryStore

TUNED = ModelIdentity("tuned", "1" * 32, DIMENSION)
TUNED_AGAIN = ModelIdentity("tuned again", "2" * 32, DIMENSION)
FOREIGN = ModelIdentity("foreign", "f" * 32, DIMENSION)
LATER = START + timedelta(hours=2)


def matrix(seed: int) -> Matrix:
    """Any matrix, as long as it changes every direction."""
    return np.random.default_rng(seed).standard_normal((DIMENSION, DIMENSION)).astype(np.float32)


def ready(folder: Path) -> Table:
    """Three shards with deletions among them, and a live log."""
    table = Table(MemoryStore(lambda: START), folder, max_shard_rows=20)
    append(table.store, [image(f"images/{n}.jpg", n + 1, seed=n) for n in range(50)])
    compact(COLLECTION, table.compactor(), now=START, nonce="a")
    append(table.store, [tombstone("images/3.jpg", 100)])
    compact(COLLECTION, table.compactor(), now=START, nonce="b")
    append(table.store, [image("images/4.jpg", 101, seed=400), image("images/new.jpg", 102, seed=401)])
    return table


def stored(view: View) -> dict[str, np.ndarray]:
    """Key -> vector of everything searchable."""
    found = {}
    for part in view.parts:
        keys = part.source.rows.column("key").to_pylist()
        found.update({keys[row]: part.source.vectors[row].astype(np.float32) for row in np.flatnonzero(part.live)})
    return found


def expected(table: Table, *through: Matrix) -> dict[str, np.ndarray]:
    before = stored(table.view())
    for one in through:
        before = {key: project(held[None], one)[0] for key, held in before.items()}
    return before


def same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> bool:
    return found.keys() == wanted.keys() and all(np.abs(found[key] - wanted[key]).max() < 2e-3 for key in found)


def test_every_stored_vector_becomes_its_projection_and_nothing_else_changes(tmp_path: Path) -> None:
    table = ready(tmp_path)
    wanted, rows = expected(table, matrix(1)), contents(table.view())
    report = reproject(COLLECTION, matrix(1), TUNED, table.compactor(), now=START)
    view = table.view()
    assert (report.built, report.reused) == (3, 0)
    assert view.model == TUNED
    assert same(stored(view), wanted)
    assert contents(view) == rows


def test_segments_of_the_earlier_model_are_led_through_the_matrix_and_a_compaction_makes_it_last(
    tmp_path: Path,
) -> None:
    table = ready(tmp_path)
    reproject(COLLECTION, matrix(1), TUNED, table.compactor(), now=START)
    append(table.store, [image("images/late.jpg", 200, seed=7)])
    append(table.store, [image("images/fresh.jpg", 201, seed=8)], model=TUNED)
    for _ in range(2):
        held = stored(table.view())
        assert np.abs(held["images/late.jpg"] - project(vector(7)[None], matrix(1))[0]).max() < 2e-3
        assert np.abs(held["images/fresh.jpg"] - vector(8)).max() < 2e-3
        compact(COLLECTION, table.compactor(), now=START, nonce="c")
    assert table.view().snapshot.segments == ()


def test_a_second_change_follows_the_first_also_for_vectors_of_the_first_model(tmp_path: Path) -> None:
    table = ready(tmp_path)
    wanted = expected(table, matrix(1), matrix(2))
    reproject(COLLECTION, matrix(1), TUNED, table.compactor(), now=START)
    reproject(COLLECTION, matrix(2), TUNED_AGAIN, table.compactor(), now=START)
    assert same(stored(table.view()), wanted)
    lineage = table.view().lineage
    twice = project(vector(1)[None], matrix(1) @ matrix(2))[0]
    assert np.allclose(lineage.vector(vector(1), MODEL), twice, atol=1e-5)
    assert np.allclose(lineage.vector(vector(1), TUNED), project(vector(1)[None], matrix(2))[0], atol=1e-5)


def test_vectors_of_a_model_that_is_no_ancestor_are_refused(tmp_path: Path) -> None:
    table = ready(tmp_path)
    append(table.store, [image("images/x.jpg", 300)], model=FOREIGN)
    with pytest.raises(Misconfigured) as caught:
        table.view()
    assert caught.value.code == "model_mismatch"
    with pytest.raises(Misconfigured):
        reproject(COLLECTION, matrix(1), TUNED, table.compactor(), now=START)


@pytest.mark.parametrize("crash", ["before", "after"])
def test_a_crash_at_any_operation_leaves_one_generation_whole_and_a_rerun_finishes(tmp_path: Path, crash: str) -> None:
    counted = FaultStore(ready(tmp_path / "c").store)
    reproject(COLLECTION, matrix(1), TUNED, Table(counted, tmp_path / "d").compactor(), now=START)
    for n in range(1, counted.operations + 1):
        table = ready(tmp_path / f"{n}")
        before, after = expected(table), expected(table, matrix(1))
        dying = Table(FaultStore(table.store, crash_at=n, crash=crash), tmp_path / f"{n}d")  # type: ignore[arg-type]
        with pytest.raises(Crashed):
            reproject(COLLECTION, matrix(1), TUNED, dying.compactor(), now=START)
        assert same(stored(table.view()), after if table.view().model == TUNED else before)
        compact(COLLECTION, table.compactor(), now=LATER, nonce="z")
        report = reproject(COLLECTION, matrix(1), TUNED, table.compactor(), now=LATER)
        assert report.model == TUNED
        assert same(stored(table.view()), after)


def test_an_interrupted_run_is_taken_up_where_it_stopped_even_after_a_sweep(tmp_path: Path) -> None:
    table = ready(tmp_path)
    counted = FaultStore(ready(tmp_path / "c").store)
    reproject(COLLECTION, matrix(1), TUNED, Table(counted, tmp_path / "d").compactor(), now=START)
    dying = Table(FaultStore(table.store, crash_at=counted.operations - 3), tmp_path / "e")
    with pytest.raises(Crashed):
        reproject(COLLECTION, matrix(1), TUNED, dying.compactor(), now=START)
    sweep(COLLECTION, table.compactor(), now=START + timedelta(days=2))
    report = reproject(COLLECTION, matrix(1), TUNED, table.compactor(), now=START + timedelta(days=2))
    assert (report.reused, report.built) == (2, 1)


def test_a_compaction_that_overtakes_costs_a_round_and_loses_nothing(tmp_path: Path) -> None:
    table = ready(tmp_path)
    wanted = expected(table, matrix(1))
    overtaken = False

    class Overtaken(FaultStore):
        def swap(self, key: str, body: bytes, expected: str) -> str:
            nonlocal overtaken
            if self.puts > 2 and not overtaken:
                overtaken = True
                compact(COLLECTION, table.compactor(), now=START, nonce="z")
            return super().swap(key, body, expected)

    racing = Table(Overtaken(table.store), tmp_path / "r").compactor()
    report = reproject(COLLECTION, matrix(1), TUNED, racing, now=START)
    assert overtaken
    assert report.built >= 4
    assert same(stored(table.view()), wanted)


def test_only_one_model_change_at_a_time_and_only_from_shards(tmp_path: Path) -> None:
    table = ready(tmp_path)
    counted = FaultStore(ready(tmp_path / "c").store)
    reproject(COLLECTION, matrix(1), TUNED, Table(counted, tmp_path / "n").compactor(), now=START)
    dying = Table(FaultStore(table.store, crash_at=counted.operations - 3), tmp_path / "d")
    with pytest.raises(Crashed):
        reproject(COLLECTION, matrix(1), TUNED, dying.compactor(), now=START)
    with pytest.raises(Misconfigured) as caught:
        reproject(COLLECTION, matrix(2), TUNED_AGAIN, table.compactor(), now=START)
    assert caught.value.code == "model_change_under_way"
    empty = Table(MemoryStore(lambda: START), tmp_path / "e")
    append(empty.store, [image("images/a.jpg", 1)])
    with pytest.raises(InvalidRequest) as refused:
        reproject(COLLECTION, matrix(1), TUNED, empty.compactor(), now=START)
    assert refused.value.code == "nothing_to_project"


def test_what_the_earlier_generation_leaves_is_swept_after_the_grace_period(tmp_path: Path) -> None:
    table = ready(tmp_path)
    reproject(COLLECTION, matrix(1), TUNED, table.compactor(), now=START)
    compact(COLLECTION, table.compactor(), now=START, nonce="x")
    compact(COLLECTION, table.compactor(), now=LATER, nonce="y")
    compact(COLLECTION, table.compactor(), now=LATER, nonce="z")
    present = {entry.key for entry in table.store.list("")} - {f"index/{COLLECTION}/manifest.json"}
    assert present == {ref.key for ref in table.view().snapshot.manifest.objects()}

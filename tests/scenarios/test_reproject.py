"""A model change by matrix: resumable, seamless for readers, and the same as projecting every vector by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from tests.support.faults import Crashed, FaultStore
from tests.support.table import COLLECTION, DIMENSION, MODEL, START, Table, append, contents, image, tombstone, vector

from bucketlens.errors import InvalidRequest, Misconfigured
from bucketlens.pipelines.compact import compact, sweep
from bucketlens.pipelines.reproject import abandon, reproject
from bucketlens.projection import Matrix, project
from bucketlens.records import ModelIdentity
from bucketlens.search.view import View
from bucketlens.store.memory import MemoryStore
from bucketlens.table.policy import Limits

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
    report = reproject(COLLECTION, matrix(1), TUNED, table.compactor(), now=START, nonce="n")
    view = table.view()
    assert (report.built, report.reused) == (3, 0)
    assert view.model == TUNED
    assert same(stored(view), wanted)
    assert contents(view) == rows


def test_segments_of_the_earlier_model_are_led_through_the_matrix_and_a_compaction_makes_it_last(
    tmp_path: Path,
) -> None:
    table = ready(tmp_path)
    reproject(COLLECTION, matrix(1), TUNED, table.compactor(), now=START, nonce="n")
    append(table.store, [image("images/late.jpg", 200, seed=7)])
    append(table.store, [image("images/fresh.jpg", 201, seed=8)], model=TUNED)
    for _ in range(2):
        held = stored(table.view())
        assert np.abs(held["images/late.jpg"] - project(vector(7)[None], matrix(1))[0]).max() < 2e-3
        assert np.abs(held["images/fresh.jpg"] - vector(8)).max() < 2e-3
        compact(COLLECTION, table.compactor(), now=START, nonce="c")
    assert table.view().snapshot.segments == ()


def test_merged_segments_of_the_earlier_model_are_led_through_the_matrix_too(tmp_path: Path) -> None:
    table = ready(tmp_path)
    for number in range(3):
        append(table.store, [image(f"images/late{number}.jpg", 200 + number, seed=number)])
    tools = replace(table.compactor(), limits=Limits(segments=2))
    reader = table.views()
    reader.view(COLLECTION, strong=True)
    compact(COLLECTION, tools, now=START, nonce="m", more=lambda: False)
    assert table.view().snapshot.manifest.merged
    wanted = expected(table, matrix(1))
    reproject(COLLECTION, matrix(1), TUNED, table.compactor(), now=START, nonce="r")
    append(table.store, [image(f"images/fresh{n}.jpg", 300, seed=9) for n in range(3)], model=TUNED)
    wanted |= {f"images/fresh{n}.jpg": vector(9) for n in range(3)}
    for nonce in ("c", "d"):
        view = reader.view(COLLECTION, strong=True)
        assert view.model == TUNED
        assert same(stored(view), wanted), "vectors the reader held were of the earlier model"
        assert same(stored(table.view()), wanted)
        compact(COLLECTION, tools, now=START, nonce=nonce)
    assert not table.view().snapshot.manifest.merged


def test_a_second_change_follows_the_first_also_for_vectors_of_the_first_model(tmp_path: Path) -> None:
    table = ready(tmp_path)
    wanted = expected(table, matrix(1), matrix(2))
    reproject(COLLECTION, matrix(1), TUNED, table.compactor(), now=START, nonce="n")
    reproject(COLLECTION, matrix(2), TUNED_AGAIN, table.compactor(), now=START, nonce="n")
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
        reproject(COLLECTION, matrix(1), TUNED, table.compactor(), now=START, nonce="n")


@pytest.mark.parametrize("crash", ["before", "after"])
def test_a_crash_at_any_operation_leaves_one_generation_whole_and_a_rerun_finishes(tmp_path: Path, crash: str) -> None:
    counted = FaultStore(ready(tmp_path / "c").store)
    reproject(COLLECTION, matrix(1), TUNED, Table(counted, tmp_path / "d").compactor(), now=START, nonce="n")
    for n in range(1, counted.operations + 1):
        table = ready(tmp_path / f"{n}")
        before, after = expected(table), expected(table, matrix(1))
        dying = Table(FaultStore(table.store, crash_at=n, crash=crash), tmp_path / f"{n}d")  # type: ignore[arg-type]
        with pytest.raises(Crashed):
            reproject(COLLECTION, matrix(1), TUNED, dying.compactor(), now=START, nonce="n")
        assert same(stored(table.view()), after if table.view().model == TUNED else before)
        compact(COLLECTION, table.compactor(), now=LATER, nonce="z")
        report = reproject(COLLECTION, matrix(1), TUNED, table.compactor(), now=LATER, nonce="n")
        assert report.model == TUNED
        assert same(stored(table.view()), after)


def test_an_interrupted_run_is_taken_up_where_it_stopped_even_after_a_sweep(tmp_path: Path) -> None:
    table = ready(tmp_path)
    counted = FaultStore(ready(tmp_path / "c").store)
    reproject(COLLECTION, matrix(1), TUNED, Table(counted, tmp_path / "d").compactor(), now=START, nonce="n")
    dying = Table(FaultStore(table.store, crash_at=counted.operations - 3), tmp_path / "e")
    with pytest.raises(Crashed):
        reproject(COLLECTION, matrix(1), TUNED, dying.compactor(), now=START, nonce="n")
    sweep(COLLECTION, table.compactor(), now=START + timedelta(days=2))
    report = reproject(COLLECTION, matrix(1), TUNED, table.compactor(), now=START + timedelta(days=2), nonce="n")
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
    report = reproject(COLLECTION, matrix(1), TUNED, racing, now=START, nonce="n")
    assert overtaken
    assert report.built >= 4
    assert same(stored(table.view()), wanted)


def test_only_one_model_change_at_a_time_and_only_from_shards(tmp_path: Path) -> None:
    table = ready(tmp_path)
    counted = FaultStore(ready(tmp_path / "c").store)
    reproject(COLLECTION, matrix(1), TUNED, Table(counted, tmp_path / "n").compactor(), now=START, nonce="n")
    dying = Table(FaultStore(table.store, crash_at=counted.operations - 3), tmp_path / "d")
    with pytest.raises(Crashed):
        reproject(COLLECTION, matrix(1), TUNED, dying.compactor(), now=START, nonce="n")
    with pytest.raises(Misconfigured) as caught:
        reproject(COLLECTION, matrix(2), TUNED_AGAIN, table.compactor(), now=START, nonce="n")
    assert caught.value.code == "model_change_under_way"
    empty = Table(MemoryStore(lambda: START), tmp_path / "e")
    append(empty.store, [image("images/a.jpg", 1)])
    with pytest.raises(InvalidRequest) as refused:
        reproject(COLLECTION, matrix(1), TUNED, empty.compactor(), now=START, nonce="n")
    assert refused.value.code == "nothing_to_project"


def test_what_the_earlier_generation_leaves_is_swept_after_the_grace_period(tmp_path: Path) -> None:
    table = ready(tmp_path)
    reproject(COLLECTION, matrix(1), TUNED, table.compactor(), now=START, nonce="n")
    compact(COLLECTION, table.compactor(), now=START, nonce="x")
    compact(COLLECTION, table.compactor(), now=LATER, nonce="y")
    compact(COLLECTION, table.compactor(), now=LATER, nonce="z")
    present = {entry.key for entry in table.store.list("")} - {f"index/{COLLECTION}/manifest.json"}
    assert present == {ref.key for ref in table.view().snapshot.manifest.objects()}


def interrupted(folder: Path, before_the_end: int = 3) -> Table:
    """A collection whose move to another model broke off so many operations before its end."""
    table = ready(folder)
    counted = FaultStore(ready(folder / "c").store)
    reproject(COLLECTION, matrix(1), TUNED, Table(counted, folder / "n").compactor(), now=START, nonce="n")
    dying = Table(FaultStore(table.store, crash_at=counted.operations - before_the_end), folder / "d")
    with pytest.raises(Crashed):
        reproject(COLLECTION, matrix(1), TUNED, dying.compactor(), now=START, nonce="n")
    return table


def test_an_abandoned_change_leaves_the_present_model_and_the_way_free_for_another(tmp_path: Path) -> None:
    table = interrupted(tmp_path)
    rows, wanted = contents(table.view()), expected(table, matrix(2))
    assert abandon(COLLECTION, table.store)
    assert (table.view().model, contents(table.view())) == (MODEL, rows)
    assert abandon(COLLECTION, table.store) == ""
    reproject(COLLECTION, matrix(2), TUNED_AGAIN, table.compactor(), now=START, nonce="m")
    assert same(stored(table.view()), wanted)


def test_what_was_written_for_an_abandoned_change_is_never_taken_for_a_later_one_and_swept(tmp_path: Path) -> None:
    """A sweep may delete it at any moment, also while the change is made anew."""
    table = interrupted(tmp_path)
    abandon(COLLECTION, table.store)
    doomed = {entry.key for entry in table.store.list("")} - {
        *(ref.key for ref in table.view().snapshot.manifest.objects()), f"index/{COLLECTION}/manifest.json"
    }  # fmt: skip
    assert any("/shards/" in key for key in doomed)
    report = reproject(COLLECTION, matrix(1), TUNED, table.compactor(), now=START, nonce="m")
    assert report.reused == 0
    assert doomed.isdisjoint(ref.key for ref in table.view().snapshot.manifest.objects())
    sweep(COLLECTION, table.compactor(), now=LATER)
    left = {entry.key for entry in table.store.list("")}
    assert not {key for key in doomed if "/log/" not in key} & left


def test_a_run_that_is_abandoned_while_it_works_does_not_switch(tmp_path: Path) -> None:
    table = ready(tmp_path)
    rows = contents(table.view())

    class Abandoned(FaultStore):
        def create(self, key: str, body: bytes) -> str:
            abandon(COLLECTION, table.store)
            return super().create(key, body)

    with pytest.raises(Misconfigured) as caught:
        reproject(
            COLLECTION,
            matrix(1),
            TUNED,
            Table(Abandoned(table.store), tmp_path / "a").compactor(),
            now=START,
            nonce="n",
        )
    assert caught.value.code == "model_change_abandoned"
    assert (table.view().model, contents(table.view())) == (MODEL, rows)


@pytest.mark.parametrize("crash", ["before", "after"])
def test_a_crash_at_any_operation_of_abandoning_is_made_good_by_doing_it_again(tmp_path: Path, crash: str) -> None:
    counted = FaultStore(interrupted(tmp_path / "c").store)
    abandon(COLLECTION, counted)
    assert counted.operations >= 3
    for n in range(1, counted.operations + 1):
        table = interrupted(tmp_path / f"{n}")
        rows = contents(table.view())
        with pytest.raises(Crashed):
            abandon(COLLECTION, FaultStore(table.store, crash_at=n, crash=crash))  # type: ignore[arg-type]
        assert (table.view().model, contents(table.view())) == (MODEL, rows)
        abandon(COLLECTION, table.store)
        assert table.view().snapshot.manifest.building == ""
        report = reproject(COLLECTION, matrix(2), TUNED_AGAIN, table.compactor(), now=LATER, nonce="m")
        assert report.model == TUNED_AGAIN


@pytest.mark.parametrize("reply", ["lost", "refused"])
def test_a_lost_reply_does_not_keep_a_change_from_being_abandoned(tmp_path: Path, reply: str) -> None:
    table = interrupted(tmp_path)
    abandon(COLLECTION, FaultStore(table.store, lose_reply_at=1, reply=reply))  # type: ignore[arg-type]
    assert table.view().snapshot.manifest.building == ""


def test_a_sweep_spares_the_matrices_of_a_change_that_is_taken_up_later(tmp_path: Path) -> None:
    table = interrupted(tmp_path, before_the_end=1)
    before = {entry.key for entry in table.store.list(f"index/{COLLECTION}/adapters/")}
    assert before
    sweep(COLLECTION, table.compactor(), now=START + timedelta(days=2))
    assert before == {entry.key for entry in table.store.list(f"index/{COLLECTION}/adapters/")}

"""A graph in the order of its keys is the same graph, against usearch itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from usearch.index import Index  # noqa: TID251

from bucketlens.errors import Corrupt
from bucketlens.index.graph import build
from bucketlens.index.rounded import round_rows, scale_of
from bucketlens.index.slots import map_bytes, rows_by_slot, sort_by_key


def linked(rows: np.ndarray, order: np.ndarray, path: Path) -> Index:
    """A graph whose key n is row n, added in some order by two threads."""
    index = Index(ndim=rows.shape[1], metric="ip", dtype="i8", connectivity=5, enable_key_lookups=False)
    index.add(order.astype(np.uint64), rows[order], threads=2)
    index.save(str(path))
    return index


def opened(path: Path, dimension: int) -> Index:
    index = Index(ndim=dimension, metric="ip", dtype="i8", connectivity=5, enable_key_lookups=False)
    index.view(str(path))
    return index


@pytest.mark.parametrize(("count", "dimension"), [(1, 4), (2, 7), (700, 16), (20_000, 24)])
def test_it_answers_as_before_and_its_rows_are_in_order(count: int, dimension: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(count)
    rows = rng.integers(-127, 128, (count, dimension)).astype(np.int8)
    before, path = linked(rows, rng.permutation(count), tmp_path / "graph"), tmp_path / "graph"
    size = path.stat().st_size
    sort_by_key(path)
    after = opened(path, dimension)
    assert path.stat().st_size == size
    assert np.array_equal(rows_by_slot(map_bytes(path), "graph"), rows)
    assert not list(tmp_path.glob("*.sorted"))
    for query in rng.integers(-127, 128, (50, dimension)).astype(np.int8):
        old, new = before.search(query, 20), after.search(query, 20)
        assert np.array_equal(np.sort(old.distances), np.sort(new.distances))
        assert old.computed_distances == new.computed_distances, "the same walk"
    once = path.read_bytes()
    sort_by_key(path)
    assert path.read_bytes() == once


@pytest.mark.parametrize("damage", ["short", "long", "other", "counts", "empty"])
def test_a_file_that_is_laid_out_otherwise_is_refused(damage: str, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).integers(-127, 128, (300, 8)).astype(np.int8)
    linked(rows, np.arange(300), tmp_path / "graph")
    whole = (tmp_path / "graph").read_bytes()
    head = 8 + rows.nbytes
    damaged = {
        "short": whole[:-1],
        "long": whole + b"\0",
        "other": whole[:head] + b"another" + whole[head + 7 :],
        "counts": (301).to_bytes(4, "little") + whole[4:],
        "empty": b"",
    }[damage]
    (tmp_path / "graph").write_bytes(damaged)
    kept = shutil.copy(tmp_path / "graph", tmp_path / "copy")
    with pytest.raises(Corrupt, match="not laid out"):
        sort_by_key(tmp_path / "graph")
    assert (tmp_path / "graph").read_bytes() == kept.read_bytes()


def test_a_graph_is_built_in_the_order_of_its_rows_and_tells_how_they_were_rounded(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((5_000, 48)).astype(np.float16)
    _, told = build(vectors, 2, tmp_path / "graph", lambda links, asking: None)
    forms, rounding = round_rows(vectors, scale_of(vectors))
    assert np.array_equal(rows_by_slot(map_bytes(tmp_path / "graph"), "graph"), forms)
    assert told == rounding

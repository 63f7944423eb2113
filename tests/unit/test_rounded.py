"""Sifting by rounded rows against exact arithmetic: nothing that is among the best may be left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.test_vectors import drawn

from bucketlens.index.graph import Graph, build
from bucketlens.index.rounded import _FLOAT, Asked, Rounded, round_rows, scale_of
from bucketlens.index.vectors import exact_cosines, ranked


def rounded(vectors: np.ndarray) -> Rounded:
    return Rounded(*round_rows(vectors, scale_of(vectors)))


def unit(rows: np.ndarray) -> np.ndarray:
    """In float64; zeros stay zeros."""
    wide = rows.astype(np.float64)
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=-1, keepdims=True), 1e-12))


@pytest.mark.parametrize("shape", ["plain", "spiky", "near"])
@pytest.mark.parametrize("dimension", [1, 3, 24, 512, 1_536])
def test_no_row_is_moved_by_more_than_it_says(dimension: int, shape: str) -> None:
    _, vectors = drawn(np.random.default_rng(dimension), 400, dimension, shape)
    vectors[7] = 0
    held = rounded(vectors)
    assert np.abs(held.rows.astype(int)).max() == 127, "the whole range is used"
    moved = np.linalg.norm(held.rows / held.rounding.scale - unit(vectors), axis=1).max()
    assert moved <= held.rounding.error <= moved * 1.001 + 1e-5
    assert not held.rows[7].any()
    for row in vectors[:7].astype(np.float32):
        for asked in (Asked(row), Asked(row * 3)):
            moved = np.linalg.norm(asked.form / asked.rounding.scale - unit(row))
            assert np.abs(asked.form.astype(int)).max() == 127
            assert moved <= asked.rounding.error <= moved * 1.001 + 1e-5


def test_rows_that_are_rounded_part_by_part_are_rounded_alike() -> None:
    _, vectors = drawn(np.random.default_rng(0), 40_000, 24, "spiky")
    whole, scale = rounded(vectors), scale_of(vectors)
    forms, roundings = zip(
        *(round_rows(vectors[at : at + 7_000], scale) for at in range(0, 40_000, 7_000)), strict=True
    )
    assert np.array_equal(np.concatenate(forms), whole.rows)
    assert {one.scale for one in roundings} == {whole.rounding.scale}
    assert max(one.error for one in roundings) == whole.rounding.error


def test_a_query_of_zeros_leaves_all_rows() -> None:
    _, vectors = drawn(np.random.default_rng(0), 50, 24, "plain")
    asked = Asked(np.zeros(24, np.float32))
    assert not asked.form.any()
    assert not rounded(vectors).cosines(asked, np.arange(50)).any()
    assert len(rounded(vectors).nearest(asked, [np.arange(50)], 3)) == 50


def test_rows_of_zeros_alone_are_rounded_too() -> None:
    held = rounded(np.zeros((3, 5), np.float16))
    assert not held.rows.any()
    assert held.rounding.error < 1e-5
    assert len(held.nearest(Asked(np.ones(5, np.float32)), [np.arange(3)], 1)) == 3


@pytest.mark.parametrize("shape", ["plain", "spiky", "near"])
@pytest.mark.parametrize("dimension", [1, 3, 24, 512, 2_048])
def test_cosines_err_by_no_more_than_rounding_moved_query_and_row(dimension: int, shape: str) -> None:
    query, vectors = drawn(np.random.default_rng(dimension), 2_000, dimension, shape)
    asked, held = Asked(query), rounded(vectors)
    found = held.cosines(asked, np.arange(2_000))
    wide = held.rows.astype(np.float64) @ asked.form.astype(np.float64)
    exactly = wide / held.rounding.scale / asked.rounding.scale
    assert np.abs(found - exactly).max() < _FLOAT / 5
    own, most = asked.rounding.error, held.rounding.error
    assert np.abs(exactly - unit(vectors) @ unit(query)).max() <= own + most + own * most


@pytest.mark.parametrize("dimension", [16, 512, 2_048])
def test_what_the_graph_tells_are_products_and_what_it_finds_is_cut_where_nothing_is_lost(
    dimension: int, tmp_path: Path
) -> None:
    query, vectors = drawn(np.random.default_rng(dimension), 3_000, dimension, "plain")
    build(vectors, 1, tmp_path / "graph", lambda links, asking: None)
    graph, asked, held = Graph.map(tmp_path / "graph", dimension)[0], Asked(query), rounded(vectors)
    rows, products = graph.nearest(asked, 500)
    assert (np.diff(products) <= 0).all()
    true = held.rows[rows].astype(int) @ asked.form.astype(int)
    assert np.abs(products - true).max() <= true.max() * 1e-7
    for k in (1, 10, 100, 500, 600):
        kept = rows[: held.within(asked, products, k)]
        best = rows[np.argsort(-exact_cosines(query, vectors[rows]), kind="stable")[:k]]
        assert set(best.tolist()) <= set(kept.tolist())
    assert held.within(asked, products, 10) < 450


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 6_000),
    share=st.sampled_from([0.001, 0.03, 0.3, 0.6, 1.0]),
    k=st.integers(1, 50),
    dimension=st.sampled_from([2, 24, 96]),
    shape=st.sampled_from(["plain", "spiky", "near"]),
    zeros=st.booleans(),
)
def test_what_is_left_out_is_not_among_the_best(
    seed: int, rows: int, share: float, k: int, dimension: int, shape: str, zeros: bool
) -> None:
    rng = np.random.default_rng(seed)
    query, vectors = drawn(rng, rows, dimension, shape)
    if zeros:
        vectors[rng.random(rows) < 0.2] = 0
    wanted = np.flatnonzero(rng.random(rows) < share)
    cut = rng.integers(0, rows + 1)
    left = rounded(vectors).nearest(Asked(query), [wanted[wanted >= cut], wanted[wanted < cut]], k)
    assert set(left) <= set(wanted)
    assert (np.diff(left) > 0).all()
    found, scores = ranked(query, vectors, [left], k)
    right, best = ranked(query, vectors, [wanted], k)
    assert found.tolist() == right.tolist()
    assert scores.tolist() == best.tolist()


@pytest.mark.parametrize("share", [1.0, 0.7, 0.2, 0.0])
@pytest.mark.parametrize("dimension", [3, 512, 2_048])
def test_rows_taken_out_are_sifted_as_where_they_lay(dimension: int, share: float) -> None:
    rng = np.random.default_rng(dimension)
    query, vectors = drawn(rng, 6_000, dimension, "near")
    vectors[rng.random(6_000) < 0.01] = 0
    every, numbers = rounded(vectors), np.sort(rng.choice(6_000, 2_000, replace=False))
    taken, asked = every.taken(numbers), Asked(query)
    places = np.flatnonzero(rng.random(2_000) < share)
    found = taken.nearest(asked, [places], 10)
    own, _ = ranked(query, vectors, [numbers[places]], 10)
    assert set(own[:10]) <= set(numbers[found])
    assert numbers[found].tolist() == every.nearest(asked, [numbers[places]], 10).tolist()
    assert taken.nbytes == every.room(2_000) == 2_000 * dimension


def test_few_rows_are_left_of_many() -> None:
    query, vectors = drawn(np.random.default_rng(1), 50_000, 512, "plain")
    left = rounded(vectors).nearest(Asked(query), [np.arange(50_000)], 10)
    assert 10 <= len(left) < 600
    assert set(np.argsort(-exact_cosines(query, vectors))[:10]) <= set(left)

"""Sifting by rounded rows against exact arithmetic: nothing that is among the best may be left out."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.test_vectors import drawn

from bucketlens.index.graph import Graph, build
from bucketlens.index.rounded import _KERNEL_ERROR, Asked, Rounded, query_int8, to_int8, turn
from bucketlens.index.vectors import cosines_among, exact_cosines, ranked


def rounded(vectors: np.ndarray) -> Rounded:
    small = to_int8(vectors)
    return Rounded(small, turn(vectors, small))


def angles(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """In float64, by the sine where that is exact and by the cosine elsewhere."""
    one, others = one.astype(np.float64), others.astype(np.float64)
    cosines = others @ one / np.linalg.norm(others, axis=1) / np.linalg.norm(one)
    off = others / np.linalg.norm(others, axis=1, keepdims=True) - one / np.linalg.norm(one)
    return np.asarray(np.where(cosines > 0.5, 2 * np.arcsin(np.linalg.norm(off, axis=1) / 2), np.arccos(cosines)))


@pytest.mark.parametrize("shape", ["plain", "spiky", "near"])
@pytest.mark.parametrize("dimension", [1, 3, 24, 512, 1_536])
def test_no_row_is_turned_by_more_than_it_says(dimension: int, shape: str) -> None:
    _, vectors = drawn(np.random.default_rng(dimension), 400, dimension, shape)
    small = to_int8(vectors)
    turned = max(angles(row, form[None, :])[0] for row, form in zip(vectors, small, strict=True))
    assert turned <= turn(vectors, small) <= turned * 1.5 + 1e-3
    for row in vectors[:50].astype(np.float32):
        asked = Asked(row)
        turned = angles(row, asked.rounded[None, :])[0]
        assert turned <= asked.turn <= turned + 1e-3
    assert turn(np.zeros((1, dimension), np.float32), np.zeros((1, dimension), np.int8)) == 0
    assert Asked(np.zeros(dimension, np.float32)).turn < 1e-5


@pytest.mark.parametrize("dimension", [3, 24, 512, 2_048])
def test_the_kernel_errs_by_less_than_it_is_trusted(dimension: int) -> None:
    query, vectors = drawn(np.random.default_rng(dimension), 2_000, dimension, "plain")
    asked, small = query_int8(query), to_int8(vectors)
    wide, own = small.astype(np.float64), asked.astype(np.float64)
    true = wide @ own / np.linalg.norm(wide, axis=1) / math.sqrt(own @ own)
    assert np.abs(cosines_among(asked, small, np.arange(2_000)) - true).max() < _KERNEL_ERROR / 10


@pytest.mark.parametrize("dimension", [16, 512, 2_048])
def test_the_graph_errs_by_less_than_it_is_trusted_and_what_it_finds_is_cut_where_nothing_is_lost(
    dimension: int, tmp_path: Path
) -> None:
    query, vectors = drawn(np.random.default_rng(dimension), 3_000, dimension, "plain")
    build(vectors, 1, tmp_path / "graph", lambda links, asking: None)
    graph, asked, held = Graph.map(tmp_path / "graph", dimension)[0], Asked(query), rounded(vectors)
    rows, apart = graph.nearest(asked, 500)
    assert (np.diff(apart) >= 0).all()
    wide, own = held.rows[rows].astype(np.float64), asked.rounded.astype(np.float64)
    true = 1 - wide @ own / np.linalg.norm(wide, axis=1) / math.sqrt(own @ own)
    assert np.abs(apart - true).max() < _KERNEL_ERROR / 10
    for k in (1, 10, 100, 500, 600):
        kept = rows[: held.within(asked, apart, k)]
        best = rows[np.argsort(-exact_cosines(query, vectors[rows]), kind="stable")[:k]]
        assert set(best.tolist()) <= set(kept.tolist())
    assert held.within(asked, apart, 10) < 450


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
    assert len(found) <= len(every.nearest(asked, [numbers[places]], 10)) + 1
    assert taken.nbytes == every.room(2_000) == 2_000 * (dimension + 4)


@pytest.mark.parametrize("dimension", [3, 24, 512, 2_048])
def test_products_err_by_less_than_the_kernel_is_trusted(dimension: int) -> None:
    query, vectors = drawn(np.random.default_rng(dimension), 2_000, dimension, "plain")
    asked, small = Asked(query), to_int8(vectors)
    wide, own = small.astype(np.float64), asked.rounded.astype(np.float64)
    true = wide @ own / np.linalg.norm(wide, axis=1) / math.sqrt(own @ own)
    found = Rounded(small, 0.0).taken(np.arange(2_000)).cosines(asked, np.arange(2_000))
    assert np.abs(found - true).max() < _KERNEL_ERROR / 10


def test_few_rows_are_left_of_many() -> None:
    query, vectors = drawn(np.random.default_rng(1), 50_000, 512, "plain")
    left = rounded(vectors).nearest(Asked(query), [np.arange(50_000)], 10)
    assert 10 <= len(left) < 600
    assert set(np.argsort(-exact_cosines(query, vectors))[:10]) <= set(left)

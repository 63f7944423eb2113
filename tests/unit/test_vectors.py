"""Scans against plain arithmetic over the same bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucketlens.index.vectors import SUMMING_ERROR, TIES, cosines_among, exact_cosines, ranked, slack


def drawn(rng: np.random.Generator, rows: int, dimension: int, shape: str) -> tuple[np.ndarray, np.ndarray]:
    """A unit query and unit float16 rows: Gaussian, with few large components, or all near the query."""
    query, wide = rng.standard_normal(dimension), rng.standard_normal((rows, dimension))
    if shape == "spiky":
        query, wide = query**5, wide**5
    if shape == "near":
        wide = query + 0.02 * wide
    query /= np.linalg.norm(query)
    return query.astype(np.float32), (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float16)


def true_cosines(query: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    wide, asked = vectors.astype(np.float64), query.astype(np.float64)
    return np.asarray(wide @ asked / np.maximum(np.linalg.norm(wide, axis=1), 1e-12) / np.linalg.norm(asked))


@pytest.mark.parametrize("shape", ["plain", "spiky", "near"])
@pytest.mark.parametrize("dimension", [3, 24, 512, 1_536])
def test_a_rough_score_errs_by_no_more_than_it_says(dimension: int, shape: str) -> None:
    rng = np.random.default_rng(dimension)
    query, vectors = drawn(rng, 1_500, dimension, shape)
    rough = cosines_among(query.astype(np.float16), vectors, np.arange(1_500))
    error = np.abs(rough - true_cosines(query, vectors)).max()
    assert error <= slack(query) - SUMMING_ERROR * 2 / 3


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 6_000),
    share=st.sampled_from([0.001, 0.03, 0.3, 0.6, 1.0]),
    k=st.integers(1, 50),
    shape=st.sampled_from(["plain", "spiky", "near"]),
)
def test_the_best_of_any_rows_are_the_best_in_exact_arithmetic(
    seed: int, rows: int, share: float, k: int, shape: str
) -> None:
    rng = np.random.default_rng(seed)
    query, vectors = drawn(rng, rows, 24, shape)
    wanted = np.flatnonzero(rng.random(rows) < share)
    found, scores = ranked(query, vectors, [wanted], k)
    right = np.sort(true_cosines(query, vectors[wanted]))[::-1][:k]
    assert (scores[k:] == scores[k - 1 : k]).all(), "those that equal the last"
    found, scores = found[:k], scores[:k]
    assert len(set(found.tolist())) == len(found) == min(k, len(wanted))
    assert set(found.tolist()) <= set(wanted.tolist())
    assert np.allclose(scores, right, atol=1e-6), "no row that was left out is better"
    assert all(
        exact_cosines(query, vectors[row : row + 1])[0] == score for row, score in zip(found, scores, strict=True)
    )


def test_equal_rows_keep_their_order_and_rows_of_zeros_score_nothing() -> None:
    query, vectors = drawn(np.random.default_rng(0), 1, 16, "plain")
    many = np.repeat(vectors, 5_000, axis=0)
    many[::2] = 0
    found, scores = ranked(query, many, [np.arange(5_000)], 7)
    assert found.tolist() == list(range(1, 2 * (7 + TIES), 2)), "and some that equal the last, for their keys to decide"
    assert len(set(scores.tolist())) == 1
    assert set(ranked(query, many, [np.arange(0, 5_000, 2)], 3)[1].tolist()) == {0}
    assert ranked(query, many, [np.zeros(0, np.int64)], 3)[0].tolist() == []

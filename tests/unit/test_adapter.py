"""Metric learning: surely better on rows it has not seen, or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucketlens.errors import InvalidRequest
from bucketlens.model import adapter
from bucketlens.model.adapter import _folds, _some, _sums, average_precision, learn
from bucketlens.model.learned import FOLDS
from bucketlens.model.spread import REACHES, Spread
from bucketlens.projection import project


def clusters(seed: int, labels: int = 8, each: int = 60, dimension: int = 32) -> tuple[np.ndarray, list[str]]:
    """Labels that differ in a few directions, drowned by noise in the others."""
    rng = np.random.default_rng(seed)
    centres = np.zeros((labels, dimension))
    centres[:, :4] = rng.standard_normal((labels, 4))
    noise = rng.standard_normal((labels * each, dimension)) * np.r_[np.full(4, 0.3), np.full(dimension - 4, 1.0)]
    rows = np.repeat(centres, each, axis=0) + noise
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), [f"l{n}" for n in np.repeat(np.arange(labels), each)]


def test_directions_that_only_vary_within_labels_lose_their_weight() -> None:
    vectors, labels = clusters(1)
    learned = learn(vectors, labels, seed=0)
    assert learned.better
    assert learned.after > 1.3 * learned.before
    assert (learned.labels, learned.learned_from, learned.held_out) == (8, 480, 480)
    fresh, same = clusters(1, each=100)
    codes = np.unique(same, return_inverse=True)[1]
    assert average_precision(project(fresh, learned.matrix), codes).mean() > 1.2 * learned.before


def test_labels_that_mean_something_are_believed_with_twelve_images_each() -> None:
    kept = [learn(*clusters(seed, each=12), seed=seed).better for seed in range(10)]
    assert sum(kept) >= 9


def test_the_same_rows_and_seed_give_the_same_matrix() -> None:
    vectors, labels = clusters(2)
    assert np.array_equal(learn(vectors, labels, seed=3).matrix, learn(vectors, labels, seed=3).matrix)


@pytest.mark.parametrize("each", [6, 30])
def test_labels_that_mean_nothing_are_refused(each: int) -> None:
    kept = 0
    for seed in range(12):
        vectors, labels = clusters(seed, each=each)
        learned = learn(vectors, list(np.random.default_rng(seed).permutation(np.array(labels))), seed=seed)
        assert abs(learned.after - learned.before) < 0.1
        kept += learned.better
    assert kept <= 1


def test_a_row_alone_with_its_label_in_a_fold_is_never_dealt() -> None:
    rng = np.random.default_rng(0)
    codes = rng.permutation(np.repeat(np.arange(30), rng.integers(5, 40, 30)))
    folds = _folds(codes, rng)
    assert set(folds.tolist()) == set(range(FOLDS))
    assert np.unique(np.stack([codes, folds]), axis=1, return_counts=True)[1].min() >= 2
    per_fold = np.bincount(folds)
    assert per_fold.max() < 1.3 * per_fold.min()


@pytest.mark.parametrize(("labels", "each", "expected"), [(3, 2_000, 999), (500, 12, 1_000), (40, 20, 800)])
def test_rows_that_are_compared_are_bounded_and_even(labels: int, each: int, expected: int) -> None:
    codes = np.repeat(np.arange(labels), each)
    rows = _some(codes, np.random.default_rng(0).permutation(len(codes)))
    assert len(rows) == len(set(rows.tolist())) == expected
    counts = np.bincount(codes[rows])
    assert counts[counts > 0].min() >= min(each, 10)


def test_many_rows_are_all_learned_from_and_some_of_them_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "_JUDGED", 40)
    learned = learn(*clusters(7, labels=4, each=200), seed=0)
    assert (learned.learned_from, learned.held_out) == (800, 200)


def test_sums_of_folds_give_the_scatter_of_their_rows() -> None:
    vectors, labels = clusters(8, labels=4, each=30)
    codes = np.unique(labels, return_inverse=True)[1]
    parts = [_sums(vectors.astype(np.float32), codes, rows, 4) for rows in np.array_split(np.arange(120), 3)]
    spread = Spread.of_sums(*(sum(part) for part in zip(*parts, strict=True)))
    centres = np.stack([vectors[codes == code].mean(axis=0) for code in range(4)])[codes]
    apart, offsets = vectors - centres, centres - vectors.mean(axis=0)
    assert np.allclose(spread.within, apart.T @ apart / 120, atol=1e-6)
    assert np.allclose(spread.between, offsets.T @ offsets / 120, atol=1e-6)
    assert all(np.array_equal(one, spread.matrix(reach)) for one, reach in zip(spread.matrices(), REACHES, strict=True))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(codes=st.lists(st.integers(0, 3), min_size=2, max_size=30), seed=st.integers(0, 99))
def test_average_precision_is_the_mean_precision_at_each_like(codes: list[int], seed: int) -> None:
    vectors = np.random.default_rng(seed).standard_normal((len(codes), 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for row, found in enumerate(average_precision(vectors, np.array(codes))):
        others = [other for other in range(len(codes)) if other != row]
        others.sort(key=lambda other: -float(vectors[row] @ vectors[other]))
        like = [codes[other] == codes[row] for other in others]
        expected = np.mean([np.mean(like[: at + 1]) for at, hit in enumerate(like) if hit]) if any(like) else 0.0
        assert found == pytest.approx(expected)


def test_rare_labels_are_left_out_and_too_few_labels_are_refused() -> None:
    vectors, labels = clusters(5, labels=3, each=20)
    labels[:2] = ["rare", "rarer"]
    assert learn(vectors, labels, seed=0).labels == 3
    with pytest.raises(InvalidRequest) as caught:
        learn(vectors, ["same"] * len(labels), seed=0)
    assert caught.value.code == "too_few_labels"


def test_projecting_in_two_steps_is_projecting_by_the_product() -> None:
    rng = np.random.default_rng(6)
    first, second = (rng.standard_normal((16, 16)).astype(np.float32) for _ in range(2))
    vectors = rng.standard_normal((5, 16)).astype(np.float32)
    assert np.allclose(project(project(vectors, first), second), project(vectors, first @ second), atol=1e-5)
    assert not project(np.zeros((1, 16)), first).any()

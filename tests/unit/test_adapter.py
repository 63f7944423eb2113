"""Metric learning: better on rows it has not seen, or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from bucketlens.errors import InvalidRequest
from bucketlens.model.adapter import learn
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
    assert (learned.labels, learned.learned_from + learned.held_out) == (8, 480)


def test_the_same_rows_and_seed_give_the_same_matrix() -> None:
    vectors, labels = clusters(2)
    assert np.array_equal(learn(vectors, labels, seed=3).matrix, learn(vectors, labels, seed=3).matrix)


def test_labels_that_mean_nothing_bring_no_real_gain() -> None:
    vectors, labels = clusters(4)
    shuffled = list(np.random.default_rng(0).permutation(np.array(labels)))
    learned = learn(vectors, shuffled, seed=0)
    assert learned.after - learned.before < 0.1


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

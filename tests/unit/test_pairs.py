"""Metric learning from pairs: better on images it has not seen, or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucketlens.errors import InvalidRequest
from bucketlens.model.pairs import Pair, _groups, _judge, _split, learn_pairs
from bucketlens.projection import project


def rows(seed: int, things: int = 120, dimension: int = 32) -> np.ndarray:
    """Two rows of each thing, side by side: alike in a few directions, drowned by noise in the others."""
    rng = np.random.default_rng(seed)
    centres = np.zeros((things, dimension))
    centres[:, :4] = rng.standard_normal((things, 4))
    noise = rng.standard_normal((2 * things, dimension)) * np.r_[np.full(4, 0.2), np.full(dimension - 4, 1.0)]
    found = np.repeat(centres, 2, axis=0) + noise
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def pairs(things: int = 120, across: int = 12) -> list[Pair]:
    same = [Pair(2 * thing, 2 * thing + 1, True) for thing in range(things)]
    return same + [
        Pair(2 * thing, 2 * ((thing + step) % things), False) for thing in range(things) for step in range(1, across)
    ]


def test_directions_in_which_the_same_differ_lose_their_weight() -> None:
    vectors = rows(1)
    learned = learn_pairs(vectors, pairs(), seed=0)
    assert learned.better
    assert learned.after > learned.before + 0.1
    fresh = rows(2)
    assert _judge(fresh, pairs(), learned.matrix) > _judge(fresh, pairs(), np.eye(32, dtype=np.float32)) + 0.1


def test_the_same_pairs_and_seed_give_the_same_matrix() -> None:
    assert np.array_equal(learn_pairs(rows(3), pairs(), seed=5).matrix, learn_pairs(rows(3), pairs(), seed=5).matrix)


def test_pairs_that_mean_nothing_bring_no_real_gain() -> None:
    rng = np.random.default_rng(0)
    said = [Pair(pair.one, pair.other, bool(rng.integers(2))) for pair in pairs() if not pair.same]
    alone = [Pair(240 + 2 * n, 241 + 2 * n, n % 2 == 0) for n in range(200)]
    learned = learn_pairs(rows(4, things=400), [*said[:40], *alone], seed=0)
    assert learned.after - learned.before < 0.2


def test_no_image_is_judged_that_something_was_learned_from() -> None:
    rng = np.random.default_rng(1)
    given_pairs = pairs()
    groups = _groups(240, given_pairs)
    parts = _split(given_pairs, groups, rng)
    images = [{row for pair in part for row in (pair.one, pair.other)} for part in parts]
    assert not images[0] & images[1]
    assert not (images[0] | images[1]) & images[2]
    assert sum(pair.same for part in parts for pair in part) == 120


@settings(max_examples=50, deadline=None, derandomize=True)
@given(joined=st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19), st.booleans()), max_size=30))
def test_rows_are_of_one_group_just_when_same_pairs_lead_from_one_to_the_other(
    joined: list[tuple[int, int, bool]],
) -> None:
    reach = np.eye(20, dtype=bool)
    for one, other, same in joined:
        reach[one, other] |= same
        reach[other, one] |= same
    for _ in range(5):
        reach = (reach.astype(int) @ reach.astype(int)) > 0
    groups = _groups(20, [Pair(*pair) for pair in joined])
    assert np.array_equal(groups[:, None] == groups, reach)


def test_judging_is_the_share_of_couples_in_order() -> None:
    angles = np.array([0.0, 0.1, 0.5, 1.5, 0.3])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    said = [Pair(0, 1, True), Pair(0, 3, True), Pair(0, 2, False), Pair(0, 4, False)]
    assert _judge(vectors, said, np.eye(2, dtype=np.float32)) == pytest.approx(0.5)
    assert _judge(vectors, [*said, Pair(1, 0, False)], np.eye(2, dtype=np.float32)) == pytest.approx((2.5 + 0) / 6)


def test_too_few_pairs_or_pairs_that_hang_together_are_refused() -> None:
    few = pairs()[:10]
    chained = [Pair(n, n + 1, True) for n in range(200)] + [Pair(n, n + 7, False) for n in range(200)]
    for given_pairs in ([], few, chained):
        with pytest.raises(InvalidRequest) as caught:
            learn_pairs(rows(6), given_pairs, seed=0)
        assert caught.value.code == "too_few_pairs"
    assert np.isfinite(project(rows(6), learn_pairs(rows(6), pairs(), seed=0).matrix)).all()

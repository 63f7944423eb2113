"""Metric learning from pairs: surely better on images it has not seen, or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucketlens.errors import InvalidRequest
from bucketlens.model.pairs import Pair, _Paired, _units, learn_pairs, placements
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
    fresh = project(rows(2), learned.matrix)
    scores = np.array([float(fresh[pair.one] @ fresh[pair.other]) for pair in pairs()])
    assert placements(scores, np.array([pair.same for pair in pairs()])).mean() > learned.before + 0.1


def test_the_same_pairs_and_seed_give_the_same_matrix() -> None:
    assert np.array_equal(learn_pairs(rows(3), pairs(), seed=5).matrix, learn_pairs(rows(3), pairs(), seed=5).matrix)


def test_pairs_that_mean_nothing_are_refused() -> None:
    kept = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        said = [Pair(pair.one, pair.other, bool(rng.integers(2))) for pair in pairs() if not pair.same]
        alone = [Pair(240 + 2 * n, 241 + 2 * n, bool(rng.integers(2))) for n in range(200)]
        learned = learn_pairs(rows(seed, things=400), [*said[:40], *alone], seed=seed)
        kept += learned.better
    assert kept <= 1


def test_no_image_is_judged_that_something_was_learned_from() -> None:
    examples = _Paired(rows(0), pairs(), np.random.default_rng(1))
    images = [set(examples._ends[held].ravel().tolist()) for held in examples._held]
    assert sum(map(len, images)) == len(set.union(*images)) == 240
    assert sum(int(examples._same[held].sum()) for held in examples._held) == 120
    assert sum(float(weights.sum()) for weights in examples.weights) == pytest.approx(1)
    changed = examples._vectors.copy()
    changed[sorted(images[2])] = 0
    before, examples._vectors = examples.spread((2,)), changed
    assert np.array_equal(before.within, examples.spread((2,)).within)
    assert np.array_equal(before.between, examples.spread((2,)).between)


def test_pairs_of_images_that_no_other_pair_names_are_all_judged() -> None:
    said = [Pair(2 * n, 2 * n + 1, n % 2 == 0) for n in range(120)]
    assert learn_pairs(rows(7), said, seed=0).held_out == 120


@settings(max_examples=50, deadline=None, derandomize=True)
@given(joined=st.lists(st.tuples(st.integers(0, 59), st.integers(0, 59), st.booleans()), max_size=60))
def test_same_pairs_join_their_rows_and_different_ones_only_what_stays_small(
    joined: list[tuple[int, int, bool]],
) -> None:
    reach = np.eye(60, dtype=bool)
    for one, other, same in joined:
        reach[one, other] |= same
        reach[other, one] |= same
    for _ in range(6):
        reach = (reach.astype(int) @ reach.astype(int)) > 0
    units = _units(60, [Pair(*pair) for pair in joined])
    together = units[:, None] == units
    assert together[reach].all()
    assert (together.sum(axis=1) <= np.maximum(reach.sum(axis=1), 3)).all()


@settings(max_examples=50, deadline=None, derandomize=True)
@given(said=st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=20))
def test_placements_are_shares_of_couples_in_order(said: list[tuple[int, bool]]) -> None:
    scores, same = np.array([float(score) for score, _ in said]), np.array([kind for _, kind in said])
    if same.all() or not same.any():
        return
    above = (scores[same][:, None] > scores[~same]) + (scores[same][:, None] == scores[~same]) / 2
    found = placements(scores, same)
    assert found[same] == pytest.approx(above.mean(axis=1))
    assert found[~same] == pytest.approx(above.mean(axis=0))


def test_too_few_pairs_or_pairs_that_hang_together_are_refused() -> None:
    few = pairs()[:10]
    chained = [Pair(n, n + 1, True) for n in range(200)] + [Pair(n, n + 7, False) for n in range(200)]
    for given_pairs in ([], few, chained):
        with pytest.raises(InvalidRequest) as caught:
            learn_pairs(rows(6), given_pairs, seed=0)
        assert caught.value.code == "too_few_pairs"
    assert np.isfinite(project(rows(6), learn_pairs(rows(6), pairs(), seed=0).matrix)).all()

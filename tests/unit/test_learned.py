"""Cross-validation: nothing is judged by what was learned from it, the cost is fixed, and a gain has an error."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import pytest

from bucketlens.model.learned import FOLDS, Learned, _error, cross_validated
from bucketlens.model.spread import REACHES, Spread


class Witness:
    """Examples of fold f differ in direction f alone, so that the matrix tells which folds it was learned from."""

    samples = 1

    def __init__(self) -> None:
        self.weights: Sequence[npt.NDArray[np.float64]] = [np.full(4, 0.05)] * FOLDS
        self.clusters: Sequence[npt.NDArray[np.int64]] = [np.arange(4) + 4 * fold for fold in range(FOLDS)]
        self.learned: list[tuple[int, ...]] = []
        self.judged = 0

    def spread(self, without: Collection[int]) -> Spread:
        self.learned.append(tuple(without))
        return Spread(np.diag([0.1 if fold in without else 10.0 for fold in range(FOLDS)]), np.eye(FOLDS))

    def judge(self, fold: int, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        self.judged += 1
        assert matrix[fold, fold] == matrix.max(), "the matrix was learned from the fold it is judged on"
        return np.full(4, float(not np.allclose(matrix, np.eye(FOLDS))))


def test_no_fold_is_judged_by_a_matrix_that_was_learned_from_it_and_the_rounds_are_counted() -> None:
    witness = Witness()
    found = cross_validated(witness, FOLDS)
    assert len(witness.learned) == len(set(witness.learned)) == 15
    assert witness.judged == 20 * len(REACHES) + 2 * FOLDS
    assert (found.before, found.after, found.error) == (0.0, pytest.approx(1.0), pytest.approx(0.0))


def test_the_error_is_the_standard_error_of_independent_examples_and_copies_add_no_certainty() -> None:
    gains = np.random.default_rng(0).standard_normal(50)
    influences = (gains - gains.mean()) / 50
    plain = _error(influences, np.arange(50))
    assert plain == pytest.approx(gains.std(ddof=1) / 50**0.5)
    assert _error(np.tile(influences, 3) / 3, np.tile(np.arange(50), 3)) == pytest.approx(plain)


@pytest.mark.parametrize(
    ("after", "error", "better", "words"),
    [
        (0.55, 0.02, True, "+0.050, give or take 0.020."),
        (0.55, 0.03, False, "+0.050, give or take 0.030. Refused: that may be chance"),
        (0.45, 0.01, False, "-0.050, give or take 0.010. Refused: it is no better."),
        (0.50, 0.00, False, "+0.000, give or take 0.000. Refused: it is no better."),
    ],
)
def test_a_gain_that_may_be_chance_is_refused_in_words(after: float, error: float, better: bool, words: str) -> None:
    learned = Learned(np.eye(2, dtype=np.float32), "", 0.5, after, error, 2, 10, 10, REACHES[0])
    assert learned.better is better
    assert learned.verdict.startswith(f"0.500 before, {after:.3f} after: {words}")

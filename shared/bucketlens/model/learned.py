"""What was learned and whether it is better: cross-validation of matrices, with the error of the gain.

Examples are dealt to five folds. For each fold a matrix is learned from the other four and judged on the fold; how far
it reaches is chosen within the four, by what matrices of three of them do on the one left out. So every example is
judged once, by a matrix that nothing about it went into. What ships is learned from all examples, with the reach that
did best over all those choices.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bucketlens.model.spread import REACHES, Floats, Reach, Spread
from bucketlens.projection import Matrix

FOLDS = 5
CERTAINTY = 2.0
"""How many times its own standard error a gain must be.

Measured on four groups of related classes (layers/model/recipe/chance.py): of matrices learned from shuffled labels 3
in 100 pass, at 1.5 times 4 and at 1 time 18; of those from 25 images a class, which all gain, 73 in 100, 85 and 94.
"""


class Examples(Protocol):
    """Labelled rows or pairs, dealt to folds. For each fold: the ``weights`` of what ``judge`` returns, which add up to
    1 over all folds, and a number of the ``clusters`` that are correlated among themselves but not with others.
    ``samples``: how many independent samples each judgement compares."""

    weights: Sequence[Floats]
    clusters: Sequence[npt.NDArray[np.int64]]
    samples: int

    def spread(self, without: Collection[int]) -> Spread:
        """Of the examples of all folds but those."""
        ...

    def judge(self, fold: int, matrix: Matrix) -> Floats:
        """How good the matrix is for each example of a fold, the more the better."""
        ...


@dataclass(frozen=True, slots=True)
class Judgement:
    """The ``reach`` to take, and what examples that nothing was learned from say about such matrices."""

    reach: Reach
    before: float
    after: float
    error: float


@dataclass(frozen=True, slots=True)
class Learned:
    """``matrix`` is (d, d), to be applied as ``vectors @ matrix``; apply it, then normalise.

    ``before`` and ``after`` are means of what ``measure`` names, over all that was held out in turn, and ``error`` is
    the standard error of their difference. ``learned_from`` and ``held_out`` count rows, or pairs (then ``labels`` is
    0).
    """

    matrix: Matrix
    measure: str
    before: float
    after: float
    error: float
    labels: int
    learned_from: int
    held_out: int
    reach: Reach

    @property
    def better(self) -> bool:
        """Whether the gain on what was held out is surely more than chance."""
        return self.after - self.before > CERTAINTY * self.error

    @property
    def verdict(self) -> str:
        """The gain and its error; when it is not kept, why, and what would help."""
        gain = self.after - self.before
        told = f"{self.before:.3f} before, {self.after:.3f} after: {gain:+.3f}, give or take {self.error:.3f}."
        if self.better:
            return told
        if round(gain, 3) <= 0:
            return f"{told} Refused: it is no better."
        return (
            f"{told} Refused: that may be chance, a gain must be over {CERTAINTY:g} times its error. More may show it."
        )


def cross_validated(examples: Examples, dimension: int) -> Judgement:
    """Learns 15 times: without each two folds to choose, without each one to judge; each time 5 eigendecompositions at
    most. Compares 25 times: 20 times with all of ``REACHES``."""
    chosen = _choices(examples)
    identity = np.eye(dimension, dtype=np.float32)
    before, gains = [], []
    for fold in range(FOLDS):
        reach = REACHES[int(np.argmax(chosen[fold]))]
        before.append(examples.judge(fold, identity))
        gains.append(examples.judge(fold, examples.spread((fold,)).matrix(reach)) - before[-1])
    weights, gained = np.concatenate(list(examples.weights)), np.concatenate(gains)
    start, gain = float(weights @ np.concatenate(before)), float(weights @ gained)
    return Judgement(
        reach=REACHES[int(np.argmax(chosen.sum(axis=0)))],
        before=start,
        after=start + gain,
        error=_error(examples.samples * weights * (gained - gain), np.concatenate(list(examples.clusters))),
    )


def _choices(examples: Examples) -> Floats:
    """(folds, reaches): how good each reach is for whoever may not see that fold. A matrix learned without two folds
    is judged on each of them, on behalf of the other."""
    chosen = np.zeros((FOLDS, len(REACHES)))
    for one, other in combinations(range(FOLDS), 2):
        for at, matrix in enumerate(examples.spread((one, other)).matrices()):
            chosen[one, at] += examples.weights[other] @ examples.judge(other, matrix)
            chosen[other, at] += examples.weights[one] @ examples.judge(one, matrix)
    return chosen


def _error(influences: Floats, clusters: npt.NDArray[np.int64]) -> float:
    """Standard error of a mean, or of a comparison of two samples, from what each example adds to it, robust to
    correlation within clusters (Liang and Zeger, 1986; for placements of two samples Obuchowski, 1997)."""
    _, numbers = np.unique(clusters, return_inverse=True)
    sums = np.bincount(numbers, weights=influences)
    return float(np.sqrt((sums**2).sum() * len(sums) / max(len(sums) - 1, 1)))

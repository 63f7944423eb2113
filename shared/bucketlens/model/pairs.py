"""Metric learning from pairs of images that are said to show the same, or different, things.

Judged and chosen by cross-validation (``learned``), by how often a same pair is nearer than a different one. The
matrices are those of ``spread``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bucketlens.errors import InvalidRequest
from bucketlens.model.learned import FOLDS, Learned, cross_validated
from bucketlens.model.spread import Floats, Spread
from bucketlens.projection import Matrix, project

MIN_PAIRS = 2
"""Pairs of each kind that every fold needs at least, each of its own images."""
_UNITS_PER_FOLD = 4

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rows, and whether they show the same."""

    one: int
    other: int
    same: bool


def learn_pairs(vectors: npt.NDArray[np.floating], pairs: Sequence[Pair], *, seed: int) -> Learned:
    """The best matrix for (n, d) unit vectors with these pairs among them, learned from all of them.

    Judged by the share of (same, different) couples of pairs in which the same one is nearer (ties count half), on
    pairs whose images no other pair brought into learning: images joined by same pairs stay in one fold, and different
    pairs across folds are not judged. Raises InvalidRequest when that leaves too few. Cost: 16 times O(n d^2 + d^3),
    and every row 66 times through a matrix.
    """
    wide = np.asarray(vectors, dtype=np.float32)
    examples = _Paired(wide, pairs, np.random.default_rng(seed))
    judged = cross_validated(examples, wide.shape[1])
    return Learned(
        matrix=examples.spread(()).matrix(judged.reach),
        measure="same before different",
        before=judged.before,
        after=judged.after,
        error=judged.error,
        labels=0,
        learned_from=len(pairs),
        held_out=sum(map(len, examples.weights)),
        reach=judged.reach,
    )


class _Paired:
    """Pairs dealt to folds by the units of their images, which are the clusters; those across two folds are learned
    from while neither is held out."""

    samples = 2

    def __init__(self, vectors: npt.NDArray[np.float32], pairs: Sequence[Pair], rng: np.random.Generator) -> None:
        units = _units(len(vectors), pairs)
        self._vectors = vectors
        self._ends = np.array([(pair.one, pair.other) for pair in pairs], np.int64).reshape(-1, 2)
        self._same = np.array([pair.same for pair in pairs], bool)
        self._folds = _folds(units, self._ends, self._same, rng)[self._ends]
        self._held = [np.flatnonzero((self._folds == fold).all(axis=1)) for fold in range(FOLDS)]
        self._refuse_few(len(np.unique(units)))
        totals = np.bincount(self._same[np.concatenate(self._held)], minlength=2)
        self.weights: Sequence[Floats] = [0.5 / totals[self._same[held].astype(int)] for held in self._held]
        self.clusters: Sequence[Numbers] = [units[self._ends[held, 0]] for held in self._held]

    def spread(self, without: Collection[int]) -> Spread:
        learned = ~np.isin(self._folds, list(without)).any(axis=1)
        images = self._vectors[np.unique(self._ends[learned])].astype(np.float64)
        apart = [
            (self._vectors[self._ends[kind, 0]] - self._vectors[self._ends[kind, 1]]).astype(np.float64)
            for kind in (learned & self._same, learned & ~self._same)
        ]
        return Spread.of_pairs(images, *apart)

    def judge(self, fold: int, matrix: Matrix) -> Floats:
        held = self._held[fold]
        rows, places = np.unique(self._ends[held], return_inverse=True)
        moved = project(self._vectors[rows], matrix)
        one, other = (moved[side] for side in places.reshape(-1, 2).T)
        return placements(np.einsum("nd,nd->n", one, other), self._same[held])

    def _refuse_few(self, units: int) -> None:
        kinds = [np.bincount(self._same[held], minlength=2).min() for held in self._held]
        if min(kinds) < MIN_PAIRS:
            raise InvalidRequest(
                f"{self._same.sum()} same and {(~self._same).sum()} different pairs of {units} unrelated groups of "
                "images are too few to learn from and to check it on others.",
                code="too_few_pairs",
                remedy="Give more pairs of both kinds, and of images that other pairs do not name.",
            )


def placements(scores: npt.NDArray[np.floating], same: npt.NDArray[np.bool_]) -> Floats:
    """Of each same pair, the share of the different ones with a lower score; of each different pair, the share of the
    same ones with a higher score; ties count half. The mean over either kind is the area under the ROC curve."""
    found = np.zeros(len(scores))
    for kind, sign in ((same, 1), (~same, -1)):
        beaten = np.sort(sign * scores[~kind])
        asked = sign * scores[kind]
        found[kind] = np.searchsorted(beaten, asked, "left") + np.searchsorted(beaten, asked, "right")
        found[kind] /= 2 * len(beaten)
    return found


def _units(rows: int, pairs: Sequence[Pair]) -> Numbers:
    """A number for each row, the same for rows that must stay in one fold (union-find with path halving).

    Those are the rows that same pairs join; different pairs join what stays small, so that few are torn by the folds.
    """
    parent, size = np.arange(rows), np.ones(rows, np.int64)

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = int(parent[row])
        return row

    for pair in sorted(pairs, key=lambda pair: not pair.same):
        one, other = root(pair.one), root(pair.other)
        if one != other and (pair.same or size[one] + size[other] <= rows // (_UNITS_PER_FOLD * FOLDS)):
            parent[one] = other
            size[other] += size[one]
    return np.array([root(row) for row in range(rows)], np.int64)


def _folds(units: Numbers, ends: Numbers, same: npt.NDArray[np.bool_], rng: np.random.Generator) -> Numbers:
    """A fold for each row: units with about as many pairs of either kind are dealt one after the other."""
    counts = np.zeros((len(units), 2), np.int64)
    inside = units[ends[:, 0]] == units[ends[:, 1]]
    np.add.at(counts, (units[ends[inside, 0]], same[inside].astype(int)), 1)
    order = rng.permutation(len(units))
    order = order[np.lexsort(-counts[order].T)]
    dealt = np.zeros(len(units), np.int64)
    order = order[np.isin(order, units)]
    dealt[order] = np.arange(len(order)) % FOLDS
    return dealt[units]

"""Metric learning on labels: a matrix that moves images of one label together and keeps the rest in place.

Judged and chosen by cross-validation (``learned``), by average precision among the held-out rows. The matrices are
those of ``spread``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from bucketlens.errors import InvalidRequest
from bucketlens.model.learned import FOLDS, Learned, cross_validated
from bucketlens.model.spread import Floats, Spread
from bucketlens.projection import Matrix, project

MIN_LABELS = 2
MIN_PER_LABEL = 5
_NEIGHBOURS = 100
_CHUNK = 1_024
_JUDGED = 1_000
"""Rows of a fold that are judged, at most: each is compared with every other one of them."""
_JUDGED_PER_LABEL = 10
"""Rows of a label among them, at least, where it has as many: rather fewer labels than rows that have no like."""

Codes = npt.NDArray[np.int64]


def learn(vectors: npt.NDArray[np.floating], labels: Sequence[str], *, seed: int) -> Learned:
    """The best matrix for (n, d) unit vectors with a label each, learned from all of them.

    Raises InvalidRequest with fewer than two labels of at least five rows; rows of rarer labels are left out. Cost:
    O(n d^2) once, 16 times O(c d^2 + d^3) for c labels, and 330 comparisons of at most 1,000 rows among themselves.
    """
    codes, kept = _codes(labels)
    rng = np.random.default_rng(seed)
    codes = rng.permutation(int(codes.max()) + 1)[codes]
    examples = _Labelled(np.asarray(vectors, dtype=np.float32)[kept], codes, rng)
    judged = cross_validated(examples, examples.dimension)
    return Learned(
        matrix=examples.spread(()).matrix(judged.reach),
        measure="average precision",
        before=judged.before,
        after=judged.after,
        error=judged.error,
        labels=int(codes.max()) + 1,
        learned_from=len(codes),
        held_out=sum(map(len, examples.weights)),
        reach=judged.reach,
    )


class _Labelled:
    """Rows dealt to folds, of which sums are kept to learn from and some rows to judge by.

    Rows of one label in one fold, which share most of their neighbours and the matrix, are a cluster.
    """

    samples = 1

    def __init__(self, vectors: npt.NDArray[np.float32], codes: Codes, rng: np.random.Generator) -> None:
        folds = _folds(codes, rng)
        labels, self.dimension = int(codes.max()) + 1, vectors.shape[1]
        self._sums = [_sums(vectors, codes, np.flatnonzero(folds == fold), labels) for fold in range(FOLDS)]
        judged = [_some(codes, rng.permutation(np.flatnonzero(folds == fold))) for fold in range(FOLDS)]
        self._vectors = [vectors[rows] for rows in judged]
        self._codes = [codes[rows] for rows in judged]
        self.weights: Sequence[Floats] = [np.full(len(rows), 1 / sum(map(len, judged))) for rows in judged]
        self.clusters: Sequence[Codes] = [fold * labels + codes for fold, codes in enumerate(self._codes)]

    def spread(self, without: Collection[int]) -> Spread:
        kept = [sums for fold, sums in enumerate(self._sums) if fold not in without]
        return Spread.of_sums(*(sum(parts[1:], parts[0]) for parts in zip(*kept, strict=True)))

    def judge(self, fold: int, matrix: Matrix) -> Floats:
        return average_precision(project(self._vectors[fold], matrix), self._codes[fold])


def _codes(labels: Sequence[str]) -> tuple[Codes, Codes]:
    """Labels as numbers from 0, and the rows they belong to; rows of rare labels are left out."""
    names, codes, counts = np.unique(
        np.asarray(labels, dtype=object).astype(str), return_inverse=True, return_counts=True
    )
    kept = np.flatnonzero(counts[codes] >= MIN_PER_LABEL)
    if np.count_nonzero(counts >= MIN_PER_LABEL) < MIN_LABELS:
        raise InvalidRequest(
            f"There are {len(names)} labels, fewer than {MIN_LABELS} of them with {MIN_PER_LABEL} images or more.",
            code="too_few_labels",
            value=list(names[:10]),
            remedy="Label more images, or choose a field with fewer different values.",
        )
    _, numbered = np.unique(codes[kept], return_inverse=True)
    return numbered.astype(np.int64), kept


def _folds(codes: Codes, rng: np.random.Generator) -> Codes:
    """A fold for each row. Rows of a label are dealt by twos, an odd one with the last two: none is alone in a fold,
    where there would be nothing to find."""
    folds = np.zeros(len(codes), np.int64)
    for rows in np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1]):
        twos = np.minimum(np.arange(len(rows)) // 2, len(rows) // 2 - 1)
        folds[rng.permutation(rows)] = (rng.integers(FOLDS) + twos) % FOLDS
    return folds


def _some(codes: Codes, rows: Codes) -> Codes:
    """At most ``_JUDGED`` of the rows, the first of each label and about as many of each."""
    rows = rows[np.argsort(codes[rows], kind="stable")]
    counts = np.bincount(codes[rows])
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    most = max(_JUDGED_PER_LABEL, _JUDGED // int(np.count_nonzero(counts)))
    return rows[place < most][:_JUDGED]


def _sums(vectors: npt.NDArray[np.float32], codes: Codes, rows: Codes, labels: int) -> tuple[Floats, Floats, Floats]:
    """What ``Spread.of_sums`` takes, of some rows."""
    sums = np.zeros((labels, vectors.shape[1]))
    squares = np.zeros((vectors.shape[1], vectors.shape[1]))
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        wide = vectors[part].astype(np.float64)
        np.add.at(sums, codes[part], wide)
        squares += wide.T @ wide
    return np.bincount(codes[rows], minlength=labels).astype(np.float64), sums, squares


def average_precision(vectors: npt.NDArray[np.float32], codes: Codes) -> Floats:
    """Of each of (n, d) unit vectors: the mean precision at each other row of its label, by nearness among all others.

    Only the hundred nearest count, and a label that has more rows counts as having a hundred. Whoever has no like gets
    0.
    """
    depth = min(_NEIGHBOURS, len(vectors) - 1)
    others = np.bincount(codes)[codes] - 1
    found = []
    for start in range(0, len(vectors), _CHUNK):
        scores = vectors[start : start + _CHUNK] @ vectors.T
        rows = np.arange(len(scores))[:, None]
        scores[rows[:, 0], start + rows[:, 0]] = -np.inf
        nearest = np.argpartition(-scores, depth - 1, axis=1)[:, :depth]
        nearest = nearest[rows, np.argsort(-scores[rows, nearest], axis=1)]
        hits = codes[nearest] == codes[start + rows]
        found.append((hits * hits.cumsum(axis=1) / np.arange(1, depth + 1)).sum(axis=1))
    return np.asarray(np.concatenate(found) / np.clip(others, 1, depth), dtype=np.float64)

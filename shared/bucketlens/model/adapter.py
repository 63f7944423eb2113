"""Metric learning on stored vectors: a matrix that moves images of one label together and keeps the rest in place.

The matrix is linear discriminant analysis that keeps every dimension: it whitens the scatter *within* labels (Shental
et al., "Adjustment learning and relevant component analysis", ECCV 2002), so that directions in which images of one
label differ anyway count less, then stretches the directions in which labels differ from each other. Shrinkage of the
scatter and a blend with the identity hold it back. Closed form, so the same rows give the same matrix. How far to go is
chosen on part of the training rows; whether it is better at all is judged on rows that nothing was learned from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from bucketlens.errors import InvalidRequest
from bucketlens.projection import Matrix, project

NEIGHBOURS = 10
MIN_LABELS = 2
MIN_PER_LABEL = 5
_SHRINKAGES = (0.1, 0.3, 1.0, 3.0)
_EMPHASES = (0.0, 10.0, 100.0, 1000.0)
_BLENDS = (0.5, 1.0)
_CHUNK = 1_024
_JUDGED = 4_000
"""Rows that ask, at most, when a matrix is judged: each is compared with every other row."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far from the identity: little ``shrinkage``, much ``emphasis`` and a ``blend`` of 1 go furthest."""

    shrinkage: float
    emphasis: float
    blend: float


@dataclass(frozen=True, slots=True)
class Learned:
    """``matrix`` is (d, d), to be applied as ``vectors @ matrix``; apply it, then normalise.

    ``before`` and ``after`` are precision@10 among the held-out rows: the share of the ten nearest with the same label.
    """

    matrix: Matrix
    before: float
    after: float
    labels: int
    learned_from: int
    held_out: int
    reach: Reach

    @property
    def better(self) -> bool:
        """Whether the matrix earned its place on rows it had not seen."""
        return self.after > self.before


def learn(vectors: npt.NDArray[np.floating], labels: Sequence[str], *, seed: int) -> Learned:
    """The best matrix for (n, d) unit vectors with a label each. A fifth of every label's rows is held out.

    Raises InvalidRequest with fewer than two labels of at least five rows; rows of rarer labels are left out. Cost:
    O(n d^2 + d^3) and about twenty times the comparison of at most 4,000 rows with n.
    """
    wide = np.asarray(vectors, dtype=np.float32)
    codes, kept = _codes(labels)
    wide = wide[kept]
    rng = np.random.default_rng(seed)
    training, held_out = _split(codes, rng)
    fitting, choosing = (training[part] for part in _split(codes[training], rng))
    spread = _Spread.of(wide[fitting], codes[fitting])
    reaches = [Reach(*reach) for reach in product(_SHRINKAGES, _EMPHASES, _BLENDS)]
    scores = [_judge(wide[choosing], codes[choosing], spread.matrix(reach), rng) for reach in reaches]
    reach = reaches[int(np.argmax(scores))]
    matrix = _Spread.of(wide[training], codes[training]).matrix(reach)
    identity = np.eye(wide.shape[1], dtype=np.float32)
    return Learned(
        matrix=matrix,
        before=_judge(wide[held_out], codes[held_out], identity, rng),
        after=_judge(wide[held_out], codes[held_out], matrix, rng),
        labels=int(codes.max()) + 1,
        learned_from=len(training),
        held_out=len(held_out),
        reach=reach,
    )


def _codes(labels: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
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


def _split(
    codes: npt.NDArray[np.int64], rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Positions of four fifths and one fifth of each label's rows; the smaller part has one row at least."""
    large, small = [], []
    for code in range(int(codes.max()) + 1):
        rows = rng.permutation(np.flatnonzero(codes == code))
        cut = max(1, len(rows) // 5)
        small.append(rows[:cut])
        large.append(rows[cut:])
    return np.sort(np.concatenate(large)), np.sort(np.concatenate(small))


@dataclass(frozen=True, slots=True)
class _Spread:
    """Mean scatter of the rows around the centre of their label, and of the centres around the mean; both (d, d)."""

    within: npt.NDArray[np.float64]
    between: npt.NDArray[np.float64]

    @classmethod
    def of(cls, vectors: npt.NDArray[np.float32], codes: npt.NDArray[np.int64]) -> _Spread:
        counts = np.bincount(codes).astype(np.float64)
        sums = np.zeros((len(counts), vectors.shape[1]))
        np.add.at(sums, codes, vectors)
        centres = sums / np.maximum(counts, 1)[:, None]
        apart = vectors - centres[codes]
        offsets = centres - vectors.mean(axis=0)
        shares = counts / len(vectors)
        return cls(apart.T @ apart / len(vectors), (offsets.T * shares) @ offsets)

    def matrix(self, reach: Reach) -> Matrix:
        """Whitened, stretched along the discriminants, scaled to the identity's norm, and blended with it."""
        dimension = len(self.within)
        values, axes = np.linalg.eigh(self.within)
        values = np.maximum(values, 0) + reach.shrinkage * max(float(np.trace(self.within)) / dimension, 1e-12)
        whitening = (axes * values**-0.5) @ axes.T
        ratios, discriminants = np.linalg.eigh(whitening @ self.between @ whitening)
        stretch = (discriminants * np.sqrt(1 + reach.emphasis * np.maximum(ratios, 0))) @ discriminants.T
        moved = whitening @ stretch
        moved *= np.sqrt(dimension) / np.linalg.norm(moved)
        return np.asarray(reach.blend * moved + (1 - reach.blend) * np.eye(dimension), dtype=np.float32)


def _judge(
    vectors: npt.NDArray[np.float32], codes: npt.NDArray[np.int64], matrix: Matrix, rng: np.random.Generator
) -> float:
    """Precision among the ten nearest other rows (fewer when a label has fewer), averaged over the rows that ask."""
    moved = project(vectors, matrix)
    asking = np.arange(len(moved)) if len(moved) <= _JUDGED else np.sort(rng.choice(len(moved), _JUDGED, replace=False))
    others = np.bincount(codes)[codes[asking]] - 1
    k = min(NEIGHBOURS, len(moved) - 1)
    hits = []
    for start in range(0, len(asking), _CHUNK):
        rows = asking[start : start + _CHUNK]
        scores = moved[rows] @ moved.T
        scores[np.arange(len(rows)), rows] = -np.inf
        nearest = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        hits.append((codes[nearest] == codes[rows][:, None]).sum(axis=1))
    possible = np.minimum(others, k)
    found = np.concatenate(hits)[possible > 0]
    return float(np.mean(found / possible[possible > 0])) if len(found) else 0.0

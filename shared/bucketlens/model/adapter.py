"""Metric learning on labels: a matrix that moves images of one label together and keeps the rest in place.

How far to go is chosen on part of the training rows; whether it is better at all is judged on rows that nothing was
learned from. The matrices are those of ``spread``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bucketlens.errors import InvalidRequest
from bucketlens.model.spread import REACHES, Reach, Spread
from bucketlens.projection import Matrix, project

NEIGHBOURS = 10
MIN_LABELS = 2
MIN_PER_LABEL = 5
_CHUNK = 1_024
_JUDGED = 4_000
"""Rows that ask, at most, when a matrix is judged: each is compared with every other row."""


@dataclass(frozen=True, slots=True)
class Learned:
    """``matrix`` is (d, d), to be applied as ``vectors @ matrix``; apply it, then normalise.

    ``before`` and ``after`` are what ``measure`` names, on what was held out: precision@10 is the share of the ten
    nearest rows with the same label. ``learned_from`` and ``held_out`` count rows, or pairs (then ``labels`` is 0).
    """

    matrix: Matrix
    measure: str
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
    spread = Spread.of_labels(wide[fitting], codes[fitting])
    scores = [_judge(wide[choosing], codes[choosing], spread.matrix(reach), rng) for reach in REACHES]
    reach = REACHES[int(np.argmax(scores))]
    matrix = Spread.of_labels(wide[training], codes[training]).matrix(reach)
    identity = np.eye(wide.shape[1], dtype=np.float32)
    return Learned(
        matrix=matrix,
        measure=f"precision@{NEIGHBOURS}",
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

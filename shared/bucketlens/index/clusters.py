"""Which rows lie near each other: spherical k-means, so that a search may read only the clusters nearest to its query.

k-means for unit vectors (Dhillon and Modha, "Concept decompositions for large sparse text data", 2001): rows go to the
centroid of the largest cosine, centroids are the directions of their rows' sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bucketlens.index.arrays import Halves
from bucketlens.index.block import Vectors

ROWS_PER_CLUSTER = 250
"""About 250 x 64 bytes of codes are one ranged read of 16 KB, below which the latency of a read is all its cost."""
SINGLE_BELOW = 1_000
"""Fewer rows are one cluster: they are read whole sooner than in pieces."""

_WHOLE = 262_144
"""More rows are divided by a coarse k-means first, and the centroids of each part are learned by themselves."""
_PART = 131_072
_SAMPLE = 64
"""Rows per centroid that Lloyd's rounds look at: more move the centroids by less than their rows' spread."""
_LEAST_SAMPLE = 16_384
_ROUNDS = 8
_CHUNK = 16_384
_SCORES, _LEAST_CHUNK = 2**24, 1_024
"""Rows times centroids whose products are in memory at once, and the fewest rows."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Clustering:
    """``order`` (n,) lists the rows cluster by cluster, in their given order within each; cluster c is
    ``order[firsts[c]:firsts[c + 1]]`` and never empty. Clusters with near centroids stand near each other."""

    order: npt.NDArray[np.int64]
    firsts: npt.NDArray[np.int64]


def cluster(vectors: Vectors, *, seed: int, rows_per_cluster: int = ROWS_PER_CLUSTER) -> Clustering:
    """Clusters of (n, d) float16 rows, n > 0. The same rows and seed give the same clusters on the same machine.

    Cost in float32 products: 0.8 TFLOP for 262,144 x 512, and for 1,048,576, whose every row meets all 4,194 centroids,
    6 TFLOP. Memory for 64 sampled rows a cluster of a part and one chunk.
    """
    count = len(vectors) // rows_per_cluster if len(vectors) >= SINGLE_BELOW else 1
    if count <= 1:
        return Clustering(np.arange(len(vectors)), np.array([0, len(vectors)]))
    parts = _divided(vectors, _learned(vectors, count, np.random.default_rng(seed)))
    return Clustering(np.concatenate(parts), np.cumsum([0, *(len(rows) for rows in parts)]))


def _learned(vectors: Vectors, count: int, rng: np.random.Generator) -> Floats:
    """About ``count`` centroids; near ones stand near each other.

    Those of many rows are learned part by part. But a part's rows need not stay with its centroids: of islands that its
    border cuts, the smaller piece would end in a cluster of another. On 1,048,576 x 512 rows around 2,000 centres a
    third of the rows is nearer to a centroid of another part: 500 rows of the nearest clusters hold 0.87 of the ten
    neighbours when parts keep their rows, 0.997 when every row chooses among all centroids.
    """
    if len(vectors) <= _WHOLE:
        return _trained(vectors, count, rng)
    parts = _divided(vectors, _trained(vectors, -(-len(vectors) // _PART), rng))
    shares = [max(1, count * len(rows) // len(vectors)) for rows in parts]
    learned = [_trained(_Chosen(vectors, rows), share, rng) for rows, share in zip(parts, shares, strict=True)]
    return np.concatenate(learned)


def _trained(vectors: Vectors, count: int, rng: np.random.Generator) -> Floats:
    sample = np.sort(rng.choice(len(vectors), min(len(vectors), max(_LEAST_SAMPLE, _SAMPLE * count)), replace=False))
    return _chained(_lloyd(unit(vectors[sample].astype(np.float32)), count, rng))


def _divided(vectors: Vectors, centroids: Floats) -> list[npt.NDArray[np.int64]]:
    """The rows nearest to each centroid, ascending; of centroids that have any."""
    step = min(_CHUNK, max(_LEAST_CHUNK, _SCORES // len(centroids)))
    nearest = np.concatenate(
        [
            np.argmax(vectors[at : at + step].astype(np.float32) @ centroids.T, axis=1)
            for at in range(0, len(vectors), step)
        ]
    )
    sizes = np.bincount(nearest, minlength=len(centroids))
    return np.split(np.argsort(nearest, kind="stable"), np.cumsum(sizes[sizes > 0])[:-1])


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Some rows of vectors, in ascending order."""

    vectors: Vectors
    rows: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, wanted: slice | npt.NDArray[np.int64]) -> Halves:
        return self.vectors[self.rows[wanted]]


def centroids_of(vectors: Halves, firsts: npt.NDArray[np.int64]) -> Floats:
    """The mean of each cluster's rows, shape (clusters, d); ``vectors`` stand cluster by cluster."""
    spans = zip(firsts[:-1].tolist(), firsts[1:].tolist(), strict=True)
    return np.stack([vectors[start:end].mean(axis=0, dtype=np.float32) for start, end in spans])


def unit(rows: Floats) -> Floats:
    """Rows of length one; a zero row stays zero."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1.0), dtype=np.float32)


def _lloyd(rows: Floats, count: int, rng: np.random.Generator) -> Floats:
    centroids = rows[rng.choice(len(rows), count, replace=False)]
    for _ in range(_ROUNDS):
        nearest = np.empty(len(rows), dtype=np.int64)
        closeness = np.empty(len(rows), dtype=np.float32)
        for at in range(0, len(rows), _CHUNK):
            scores = rows[at : at + _CHUNK] @ centroids.T
            nearest[at : at + _CHUNK] = np.argmax(scores, axis=1)
            closeness[at : at + _CHUNK] = np.max(scores, axis=1)
        filled = np.bincount(nearest, minlength=count) > 0
        centroids[filled] = _sums(rows, nearest, count)[filled]
        empty = np.flatnonzero(~filled)
        centroids[empty] = rows[np.argsort(closeness, kind="stable")[: len(empty)]]  # the rows served worst
        centroids = unit(centroids)
    return centroids


def _sums(rows: Floats, nearest: npt.NDArray[np.int64], count: int) -> Floats:
    """The sum of each centroid's rows, added up chunk by chunk: no copy of all rows in another order."""
    sums = np.zeros((count, rows.shape[1]), dtype=np.float32)
    for at in range(0, len(rows), _CHUNK):
        mine = nearest[at : at + _CHUNK]
        order = np.argsort(mine, kind="stable")
        found, starts = np.unique(mine[order], return_index=True)
        sums[found] += np.add.reduceat(rows[at : at + _CHUNK][order], starts, axis=0)
    return sums


def _chained(centroids: Floats) -> Floats:
    """Each followed by the nearest that is left: clusters a query reads together tend to be one range."""
    left = np.ones(len(centroids), dtype=bool)
    chain = [0]
    for _ in range(len(centroids) - 1):
        left[chain[-1]] = False
        scores = centroids @ centroids[chain[-1]]
        chain.append(int(np.argmax(np.where(left, scores, -np.inf))))
    return centroids[chain]

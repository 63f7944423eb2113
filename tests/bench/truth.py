"""The right answers, by brute force in float32, and how many of them an engine gave."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tests.bench.data import Data, save
from tests.bench.mixture import Floats

K = 10
_AT_ONCE = 16_384
_LEVEL = 1e-6
"""Scores this close are level: float32 sums of a unit vector's products differ by as much with the order of summing."""

Ids = npt.NDArray[np.int64]
Passing = npt.NDArray[np.bool_]


def truth(data: Data, k: int = K) -> Ids:
    """The k nearest rows of every query, best first, (q, k); cached beside the rows."""
    file = data.folder / f"truth-{len(data.rows)}-{len(data.queries)}-{k}.npy"
    if not file.exists():
        save(file, nearest(data.rows, data.queries, k))
    return np.asarray(np.load(file))


def nearest(rows: Floats, queries: Floats, k: int = K) -> Ids:
    """Ids of the k rows with the largest inner product with each query, best first; (q, min(k, n))."""
    ids = np.zeros((len(queries), 0), dtype=np.int64)
    scores = np.zeros((len(queries), 0), dtype=np.float32)
    for start in range(0, len(rows), _AT_ONCE):
        found = queries @ rows[start : start + _AT_ONCE].T
        ids = np.hstack([ids, np.broadcast_to(np.arange(start, start + found.shape[1]), found.shape)])
        scores = np.hstack([scores, found])
        if scores.shape[1] > k:
            best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
            ids, scores = np.take_along_axis(ids, best, 1), np.take_along_axis(scores, best, 1)
    return np.take_along_axis(ids, np.argsort(-scores, axis=1, kind="stable"), 1)


def recall(rows: Floats, query: Floats, found: Sequence[int], right: Ids, passing: Passing | None = None) -> float:
    """The share of the right answers that were found, in [0, 1].

    A row as near as the last right answer counts as right, as in ANN-Benchmarks (Aumüller, Bernhardsson and Faithfull,
    2018, section 2.1): which of two equal rows is returned says nothing. Of a filtered search only rows that pass count
    (``passing``, (n,)). An id that is given twice counts once. Raises ValueError for an id that is no row.
    """
    ids = np.unique(np.asarray(found, dtype=np.int64))
    if len(ids) and not 0 <= ids[0] <= ids[-1] < len(rows):
        raise ValueError(f"Row {ids[0]} to {ids[-1]} was returned; there are {len(rows)} rows: ids are mapped wrongly.")
    if not len(right):
        return 1.0
    if passing is not None:
        ids = ids[passing[ids]]
    enough = float((rows[right] @ query).min()) - _LEVEL
    return min(1.0, float(np.count_nonzero(rows[ids] @ query >= enough)) / len(right))

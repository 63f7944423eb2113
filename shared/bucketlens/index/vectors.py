"""Distances between a query and stored vectors, on numkong's SIMD kernels; and the integer form that graphs hold."""

from __future__ import annotations

from typing import Any

import numkong  # noqa: TID251
import numpy as np
import numpy.typing as npt

from bucketlens.index.block import Halves
from bucketlens.records import Vector

SUMMING_ERROR = 1e-4
"""What the kernels' own sums may be off by; a test finds no more than a third of it."""

_AT_ONCE = 1_024
"""Rows gathered before they are scanned: 1 MiB at 512 dimensions, which stays in the cache of a core."""
_DENSE = 2
"""Stretches with at least every second row wanted are scanned where they are mapped instead."""


def rough_cosines(query: Vector, vectors: Halves, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Cosine of the query to the rows of these numbers, ascending; shape (len(rows),), off by ``slack`` at most.

    ``vectors`` are (n, d), mapped or not; what is gathered of them at once is a small piece.
    """
    rounded = query.astype(np.float16)[None, :]
    scores = np.empty(len(rows), dtype=np.float32)
    buffer = np.empty((min(len(rows), _AT_ONCE), vectors.shape[1]), dtype=np.float16)
    for at in range(0, len(rows), _AT_ONCE):
        part = rows[at : at + _AT_ONCE]
        first, end = int(part[0]), int(part[-1]) + 1
        if end - first <= _DENSE * len(part):
            found = _angular(rounded, vectors[first:end])[part - first]
        else:
            found = _angular(rounded, np.take(vectors, part, axis=0, out=buffer[: len(part)], mode="clip"))
        scores[at : at + len(part)] = found
    return scores


def ranked(
    query: Vector, vectors: Halves, rows: npt.NDArray[np.int64], k: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The k nearest of the rows of these numbers, given ascending, best first, and their cosines in float32.

    Truly the nearest: a rough score decides only about rows farther from the k-th than it can err. Ties keep the order
    of the rows.
    """
    if len(rows) > k:
        rough = rough_cosines(query, vectors, rows)
        rows = rows[rough >= np.partition(rough, len(rough) - k)[len(rough) - k] - 2 * slack(query)]
    scores = np.zeros(len(rows), dtype=np.float32)
    for at in range(0, len(rows), _AT_ONCE):
        scores[at : at + _AT_ONCE] = exact_cosines(query, vectors[rows[at : at + _AT_ONCE]])
    order = best(scores, k)
    return rows[order], scores[order]


def slack(query: Vector) -> float:
    """The largest error of ``rough_cosines``: by Cauchy and Schwarz the share of the query that rounding it to float16
    takes away, and what the kernels' sums add."""
    lost = query - query.astype(np.float16).astype(np.float32)
    return float(np.linalg.norm(lost) / max(float(np.linalg.norm(query)), 1e-12)) + SUMMING_ERROR


def cosines_int8(query: Vector, rows: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
    """Cosine of the query to each of (n, d) full-range int8 rows; shape (n,). Error about 0.01."""
    return np.asarray(_angular(to_int8(query[None, :]), rows), dtype=np.float32)


def exact_cosines(query: Vector, rows: Halves) -> npt.NDArray[np.float32]:
    """Cosine of the query to each of (n, d) float16 rows in float32 throughout, shape (n,); a zero row scores 0."""
    wide = rows.astype(np.float32)
    norms = np.linalg.norm(wide, axis=1) * np.linalg.norm(query)
    # Summed row by row: a matrix product's last bit depends on which rows it is given together.
    products = (wide * query).sum(axis=1)
    return np.asarray(np.clip(products / np.maximum(norms, 1e-12), -1.0, 1.0), dtype=np.float32)


def to_int8(rows: npt.NDArray[np.floating]) -> npt.NDArray[np.int8]:
    """Each row scaled so that its largest component is +-127. Cosine ignores the scale, so all 256 levels serve."""
    wide = rows.astype(np.float32)
    peaks = np.abs(wide).max(axis=1, keepdims=True)
    return np.asarray(np.round(wide / np.maximum(peaks, 1e-12) * 127.0), dtype=np.int8)


def best(scores: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    """Positions of the k highest scores in descending order; ties keep the order of the rows."""
    if k < len(scores):
        floor = np.partition(scores, len(scores) - k)[len(scores) - k]
        candidates = np.flatnonzero(scores >= floor)
    else:
        candidates = np.arange(len(scores))
    return candidates[np.argsort(-scores[candidates], kind="stable")][:k].astype(np.int64)


def _angular(query: npt.NDArray[Any], rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    # The kernels' own output type: asking for float32 takes a path that is seven times slower (numkong 7.8).
    return np.asarray(1.0 - np.asarray(numkong.cdist(query, rows, "angular"))[0])

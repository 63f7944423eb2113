"""Distances between a query and stored vectors, on numkong's SIMD kernels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numkong  # noqa: TID251
import numpy as np
import numpy.typing as npt

from bucketlens.index.arrays import Halves, Numbers
from bucketlens.records import Vector

Packed = numkong.PackedMatrix
"""A row as the kernels want it."""

SUMMING_ERROR = 1e-4
"""What the kernels' own sums may be off by; a test finds no more than a third of it."""

TIES = 1_000
"""Copies of one picture that may compete for the last places."""
_AT_ONCE = 1_024
"""Float16 rows gathered before they are scanned, twice as many int8: 1 MiB at 512 dimensions, which stays in the cache
of a core."""
FEW = 128
"""So many rows are scored in float32 sooner than sifted first: in float16, or by the products that a walk tells."""
_NONE = np.zeros(0, np.int64)
_DENSE = 2
"""Stretches with at least every second row wanted are scanned where they are mapped instead."""


def cosines_among(asked: Halves, vectors: Halves, rows: Numbers) -> npt.NDArray[np.float32]:
    """Cosine of one row (d,) to those of (n, d) with these numbers, ascending; shape (len(rows),). All float16.

    ``vectors`` are mapped or not; what is gathered of them at once is a small piece. To a query rounded to float16 the
    cosines are off by ``slack`` at most.
    """

    def scored(part: Halves) -> npt.NDArray[np.float32]:
        return _cosines(asked, part)

    return _among(vectors, rows, scored, scored)


def products_among(
    asked: npt.NDArray[np.int8], packed: Packed, forms: npt.NDArray[np.int8], rows: Numbers
) -> npt.NDArray[np.float32]:
    """Products of one row (d,), also ``pack``ed, and those of (n, d) with these numbers, ascending; shape (len(rows),).
    All int8.

    What was gathered is in the cache, where the kernels for packed rows take 0.6 of the time of those that take one
    pair after the other. What comes from memory they read in 1.6 times the time.
    """

    def gathered(part: npt.NDArray[np.int8]) -> npt.NDArray[np.int32]:
        return np.asarray(numkong.dots_packed(part, packed))[:, 0]

    return _among(forms, rows, lambda part: products(asked, part), gathered)


def pack(asked: npt.NDArray[np.int8]) -> Packed:
    """One row (d,) as kernels for many products with it want it."""
    return numkong.dots_pack(asked[None, :])


def products(asked: npt.NDArray[np.int8], forms: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
    """Of one row (d,) and each of (n, d), side by side in memory; shape (n,). All int8."""
    found = np.asarray(numkong.cdist(asked[None, :], forms, "dot"), dtype=np.float32)
    return np.asarray(found[0])


def _among(
    vectors: npt.NDArray[Any],
    rows: Numbers,
    lying: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
    gathered: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
) -> npt.NDArray[np.float32]:
    """The scores of the rows of (n, d) with these numbers, ascending, piece by piece; shape (len(rows),). They are
    scored where they are ``lying`` side by side, or else ``gathered``."""
    scores = np.empty(len(rows), dtype=np.float32)
    buffer: npt.NDArray[Any] | None = None
    at_once = 2 * _AT_ONCE // vectors.itemsize
    for at in range(0, len(rows), at_once):
        part = rows[at : at + at_once]
        first, end = int(part[0]), int(part[-1]) + 1
        if end - first == len(part):
            found = lying(vectors[first:end])
        elif end - first <= _DENSE * len(part):
            found = lying(vectors[first:end])[part - first]
        else:
            if buffer is None:
                buffer = np.empty((min(len(rows), at_once), vectors.shape[1]), dtype=vectors.dtype)
            found = gathered(np.take(vectors, part, axis=0, out=buffer[: len(part)], mode="clip"))
        scores[at : at + len(part)] = found
    return scores


def ranked(
    query: Vector, vectors: Halves, groups: Sequence[Numbers], k: int
) -> tuple[Numbers, npt.NDArray[np.float32]]:
    """The k nearest of the rows of these numbers, best first, and their cosines in float32; and then those as near as
    the k-th, at most ``TIES``: which of them count, their keys decide.

    Each group is ascending, and no row is in two. Truly the nearest: a rough score decides only about rows farther from
    the k-th than it can err. Ties are in order of row.
    """
    rows = groups[0] if len(groups) == 1 else np.concatenate([*groups, _NONE])
    if len(rows) > max(k, FEW):
        half = query.astype(np.float16)
        rough = np.concatenate([cosines_among(half, vectors, group) for group in groups])
        rows = rows[rough >= kth_highest(rough, k) - 2 * slack(query)]
    if len(groups) > 1:
        rows = np.sort(rows)
    scores = np.zeros(len(rows), dtype=np.float32)
    for at in range(0, len(rows), _AT_ONCE):
        scores[at : at + _AT_ONCE] = exact_cosines(query, vectors[rows[at : at + _AT_ONCE]])
    order = best(scores, k, TIES)
    return rows[order], scores[order]


def slack(query: Vector) -> float:
    """The largest error of cosines to the query rounded to float16: by Cauchy and Schwarz the share of the query that
    rounding takes away, and what the kernels' sums add."""
    lost = query - query.astype(np.float16).astype(np.float32)
    return math.sqrt(np.vecdot(lost, lost) / max(float(np.vecdot(query, query)), 1e-24)) + SUMMING_ERROR


def exact_cosines(query: Vector, rows: Halves) -> npt.NDArray[np.float32]:
    """Cosine of the query to each of (n, d) float16 rows in float32 throughout, shape (n,); a zero row scores 0.

    A row's score depends on nothing but the row and the query.
    """
    wide = _widened(rows)
    # Row by row: a matrix product's last bit depends on which rows it is given together.
    products, squares, own = np.vecdot(wide, query), np.vecdot(wide, wide), np.vecdot(query, query)
    cosines = products / np.maximum(np.sqrt(squares * own), np.float32(1e-12))
    return np.asarray(np.minimum(np.maximum(cosines, -1.0), 1.0), dtype=np.float32)


def best(scores: npt.NDArray[np.float32], k: int, ties: int = 0) -> Numbers:
    """Positions of the k highest scores in descending order, and of at most so many more that equal the k-th; ties keep
    the order of the rows."""
    if len(scores) <= k:
        return np.argsort(-scores, kind="stable")
    candidates = np.flatnonzero(scores >= kth_highest(scores, k))
    return candidates[np.argsort(-scores[candidates], kind="stable")][: k + ties]


def kth_highest(scores: npt.NDArray[np.float32], k: int) -> float:
    """The k-th highest of at least k scores."""
    return float(np.partition(scores, len(scores) - k)[len(scores) - k])


def _cosines(asked: Halves, rows: Halves) -> npt.NDArray[np.float32]:
    # The kernels' own output type: asking for float32 takes a path that is seven times slower (numkong 7.8).
    apart = np.asarray(numkong.cdist(asked[None, :], rows, "angular"))[0]
    return np.asarray(np.subtract(1.0, apart, dtype=np.float32))


def _widened(rows: Halves) -> npt.NDArray[np.float32]:
    """In float32: of few rows in a tenth of the time that numpy takes."""
    return np.asarray(numkong.astype(rows, "float32")) if rows.size else rows.astype(np.float32)

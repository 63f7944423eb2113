"""Distances between a query and stored vectors, on numkong's SIMD kernels; and the integer form that graphs hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numkong  # noqa: TID251
import numpy as np
import numpy.typing as npt

from bucketlens.index.block import Halves
from bucketlens.records import Vector

Numbers = npt.NDArray[np.int64]

SUMMING_ERROR = 1e-4
"""What the kernels' own sums may be off by; a test finds no more than a third of it."""

_AT_ONCE = 1_024
"""Rows gathered before they are scanned: 1 MiB at 512 dimensions, which stays in the cache of a core."""
_FEW = 64
"""So many scores are sorted at once sooner than the best are parted from the rest."""
_NONE = np.zeros(0, np.int64)
_DENSE = 2
"""Stretches with at least every second row wanted are scanned where they are mapped instead."""


def rough_cosines(query: Vector, vectors: Halves, rows: Numbers) -> npt.NDArray[np.float32]:
    """Cosine of the query to the rows of these numbers, ascending; shape (len(rows),), off by ``slack`` at most.

    ``vectors`` are (n, d), mapped or not; what is gathered of them at once is a small piece.
    """
    rounded = query.astype(np.float16)[None, :]
    scores = np.empty(len(rows), dtype=np.float32)
    buffer: Halves | None = None
    for at in range(0, len(rows), _AT_ONCE):
        part = rows[at : at + _AT_ONCE]
        first, end = int(part[0]), int(part[-1]) + 1
        if end - first == len(part):
            found = _angular(rounded, vectors[first:end])
        elif end - first <= _DENSE * len(part):
            found = _angular(rounded, vectors[first:end])[part - first]
        else:
            if buffer is None:
                buffer = np.empty((min(len(rows), _AT_ONCE), vectors.shape[1]), dtype=np.float16)
            found = _angular(rounded, np.take(vectors, part, axis=0, out=buffer[: len(part)], mode="clip"))
        scores[at : at + len(part)] = found
    return scores


def ranked(
    query: Vector, vectors: Halves, groups: Sequence[Numbers], k: int
) -> tuple[Numbers, npt.NDArray[np.float32]]:
    """The k nearest of the rows of these numbers, best first, and their cosines in float32.

    Each group is ascending, and no row is in two. Truly the nearest: a rough score decides only about rows farther from
    the k-th than it can err. Ties are in order of row.
    """
    rows = groups[0] if len(groups) == 1 else np.concatenate([*groups, _NONE])
    if len(rows) > k:
        rough = np.concatenate([rough_cosines(query, vectors, group) for group in groups])
        rows = rows[rough >= np.partition(rough, len(rough) - k)[len(rough) - k] - 2 * slack(query)]
    if len(groups) > 1:
        rows = np.sort(rows)
    scores = np.zeros(len(rows), dtype=np.float32)
    for at in range(0, len(rows), _AT_ONCE):
        scores[at : at + _AT_ONCE] = exact_cosines(query, vectors[rows[at : at + _AT_ONCE]])
    order = best(scores, k)
    return rows[order], scores[order]


def slack(query: Vector) -> float:
    """The largest error of ``rough_cosines``: by Cauchy and Schwarz the share of the query that rounding it to float16
    takes away, and what the kernels' sums add."""
    lost = query - query.astype(np.float16).astype(np.float32)
    return math.sqrt(np.vecdot(lost, lost) / max(float(np.vecdot(query, query)), 1e-24)) + SUMMING_ERROR


def cosines_int8(
    query: Vector, rows: npt.NDArray[np.int8], lengths: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Cosine of the query to each of (n, d) full-range int8 rows whose lengths are (n,); shape (n,). Error about 0.01.

    The kernel for inner products takes half the time of the one that finds the lengths as well.
    """
    asked = query_int8(query)
    wide = asked.astype(np.float32)
    products = np.asarray(numkong.cdist(asked[None, :], rows, "dot"))[0].astype(np.float32)
    return np.asarray(products / np.maximum(lengths * np.sqrt(np.vecdot(wide, wide)), 1e-12))


def differing_bits(code: npt.NDArray[np.uint8], codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """How many bits of each of (n, width) codes differ from those of one, (width,); shape (n,)."""
    found = np.asarray(numkong.cdist(code[None, :], codes, "hamming", dtype="uint1"), dtype=np.float32)
    return np.asarray(found[0])


def exact_cosines(query: Vector, rows: Halves) -> npt.NDArray[np.float32]:
    """Cosine of the query to each of (n, d) float16 rows in float32 throughout, shape (n,); a zero row scores 0.

    A row's score depends on nothing but the row and the query.
    """
    wide = rows.astype(np.float32)
    # Row by row: a matrix product's last bit depends on which rows it is given together.
    products, squares, own = np.vecdot(wide, query), np.vecdot(wide, wide), np.vecdot(query, query)
    cosines = products / np.maximum(np.sqrt(squares * own), np.float32(1e-12))
    return np.asarray(np.minimum(np.maximum(cosines, -1.0), 1.0), dtype=np.float32)


def to_int8(rows: npt.NDArray[np.floating]) -> npt.NDArray[np.int8]:
    """Each row scaled so that its largest component is +-127. Cosine ignores the scale, so all 256 levels serve."""
    wide = rows.astype(np.float32)
    peaks = np.abs(wide).max(axis=1, keepdims=True)
    return np.asarray(np.round(wide / np.maximum(peaks, 1e-12) * 127.0), dtype=np.int8)


def query_int8(query: Vector) -> npt.NDArray[np.int8]:
    """The same of one vector (d,), in half the time."""
    peak = max(float(np.abs(query).max()), 1e-12)
    return np.asarray(np.rint(query * np.float32(127.0 / peak)), dtype=np.int8)


def best(scores: npt.NDArray[np.float32], k: int) -> Numbers:
    """Positions of the k highest scores in descending order; ties keep the order of the rows."""
    if len(scores) <= max(k, _FEW):
        return np.argsort(-scores, kind="stable")[:k]
    floor = np.partition(scores, len(scores) - k)[len(scores) - k]
    candidates = np.flatnonzero(scores >= floor)
    return candidates[np.argsort(-scores[candidates], kind="stable")][:k]


def _angular(query: npt.NDArray[Any], rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    # The kernels' own output type: asking for float32 takes a path that is seven times slower (numkong 7.8).
    return np.asarray(1.0 - np.asarray(numkong.cdist(query, rows, "angular"))[0])

"""Distances between a query and stored vectors, on numkong's SIMD kernels; and the integer form that graphs hold."""

from __future__ import annotations

import numkong  # noqa: TID251
import numpy as np
import numpy.typing as npt

from bucketlens.index.block import Halves
from bucketlens.records import Vector


def cosines(query: Vector, rows: Halves) -> npt.NDArray[np.float32]:
    """Cosine of the query to each of (n, d) float16 rows; shape (n,). Error below 1e-3, from rounding the query."""
    if not len(rows):
        return np.zeros(0, dtype=np.float32)
    # The kernels' own output type: asking for float32 takes a path that is seven times slower (numkong 7.8).
    distances = numkong.cdist(query.astype(np.float16)[None, :], rows, "angular")
    return np.asarray(1.0 - np.asarray(distances)[0], dtype=np.float32)


def cosines_int8(query: Vector, rows: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
    """Cosine of the query to each of (n, d) full-range int8 rows; shape (n,). Error about 0.01."""
    distances = numkong.cdist(to_int8(query[None, :]), rows, "angular")
    return np.asarray(1.0 - np.asarray(distances)[0], dtype=np.float32)


def exact_cosines(query: Vector, rows: Halves) -> npt.NDArray[np.float32]:
    """The same in float32 throughout, for the few rows that are shown; a zero row scores 0."""
    wide = rows.astype(np.float32)
    norms = np.linalg.norm(wide, axis=1) * np.linalg.norm(query)
    return np.asarray(np.clip(wide @ query / np.maximum(norms, 1e-12), -1.0, 1.0), dtype=np.float32)


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

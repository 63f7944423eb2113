"""Codes of all that matches first, and then as many of the nearest by code as may be among the nearest of all.

How many those are, the nearest two thousand tell. Signs along random directions differ in a number of bits that is
about normal around what the angle makes it (``index/coded.py``), so cosines lie about normally around a straight line
through the bits. The line and its error by least squares say how many of the rows farther apart reach the k-th cosine.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from bucketlens.index.arrays import Numbers, Scores
from bucketlens.index.codes import Bits
from bucketlens.index.vectors import kth_highest

Score = Callable[[Numbers], Scores]
"""The cosines of the query to the rows of these numbers, ascending."""

FIRST, FIRST_PER_HIT = 2_000, 20
"""Rows, the nearest by code, that tell how many more are scored: at least."""
MISSED = 0.01
"""Share of the hits that may be expected among the others. 10 % to 50 % of 262,144 and 1,048,576 photographs x 256, far
from the query: 0.998 to 1.000 of the ten nearest are found in 8,000 to 27,000 rows; of 100,000 x 256 around 2,000
centres 0.998 in 4,400; without any structure 1.000 in 31,000; and 0.998 in nearly all where components differ in size,
as one over the root of their number: signs tell little there."""


def all_scored(k: int) -> int:
    """So many rows, or fewer, are all scored."""
    return 2 * max(FIRST, FIRST_PER_HIT * k)


def sift(score: Score, rows: Numbers, apart: Bits, k: int, least: float | None = None) -> tuple[Numbers, Scores]:
    """Those of the rows, (n,) ascending, that are so many bits ``apart`` from the query, that were scored because they
    may be among the k nearest (and come up to ``least``), and their cosines: all, where more than half would be."""
    if len(rows) <= all_scored(k):
        return rows, score(rows)
    first = all_scored(k) // 2
    within = int(np.partition(apart, first - 1)[first - 1])
    chosen = apart <= within
    near = rows[chosen]
    cosines = score(near)
    kth = kth_highest(cosines, k)
    kth = kth if least is None else max(kth, least)
    reach = _reach(apart[chosen], cosines, kth, np.bincount(apart), MISSED * k)
    chosen = ~chosen if 2 * np.count_nonzero(apart <= reach) > len(rows) else (apart > within) & (apart <= reach)
    more = rows[chosen]
    return np.concatenate([near, more]), np.concatenate([cosines, score(more)])


def _reach(apart: Bits, cosines: Scores, kth: float, counts: Numbers, missed: float) -> int:
    """The least number of bits beyond which no more than so many rows are expected to reach the k-th cosine: of
    ``counts`` (bits,), given the ``cosines`` (n,) of rows that far ``apart``."""
    bits = apart.astype(np.float64)
    off = bits - bits.mean()
    slope = float(off @ cosines) / max(float(off @ off), 1e-9)
    level = float(cosines.mean()) - slope * float(bits.mean())
    error = max(float((cosines - level - slope * bits).std()), 1e-9)
    expected = 0.0
    for far in range(len(counts) - 1, int(apart.max()), -1):
        expected += int(counts[far]) * math.erfc((kth - level - slope * far) / (error * math.sqrt(2))) / 2
        if expected > missed:
            return far
    return int(apart.max())

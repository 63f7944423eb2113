"""Codes first, of the clusters nearest to the query first, and then as many rows as may be among the nearest of all.

How many those are, the nearest thousand tell. Signs along random directions differ in a number of bits that is about
normal around what the angle makes it (``index/coded.py``), so cosines lie about normally around a straight line through
the bits; and around another through the nearness of the rows' clusters, for a row is where its cluster is but for what
it has of its own. The lines and their errors by least squares say how many of the rows that are farther apart, and of
the clusters that are farther away, reach the k-th cosine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bucketlens.index.arrays import Numbers, Scores
from bucketlens.index.codes import Bits
from bucketlens.index.vectors import kth_highest

Score = Callable[[Numbers], Scores]
"""The cosines of the query to the rows of these numbers, ascending."""
Apart = Callable[[Numbers], Bits]
"""In how many bits the codes of the rows of these numbers, ascending, differ from the query's."""

FIRST, FIRST_PER_HIT = 1_000, 20
"""Rows, the nearest by code, that tell how many more are scored: at least."""
LOOKED, LEAST_CLUSTERS = 4, 16
"""They are the nearest of so many times as many rows, at least, in so many clusters, the nearest, at least; and what is
looked at there tells how many more clusters are."""
MISSED, UNSEEN = 0.003, 0.005
"""Share of the hits that may be expected among the rows that are not scored, and in the clusters that are not looked
at. Far from the query, 10 to 50 % of 262,144 and 1,048,576 photographs x 256: 1.000 of the ten nearest are found in
0.05 to 0.9 of the codes, 0.995 in 0.01 to 0.6 when 0.1 may be unseen. Where rows lie in islands that share clusters,
what is unseen is unseen together: of half of 60,000 x 256 rows in 2,000 islands, in 24 dimensions but for noise, 0.974
are found then, one query in fifty finds none, and 0.999 so. Half of 16,000 to 120,000 x 128 around 40 centres, far:
0.980 to 0.993, 0.940 to 0.978 with ten times as much missed. All are scored where nothing is left that is nearer than
the rest, and where components differ in size: signs tell little there."""
_LEVELS = 64
"""Clusters behind the first are taken in so many steps."""
_LEAST = 1e-9


@dataclass(frozen=True, slots=True)
class Ground:
    """Rows in clusters, nearest first: ``nearness`` (c,) is the cosine of the query to each, ``counts`` (c,) how many
    rows it has. ``rows`` gives those of the clusters of these places, ascending, and how near the cluster of each is.
    """

    nearness: Scores
    counts: Numbers
    rows: Callable[[slice], tuple[Numbers, Scores]]

    @classmethod
    def of(cls, rows: Numbers) -> Ground:
        """Rows that are in no clusters."""
        nearness = np.zeros(len(rows), np.float32)
        return cls(nearness[:1], np.array([len(rows)]), lambda places: (rows, nearness))


@dataclass(frozen=True, slots=True)
class Sifted:
    """Rows that may be among the nearest, each once, their cosines, and how many rows' codes were looked at."""

    rows: Numbers
    cosines: Scores
    looked: int


def first(k: int) -> int:
    """So many rows are scored at least."""
    return max(FIRST, FIRST_PER_HIT * k)


def all_scored(k: int) -> int:
    """So many rows, or fewer, are all scored."""
    return LOOKED * first(k)


def sift(
    score: Score, apart: Apart, ground: Ground, k: int, *, error: float = 0.0, least: float | None = None
) -> Sifted | None:
    """The rows that were scored because they may be among the k nearest (and come up to ``least``); None where that
    would be more than half of all, or where so few match that all are.

    ``error`` is what the cosines that codes tell are off by at least: copies of one picture all have the same code.
    """
    every = int(ground.counts.sum())
    if every <= all_scored(k):
        return None
    held = max(_holding(ground.counts, all_scored(k)), _holding(np.minimum(ground.counts, 1), LEAST_CLUSTERS)) + 1
    rows, nearness = ground.rows(slice(held))
    bits = apart(rows)
    within = _holding(np.bincount(bits), first(k))
    told = bits <= within
    near = rows[told]
    cosines = score(near)
    kth = kth_highest(cosines, k)
    kth = kth if least is None else max(kth, least)
    line = _Line.through(bits[told], cosines)
    line = replace(line, error=max(line.error, error))
    more = _following(ground, held, lambda: line.by(nearness, bits), kth, UNSEEN * k)
    if more:
        others, _ = ground.rows(slice(held, held + more))
        rows, bits = np.concatenate([rows, others]), np.concatenate([bits, apart(others)])
    counts = np.bincount(bits)
    beyond = np.arange(within + 1, len(counts))
    reach = within + line.needed(beyond, counts[within + 1 :], kth, MISSED * k)
    if 2 * int(counts[: reach + 1].sum()) > every:
        return None
    likely = bits <= reach
    likely[: len(told)] &= ~told
    far = np.sort(rows[likely])
    return Sifted(np.concatenate([near, far]), np.concatenate([cosines, score(far)]), len(rows))


def _holding(counts: Numbers, enough: int) -> int:
    """The first place up to which there are so many; behind the last if there are not."""
    return int(np.searchsorted(np.cumsum(counts), enough))


def _following(ground: Ground, held: int, line: Callable[[], _Line], kth: float, missed: float) -> int:
    """How many clusters are to be looked at after the first ``held``."""
    behind = ground.counts[held:]
    if not len(behind):
        return 0
    step = -(-len(behind) // _LEVELS)
    counts = np.add.reduceat(behind, np.arange(0, len(behind), step))
    return step * line().needed(ground.nearness[held::step], counts, kth, missed)


@dataclass(frozen=True, slots=True)
class _Line:
    """Cosines that lie about normally, with an ``error``, around a straight line through what is known of rows."""

    level: float
    slope: float
    error: float

    @classmethod
    def through(cls, known: npt.NDArray[Any], cosines: npt.NDArray[Any]) -> _Line:
        """By least squares, of (n,) rows."""
        across, up = known.astype(np.float64), cosines.astype(np.float64)
        middle, level = float(across.sum()) / len(across), float(up.sum()) / len(up)
        across -= middle
        up -= level
        slope = float(np.dot(across, up)) / max(float(np.dot(across, across)), _LEAST)
        up -= slope * across
        return cls(level - slope * middle, slope, max(math.sqrt(np.dot(up, up) / len(up)), _LEAST))

    def by(self, other: npt.NDArray[Any], known: npt.NDArray[Any]) -> _Line:
        """The line through something else that is known of (n,) rows, whose cosines are those expected here."""
        line = _Line.through(other, self.at(known))
        return replace(line, error=math.hypot(line.error, self.error))

    def at(self, known: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """The cosines expected of rows (n,)."""
        return np.asarray(self.level + self.slope * known, np.float64)

    def needed(self, known: npt.NDArray[Any], counts: Numbers, kth: float, missed: float) -> int:
        """Of places (p,), nearest first, each with so many rows of which this is known, how many of the first must be
        looked at so that no more than so many rows behind them are expected to reach the k-th cosine."""
        short = ((kth - self.at(known)) / (self.error * math.sqrt(2))).tolist()
        expected = 0.0
        for place, count in zip(range(len(short), 0, -1), reversed(counts.tolist()), strict=True):
            expected += count * math.erfc(short[place - 1]) / 2
            if expected > missed:
                return place
        return 0

"""How hard a shard must be searched for its nearest rows, measured when it is built.

Where rows gather around few centres, a walk through the graph gets stuck between them and the nearest clusters hold
what is wanted; elsewhere clusters cut through neighbourhoods and the walk finds it. Which it is, the rows know: some of
them ask before they are linked, as strangers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bucketlens.index.arrays import Halves, Numbers
from bucketlens.index.clusters import unit
from bucketlens.records import Vector

STRANGERS = 256
"""Rows that ask: with ten neighbours each, a share of 0.99 is known within 0.004 (two standard errors)."""
NEIGHBOURS = 10
COPIES_NEARER, _RANK = 0.85, 30
"""Rows whose angle is less than this share of the 30th nearest's are taken for copies and crops, which new queries do
not have and any walk finds: the ten nearest behind them count, too. Of 269,500 photographs, ten of eleven crops of
others, a walk for 64 and 500 rows find 0.995 of ten with copies, 0.992 without, and 0.986 for queries; of 98,000
photographs without crops 0.992, 0.990 and 0.992."""
ENOUGH, ENOUGH_BEHIND = 0.996, 0.994
"""The share of neighbours to be found, and of those behind copies, which are harder to find than a query's."""
CARE, FINDABLE = 6_000, 0.95
"""What may be spent on the neighbours behind copies, and the least share of them to be found for that. Where rows
gather in tight groups of thirty, what seems a copy is what a query is like, and behind it lies all the rest, in no
order: of 65,536 x 256 rows around 2,000 centres 0.89 of that were found for 4,500 and 0.95 for the dearest effort of
all, while queries find 0.995 of what they want for 3,000."""
WALKING, SPAN_ROWS_PER_CANDIDATE, SCANNING = 1_500, 18, 1_700
"""What walking through a graph at all, each candidate of it, and looking for the nearest clusters at all cost, in rows
of near clusters that are scanned where they lie. Fitted to whole searches with each effort: 1,740, 17 and 2,100 of
262,144 photographs x 256 (0.09 microseconds a row), 1,375, 20 and 1,480 of 1,048,576 x 512 (0.19), with graphs of
cosines; of products they are walked in 0.83 of the time."""
WALKS = (0, 32, 48, 64, 80, 96, 112, 128, 160, 192)
"""Numbers of candidates that are tried."""
SCANS = (0, 500, 1_000, 2_000, 4_000, 8_000)
"""Numbers of rows of the nearest clusters that are tried."""
SOUGHT = 4_096
"""Rows that are looked for where a walk alone would do. One that misses all that is near does worse than its share of
the average tells: of 30,000 x 128 rows around 300 centres a walk for 32 finds 0.998, and 8 of these nothing near."""
PROBES = (8, 16, 24, 32, 48, 64)
"""Numbers of clusters that are tried for a search by range. The rounds are the same; 64 clusters, and 600 of their rows
rescored, hold 0.998 of ten neighbours of 262,144 photographs and 0.985 of 1,048,576, 36 and 400 hold 0.983 and 0.955
for about three quarters of the bytes, 72 and 800 of the million 0.987 for an eighth more."""

_CHUNK = 16_384


@dataclass(frozen=True, slots=True)
class Effort:
    """Candidates of the graph, rows of the nearest clusters scored beside them, and the share of the strangers' ten
    nearest rows that both together found; and how many clusters have them where only clusters are looked at."""

    candidates: int
    beside: int
    found: float
    probes: int = PROBES[-1]


def strangers(rows: int) -> int:
    """How many of so many rows ask before they are linked."""
    return min(STRANGERS, rows // 16)


def measure(
    vectors: Halves,
    asking: Numbers,
    nearest: Callable[[Vector, int], Numbers],
    centroids: npt.NDArray[Any],
    firsts: Numbers,
) -> Effort:
    """The cheapest effort that finds ``ENOUGH`` of the nearest rows, and ``ENOUGH_BEHIND`` of those behind copies, or
    most of them within ``CARE``, if they are ``FINDABLE``. Where none finds ``ENOUGH``, the one that finds most. A walk
    alone will do only if none of ``SOUGHT`` rows is missed.

    ``vectors`` are (n, d), ``asking`` numbers those of them that ``nearest`` (a query and a number of candidates)
    does not know; ``centroids`` are (c, d), of any length, of the clusters that begin at rows ``firsts``. Cost: a
    product of the asking and all vectors, each walk once for each of them, and some for each row that is sought.
    """
    queries = vectors[asking].astype(np.float32)
    rows, cosines = _nearest_of_all(queries, vectors, asking)
    right = np.stack([rows[:, :NEIGHBOURS], _behind_copies(rows, cosines)], axis=1)
    closeness = unit(queries) @ unit(centroids.astype(np.float32)).T
    reached = [_reached(close, firsts, row) for close, row in zip(closeness, right, strict=True)]
    scans, ranks = (np.stack(each) for each in zip(*reached, strict=True))
    probes = _probes(*(np.mean(ranks <= count, axis=(0, 2)).tolist() for count in PROBES))
    tried = list[_Tried]()
    for candidates in WALKS:
        walked = np.zeros(right.shape, dtype=bool)
        if candidates:
            walked = np.stack([np.isin(row, nearest(q, candidates)) for q, row in zip(queries, right, strict=True)])
        for beside in SCANS if candidates else SCANS[1:]:
            found, behind = np.mean(walked | (scans <= beside), axis=(0, 2)).tolist()
            tried.append(_Tried(Effort(candidates, beside, round(found, 4), probes), behind))
    tried.sort(key=lambda one: _cost(one.effort))
    while not (effort := _chosen(tried)).beside and _astray(nearest, effort.candidates, vectors, asking, firsts):
        tried = [one for one in tried if one.effort.beside or one.effort.candidates > effort.candidates]
    return effort


def _astray(
    nearest: Callable[[Vector, int], Numbers], candidates: int, vectors: Halves, asking: Numbers, firsts: Numbers
) -> bool:
    """Whether a walk to one of many rows does not even come to its cluster."""
    drawn = np.random.default_rng(1).permutation(len(vectors))[:SOUGHT]
    for row in np.setdiff1d(drawn, asking).tolist():
        cluster = np.searchsorted(firsts, row, side="right")
        walked = nearest(vectors[row].astype(np.float32), candidates)
        if not np.any((firsts[cluster - 1] <= walked) & (walked < firsts[cluster])):
            return True
    return False


@dataclass(frozen=True, slots=True)
class _Tried:
    """An effort, and the share it found of the ten rows behind copies."""

    effort: Effort
    behind: float


def _chosen(tried: Sequence[_Tried]) -> Effort:
    """Of efforts from the cheapest to the dearest; of equals the first."""
    good = [one for one in tried if one.effort.found >= ENOUGH]
    if not good:
        return max(tried, key=lambda one: one.effort.found).effort
    affordable = [good[0], *(one for one in good[1:] if _cost(one.effort) <= CARE)]
    careful = max(affordable, key=lambda one: min(one.behind, ENOUGH_BEHIND))
    return (careful if careful.behind >= FINDABLE else good[0]).effort


def _cost(effort: Effort) -> int:
    walk = WALKING + effort.candidates * SPAN_ROWS_PER_CANDIDATE if effort.candidates else 0
    return walk + (SCANNING + effort.beside if effort.beside else 0)


def _probes(*found: tuple[float, float]) -> int:
    """As many clusters as hold ``ENOUGH``, given what shares of the nearest rows and of those behind copies each of
    ``PROBES`` holds; all of them when none does."""
    findable = found[-1][1] >= FINDABLE
    each = zip(PROBES, found, strict=True)
    good = (count for count, (own, behind) in each if own >= ENOUGH and (behind >= ENOUGH_BEHIND or not findable))
    return next(good, PROBES[-1])


def _reached(closeness: npt.NDArray[np.float32], firsts: Numbers, wanted: Numbers) -> tuple[Numbers, Numbers]:
    """For each wanted row, the least number of rows to ask the nearest clusters for that brings its cluster, and of how
    many clusters they are."""
    order = np.argsort(-closeness, kind="stable")
    sizes = np.diff(firsts)[order]
    before, ranks = np.empty(len(order), dtype=np.int64), np.empty(len(order), dtype=np.int64)
    before[order] = np.cumsum(sizes) - sizes
    ranks[order] = np.arange(len(order))
    clusters = np.searchsorted(firsts, wanted, side="right") - 1
    return np.asarray(before[clusters] + 1), np.asarray(ranks[clusters] + 1)


def _behind_copies(rows: Numbers, cosines: npt.NDArray[np.float32]) -> Numbers:
    """(q, 10): of the nearest rows of each query, nearest first, ten behind those that are taken for copies of it."""
    angles = np.arccos(np.clip(cosines, -1, 1))[:, :_RANK]
    copies = np.count_nonzero(angles < COPIES_NEARER * angles[:, -1:], axis=1)
    places = np.minimum(copies, rows.shape[1] - NEIGHBOURS)[:, None] + np.arange(NEIGHBOURS)
    return np.take_along_axis(rows, places, axis=1)


def _nearest_of_all(
    queries: npt.NDArray[np.float32], vectors: Halves, asking: Numbers
) -> tuple[Numbers, npt.NDArray[np.float32]]:
    """Rows of the largest cosines among all that do not ask, nearest first, and those cosines; (q, 40), or fewer."""
    queries = unit(queries)
    rows = np.zeros((len(queries), 0), dtype=np.int64)
    scores = np.zeros((len(queries), 0), dtype=np.float32)
    wanted = min(_RANK + NEIGHBOURS, len(vectors) - len(asking))
    for start in range(0, len(vectors), _CHUNK):
        part = unit(vectors[start : start + _CHUNK].astype(np.float32))
        cosines = queries @ part.T
        cosines[:, asking[(asking >= start) & (asking < start + len(part))] - start] = -2.0
        scores = np.concatenate([scores, cosines], axis=1)
        rows = np.concatenate([rows, np.broadcast_to(np.arange(start, start + len(part)), cosines.shape)], axis=1)
        top = np.argpartition(-scores, min(wanted, scores.shape[1]) - 1, axis=1)[:, :wanted]
        rows, scores = np.take_along_axis(rows, top, axis=1), np.take_along_axis(scores, top, axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)

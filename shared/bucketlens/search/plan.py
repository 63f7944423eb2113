"""Which path searches which part. Pure: decides and does nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import numpy.typing as npt

from bucketlens.index.effort import PROBES, Effort
from bucketlens.index.masks import FEW_ROWS
from bucketlens.search.sift import all_scored, first

EXACT_BELOW = 20_000
"""Up to this many rows in all local parts together are scanned, whatever a graph would cost."""
EXACT_FILTERED_BELOW = FEW_ROWS
"""The same with a filter, for which a graph is a detour: its candidates are nearest among all rows."""
OVERSAMPLE = 3
"""Matching candidates per wanted hit that the graph is asked for."""
LEAST_CANDIDATES = 32
SHARED = 0.4
"""Fewest of a graph over a share s of the rows that match; otherwise s ** SHARED times what it would take for all. For
0.995 of ten neighbours of 131,072 photographs one graph takes 80 candidates, each of two that share the rows 64, of
four 48, of eight 24; but neighbours may all be in one."""
FIRST_K = 10
"""Hits that a shard's measured effort is for: for more of them more rows are scored beside the graph's candidates."""
CANDIDATES_PER_HIT = 2
"""And of each more this many candidates: of 262,144 photographs those of 96, 116, 176 and 276 held 0.994, 0.991, 0.993
and 0.994 of the true 10, 20, 50 and 100. Where some rows do not count, k hits are sought as more of all rows."""
LEAST_BESIDE, FILTERED_BESIDE = 500, 4
"""Where few rows near the query match, rows of the nearest clusters: so many at least, and all times so many. What
matches lies apart from the query then, where neighbours are in many clusters. With the half of 1,048,576 x 512 rows
that is far from the query, recall@10 is 0.980 with 500 rows, 0.990 with 2,000. Only where codes cannot be compared."""
NEAR_ROWS, CROWDED = 1_000, 0.4
"""Where of so many rows of the nearest clusters, or (``presumed``) of all, at least this share match, a graph is walked
as without a filter, only farther: the k-th matching row is expected at rank k / share, and within 2 sqrt(k) / share of
that (two standard deviations of a negative binomial distribution; three find 0.0005 more of 262,144 photographs, in
1.05 of the time). On a million photographs of which 50 or 90 % match it takes (with three) 0.8 of the time that it
takes with near clusters beside the walk; where a tenth around the query match and this share is 0.2, some queries find
four."""
BESIDE_CLUSTERS = 64
"""Most clusters that are looked through for rows beside a walk."""
LEAST_CODED = 250
CODED_SHARE = 100
"""Rows of the log that are rescored after all were compared by their codes: at least, and one for so many. Of 10,000 to
65,536 photographs x 256 they hold 0.997 of the true 10."""
ROWS_PER_CODED = 8
"""The log is scanned up to so many rows for each that would be rescored: comparing codes and rescoring takes about
0.1 ms more than comparing them, a scan as long for 2,000 rows of 512 dimensions."""
COMPARING = 10_000
"""Rows that are scanned in the time in which the codes of the nearest clusters are compared, beside those that are then
scored: of 262,144 and 1,048,576 photographs, half or nine tenths matching, that takes as long as a walk for 100 hits,
0.8 of it for 500 and 1.2 to 1.6 times as long for ten."""
LEAST_COMPARED = 20_000
"""Of fewer matching rows of a shard codes are not compared, nor of fewer than twice as many as would all be scored:
10,000 of 262,144 are scanned in 0.4 to 0.8 ms, and exactly; by code they take 0.6 to 0.8."""
ROWS_PER_CANDIDATE = 24
"""Rows that are gathered and scanned in the time in which a graph finds one more candidate: 0.10 to 0.12 and 2.4 to 3.8
microseconds, 512 dimensions, with cosines; with products 0.6 to 0.8 and 0.83 of that."""
LEAST_ROUNDED = 1_000
"""Candidates that are compared in eight bits a component first: searches with 500 take 1.2 times as long so, those with
1,000 that are read for the first time 0.7 to 0.8 times."""
PROBED_ROWS = 200
"""Matching rows whose codes are read at least, as far as the budget goes."""
DENSE = 0.2
"""Where at least this share of the rows of the nearest clusters match, with a filter or without, a cold search seeks k
hits as so many more of all rows, and no harder: with a filter that half of a million photographs pass, 29 to 32
requests find as much (0.965 to 0.970 of ten neighbours) as 27 without. Elsewhere the nearest clusters may hold none
that is near."""
SPARSE_ROWS = 4_000
"""Matching rows a cold search wants the codes of there."""
CODED_CANDIDATES = 600
"""Rows rescored of those whose codes were read, likewise: ``PROBES`` tells what fewer and more find."""
UNTOLD, TOLD = 3, 5
"""Standard errors of codes. The share of the rows near the query that match tells where the k-th best estimate among
them is expected. Where it is one error lower, the filter leaves out what is nearest; and where more rows than
candidates are wanted lie within the first number below it, codes hardly tell them apart: then all within the second are
candidates, for the budget has room for them. Of ten hits among 60,000 photographs without the 2, 10, 50, 90 % nearest
to the query 0.79, 0.78, 0.68 and 0.60 are found so, 0.68, 0.33, 0.31 and 0.39 without; of 250,000 0.80, 0.44, 0.12 and
0.29, and 0.40, 0.13, 0.08 and 0.18."""
MOST_CANDIDATES = 4_000
"""No more fit into any budget's bytes, scattered as they are."""
EXACT_BYTES = 4 * 2**20
"""A cold search reads all matching vectors when they are had within its budget of requests in so many bytes."""
EXACT_SHARE = 4
"""When that is too much, those of the shards with the fewest are read within one of so many parts of the budget."""
DIRECT_ROWS, DIRECT_BYTES = 20, 6 * 2**20
"""Matching rows for each request of the budget up to which vectors are read by the nearness of their clusters alone:
codes of rows so far apart would take the requests that the vectors need."""
AHEAD_BATCHES = 12
AHEAD_BYTES = 4 * 2**20
"""Record batches of likely hits that a cold search reads together with the candidates' vectors."""


class Path(Enum):
    """How the rows of a part are searched."""

    EXACT = "exact"
    GRAPH = "graph"
    CODES = "codes"
    CLUSTERS = "clusters"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Choice:
    """A path, why, and to begin with: candidates to ask the graph or the codes for, and matching rows of the nearest
    clusters to score beside them. If the k-th candidate that matches is not among the first ``rank``, fewer rows near
    the query match than was presumed."""

    path: Path
    reason: str
    candidates: int = 0
    beside: int = 0
    rank: int = 0


@dataclass(frozen=True, slots=True)
class Local:
    """What is known of a local part before it is searched: ``matching`` of its ``rows`` count and pass the filter.

    ``effort`` is what was measured of its graph, if it has one, ``has_codes`` says that it is a log whose rows are
    found by their codes, and ``comparable`` that those of a shard can be compared. ``near`` is the share of the rows
    near the query that match, where there is a filter; without one rows that do not count are taken to lie anywhere.
    It may be ``presumed``.
    """

    rows: int
    matching: int
    effort: Effort | None
    has_codes: bool = False
    comparable: bool = False
    near: float = 0.0
    presumed: bool = False


def choose(part: Local, k: int, among: int, *, filtered: bool, exact: bool) -> Choice:
    """The path for a part; ``among`` is how many rows match in all local parts together."""
    effort, matching, near = part.effort, part.matching, part.near
    comparable = part.comparable and filtered and _many(matching, k)
    if exact:
        return Choice(Path.EXACT, "an exact answer was asked for")
    if among <= (EXACT_FILTERED_BELOW if filtered else EXACT_BELOW):
        return Choice(Path.EXACT, "few rows match")
    if effort is None:
        return _coded(matching, k, filtered=filtered) if part.has_codes else Choice(Path.EXACT, "the part is small")
    apart, crowded = filtered and near < CROWDED, filtered and near >= CROWDED
    if apart and comparable:
        return Choice(Path.CODES, "few rows near the query match")
    share = near if crowded else matching / part.rows
    beside = max(LEAST_BESIDE, effort.beside) * FILTERED_BESIDE if apart else effort.beside
    beside = beside * max(k, FIRST_K) // FIRST_K
    if effort.candidates == 0 and not apart and 2 * share > 1:
        reason = f"the nearest clusters held {effort.found:.1%} of the neighbours when the shard was built"
        return Choice(Path.CLUSTERS, reason, 0, beside)
    hits = k if apart else math.ceil((k + (2 * math.sqrt(k) if crowded else 0)) / share)
    measured = (effort.candidates or LEAST_CANDIDATES) + CANDIDATES_PER_HIT * max(0, hits - FIRST_K)
    shared = min(measured, max(LEAST_CANDIDATES, int(measured * (matching / among) ** SHARED)))
    fewest = measured if crowded else shared  # where neighbours match, all hits may be here
    candidates = max(fewest, int(k * OVERSAMPLE / share) + 1)
    reason = "many rows near the query match" if crowded else "many rows match"
    choice = _walked(candidates, matching, k, reason, beside, comparable=comparable)
    return replace(choice, rank=hits) if part.presumed else choice


def presumed(part: Local) -> float | None:
    """The share of the rows near the query that match, as far as a walk may begin by it: that of all rows, where so
    many match that a walk is likely, and it needs no clusters. Then the walk tells, sooner than they would: searches of
    a million photographs of which half or nine tenths match take 0.8 to 0.87 of the time so, of 262,144 0.92 to 1.0;
    where the half far from the query matches, and the walk was for nothing, 1.15 and 1.25 of it."""
    effort = part.effort
    if effort is None or not effort.candidates or effort.beside or part.matching < CROWDED * part.rows:
        return None
    return part.matching / part.rows


def _coded(matching: int, k: int, *, filtered: bool) -> Choice:
    candidates = max(LEAST_CODED, 4 * k, matching // CODED_SHARE)
    if candidates * ROWS_PER_CODED >= matching or (filtered and matching <= all_scored(k)):
        return Choice(Path.EXACT, "the part is small")
    return Choice(Path.CODES, "the log has many rows", candidates)


def enough(k: int) -> int:
    """Candidates that pass before the k best of them are believed."""
    return min(2 * k, k + 32)


def wider(choice: Choice, passing: int, matching: int, k: int, *, comparable: bool) -> Choice:
    """After ``passing`` of a graph's candidates were too few: as many as should be enough at that rate, half as many
    again, and at least twice as many as before; or codes, or a scan."""
    needed = int(1.5 * choice.candidates * enough(k) / max(passing, 1)) + 1
    reason = "more of the graph's candidates must pass the filter"
    candidates = max(2 * choice.candidates, needed, LEAST_CANDIDATES)
    comparable = comparable and _many(matching, k)
    return _walked(candidates, matching, k, reason, choice.beside, comparable=comparable)


def _many(matching: int, k: int) -> bool:
    """Whether so many rows of a shard match that their codes are compared."""
    return matching >= max(LEAST_COMPARED, 2 * all_scored(k))


def _walked(candidates: int, matching: int, k: int, reason: str, beside: int, *, comparable: bool) -> Choice:
    walking = candidates * ROWS_PER_CANDIDATE
    if comparable and walking >= COMPARING + 2 * first(k):
        return Choice(Path.CODES, "comparing codes is cheaper than walking the graph")
    if walking >= matching:
        return Choice(Path.EXACT, "scanning the matching rows is cheaper than walking the graph")
    return Choice(Path.GRAPH, reason, candidates, beside)


def choose_cold(matching: int, *, few: bool) -> Choice:
    """The path for a shard that is not local; ``few``: all its matching vectors are to be read."""
    if not matching:
        return Choice(Path.EXACT, "no row matches")
    if few:
        return Choice(Path.EXACT, "the matching vectors are few reads")
    return Choice(Path.CLUSTERS, "the shard is not local", matching)


def probed(efforts: Iterable[Effort | None], counts: npt.NDArray[np.int64], k: int, *, sparse: bool) -> int:
    """Of how many cells codes are wanted: the sum of the shards' probes (more for more hits), at most 64; where
    matching rows are ``sparse`` 64; more if those hold too few. ``counts`` are the matching rows of the cells, nearest
    first: of clusters, or parts of very large ones."""
    rows = max(SPARSE_ROWS if sparse else PROBED_ROWS, 4 * k)
    told = sum(effort.probes if effort else PROBES[-1] for effort in efforts) * max(k, FIRST_K) // FIRST_K
    probes = PROBES[-1] if sparse else min(PROBES[-1], told)
    return max(probes + k // 10, int(np.searchsorted(np.cumsum(counts), rows)) + 1)


def wanted_candidates(k: int) -> int:
    """Rows to rescore for k hits from codes."""
    return max(CODED_CANDIDATES, 4 * k)

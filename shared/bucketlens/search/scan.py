"""The paths themselves: the best matching rows of one part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bucketlens.filters import ALWAYS, Filter
from bucketlens.index.block import Mask, filterable
from bucketlens.index.graph import Graph
from bucketlens.index.mask import evaluate
from bucketlens.index.vectors import best, cosines, exact_cosines
from bucketlens.records import Vector
from bucketlens.search.part import Part
from bucketlens.search.plan import Choice, Path, choose

_GATHER_BELOW = 0.25
"""Below this share, matching rows are gathered before they are scanned; above, all are scanned and the rest dropped."""


@dataclass(frozen=True, slots=True)
class Found:
    """The best rows of a part, best first, and what finding them took."""

    part: Part
    rows: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    matched: int
    scanned: int
    choice: Choice


def search_part(part: Part, query: Vector, filter: Filter, k: int, *, exact: bool) -> Found:
    """The k best rows that count and pass the filter; fewer only when fewer match. Scores are float32 cosines."""
    mask = part.live if filter == ALWAYS else part.live & evaluate(filter, filterable(part.source.rows))
    matched = int(np.count_nonzero(mask))
    graph = part.source.graph if matched else None
    choice = choose(len(mask), matched, k, has_graph=graph is not None, exact=exact)
    if matched == 0:
        return Found(part, np.zeros(0, np.int64), np.zeros(0, np.float32), 0, 0, choice)
    if choice.path is Path.GRAPH and graph is not None:
        rows, scanned, choice = _walk(graph, query, mask, k, choice)
    if choice.path is Path.EXACT:
        rows, scanned = _scan(part, query, mask, matched, k), matched
    scores = exact_cosines(query, part.source.vectors[rows])
    order = best(scores, k)
    return Found(part, rows[order], scores[order], matched, scanned, choice)


def _scan(part: Part, query: Vector, mask: Mask, matched: int, k: int) -> npt.NDArray[np.int64]:
    vectors = part.source.vectors
    wanted = k + max(16, k // 4)
    if matched < _GATHER_BELOW * len(mask):
        rows = np.flatnonzero(mask)
        return rows[best(cosines(query, vectors[rows]), wanted)]
    scores = cosines(query, vectors)
    scores[~mask] = -np.inf
    return best(scores, min(wanted, matched))


def _walk(graph: Graph, query: Vector, mask: Mask, k: int, choice: Choice) -> tuple[npt.NDArray[np.int64], int, Choice]:
    """Candidates doubled until enough of them pass; exact when that would visit a large share of the rows."""
    candidates, rows = choice.candidates, np.zeros(0, np.int64)
    while candidates <= len(mask) // 8:
        rows = graph.nearest(query, candidates)
        passing = rows[mask[rows]]
        if len(passing) >= min(2 * k, k + 32):
            return passing, len(rows), choice
        candidates *= 2
    return rows[:0], 0, Choice(Path.EXACT, "too few of the graph's candidates pass the filter")

"""The paths themselves: the best matching rows of local parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bucketlens.filters import ALWAYS, Filter
from bucketlens.index.block import Mask
from bucketlens.index.effort import Effort
from bucketlens.index.vectors import Numbers, ranked
from bucketlens.records import Vector
from bucketlens.search.part import Part
from bucketlens.search.plan import BESIDE_CLUSTERS, LEAST_ROUNDED, Choice, Path, choose, enough, wider

_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Found:
    """The best rows of a part, best first, and what finding them took."""

    part: Part
    rows: Numbers
    scores: npt.NDArray[np.float32]
    matched: int
    scanned: int
    choice: Choice


def search_parts(parts: Sequence[Part], query: Vector, filter: Filter, k: int, *, exact: bool) -> list[Found]:
    """The k best rows of each part that count and pass the filter; fewer only when fewer match there.

    Scores are float32 cosines. A part searched by the exact path gives its true k best.
    """
    sifted = [_Sifted.of(part, filter) for part in parts]
    among = sum(one.matched for one in sifted)
    return [
        _search(
            one,
            query,
            k,
            choose(
                len(one.mask),
                one.matched,
                k,
                among=among,
                filtered=filter != ALWAYS,
                effort=one.effort,
                has_codes=one.part.near is not None,
                exact=exact,
            ),
        )
        for one in sifted
    ]


@dataclass(frozen=True, slots=True)
class _Sifted:
    """A part, which of its rows count and pass the filter, how many, and what its graph takes if it has one."""

    part: Part
    mask: Mask
    matched: int
    effort: Effort | None

    @classmethod
    def of(cls, part: Part, filter: Filter) -> _Sifted:
        mask = part.matching(filter)
        matched = part.count if mask is part.live else int(np.count_nonzero(mask))
        return cls(part, mask, matched, part.effort if matched else None)


def _search(sifted: _Sifted, query: Vector, k: int, choice: Choice) -> Found:
    part, mask, matched = sifted.part, sifted.mask, sifted.matched
    candidates, scanned = list[Numbers](), 0
    if part.near is not None and choice.path is Path.CODES:
        candidates, scanned = [part.near(query, mask, choice.candidates)], matched
    elif choice.path is not Path.EXACT:
        candidates, scanned, choice = _approach(sifted, query, k, choice)
    if choice.path is Path.EXACT:
        candidates, scanned = [np.flatnonzero(mask)], matched
    rounded = part.source.rounded
    if rounded is not None and sum(map(len, candidates)) >= LEAST_ROUNDED:
        candidates = rounded.nearest(query, candidates, k)
    rows, scores = ranked(query, part.source.vectors, candidates, k)
    return Found(part, rows, scores, matched, scanned, choice)


def _approach(sifted: _Sifted, query: Vector, k: int, choice: Choice) -> tuple[list[Numbers], int, Choice]:
    """Candidates of the graph and rows of the nearest clusters beside them, and how many rows were looked at: more and
    more candidates until enough pass the filter. Nothing, and the exact path, when a scan would be cheaper."""
    head, graph, mask = sifted.part.source.head, sifted.part.source.graph, sifted.mask
    near = head.near(query, mask, choice.beside, BESIDE_CLUSTERS) if head and choice.beside else []
    groups = [np.flatnonzero(mask[first:end]) + first for first, end in near]
    held = sum(map(len, groups))
    while choice.path is not Path.EXACT:
        walked = graph.nearest(query, choice.candidates) if graph and choice.candidates else _NONE
        passing = walked[mask[walked]]
        if (len(passing) if choice.candidates else held) >= enough(k):
            return [_outside(passing, near), *groups], len(walked) + held, choice
        choice = wider(choice, len(passing), sifted.matched, k)
    return [], 0, choice


def _outside(rows: Numbers, spans: Sequence[tuple[int, int]]) -> Numbers:
    """The rows in none of the spans, ascending."""
    kept = np.sort(rows)
    for first, end in spans:
        low, high = np.searchsorted(kept, (first, end))
        if low < high:
            kept = np.concatenate([kept[:low], kept[high:]])
    return kept

"""The paths themselves: the best matching rows of local parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from bucketlens.filters import ALWAYS, Filter
from bucketlens.index.arrays import Numbers, Scores
from bucketlens.index.arrow import Span
from bucketlens.index.rounded import Asked
from bucketlens.index.vectors import FEW, cosines_among, ranked
from bucketlens.records import Vector
from bucketlens.search.nearby import Nearby
from bucketlens.search.part import Matching, Part
from bucketlens.search.plan import (
    BESIDE_CLUSTERS,
    EXACT_FILTERED_BELOW,
    LEAST_ROUNDED,
    NEAR_ROWS,
    Choice,
    Local,
    Path,
    choose,
    enough,
    presumed,
    wider,
)
from bucketlens.search.sift import sift

_NOTHING = np.zeros(0, np.int64), np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True)
class Found:
    """The best rows of a part, best first, those that equal the last of them, and what finding them took."""

    part: Part
    rows: Numbers
    scores: npt.NDArray[np.float32]
    matched: int
    scanned: int
    choice: Choice


def search_parts(parts: Sequence[Part], query: Vector, filter: Filter, k: int, *, exact: bool) -> list[Found]:
    """The k best rows of each part that count and pass the filter, fewer only when fewer match there; and rows that
    equal the last of them, as ``ranked`` tells. Of a log searched by codes, last, those that come up to the k best of
    the others, and maybe more.

    Scores are float32 cosines. A part searched by the exact path gives its true k best.
    """
    asked = Asked(query)
    every = [Nearby(part.matching(filter), asked) for part in parts]
    among = sum(one.matching.count for one in every)
    aim = _Aim(k, among, filtered=filter != ALWAYS, exact=exact)
    choices = [aim.choice(one) for one in every]
    found = dict[int, Found]()
    late = [choice.path is Path.CODES and part.near is not None for choice, part in zip(choices, parts, strict=True)]
    for number in sorted(range(len(every)), key=lambda number: late[number]):
        least = _kth(list(found.values()), k) if late[number] else None
        found[number] = _search(every[number], aim, choices[number], least)
    return [found[number] for number in range(len(every))]


@dataclass(frozen=True, slots=True)
class _Aim:
    """How many hits, and what the planner is told of all parts together."""

    k: int
    among: int
    filtered: bool
    exact: bool

    def choice(self, nearby: Nearby) -> Choice:
        """What to begin with in a part."""
        known = self._known(nearby)
        if not self._senses:
            return self._choose(known)
        share = presumed(known)
        if share is None:
            return self._choose(replace(known, near=nearby.share(NEAR_ROWS, BESIDE_CLUSTERS)))
        return self._choose(replace(known, near=share, presumed=True))

    def sensed(self, nearby: Nearby) -> Choice:
        """The same where it was presumed how the rows near the query do, once the clusters were asked."""
        return self._choose(replace(self._known(nearby), near=nearby.share(NEAR_ROWS, BESIDE_CLUSTERS)))

    @property
    def _senses(self) -> bool:
        """Whether the choice depends on that."""
        return self.filtered and not self.exact and self.among > EXACT_FILTERED_BELOW

    def _choose(self, known: Local) -> Choice:
        return choose(known, self.k, self.among, filtered=self.filtered, exact=self.exact)

    def _known(self, nearby: Nearby) -> Local:
        matching, part = nearby.matching, nearby.matching.part
        return Local(
            len(part.live),
            matching.count,
            part.effort if matching.count else None,
            has_codes=part.near is not None,
            comparable=self._senses and matching.count > 0 and part.source.apart is not None,
        )


def _kth(found: Sequence[Found], k: int) -> float | None:
    """The k-th highest score; None of fewer."""
    scores = sorted((score for one in found for score in one.scores.tolist()), reverse=True)
    return scores[k - 1] if len(scores) >= k else None


def _search(nearby: Nearby, aim: _Aim, choice: Choice, least: float | None = None) -> Found:
    matching, asked, part, k = nearby.matching, nearby.asked, nearby.matching.part, aim.k
    candidates, scanned = list[Numbers](), 0
    if choice.path in (Path.GRAPH, Path.CLUSTERS):
        candidates, scanned, choice = _approach(nearby, aim, choice)
    if choice.path is Path.CODES and part.near is not None and matching.passing is None:
        mask = None if matching.whole else matching.mask
        candidates, scanned = [part.near(asked.vector, mask, choice.candidates, least)], matching.count
    elif choice.path is Path.CODES:
        return _compared(nearby, aim, choice, least)
    if choice.path is Path.EXACT:
        candidates, scanned = [matching.numbers], matching.count
    if choice.path is Path.EXACT and (sifted := matching.sifted(asked, k)) is not None:
        candidates = [sifted]
    elif sum(map(len, candidates)) >= LEAST_ROUNDED and (rounded := part.source.rounded) is not None:
        candidates = [rounded.nearest(asked, candidates, k)]
    rows, scores = ranked(asked.vector, part.source.vectors, candidates, k)
    return Found(part, rows, scores, matching.count, scanned, choice)


def _compared(nearby: Nearby, aim: _Aim, choice: Choice, least: float | None) -> Found:
    """By the codes of what matches; by the exact path where these tell too little, or cannot be compared."""
    asked, matching, source, k = nearby.asked, nearby.matching, nearby.matching.part.source, aim.k
    apart, rounded = source.apart, source.rounded
    if apart is None:
        return _search(nearby, aim, Choice(Path.EXACT, "codes are not local"))

    def score(rows: Numbers) -> Scores:
        if rounded is not None:
            return rounded.cosines(asked, rows)
        return cosines_among(asked.vector.astype(np.float16), source.vectors, rows)

    error = source.coding_error(asked.vector)
    sifted = sift(score, partial(apart, asked.vector), nearby.ground(), k, error=error, least=least)
    if sifted is None:
        return _search(nearby, aim, Choice(Path.EXACT, "codes tell too little of the matching rows"))
    candidates = np.sort(sifted.rows) if rounded is None else rounded.likely(asked, [sifted.rows], [sifted.cosines], k)
    best, scores = ranked(asked.vector, source.vectors, [candidates], k)
    return Found(matching.part, best, scores, matching.count, sifted.looked, choice)


def _approach(nearby: Nearby, aim: _Aim, choice: Choice) -> tuple[list[Numbers], int, Choice]:
    """Candidates of the graph and rows of the nearest clusters beside them, and how many rows were looked at: more and
    more candidates until enough pass the filter. Nothing, and another path, when that would be cheaper."""
    asked, matching, source, k = nearby.asked, nearby.matching, nearby.matching.part.source, aim.k
    head, graph, rounded, groups = source.head, source.graph, source.rounded, list[Numbers]()
    near = list[Span]()
    if head and choice.beside:
        near = head.near(nearby.closeness, choice.beside, BESIDE_CLUSTERS, None if matching.whole else matching.within)
        groups = [_rows(span, matching) for span in near]
    held = sum(map(len, groups))
    while choice.path in (Path.GRAPH, Path.CLUSTERS):
        walked, products = graph.nearest(asked, choice.candidates) if graph and choice.candidates else _NOTHING
        kept = slice(None) if matching.whole else matching.holds(walked)
        if choice.rank and not isinstance(kept, slice) and np.count_nonzero(kept[: choice.rank]) < k:
            sensed = aim.sensed(nearby)
            if sensed.path is not Path.GRAPH or sensed.beside or sensed.candidates > choice.candidates:
                return _approach(nearby, aim, sensed)
        passing, products = walked[kept], products[kept]
        if (len(passing) if choice.candidates else held) >= enough(k):
            likely = passing[: rounded.within(asked, products, k)] if rounded and len(passing) > FEW else passing
            return [_outside(likely, near), *groups], len(walked) + held, choice
        choice = wider(choice, len(passing), matching.count, k, comparable=source.apart is not None)
    return [], 0, choice


def _rows(span: Span, matching: Matching) -> Numbers:
    """The rows of a span that match."""
    first, end = span
    return np.arange(first, end) if matching.whole else np.flatnonzero(matching.holds(slice(first, end))) + first


def _outside(rows: Numbers, spans: Sequence[Span]) -> Numbers:
    """The rows in none of the spans, which ascend and do not adjoin; ascending."""
    kept = np.sort(rows)
    if not spans:
        return kept
    bounds = np.array(spans, dtype=np.int64).reshape(-1)
    return np.asarray(kept[np.searchsorted(bounds, kept, side="right") % 2 == 0])

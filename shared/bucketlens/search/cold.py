"""Shards that are not local, searched by ranged reads alone: codes -> vectors -> rows, each one round of requests.

Heads and deletion vectors are there already: ``search/view.py`` reads them with the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bucketlens.filters import ALWAYS, Filter
from bucketlens.index.block import Mask, filterable
from bucketlens.index.codes import estimates
from bucketlens.index.mask import evaluate
from bucketlens.index.shard import CODES, VECTORS
from bucketlens.index.vectors import best, exact_cosines
from bucketlens.records import Vector
from bucketlens.search.meter import in_parallel
from bucketlens.search.plan import Choice, Path, choose_cold, probed, runs, wanted_candidates
from bucketlens.search.ranges import READERS, Ranges, coalesce
from bucketlens.search.remote import Cold, Rows, Scores, Sought, stretches, vector_pieces
from bucketlens.search.scan import Found
from bucketlens.search.winners import winners
from bucketlens.table.log import Said


def search_cold(
    shards: Sequence[Cold],
    said: Mapping[str, Said],
    log: Found | None,
    query: Vector,
    filter: Filter,
    k: int,
    ranges: Ranges,
) -> list[Found]:
    """The k best rows of these shards together, a ``Found`` for each shard.

    ``said`` is what the log says of keys, ``log`` its best rows. Raises Unsettled, SnapshotGone, Corrupt, Retryable.
    """
    if not shards:
        return []
    sought = [
        Sought(cold, mask, *_chosen(cold, mask, filter))
        for cold, mask in zip(shards, in_parallel(READERS, lambda cold: _mask(cold, filter), shards), strict=True)
    ]
    _guess(sought, query, k, ranges)
    _score(sought, query, ranges)
    return winners(sought, said, log, k, ranges)


def _mask(cold: Cold, filter: Filter) -> Mask:
    if cold.shut:
        return np.zeros_like(cold.alive)
    return cold.alive if filter == ALWAYS else cold.alive & evaluate(filter, filterable(cold.shard.rows))


def _chosen(cold: Cold, mask: Mask, filter: Filter) -> tuple[int, Choice]:
    matched = int(np.count_nonzero(mask))
    if not matched:
        return 0, Choice(Path.EXACT, "no row matches")
    if filter == ALWAYS:
        return matched, choose_cold(matched, 1, cold.entry.parts[VECTORS].size)
    wanted = coalesce(vector_pieces(cold, np.flatnonzero(mask)))
    return matched, choose_cold(matched, len(wanted), sum(piece.end - piece.start for piece in wanted))


def _guess(sought: Sequence[Sought], query: Vector, k: int, ranges: Ranges) -> None:
    """Candidates: of exact shards every matching row, of the others the best by their codes."""
    for one in sought:
        if one.choice.path is Path.EXACT:
            one.rows = np.flatnonzero(one.mask)
    coded = [one for one in sought if one.choice.path is not Path.EXACT]
    if not coded:
        return
    closeness = [one.cold.head.closeness(query) for one in coded]
    chosen = probed(closeness, [one.counts for one in coded], k)
    spans = [one.cold.head.outline.firsts for one in coded]
    bodies = iter(
        ranges.read(
            [
                one.cold.piece(CODES, one.cold.head.code_span(int(firsts[cluster]), int(firsts[cluster + 1])))
                for one, firsts, clusters in zip(coded, spans, chosen, strict=True)
                for cluster in clusters
            ]
        )
    )
    which, rows, clusters, guesses = list[Rows](), list[Rows](), list[Rows](), list[Scores]()
    for number, (one, firsts, near) in enumerate(zip(coded, spans, chosen, strict=True)):
        head = one.cold.head
        for cluster in near.tolist():
            codes = np.frombuffer(next(bodies), dtype=np.uint8).reshape(-1, head.coding.width)
            inside = np.flatnonzero(one.mask[firsts[cluster] : firsts[cluster + 1]])
            one.scanned += len(inside)
            guesses.append(estimates(query, codes[inside], head.coding))
            rows.append(inside + firsts[cluster])
            clusters.append(np.full(len(inside), len(clusters)))
            which.append(np.full(len(inside), number))
    top = best(np.concatenate(guesses), wanted_candidates(k))
    top = top[runs(np.concatenate(clusters)[top], k)]
    for number, one in enumerate(coded):
        one.rows = np.sort(np.concatenate(rows)[top[np.concatenate(which)[top] == number]])


def _score(sought: Sequence[Sought], query: Vector, ranges: Ranges) -> None:
    """The candidates' cosines, best first, ties in the order of the rows."""
    bodies = iter(ranges.read([piece for one in sought for piece in vector_pieces(one.cold, one.rows)]))
    for one in sought:
        vectors = np.frombuffer(b"".join(next(bodies) for _ in stretches(one.rows)), dtype=np.float16)
        scores = exact_cosines(query, vectors.reshape(-1, one.cold.head.dimension))
        order = np.argsort(-scores, kind="stable")
        one.rows, one.scores = one.rows[order], scores[order]
        one.scanned = max(one.scanned, len(order))

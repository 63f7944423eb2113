"""Shards that are not local, searched by ranged reads alone: columns of the filter -> codes -> vectors and rows.

Heads and deletion vectors are there already: ``search/view.py`` reads them with the log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bucketlens.filters import ALWAYS, Filter
from bucketlens.index import fields
from bucketlens.index.block import Mask
from bucketlens.index.codes import estimates
from bucketlens.index.mask import evaluate
from bucketlens.index.shard import COLUMNS, VECTORS
from bucketlens.index.vectors import best, exact_cosines
from bucketlens.records import Vector
from bucketlens.search.plan import (
    AHEAD_BATCHES,
    AHEAD_BYTES,
    GAP,
    Path,
    choose_cold,
    probed,
    runs,
    wanted_candidates,
)
from bucketlens.search.ranges import Ranges
from bucketlens.search.remote import (
    Cold,
    Rows,
    Scores,
    Sought,
    batch_pieces,
    batches_of,
    code_pieces,
    stretches,
    vector_pieces,
)
from bucketlens.search.rounds import Asking, side_by_side
from bucketlens.search.scan import Found
from bucketlens.search.winners import SPARE, less, outdone, winners
from bucketlens.table.log import Said

Likely = tuple[Sought, int]
"""A row of a shard that may be a hit."""


def search_cold(
    shards: Sequence[Cold],
    said: Mapping[str, Said],
    log: Found | None,
    query: Vector,
    filter: Filter,
    k: int,
    ranges: Ranges,
) -> tuple[Found | None, list[Found]]:
    """What of ``log``, the log's best rows, counts beside these shards; and the k best rows of them together, a
    ``Found`` for each shard.

    ``said`` is what the log says of keys. Raises Unsettled, SnapshotGone, Corrupt, Retryable.
    """
    if not shards:
        return log, []
    stale, found = side_by_side(ranges, outdone(shards, said, log), _best(shards, said, query, filter, k))
    return less(log, stale, k) if log else None, found


def _best(
    shards: Sequence[Cold], said: Mapping[str, Said], query: Vector, filter: Filter, k: int
) -> Asking[list[Found]]:
    masks = yield from _masks(shards, filter)
    sought = _planned(shards, masks, filter)
    likely = yield from _guess(sought, query, k, filtered=filter != ALWAYS)
    yield from _rescore(sought, query, _along(likely, filter))
    return (yield from winners(sought, said, k))


def _masks(shards: Sequence[Cold], filter: Filter) -> Asking[list[Mask]]:
    """Which rows of each shard count and match: one step, which reads the columns the filter looks at."""
    looked = fields.looked_at(filter)
    places = [
        [place for place in cold.head.outline.fields if place.name in looked and not cold.shut] for cold in shards
    ]
    pieces = [
        cold.piece(COLUMNS, (place.start, place.end))
        for cold, wanted in zip(shards, places, strict=True)
        for place in wanted
    ]
    bodies = iter((yield pieces) if pieces else ())
    masks = []
    for cold, wanted in zip(shards, places, strict=True):
        streams = [(place.name, next(bodies)) for place in wanted]
        if cold.shut:
            masks.append(np.zeros_like(cold.alive))
        elif filter == ALWAYS:
            masks.append(cold.alive)
        else:
            table = fields.unpack(streams, len(cold.alive), cold.entry.parts[COLUMNS].key)
            masks.append(cold.alive & evaluate(filter, table))
    return masks


def _planned(shards: Sequence[Cold], masks: Sequence[Mask], filter: Filter) -> list[Sought]:
    """The path of each shard. Those whose matching vectors are the fewest reads come first, for all shards together
    must not be more than a few."""
    costs = [_cost(cold, mask, filter) for cold, mask in zip(shards, masks, strict=True)]
    sought: dict[int, Sought] = {}
    reads, size = 0, 0
    for number in sorted(range(len(shards)), key=lambda number: costs[number]):
        cold, mask = shards[number], masks[number]
        matched = int(np.count_nonzero(mask))
        choice = choose_cold(matched, reads + costs[number][0], size + costs[number][1])
        if choice.path is Path.EXACT:
            reads, size = reads + costs[number][0], size + costs[number][1]
        sought[number] = Sought(cold, mask, matched, choice)
    return [sought[number] for number in range(len(shards))]


def _cost(cold: Cold, mask: Mask, filter: Filter) -> tuple[int, int]:
    """Reads and bytes that bring the vectors of all matching rows."""
    if filter == ALWAYS:
        return (1, cold.entry.parts[VECTORS].size) if mask.any() else (0, 0)
    rows, (start, end) = np.flatnonzero(mask), cold.head.vector_span(0, 1)
    if not len(rows):
        return 0, 0
    between = (np.diff(rows) - 1) * (end - start)
    skipped = between[between > GAP]
    return len(skipped) + 1, int((rows[-1] - rows[0] + 1) * (end - start) - skipped.sum())


def _guess(sought: Sequence[Sought], query: Vector, k: int, *, filtered: bool) -> Asking[list[Likely]]:
    """Candidates: of exact shards every matching row, already scored; of the others the best by their codes. Returns
    rows that may be hits, the likeliest of the exact shards and then of the others first."""
    exact = [one for one in sought if one.choice.path is Path.EXACT]
    for one in exact:
        one.rows = np.flatnonzero(one.mask)
    coded = [one for one in sought if one.choice.path is not Path.EXACT]
    closeness = [one.cold.head.closeness(query) for one in coded]
    ends = [one.cold.head.outline.firsts * one.cold.head.coding.width for one in coded]
    chosen = probed(closeness, [one.counts for one in coded], ends, k, filtered=filtered)
    codes = [piece for one, near in zip(coded, chosen, strict=True) for piece in code_pieces(one.cold, near)]
    vectors = [piece for one in exact for piece in vector_pieces(one.cold, one.rows)]
    read = (yield [*codes, *vectors]) if codes or vectors else []
    _score(exact, query, read[len(codes) :])
    likely = [(one, row) for one in exact for row in one.rows[: k + SPARE].tolist()]
    return likely + _by_code(coded, chosen, query, k, iter(read), filtered=filtered) if coded else likely


def _by_code(
    coded: Sequence[Sought],
    chosen: Sequence[Rows],
    query: Vector,
    k: int,
    bodies: Iterator[bytes],
    *,
    filtered: bool,
) -> list[Likely]:
    """The best matching rows of the chosen clusters become candidates; returned best first."""
    which, rows, clusters, guesses = list[Rows](), list[Rows](), list[Rows](), list[Scores]()
    for number, (one, near) in enumerate(zip(coded, chosen, strict=True)):
        head, firsts = one.cold.head, one.cold.head.outline.firsts
        for cluster in near.tolist():
            codes = np.frombuffer(next(bodies), dtype=np.uint8).reshape(-1, head.coding.width)
            inside = np.flatnonzero(one.mask[firsts[cluster] : firsts[cluster + 1]])
            one.scanned += len(inside)
            guesses.append(estimates(query, codes[inside], head.coding))
            rows.append(inside + firsts[cluster])
            clusters.append(np.full(len(inside), len(clusters)))
            which.append(np.full(len(inside), number))
    top = best(np.concatenate(guesses), wanted_candidates(k))
    top = top[runs(np.concatenate(clusters)[top], k, filtered=filtered)]
    near_which, near_rows = np.concatenate(which)[top], np.concatenate(rows)[top]
    for number, one in enumerate(coded):
        one.rows = np.sort(near_rows[near_which == number])
    return [(coded[number], row) for number, row in zip(near_which.tolist(), near_rows.tolist(), strict=True)]


def _rescore(sought: Sequence[Sought], query: Vector, along: Sequence[tuple[Sought, int]]) -> Asking[None]:
    """The cosines of the candidates that codes found. In the same step, record batches of rows that may be hits."""
    coded = [one for one in sought if one.choice.path is not Path.EXACT]
    if coded:
        vectors = [piece for one in coded for piece in vector_pieces(one.cold, one.rows)]
        read = yield [*vectors, *(batch_pieces(one.cold, [batch])[0] for one, batch in along)]
        _score(coded, query, read)
        for (one, batch), body in zip(along, read[len(vectors) :], strict=True):
            one.blocks[batch] = body


def _score(sought: Sequence[Sought], query: Vector, read: Sequence[bytes]) -> None:
    """The candidates' cosines, best first, ties in the order of the rows. ``read`` begins with their vectors."""
    bodies = iter(read)
    for one in sought:
        halves = np.frombuffer(b"".join(next(bodies) for _ in stretches(one.rows)), dtype=np.float16)
        scores = exact_cosines(query, halves.reshape(-1, one.cold.head.dimension))
        order = np.argsort(-scores, kind="stable")
        one.rows, one.scores = one.rows[order], scores[order]
        one.scanned = max(one.scanned, len(order))


def _along(likely: Sequence[Likely], filter: Filter) -> list[tuple[Sought, int]]:
    """The record batches of the likeliest rows: few and of few bytes, for a further round may follow. A filter has cost
    a round already, so then all of them."""
    found: dict[tuple[int, int], Sought] = {}
    size = 0
    for one, row in likely:
        (batch,) = batches_of(one.cold, np.array([row]))
        start, end = one.cold.head.outline.spans[batch]
        if (id(one), batch) in found:
            continue
        if filter == ALWAYS and (len(found) == AHEAD_BATCHES or size + end - start > AHEAD_BYTES):
            break
        found[id(one), batch] = one
        size += end - start
    return [(one, batch) for (_, batch), one in found.items()]

"""Shards that are not local, searched by ranged reads alone: columns of the filter -> codes -> vectors and rows.

Heads and deletion vectors are there already: ``search/view.py`` reads them with the log.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bucketlens.filters import ALWAYS, Filter
from bucketlens.index import fields
from bucketlens.index.arrays import Mask
from bucketlens.index.fields import Place
from bucketlens.index.mask import evaluate
from bucketlens.index.shard import CODES, COLUMNS, VECTORS
from bucketlens.records import Vector
from bucketlens.search.budget import HITS, PLAIN_GAP, Budget
from bucketlens.search.candidates import Guesses, Stretch, by_cell, by_code, cells, near_share, score
from bucketlens.search.packing import GAP, Spans, joined, most
from bucketlens.search.plan import (
    AHEAD_BATCHES,
    AHEAD_BYTES,
    DENSE,
    DIRECT_BYTES,
    DIRECT_ROWS,
    EXACT_BYTES,
    EXACT_SHARE,
    MOST_CANDIDATES,
    TOLD,
    UNTOLD,
    Path,
    choose_cold,
    probed,
    wanted_candidates,
)
from bucketlens.search.ranges import Piece, Ranges
from bucketlens.search.remote import Cold, Sought, batch_pieces, batches_of
from bucketlens.search.rounds import Asking, side_by_side
from bucketlens.search.scan import Found
from bucketlens.search.winners import SPARE, less, outdone, winners
from bucketlens.search.worth import LEAST_SHARE, SHARE_OF_CODES, Shares, of_candidates, of_cells, worthwhile
from bucketlens.table.log import Said


class Wanted(NamedTuple):
    """The k best rows for a query of those that pass a filter."""

    query: Vector
    filter: Filter
    k: int


def search_cold(
    shards: Sequence[Cold],
    said: Mapping[str, Said],
    log: Found | None,
    wanted: Wanted,
    ranges: Ranges,
    opened: tuple[int, int] = (0, 0),
) -> tuple[Found | None, list[Found]]:
    """What of ``log``, the log's best rows, counts beside these shards; and the k best rows of them together, a
    ``Found`` for each shard.

    ``said`` is what the log says of keys, ``opened`` the requests and bytes of the view.
    Raises Unsettled, SnapshotGone, Corrupt, Retryable.
    """
    if not shards:
        return log, []
    stale, found = side_by_side(ranges, outdone(shards, said, log), _best(shards, said, wanted, opened))
    return less(log, stale, wanted.k) if log else None, found


def _best(
    shards: Sequence[Cold], said: Mapping[str, Said], wanted: Wanted, opened: tuple[int, int]
) -> Asking[list[Found]]:
    query, filter, k = wanted
    columns = _columns(shards, filter)
    masks = yield from _masks(shards, filter, columns)
    budget = _budget(shards, opened, columns, max(k, HITS) + (SPARE if said else 0))
    sought = yield from candidates(shards, masks, query, k, budget)
    return (yield from winners(sought, said, k))


def candidates(
    shards: Sequence[Cold], masks: Sequence[Mask], query: Vector, k: int, budget: Budget
) -> Asking[list[Sought]]:
    """The likeliest of the matching rows of each shard, scored, best first: at least ``budget.wanted`` of all shards
    together if as many match. At most two steps, within the budget."""
    sought = _planned(shards, masks, budget)
    exact = [one for one in sought if one.choice.path is Path.EXACT]
    coded = [one for one in sought if one.choice.path is not Path.EXACT]
    whole = _all(exact, budget)
    if coded:
        left = budget.less(len(whole.files), whole.size)
        yield from _approximate(exact, whole, coded, query, k, left)
    else:
        yield from _score(exact, query, whole)
    return sought


def _columns(shards: Sequence[Cold], filter: Filter) -> list[list[Place]]:
    """Where the columns are that the filter looks at, for each shard."""
    looked = fields.looked_at(filter)
    return [[place for place in cold.head.outline.fields if place.name in looked and not cold.shut] for cold in shards]


def _budget(shards: Sequence[Cold], opened: tuple[int, int], columns: Sequence[Sequence[Place]], wanted: int) -> Budget:
    places = [place for part in columns for place in part]
    spans = [end - start for cold in shards for start, end in cold.head.outline.spans]
    read = sum(place.end - place.start for place in places)
    return Budget.after(opened[0] + len(places), opened[1] + read, wanted, sum(spans) // len(spans))


def _masks(shards: Sequence[Cold], filter: Filter, places: Sequence[Sequence[Place]]) -> Asking[list[Mask]]:
    """Which rows of each shard count and match: one step, which reads the columns the filter looks at."""
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


def _planned(shards: Sequence[Cold], masks: Sequence[Mask], budget: Budget) -> list[Sought]:
    """The path of each shard: exact where all matching vectors are few reads, for all of those shards together. Either
    for every shard, within the budget, or for those with the fewest such rows within a part of it."""
    matched = [int(np.count_nonzero(mask)) for mask in masks]
    chosen = sorted(range(len(shards)), key=lambda number: matched[number])
    if not _few(shards, masks, chosen, budget.gets, EXACT_BYTES):
        limits = budget.gets // EXACT_SHARE, EXACT_BYTES // EXACT_SHARE
        while not _few(shards, masks, chosen, *limits):
            chosen = chosen[:-1]
    return [
        Sought(cold, mask, count, choose_cold(count, few=number in chosen))
        for number, (cold, mask, count) in enumerate(zip(shards, masks, matched, strict=True))
    ]


def _few(shards: Sequence[Cold], masks: Sequence[Mask], chosen: Sequence[int], gets: int, size: int) -> bool:
    """Whether the matching vectors of these shards are had in so many requests of so many bytes."""
    width = shards[0].head.vector_width
    if sum(int(np.count_nonzero(masks[number])) for number in chosen) * width > size:
        return False
    requests = joined(_every([masks[number] for number in chosen], width), gets)
    return len(requests.files) <= gets and requests.size <= size


def _every(masks: Sequence[Mask], width: int) -> Spans:
    """Where the matching rows of each shard are in a file with so many bytes a row."""
    rows = [np.flatnonzero(mask) for mask in masks]
    files = np.repeat(np.arange(len(rows)), list(map(len, rows)))
    starts = np.concatenate([np.zeros(0, np.int64), *rows]) * width
    return Spans(files, starts, starts + width)


def _all(exact: Sequence[Sought], budget: Budget) -> Spans:
    width = exact[0].cold.head.vector_width if exact else 1
    return joined(_every([one.mask for one in exact], width), budget.gets)


def _approximate(
    exact: Sequence[Sought],
    whole: Spans,
    coded: Sequence[Sought],
    query: Vector,
    k: int,
    budget: Budget,
) -> Asking[None]:
    """Scores for the matching rows of exact shards and the likeliest of the others, best first. Two steps, the first
    for codes, or one where codes are no help. With the last step come record batches of rows that may be hits."""
    found = cells(coded, query)
    width = coded[0].cold.head.vector_width
    matched = sum(one.matched for one in coded)
    limits, gap, least, hits = (budget.gets, min(budget.size, DIRECT_BYTES)), GAP, 0.0, k
    if matched <= DIRECT_ROWS * budget.gets:
        likely = by_cell(coded, found)
    else:
        codes = coded[0].cold.head.coding.width
        efforts = [one.cold.head.effort for one in coded]
        share = near_share(coded, query)
        sparse = share < DENSE
        if not sparse:
            gap, least, hits = PLAIN_GAP, LEAST_SHARE, math.ceil(k / share)
        spans = found.spans(codes).first(probed(efforts, found.counts, hits, sparse=sparse))
        limits = budget.codes if sparse else budget.plain_codes(spans.size)
        shares = of_cells(len(spans.files), hits, len(coded))
        requests = _packed(spans, limits, gap, budget.wanted, shares, least * SHARE_OF_CODES)
        stretches = yield from _read(coded, requests, codes, CODES)
        budget = budget.less(len(requests.files), requests.size)
        guesses, wanted = by_code(coded, query, stretches), wanted_candidates(hits)
        error = max(one.cold.head.coding.error(query) for one in coded)
        kth = guesses.kth(k)
        filtered = any(one.mask is not one.cold.alive for one in coded)
        if (
            filtered
            and guesses.reaching(kth - UNTOLD * error) > wanted
            and kth < _expected(coded, query, stretches, k, share) - error
        ):
            wanted = max(wanted, min(guesses.reaching(kth - TOLD * error), MOST_CANDIDATES))
            sparse, gap, least = True, GAP, 0.0
        likely = guesses.first(wanted)
        limits = (budget.gets, budget.size) if sparse else budget.plain(wanted * width)
    spans = likely.spans(width)
    requests = _packed(spans, limits, gap, budget.wanted, of_candidates(len(spans.files), hits), least)
    along = _along(coded, likely, budget.less(len(requests.files), requests.size))
    pieces = [*_pieces(exact, whole, width, VECTORS), *_pieces(coded, requests, width, VECTORS)]
    bodies = yield [*pieces, *(batch_pieces(one.cold, [batch])[0] for one, batch in along)]
    score(exact, query, _stretches(whole, width, bodies))
    score(coded, query, _stretches(requests, width, bodies[len(whole.files) :]))
    for (one, batch), body in zip(along, bodies[len(pieces) :], strict=True):
        one.blocks[batch] = body


def _expected(coded: Sequence[Sought], query: Vector, read: Sequence[Stretch], k: int, share: float) -> float:
    """The k-th best estimate if the filter passed such a share of what is near, whatever it is: 1 where none is."""
    return by_code(coded, query, read, filtered=False).kth(math.ceil(k / share)) if share else 1.0


def _packed(spans: Spans, limits: tuple[int, int], gap: int, sure: int, shares: Shares, least: float) -> Spans:
    """The requests for as many of these spans, best first, as fit in so many requests of so many bytes, and for
    ``sure`` of them at least; but no request that brings less than the least share of the hits."""
    taken = spans.first(max(most(spans, *limits, gap), sure))
    return worthwhile(joined(taken, limits[0], gap), taken, shares[: len(taken.files)], least, sure)


def _score(sought: Sequence[Sought], query: Vector, requests: Spans) -> Asking[None]:
    """The cosines of all matching rows."""
    if len(requests.files):
        width = sought[0].cold.head.vector_width
        score(sought, query, (yield from _read(sought, requests, width, VECTORS)))


def _read(sought: Sequence[Sought], requests: Spans, width: int, part: str) -> Asking[list[Stretch]]:
    bodies = yield _pieces(sought, requests, width, part)
    return _stretches(requests, width, bodies)


def _pieces(sought: Sequence[Sought], requests: Spans, width: int, part: str) -> list[Piece]:
    """Requests for rows of so many bytes each in this file of the shards."""
    triples = zip(
        *((column // by).tolist() for column, by in zip(requests, (1, width, width), strict=True)), strict=True
    )
    return [sought[number].cold.rows_piece(part, start, end) for number, start, end in triples]


def _stretches(requests: Spans, width: int, bodies: Sequence[bytes]) -> list[Stretch]:
    places = zip(requests.files.tolist(), (requests.starts // width).tolist(), bodies, strict=False)
    return [Stretch(*place) for place in places]


def _along(coded: Sequence[Sought], likely: Guesses, left: Budget) -> list[tuple[Sought, int]]:
    """The record batches of the likeliest rows, in what is left of the budget: few and of few bytes, for a further
    round may follow."""
    found: dict[tuple[int, int], None] = {}
    size = 0
    for number, row in zip(likely.files.tolist(), likely.rows.tolist(), strict=True):
        (batch,) = batches_of(coded[number].cold, np.array([row]))
        start, end = coded[number].cold.head.outline.spans[batch]
        if (number, batch) in found:
            continue
        if len(found) >= min(AHEAD_BATCHES, left.gets) or size + end - start > min(AHEAD_BYTES, left.size):
            break
        found[number, batch] = None
        size += end - start
    return [(coded[number], batch) for number, batch in found]

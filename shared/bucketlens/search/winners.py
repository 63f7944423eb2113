"""The best candidates of a cold search become hits: their rows are read, and checked against what the log says.

Which rows the log supersedes is not known beforehand: reading every key to learn it would cost more than the search.
So a few more rows than wanted are read while the log has keys. A hit of the log counts unless a shard has a newer row
of its key; of a shard whose newest row is not newer that needs no asking. When that is not enough, ``Unsettled`` says
so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bucketlens.index.arrays import Halves, Numbers, Scores
from bucketlens.index.block import Block, key_at, sequencer_at
from bucketlens.index.shard import VECTORS, key_hashes
from bucketlens.index.vectors import TIES
from bucketlens.search.budget import HITS
from bucketlens.search.part import HeldRows, Part
from bucketlens.search.ranges import Ranges
from bucketlens.search.remote import Cold, Sought, batch_pieces, batches_of, key_pieces, rows_of
from bucketlens.search.rounds import Asking
from bucketlens.search.scan import Found
from bucketlens.table.log import Said

if TYPE_CHECKING:
    import pyarrow as pa  # noqa: TID251

SPARE = 6
"""Hits read beyond those wanted while the log may supersede some. When that is not enough, four times as many are read;
then it is cheaper to ask what the log supersedes."""


class Unsettled(Exception):
    """The log supersedes too much, or is superseded: read the keys of the shards and search again."""


def winners(sought: Sequence[Sought], said: Mapping[str, Said], k: int) -> Asking[list[Found]]:
    """The best candidates that the log does not supersede, with their rows."""
    scores = np.concatenate([one.scores for one in sought])
    which = np.concatenate([np.full(len(one.rows), number) for number, one in enumerate(sought)])
    rows = np.concatenate([one.rows for one in sought])
    order = np.argsort(-scores, kind="stable")
    taken = min(len(order), k + (SPARE if said else 0))
    while True:
        top = order[: _with_equals(sought, which[order], rows[order], scores[order], taken)]
        picked = [np.sort(rows[top[which[top] == number]]) for number in range(len(sought))]
        yield from _read(sought, picked)
        found = [_found(one, chosen, said) for one, chosen in zip(sought, picked, strict=True)]
        if not said or sum(len(one.rows) for one in found) >= k:
            return found
        if taken == len(order) or taken > k + SPARE:
            break
        taken = min(len(order), 4 * taken)
    if taken < len(order) or len(order) < sum(one.matched for one in sought):
        raise Unsettled
    return found


def outdone(shards: Sequence[Cold], said: Mapping[str, Said], log: Found | None) -> Asking[frozenset[str]]:
    """Keys of the log's best rows of which a shard has a newer row. Two steps; none when all are newer than any."""
    if log is None:
        return frozenset()
    keys = [key_at(log.part.source.rows, row) for row in log.rows.tolist()]
    asked = [
        (cold, key, hashed)
        for cold in shards
        for key, hashed in zip(keys, key_hashes(keys).tolist(), strict=True)
        if said[key].sequencer < cold.head.outline.newest
    ]
    if not asked:
        return frozenset()
    bodies = yield [piece for cold, _, hashed in asked for piece in key_pieces(cold, hashed)]
    pairs = zip(bodies[::2], bodies[1::2], strict=True)
    held = [(cold, key, _alive(cold, hashed, *pair)) for (cold, key, hashed), pair in zip(asked, pairs, strict=True)]
    pieces = [piece for cold, _, rows in held for piece in batch_pieces(cold, batches_of(cold, rows))]
    blocks = iter((yield pieces))
    newer = set()
    for cold, key, rows in held:
        table = rows_of(cold, rows, {batch: next(blocks) for batch in batches_of(cold, rows)})
        for position in range(len(rows)):
            if key_at(table, position) == key and said[key].sequencer < sequencer_at(table, position):
                newer.add(key)
    return frozenset(newer)


def less(log: Found, keys: frozenset[str], k: int) -> Found:
    """The log's best rows without those keys. Raises Unsettled when others would take their place."""
    kept = np.array([key_at(log.part.source.rows, row) not in keys for row in log.rows.tolist()], dtype=bool)
    dropped = len(kept) - int(kept.sum())
    if dropped and len(kept) - dropped < k and len(kept) < log.matched:
        raise Unsettled
    return replace(log, rows=log.rows[kept], scores=log.scores[kept], matched=log.matched - dropped)


def find_cold(shards: Sequence[Cold], key: str, ranges: Ranges) -> Iterator[tuple[pa.Table, int, Halves]]:
    """The rows of a key that count in these shards, each as a table of one row, with its vector. Two rounds."""
    (hashed,) = key_hashes([key]).tolist()
    bodies = ranges.read([piece for cold in shards for piece in key_pieces(cold, hashed)])
    pairs = zip(shards, bodies[::2], bodies[1::2], strict=True)
    held = [(cold, np.array([row])) for cold, *read in pairs for row in _alive(cold, hashed, *read).tolist()]
    batches = [batches_of(cold, row) for cold, row in held]
    wanted = [
        (*batch_pieces(cold, numbers), cold.rows_piece(VECTORS, int(row[0]), int(row[0]) + 1))
        for (cold, row), numbers in zip(held, batches, strict=True)
    ]
    bodies = ranges.read([piece for pieces in wanted for piece in pieces])
    for (cold, row), (number,), body, halves in zip(held, batches, bodies[::2], bodies[1::2], strict=True):
        table = rows_of(cold, row, {number: body})
        if key_at(table, 0) == key:
            yield table, 0, np.frombuffer(halves, np.float16).reshape(1, -1)


def _with_equals(sought: Sequence[Sought], which: Numbers, rows: Numbers, scores: Scores, taken: int) -> int:
    """So many of these hits, best first, and those that equal the last: which of them count, their keys decide. But no
    more of those than lie in as many record batches as are kept in the budget."""
    end = taken
    if 0 < taken < len(scores):
        end = min(int(np.searchsorted(-scores, -scores[taken - 1], side="right")), taken + TIES)
    batches = set[tuple[int, int]]()
    for place in range(end if end > taken else 0):
        number = int(which[place])
        (batch,) = batches_of(sought[number].cold, rows[place : place + 1])
        if place >= taken and (number, batch) not in batches and len(batches) >= max(taken, HITS):
            return place
        batches.add((number, batch))
    return end


def _alive(cold: Cold, hashed: int, hashes: bytes, numbers: bytes) -> Numbers:
    """Counting rows whose key has this hash, ascending, out of the bytes of ``key_pieces``."""
    rows: Numbers = np.sort(np.frombuffer(numbers, "<u4")[np.frombuffer(hashes, "<u8") == hashed].astype(np.int64))
    return np.asarray(rows[cold.alive[rows]])


def _read(sought: Sequence[Sought], picked: Sequence[Numbers]) -> Asking[None]:
    """The record batches of the picked rows that were not read yet."""
    missing = [
        (one, batch)
        for one, rows in zip(sought, picked, strict=True)
        for batch in batches_of(one.cold, rows)
        if batch not in one.blocks
    ]
    if missing:
        bodies = yield [batch_pieces(one.cold, [batch])[0] for one, batch in missing]
        for (one, batch), body in zip(missing, bodies, strict=True):
            one.blocks[batch] = body


def _found(one: Sought, rows: Numbers, said: Mapping[str, Said]) -> Found:
    """The shard's rows among the best that count, with their keys and metadata in memory."""
    table = rows_of(one.cold, rows, one.blocks)
    counts = np.array([_counts(table, position, said) for position in range(len(rows))], dtype=bool)
    place = {row: position for position, row in enumerate(one.rows.tolist())}
    scores = one.scores[[place[row] for row in rows[counts].tolist()]] if counts.any() else np.zeros(0, np.float32)
    held = table if counts.all() else table.filter(counts.tolist())
    order = np.argsort(-scores, kind="stable")
    part = Part(
        one.cold.shard.id, HeldRows(Block(held, np.zeros((len(held), 0), np.float16))), np.ones(len(held), bool)
    )
    return Found(part, order.astype(np.int64), scores[order], one.matched, one.scanned, one.choice)


def _counts(table: pa.Table, row: int, said: Mapping[str, Said]) -> bool:
    """Whether the row is newer than what the log says of its key, if it says anything."""
    known = said.get(key_at(table, row)) if said else None
    return known is None or known.sequencer < sequencer_at(table, row)

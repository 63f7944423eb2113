"""The best candidates of a cold search become hits: their rows are read, and checked against what the log says.

Which rows the log supersedes is not known beforehand: reading every key to learn it would cost more than the search.
So a few more rows than wanted are read while the log has keys, and a hit of the log is looked for among the keys of
the shards, whose row may be newer. When that is not enough, ``Unsettled`` says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bucketlens.index.block import Block, Halves, key_at, sequencer_at
from bucketlens.index.shard import key_hashes
from bucketlens.search.part import HeldRows, Part
from bucketlens.search.ranges import Ranges
from bucketlens.search.remote import Cold, Rows, Sought, key_pieces, row_pieces, rows_of, vector_pieces
from bucketlens.search.scan import Found
from bucketlens.table.log import Said

if TYPE_CHECKING:
    import pyarrow as pa  # noqa: TID251

SPARE = 6
"""Hits read beyond those wanted while the log may supersede some; doubled with every round that was not enough."""


class Unsettled(Exception):
    """The log supersedes too much, or is superseded: read the keys of the shards and search again."""


def winners(
    sought: Sequence[Sought], said: Mapping[str, Said], log: Found | None, k: int, ranges: Ranges
) -> list[Found]:
    """The best candidates that the log does not supersede, with their rows."""
    scores = np.concatenate([one.scores for one in sought])
    which = np.concatenate([np.full(len(one.rows), number) for number, one in enumerate(sought)])
    rows = np.concatenate([one.rows for one in sought])
    order = np.argsort(-scores, kind="stable")
    taken = min(len(order), k + (SPARE if said else 0))
    while True:
        top = order[:taken]
        picked = [np.sort(rows[top[which[top] == number]]) for number in range(len(sought))]
        contenders = _contenders(log, float(scores[top[-1]]) if taken < len(order) else -np.inf)
        found = _read(sought, picked, contenders, said, ranges)
        if not said or sum(len(one.rows) for one in found) >= k:
            return found
        if taken == len(order):
            break
        taken = min(len(order), 2 * taken)
    if len(order) < sum(one.matched for one in sought):
        raise Unsettled
    return found


def _read(
    sought: Sequence[Sought],
    picked: Sequence[Rows],
    contenders: Sequence[str],
    said: Mapping[str, Said],
    ranges: Ranges,
) -> list[Found]:
    """The picked rows of each shard; in the same round, where the shards would have what the log's best rows say."""
    wanted = [piece for one, rows in zip(sought, picked, strict=True) for piece in row_pieces(one.cold, rows)]
    hashed = key_hashes(contenders).tolist()
    asked = [piece for one in sought for each in hashed for piece in key_pieces(one.cold, each)]
    bodies = ranges.read([*wanted, *asked])
    _check_log(sought, contenders, hashed, said, bodies[len(wanted) :], ranges)
    blocks = iter(bodies)
    return [_found(one, rows, said, blocks) for one, rows in zip(sought, picked, strict=True)]


def _contenders(log: Found | None, floor: float) -> list[str]:
    if log is None:
        return []
    return [
        key_at(log.part.source.rows, row)
        for row, score in zip(log.rows.tolist(), log.scores.tolist(), strict=True)
        if score >= floor
    ]


def _check_log(
    sought: Sequence[Sought],
    contenders: Sequence[str],
    hashed: Sequence[int],
    said: Mapping[str, Said],
    bodies: Sequence[bytes],
    ranges: Ranges,
) -> None:
    """Raises Unsettled when a shard has a newer row of a key than the log."""
    pairs = iter(zip(bodies[::2], bodies[1::2], strict=True))
    for one in sought:
        found: dict[int, str] = {}
        for key, each in zip(contenders, hashed, strict=True):
            hashes, numbers = (
                np.frombuffer(body, kind) for body, kind in zip(next(pairs), ("<u8", "<u4"), strict=True)
            )
            found.update(dict.fromkeys(numbers[hashes == each].tolist(), key))
        present = np.array(sorted(row for row in found if one.cold.alive[row]), dtype=np.int64)
        blocks = iter(ranges.read(row_pieces(one.cold, present)))
        table = rows_of(one.cold, present, blocks)
        for position, row in enumerate(present.tolist()):
            key = key_at(table, position)
            if key == found[row] and said[key].sequencer < sequencer_at(table, position):
                raise Unsettled


def _found(one: Sought, rows: Rows, said: Mapping[str, Said], blocks: Iterator[bytes]) -> Found:
    """The shard's rows among the best that count, with their keys and metadata in memory."""
    table = rows_of(one.cold, rows, blocks)
    counts = np.array([_counts(table, position, said) for position in range(len(rows))], dtype=bool)
    place = {row: position for position, row in enumerate(one.rows.tolist())}
    scores = one.scores[[place[row] for row in rows[counts].tolist()]] if counts.any() else np.zeros(0, np.float32)
    held = table.filter(counts) if len(rows) else table
    order = np.argsort(-scores, kind="stable")
    part = Part(
        one.cold.shard.id, HeldRows(Block(held, np.zeros((len(held), 0), np.float16))), np.ones(len(held), bool)
    )
    return Found(part, order.astype(np.int64), scores[order], one.matched, one.scanned, one.choice)


def _counts(table: pa.Table, row: int, said: Mapping[str, Said]) -> bool:
    """Whether the row is newer than what the log says of its key, if it says anything."""
    known = said.get(key_at(table, row)) if said else None
    return known is None or known.sequencer < sequencer_at(table, row)


def find_cold(cold: Cold, key: str, ranges: Ranges) -> tuple[pa.Table, int, Halves] | None:
    """The row of a key that counts in this shard, as a table of one row, with its vector; None without one."""
    (hashed,) = key_hashes([key]).tolist()
    hashes, numbers = ranges.read(key_pieces(cold, hashed))
    held = np.sort(np.frombuffer(numbers, "<u4")[np.frombuffer(hashes, "<u8") == hashed].astype(np.int64))
    held = held[cold.alive[held]]
    table = rows_of(cold, held, iter(ranges.read(row_pieces(cold, held))))
    for position in range(len(held)):
        if key_at(table, position) == key:
            (body,) = ranges.read(vector_pieces(cold, held[position : position + 1]))
            return table.slice(position, 1), 0, np.frombuffer(body, np.float16).reshape(1, -1)
    return None

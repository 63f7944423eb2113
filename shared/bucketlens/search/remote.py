"""A shard that is not local: which bytes hold its vectors, codes, keys and rows, and the rows back out of the bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bucketlens.index.arrays import Mask, Numbers, Scores
from bucketlens.index.arrow import read_batch
from bucketlens.index.columns import unify
from bucketlens.index.head import Head
from bucketlens.index.shard import CODES, KEYS, ROWS, Shard
from bucketlens.search.plan import Choice
from bucketlens.search.ranges import Piece
from bucketlens.table.manifest import ShardEntry

if TYPE_CHECKING:
    import pyarrow as pa  # noqa: TID251


@dataclass(frozen=True, slots=True)
class Cold:
    """A shard that is not local; its head, which is, leads to everything else by range.

    ``alive`` are its rows that count as far as is known. Of a ``shut`` one no row is wanted.
    """

    shard: Shard
    entry: ShardEntry
    alive: Mask
    shut: bool = False

    @property
    def head(self) -> Head:
        """Clusters, offsets, statistics."""
        return self.shard.head

    def piece(self, part: str, span: tuple[int, int]) -> Piece:
        """Bytes of one of the shard's files."""
        return Piece(self.entry.parts[part].key, *span)

    def rows_piece(self, part: str, start: int, end: int) -> Piece:
        """The vectors or codes of these rows."""
        return self.piece(part, (self.head.code_span if part == CODES else self.head.vector_span)(start, end))


@dataclass(slots=True)
class Sought:
    """One shard during one search: matching rows, the path, the best rows so far with their scores, and what was read
    of its rows: record batches by number."""

    cold: Cold
    mask: Mask
    matched: int
    choice: Choice
    rows: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))
    scores: Scores = field(default_factory=lambda: np.zeros(0, np.float32))
    scanned: int = 0
    blocks: dict[int, bytes] = field(default_factory=dict)


def batches_of(cold: Cold, rows: Numbers) -> list[int]:
    """The record batches that hold these rows, each once, in the order of the rows."""
    return list(dict.fromkeys(cold.head.outline.batch_of(rows).tolist()))


def batch_pieces(cold: Cold, batches: Iterable[int]) -> list[Piece]:
    """Where these record batches are."""
    return [cold.piece(ROWS, cold.head.outline.spans[batch]) for batch in batches]


def key_pieces(cold: Cold, hashed: int) -> list[Piece]:
    """Where the hashes around this one are, and where their row numbers."""
    outline = cold.head.outline
    places = outline.places_near(hashed)
    return [cold.piece(KEYS, outline.hash_span(places)), cold.piece(KEYS, outline.number_span(places))]


def rows_of(cold: Cold, rows: Numbers, blocks: Mapping[int, bytes]) -> pa.Table:
    """Keys and metadata of the rows, ascending, out of their record batches."""
    outline = cold.head.outline
    batches = outline.batch_of(rows)
    tables = []
    for batch in sorted(set(batches.tolist())):
        whole = read_batch(outline.schema, blocks[batch], cold.entry.parts[ROWS].key)
        tables.append(whole.take((rows[batches == batch] - outline.batches[batch]).tolist()))
    return unify(tables)

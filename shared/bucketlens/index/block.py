"""Rows in columns: the form in which rows are stored, merged and searched.

System columns are ``key``, ``sequencer``, ``kind``, ``code``, ``reason`` and ``at`` (the last three only say something
about rejections and absorbed tombstones); metadata columns are ``index/columns.py``'s. Vectors travel beside the table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # noqa: TID251

from bucketlens.index import columns
from bucketlens.index.arrays import Halves, Mask
from bucketlens.records import Kind, Metadata, Rejection, Row, Sequencer


class Vectors(Protocol):
    """n float16 rows of d components that may not be in memory: what is asked for is."""

    def __len__(self) -> int: ...

    def __getitem__(self, wanted: slice | npt.NDArray[np.int64], /) -> Halves: ...


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_SYSTEM = pa.schema(
    [
        ("key", pa.utf8()),
        ("sequencer", pa.utf8()),
        ("kind", pa.utf8()),
        ("code", pa.utf8()),
        ("reason", pa.utf8()),
        ("at", pa.timestamp("us", tz="UTC")),
    ]
)


@dataclass(frozen=True, slots=True)
class Block:
    """``table`` holds n rows, ``vectors`` is (n, dimension) float16; rows that are not images have zero vectors."""

    table: pa.Table
    vectors: Halves

    @classmethod
    def of(cls, rows: Sequence[Row], dimension: int) -> Block:
        """The rows in the order given. Vectors are rounded to float16 (relative error 2**-11)."""
        at = [row.rejection.at if row.rejection else None for row in rows]
        system = {
            "key": [row.key for row in rows],
            "sequencer": [str(row.sequencer) for row in rows],
            "kind": [row.kind.value for row in rows],
            "code": [row.rejection.code if row.rejection else None for row in rows],
            "reason": [row.rejection.reason if row.rejection else None for row in rows],
            "at": at,
        }
        table = pa.table(system, schema=_SYSTEM)
        for name, column in columns.encode([row.metadata for row in rows]).items():
            table = table.append_column(name, column)
        vectors = np.zeros((len(rows), dimension), dtype=np.float16)
        for position, row in enumerate(rows):
            if row.vector is not None:
                vectors[position] = row.vector
        return cls(table, vectors)

    @classmethod
    def joined(cls, blocks: Sequence[Block], dimension: int) -> Block:
        """One block after the other; metadata columns are united."""
        if not blocks:
            return cls.of((), dimension)
        table = columns.unify([block.table for block in blocks])
        return cls(table, np.concatenate([block.vectors for block in blocks]))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def take(self, rows: npt.NDArray[np.int64]) -> Block:
        """The rows at these positions, in that order."""
        return Block(self.table.take(pa.array(rows)), self.vectors[rows])

    def where(self, kept: Mask) -> Block:
        """The rows that the mask keeps, in their order; the block itself when those are all."""
        if kept.all():
            return self
        if not kept.any():  # which many queries ask first: for the array below, pyarrow imports numpy.ma
            return Block(self.table.slice(0, 0), self.vectors[:0])
        return Block(self.table.filter(pa.array(kept)), self.vectors[kept])

    def of_kind(self, kind: Kind) -> Mask:
        """Which rows are of a kind."""
        return np.asarray(self.table.column("kind").to_numpy() == kind.value, dtype=bool)


def identities(table: pa.Table) -> Iterator[tuple[str, Sequencer, Kind]]:
    """Key, version and kind of each row, in order."""
    for key, sequencer, kind in zip(
        *(table.column(name).to_pylist() for name in ("key", "sequencer", "kind")), strict=True
    ):
        yield key, Sequencer.parse(sequencer), Kind(kind)


def key_column(table: pa.Table) -> pa.ChunkedArray:
    """The keys of all rows, for whoever asks for many one by one."""
    return table.column("key")


def key_at(table: pa.Table, row: int) -> str:
    """The key of one row."""
    return str(table.column("key")[row].as_py())


def sequencer_at(table: pa.Table, row: int) -> Sequencer:
    """The version of one row."""
    return Sequencer.parse(table.column("sequencer")[row].as_py())


def keys_of(table: pa.Table, start: int = 0) -> list[str]:
    """The keys from a row on, in order."""
    keys: list[str] = table.column("key").slice(start).to_pylist()
    return keys


def kind_at(table: pa.Table, row: int) -> Kind:
    """What one row says about its key."""
    return Kind(table.column("kind")[row].as_py())


def keys_at(table: pa.Table, rows: npt.NDArray[np.int64]) -> list[str]:
    """The keys of these rows."""
    return _texts(table.column("key"), rows)


def sequencers_at(table: pa.Table, rows: npt.NDArray[np.int64]) -> list[Sequencer]:
    """The versions of these rows."""
    return [Sequencer.parse(text) for text in _texts(table.column("sequencer"), rows)]


def rejection_at(table: pa.Table, row: int) -> Rejection:
    """Why one row was rejected. ``at`` of an absorbed tombstone is the moment it was absorbed."""
    code, reason = (table.column(name)[row].as_py() for name in ("code", "reason"))
    return Rejection(code or "", reason or "", _moment(table.column("at")[row].value))


def stamped(table: pa.Table, now: datetime) -> pa.Table:
    """The same rows with ``at`` set to ``now`` where it was empty."""
    filled = table.column("at").fill_null(pa.scalar(now, pa.timestamp("us", tz="UTC")))
    return table.set_column(table.schema.get_field_index("at"), _SYSTEM.field("at"), filled)


def filterable(table: pa.Table) -> pa.Table:
    """The rows with their key as a metadata field as well, without copying."""
    return table.append_column(columns.column_name(columns.Type.TEXT, "key"), table.column("key"))


def metadata_at(table: pa.Table, rows: Sequence[int], fields: Collection[str] | None = None) -> list[Metadata]:
    """Metadata of the rows at these positions; ``fields`` None means all of it."""
    return list(columns.decode(table, rows, fields))


def _texts(column: pa.ChunkedArray, rows: npt.NDArray[np.int64]) -> list[str]:
    """The cells of these rows, chunk by chunk: to take from all chunks at once, Arrow would join them first."""
    order = np.argsort(rows, kind="stable")
    ends = np.cumsum([0, *(len(chunk) for chunk in column.chunks)])
    which = np.searchsorted(ends, rows[order], side="right") - 1
    found = np.empty(len(rows), dtype=object)
    for number in sorted(set(which.tolist())):
        mine = order[which == number]
        found[mine] = column.chunk(number).take((rows[mine] - ends[number]).tolist()).to_pylist()
    texts: list[str] = found.tolist()
    return texts


def _moment(microseconds: int | None) -> datetime | None:
    """An instant as Arrow counts it. pyarrow's own conversion asks for a time zone database, which Lambda may lack."""
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)

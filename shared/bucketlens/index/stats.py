"""What the columns of a shard hold at the extremes, and which filters that rules out without opening the shard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import pyarrow as pa  # noqa: TID251
import pyarrow.compute as pc  # noqa: TID251

from bucketlens.filters import RELATIONS, Among, And, Compare, Filter, Not, Op, Operand, Or, Present
from bucketlens.index.columns import OWN, Type, column_name, parse_name, sought

MOST_VALUES = 16
"""Columns with at most this many distinct values list them."""
MOST_CHARACTERS = 32
"""Longer text is cut: a cut least value is still a lower bound; a cut greatest is none and is left out."""

Cell: TypeAlias = str | float | bool
"""Instants stand as microseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Column:
    """``nulls`` rows have no value; ``least`` and ``most`` bound the others (of lists, the elements), None: no bound.

    ``values`` are all that occur, sorted, when they are few; None otherwise.
    """

    nulls: int
    least: Cell | None = None
    most: Cell | None = None
    values: tuple[Cell, ...] | None = None

    def admits(self, op: Op, value: Cell) -> bool:
        """Whether some value may stand in this relation to ``value``."""
        relation = RELATIONS[op]
        if self.values is not None:
            return any(relation(held, value) for held in self.values)
        high = op in ("lt", "lte") or self.most is None or RELATIONS["gte" if op == "eq" else op](self.most, value)
        low = op in ("gt", "gte") or self.least is None or RELATIONS["lte" if op == "eq" else op](self.least, value)
        return high and low

    def compels(self, op: Op, value: Cell) -> bool:
        """Whether every row surely has a value that stands in this relation to ``value``."""
        return self.nulls == 0 and self.values is not None and all(RELATIONS[op](held, value) for held in self.values)


def collect(table: pa.Table) -> dict[str, Column]:
    """The statistics of every metadata column, by physical name."""
    return {
        name: _column(parsed[0], table.column(position))
        for position, name in enumerate(table.schema.names)
        if (parsed := parse_name(name)) is not None
    }


def possible(condition: Filter, columns: Mapping[str, Column], rows: int) -> bool:
    """Whether any of the shard's ``rows`` rows may pass. False is certain; True is not."""
    match condition:
        case And(parts):
            return all(possible(part, columns, rows) for part in parts)
        case Or(parts):
            return any(possible(part, columns, rows) for part in parts)
        case Not(part):
            return not _certain(part, columns, rows)
        case Present(field, True):
            return any(column.nulls < rows for column in _having(field, columns))
        case Present(field, _):
            return all(column.nulls > 0 for column in _having(field, columns))
        case Compare(field, op, value):
            return any(column.admits(op, cell) for column, cell in _compared(field, value, columns))
        case Among(field, values):
            return any(column.admits("eq", cell) for one in values for column, cell in _compared(field, one, columns))


def _certain(condition: Filter, columns: Mapping[str, Column], rows: int) -> bool:
    """Whether every row passes. True is certain; False is not."""
    match condition:
        case And(parts):
            return all(_certain(part, columns, rows) for part in parts)
        case Or(parts):
            return any(_certain(part, columns, rows) for part in parts)
        case Not() | Present(_, False):
            inner = condition.part if isinstance(condition, Not) else Present(condition.field, True)
            return not possible(inner, columns, rows)
        case Present(field, _):
            return any(column.nulls == 0 for column in _having(field, columns))
        case Compare(field, op, value):
            plain = {name: column for name, column in columns.items() if not name.startswith(f"m.{Type.LIST.value}:")}
            return any(column.compels(op, cell) for column, cell in _compared(field, value, plain))
        case _:
            return False


def _having(field: str, columns: Mapping[str, Column]) -> list[Column]:
    named = (columns.get(column_name(kind, field)) for kind in OWN)
    return [column for column in named if column is not None]


def _compared(field: str, value: Operand, columns: Mapping[str, Column]) -> list[tuple[Column, Cell]]:
    """The columns a comparison looks at, with the value as each of them holds it."""
    named = [(columns.get(column_name(kind, field)), cell) for kind, cell in sought(value)]
    return [
        (column, _microseconds(cell) if isinstance(cell, datetime) else cell)
        for column, cell in named
        if column is not None
    ]


def _column(kind: Type, cells: pa.ChunkedArray) -> Column:
    nulls = int(cells.null_count)
    flat = pc.list_flatten(cells) if kind is Type.LIST else cells
    if kind is Type.INSTANT:
        flat = flat.cast(pa.int64())
    held = pc.unique(flat.drop_null())
    if not len(held):
        return Column(nulls, values=())
    if len(held) <= MOST_VALUES:
        values = sorted(held.to_pylist())
        if not isinstance(values[0], str) or max(map(len, values)) <= MOST_CHARACTERS:
            return Column(nulls, values[0], values[-1], tuple(values))
    if kind is Type.BOOL:
        return Column(nulls)
    bounds = pc.min_max(held).as_py()
    least, most = bounds["min"], bounds["max"]
    if isinstance(least, str):
        return Column(nulls, least[:MOST_CHARACTERS], most if len(most) <= MOST_CHARACTERS else None)
    return Column(nulls, least, most)


def _microseconds(moment: datetime) -> int:
    return int(pa.scalar(moment, pa.timestamp("us", "UTC")).value)

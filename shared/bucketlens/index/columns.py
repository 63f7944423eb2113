"""Metadata as Arrow columns without a declared schema: one physical column for each (field, type) that occurs.

    m.n:width   float64                 numbers, IEEE doubles as in JSON
    m.b:edited  bool
    m.s:place   utf8                    text, as it is spelled
    m.t:taken   timestamp[us, UTC]      the instant of a text that is an ISO date; its spelling stands in ``m.s:`` too
    m.l:tags    list<utf8>              lists of text; an empty list is a value, null is none

A row has a value in at most one type of a field (``s`` and ``t`` go together), null elsewhere. Plain layouts
throughout, so every column can be read where it is mapped. Behind the first colon stands the field's name, whatever it
holds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import TypeAlias

import pyarrow as pa  # noqa: TID251

from bucketlens.errors import Corrupt
from bucketlens.records import Metadata, Value
from bucketlens.values import MAX_EXACT_INT, as_instant, as_stored

Cell: TypeAlias = str | float | bool | list[str] | datetime


class Type(Enum):
    """The types of metadata; the value is the letter in the column's name."""

    NUMBER = "n"
    BOOL = "b"
    TEXT = "s"
    INSTANT = "t"
    LIST = "l"


OWN = (Type.NUMBER, Type.BOOL, Type.TEXT, Type.LIST)
"""A row that has a field has a value in just one of these."""

_ARROW = {
    Type.NUMBER: pa.float64(),
    Type.BOOL: pa.bool_(),
    Type.TEXT: pa.utf8(),
    Type.INSTANT: pa.timestamp("us", "UTC"),
    Type.LIST: pa.list_(pa.utf8()),
}


def column_name(kind: Type, field: str) -> str:
    """The physical name of a field's column of one type. Inverse of ``parse_name``."""
    return f"m.{kind.value}:{field}"


@cache
def parse_name(name: str) -> tuple[Type, str] | None:
    """Type and field behind a physical name, or None for a column that is no metadata. Inverse of ``column_name``."""
    if not name.startswith("m.") or name[3:4] != ":" or name[2] not in {kind.value for kind in Type}:
        return None
    return Type(name[2]), name[4:]


def arrow_type(kind: Type) -> pa.DataType:
    """How values of a type are stored."""
    return _ARROW[kind]


def sought(value: str | float | bool) -> tuple[tuple[Type, str | float | bool | datetime], ...]:
    """The types of columns that a comparison with a value looks at, and what it is compared as there: text as what its
    columns hold, and as an element of lists."""
    if not isinstance(value, str):
        return ((Type.BOOL if isinstance(value, bool) else Type.NUMBER, value),)
    moment = as_instant(value)
    return (Type.TEXT, value) if moment is None else (Type.INSTANT, moment), (Type.LIST, value)


def encode(rows: Sequence[Metadata]) -> dict[str, pa.Array]:
    """The columns of these rows by physical name, sorted, each of length ``len(rows)``; no column is all null.

    Whole numbers beyond 2**53 are stored as their digits in text, datetimes as their ISO text in UTC plus the instant.
    Text must be encodable as UTF-8 (no lone surrogates): UnicodeEncodeError otherwise.
    """
    cells: dict[tuple[Type, str], dict[int, Cell]] = {}
    for number, row in enumerate(rows):
        for field, value in row.items():
            for kind, cell in _typed(value):
                cells.setdefault((kind, field), {})[number] = cell
    named = {column_name(kind, field): (_ARROW[kind], column) for (kind, field), column in cells.items()}
    return {
        name: pa.array([column.get(number) for number in range(len(rows))], type=arrow, from_pandas=False)
        for name, (arrow, column) in sorted(named.items())
    }


def decode(
    table: pa.Table | pa.RecordBatch,
    rows: Sequence[int] | None = None,
    fields: Collection[str] | None = None,
) -> list[dict[str, Value]]:
    """The metadata of ``rows`` (0 <= row < num_rows, in the order given, repeats allowed; None: all).

    Inverse of ``encode``. Only ``fields`` are read (None: all); columns that are no metadata are ignored. Whole numbers
    up to 2**53 come back as int, dates as their text. Touches only the cells asked for. Raises IndexError for a row
    that does not exist.
    """
    wanted = range(table.num_rows) if rows is None else rows
    found: list[dict[str, Value]] = [{} for _ in wanted]
    if fields is not None and not fields:
        return found
    for position, name in enumerate(table.schema.names):
        kind, field = parse_name(name) or (Type.INSTANT, name)
        if kind is Type.INSTANT or (fields is not None and field not in fields):
            continue
        column = table.column(position)
        cells = column.to_pylist() if rows is None else (column[int(row)].as_py() for row in rows)
        for metadata, cell in zip(found, cells, strict=True):
            if cell is not None:
                metadata[field] = _whole(cell) if kind is Type.NUMBER else cell
    return found


def unify(tables: Sequence[pa.Table]) -> pa.Table:
    """All rows of the tables in order, with every column that any of them has; null where a table lacks one.

    Existing columns are referenced, not copied; schema metadata is the first table's. Raises Corrupt when tables
    disagree about a column's type.
    """
    if not tables:
        return pa.table({})
    try:
        return pa.concat_tables(tables, promote_options="default")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise Corrupt(
            "Tables of one index disagree about the type of a column.",
            code="schema_mismatch",
            value=str(error),
            remedy="Rebuild the collection's index.",
        ) from error


def _typed(value: Value) -> list[tuple[Type, Cell]]:
    if isinstance(value, list):
        return [(Type.LIST, value)]
    stored = as_stored(value)
    if isinstance(stored, bool):
        return [(Type.BOOL, stored)]
    if isinstance(stored, float):
        return [(Type.NUMBER, stored)]
    moment = as_instant(stored)
    return [(Type.TEXT, stored)] if moment is None else [(Type.TEXT, stored), (Type.INSTANT, moment.astimezone(UTC))]


def _whole(number: float) -> float:
    return int(number) if number.is_integer() and abs(number) <= MAX_EXACT_INT else number

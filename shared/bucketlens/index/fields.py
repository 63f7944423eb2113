"""The metadata of a shard once more, column by column, for filters over a shard that is not local.

rows.arrow has a piece of each column in every record batch, so that reading one column by range would be a request for
every 2,000 rows. Here each column is one stretch of bytes: an Arrow IPC stream of its own with one column ``cells``,
compressed with zstd, text of few values as a dictionary. columns.arrow has a row for each: ``name``, ``stream``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa  # noqa: TID251

from bucketlens.errors import Corrupt
from bucketlens.filters import Among, And, Compare, Filter, Not, Or, Present
from bucketlens.index import arrow
from bucketlens.index.columns import OWN, Type, arrow_type, column_name, parse_name, sought

_PER_VALUE = 8
"""Text whose values occur so often on average is stored as a dictionary: 16 values in 262,144 rows take 0.2 MB instead
of 1.1; with every value its own it would take a third more."""
_ZSTD = pa.ipc.IpcWriteOptions(compression="zstd")


class Place(NamedTuple):
    """Where in columns.arrow a column's stream is. Two columns may have the same name."""

    name: str
    start: int
    end: int


def pack(table: pa.Table) -> tuple[bytes, list[Place]]:
    """columns.arrow with every metadata column of the table, and where they are; of equal ones with one name, one."""
    named: dict[str, list[pa.ChunkedArray]] = {}
    for name, column in zip(table.schema.names, table.columns, strict=True):
        same = named.setdefault(name, []) if parse_name(name) is not None else [column]
        if not any(column.equals(other) for other in same):
            same.append(column)
    streams = [(name, _stream(column)) for name, columns in named.items() for column in columns]
    names, bodies = [name for name, _ in streams], [body for _, body in streams]
    held = pa.table({"name": pa.array(names, pa.utf8()), "stream": pa.array(bodies, pa.large_binary())})
    body = arrow.write(held, rows_per_batch=max(1, len(streams)))
    return body, _places(body, names)


def unpack(streams: Sequence[tuple[str, bytes]], rows: int, name: str) -> pa.Table:
    """A table of ``rows`` rows with these columns, for ``mask.evaluate``. Raises Corrupt."""
    columns = [_cells(stream, column, name) for column, stream in streams]
    return pa.Table.from_arrays([pa.nulls(rows), *columns], names=["", *(column for column, _ in streams)])


def looked_at(condition: Filter) -> frozenset[str]:
    """The physical columns that ``mask.evaluate`` looks at, whether they exist or not."""
    match condition:
        case And(parts) | Or(parts):
            return frozenset().union(*map(looked_at, parts))
        case Not(part):
            return looked_at(part)
        case Present(field, _):
            return _named(field, *OWN)
        case Compare(field, _, value):
            return _named(field, *(kind for kind, _ in sought(value)))
        case Among(field, values):
            return _named(field, *(kind for value in values for kind, _ in sought(value)))


def _places(body: bytes, names: Sequence[str]) -> list[Place]:
    if not names:
        return []
    whole = pa.py_buffer(body)
    _, offsets, values = pa.ipc.open_file(pa.BufferReader(whole)).get_batch(0).column("stream").buffers()
    ends = np.frombuffer(offsets, np.int64, len(names) + 1) + (values.address - whole.address)
    return [Place(*place) for place in zip(names, ends[:-1].tolist(), ends[1:].tolist(), strict=True)]


def _named(field: str, *kinds: Type) -> frozenset[str]:
    return frozenset(column_name(kind, field) for kind in kinds)


def _stream(column: pa.ChunkedArray) -> bytes:
    cells = column.combine_chunks()
    if pa.types.is_string(cells.type):
        coded = cells.dictionary_encode()
        cells = coded if len(coded.dictionary) * _PER_VALUE <= len(cells) else cells
    table, sink = pa.table({"cells": cells}), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_ZSTD) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _cells(stream: bytes, column: str, name: str) -> pa.ChunkedArray:
    kind, _ = parse_name(column) or (Type.TEXT, "")
    try:
        cells = pa.ipc.open_stream(pa.BufferReader(stream)).read_all().column("cells")
        return cells.cast(arrow_type(kind)) if pa.types.is_dictionary(cells.type) else cells
    except (pa.ArrowInvalid, OSError, KeyError) as error:
        raise Corrupt(
            "A metadata column of a shard cannot be read.",
            code="bad_arrow_file",
            value=f"{name} {column}",
            remedy="Restore it or rebuild the index.",
        ) from error

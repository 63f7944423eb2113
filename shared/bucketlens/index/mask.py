"""A filter over mapped metadata columns becomes one boolean per row. ``filters.matches`` defines what it must say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # noqa: TID251
import pyarrow.compute as pc  # noqa: TID251

from bucketlens.filters import Among, And, Compare, Filter, Not, Op, Operand, Or, Present
from bucketlens.index.block import filterable
from bucketlens.index.columns import Type, arrow_type, column_name
from bucketlens.index.remembered import Name, Remembered
from bucketlens.index.rounded import Rounded
from bucketlens.values import as_instant

Mask: TypeAlias = npt.NDArray[np.bool_]

MASK_BYTES = 32 * 2**20
"""Masks of all shards together: 22 filters at least over 1,048,576 rows."""
FEW_ROWS, _FEW = 50_000, 20
"""Up to so many rows that pass, or one of so many, their numbers are kept beside the mask: for so few a scan is better
than a graph, and of a large shard the numbers take less than half of the mask's bytes."""
LEAST_GATHERED, GATHERED_BYTES = 500, 32 * 2**20
"""Rows that are gathered for one filter at least, and bytes of them for all filters: of fewer the nearest are as soon
found where they lie (0.18 and 0.23 ms for 200 of 1,048,576 x 512 rows, 0.31 and 0.27 for 600, 1.5 and 0.86 for 10,485).
A scan of 50,000 x 512, the longest, has 25 MiB."""

_RELATIONS: dict[Op, Callable[[pa.ChunkedArray, pa.Scalar], pa.ChunkedArray]] = {
    "eq": pc.equal,
    "gt": pc.greater,
    "gte": pc.greater_equal,
    "lt": pc.less,
    "lte": pc.less_equal,
}


def evaluate(condition: Filter, table: pa.Table) -> Mask:
    """Which rows pass, shape (table.num_rows,), writable.

    A missing column is a field that no row has; of columns with the same name any may match; columns that are no
    metadata are ignored. Cost: one pass over each column a condition names, one byte per row and condition.
    """
    match condition:
        case And(parts):
            return _all(parts, table)
        case Or(parts):
            return ~_all(tuple(Not(part) for part in parts), table)
        case Not(part):
            return ~evaluate(part, table)
        case Present(field, present):
            return _present(field, table) if present else ~_present(field, table)
        case Compare(field, op, value):
            return _compared(field, op, value, table)
        case Among(field, values):
            return _among(field, values, table)


@dataclass(frozen=True, slots=True)
class Passing:
    """Which of n rows pass a filter: ``mask`` (n,), and where they are few their ``numbers``, ascending. Read-only.
    ``name`` is that of the filter over these rows, where it is remembered."""

    mask: Mask
    numbers: npt.NDArray[np.int64] | None
    name: Name | None = None

    @classmethod
    def of(cls, condition: Filter, rows: pa.Table) -> Passing:
        """Which of these rows pass, by their metadata and their key."""
        mask = evaluate(condition, filterable(rows))
        mask.flags.writeable = False
        few = int(np.count_nonzero(mask)) <= max(FEW_ROWS, len(mask) // _FEW)
        numbers = np.flatnonzero(mask) if few else None
        if numbers is not None:
            numbers.flags.writeable = False
        return cls(mask, numbers)

    @property
    def nbytes(self) -> int:
        """Memory this takes."""
        return self.mask.nbytes + (0 if self.numbers is None else self.numbers.nbytes)


class Masks:
    """What filters say of the rows of shards, which never change, within ``budget`` bytes; and the rows themselves of
    those that are scanned again and again, within ``gathered`` bytes. Thread-safe: who asks at the same time may
    compute the same."""

    def __init__(self, budget: int = MASK_BYTES, gathered: int = GATHERED_BYTES) -> None:
        self._passing = Remembered[Passing](budget, lambda passing: passing.nbytes)
        self._most = gathered
        self._gathered = Remembered[Rounded](gathered, lambda rounded: rounded.nbytes)

    def get(self, shard: str, condition: Filter, rows: pa.Table) -> Passing:
        """Which rows pass. ``rows`` must be the same at every call for a shard."""
        name = shard, repr(condition)  # of two equal filters one may mean the number 1 and the other True
        passing = self._passing.get(name)
        if passing is None:
            passing = replace(Passing.of(condition, rows), name=name)
            self._passing.put(name, passing)
        return passing

    def gathered(self, passing: Passing, rounded: Callable[[], Rounded | None]) -> Rounded | None:
        """The rounded rows of a filter's ``numbers``, side by side, from the second time on that they are asked for, if
        that is worth it: a search among a tenth of 262,144 takes 0.4 of the time. ``rounded`` gives all rows
        of the shard, or None where there are none."""
        name, numbers = passing.name, passing.numbers
        if name is None or numbers is None or len(numbers) < LEAST_GATHERED:
            return None
        held = self._gathered.get(name)
        if held is None:
            self._gathered.put(name, _ONCE)
        elif held is _ONCE:
            every = rounded()
            if every is None or every.room(len(numbers)) > self._most:
                return None
            held = every.taken(numbers)
            self._gathered.put(name, held)
        return None if held is _ONCE else held


_ONCE = Rounded(np.zeros((0, 0), np.int8), 0.0)
"""In the place of rows that were asked for once."""


def _all(parts: tuple[Filter, ...], table: pa.Table) -> Mask:
    found: Mask | None = None
    for part in parts:
        passing = evaluate(part, table)
        found = passing if found is None else np.bitwise_and(found, passing, out=found)
        if not found.any():
            break
    return np.ones(table.num_rows, np.bool_) if found is None else found


def _present(field: str, table: pa.Table) -> Mask:
    found = np.zeros(table.num_rows, np.bool_)
    for kind in (Type.NUMBER, Type.BOOL, Type.TEXT, Type.LIST):
        found |= _where(table, kind, field, pc.is_valid)
    return found


def _compared(field: str, op: Op, value: Operand, table: pa.Table) -> Mask:
    relation = _RELATIONS[op]
    if not isinstance(value, str):
        kind = Type.BOOL if isinstance(value, bool) else Type.NUMBER
        return _where(table, kind, field, lambda cells: relation(cells, _scalar(kind, value)))
    instant = as_instant(value)
    kind = Type.TEXT if instant is None else Type.INSTANT
    found = _where(table, kind, field, lambda cells: relation(cells, _scalar(kind, instant or value)))
    return found | _where_any(table, field, lambda cells: relation(cells, _scalar(Type.TEXT, value)))


def _among(field: str, values: tuple[Operand, ...], table: pa.Table) -> Mask:
    texts = [value for value in values if isinstance(value, str)]
    instants = [as_instant(text) for text in texts]
    numbers = [value for value in values if isinstance(value, float)]
    wanted: dict[Type, list[Any]] = {
        Type.BOOL: [value for value in values if isinstance(value, bool)],
        Type.NUMBER: [*numbers, -0.0] if 0.0 in numbers else numbers,  # is_in tells the two zeros apart
        Type.TEXT: [text for text, instant in zip(texts, instants, strict=True) if instant is None],
        Type.INSTANT: [instant for instant in instants if instant is not None],
    }
    found = np.zeros(table.num_rows, np.bool_)
    for kind, among in wanted.items():
        if among:
            found |= _where(table, kind, field, _is_in(kind, among))
    return found | _where_any(table, field, _is_in(Type.TEXT, texts)) if texts else found


def _is_in(kind: Type, among: list[Any]) -> Callable[[pa.ChunkedArray], pa.ChunkedArray]:
    return lambda cells: pc.is_in(cells, value_set=pa.array(among, arrow_type(kind)))


def _where(table: pa.Table, kind: Type, field: str, test: Callable[[pa.ChunkedArray], pa.ChunkedArray]) -> Mask:
    """Rows whose cell of that type passes; null does not."""
    found: Mask | None = None
    for position in table.schema.get_all_field_indices(column_name(kind, field)):
        passing = _numpy(test(table.column(position)))
        found = passing if found is None else np.bitwise_or(found, passing, out=found)
    return np.zeros(table.num_rows, np.bool_) if found is None else found


def _where_any(table: pa.Table, field: str, test: Callable[[pa.ChunkedArray], pa.ChunkedArray]) -> Mask:
    """Rows whose list has an element that passes."""
    found = np.zeros(table.num_rows, np.bool_)
    for position in table.schema.get_all_field_indices(column_name(Type.LIST, field)):
        lists = table.column(position)
        passed = _numpy(test(pc.list_flatten(lists)))
        found[pc.list_parent_indices(lists).to_numpy()[passed]] = True
    return found


def _numpy(passed: pa.ChunkedArray) -> Mask:
    """The same as bytes, false for null. numpy unpacks bits in a tenth of the time that Arrow takes."""
    joined = pc.fill_null(passed, False).combine_chunks()
    bits = np.frombuffer(joined.buffers()[1], dtype=np.uint8)
    end = joined.offset + len(joined)
    return np.unpackbits(bits, count=end, bitorder="little")[joined.offset :].view(np.bool_)


def _scalar(kind: Type, value: str | float | bool | datetime) -> pa.Scalar:
    return pa.scalar(value, arrow_type(kind))

"""A filter over mapped metadata columns becomes one boolean per row. ``filters.matches`` defines what it must say."""

from __future__ import annotations

import threading
from collections import OrderedDict
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
from bucketlens.index.rounded import Asked, Rounded
from bucketlens.values import as_instant

Mask: TypeAlias = npt.NDArray[np.bool_]

REMEMBERED_BYTES = 64 * 2**20
"""What filters say of the rows of all shards together: of 1,048,576 x 512 rows 45 filters at least, or nine that one
row of a hundred passes and that were asked again."""
_FEW = 20
"""One row of so many that passes, or fewer: then their numbers take less than half of the mask's bytes."""
LEAST_GATHERED, GATHERED_BYTES = 500, 25 * 2**20
"""Rows that are gathered for one filter, and bytes of them at most: of fewer the nearest are as soon found where they
lie (0.18 and 0.23 ms for 200 of 1,048,576 x 512 rows, 0.31 and 0.27 for 600, 1.5 and 0.86 for 10,485), of more than
50,000 the graph finds them."""

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
    """Which of n rows pass a filter: ``mask`` (n,), and where they are few their ``numbers``, ascending; read-only. Of
    a filter that is asked again those are ``gathered``: rounded, side by side."""

    mask: Mask
    numbers: npt.NDArray[np.int64] | None
    gathered: Rounded | None = None

    @classmethod
    def of(cls, condition: Filter, rows: pa.Table) -> Passing:
        """Which of these rows pass, by their metadata and their key."""
        mask = evaluate(condition, filterable(rows))
        mask.flags.writeable = False
        few = _FEW * int(np.count_nonzero(mask)) <= len(mask)
        numbers = np.flatnonzero(mask) if few else None
        if numbers is not None:
            numbers.flags.writeable = False
        return cls(mask, numbers)

    def nearest(self, asked: Asked, live: Mask, k: int) -> npt.NDArray[np.int64] | None:
        """Of the passing rows that are ``live`` (n,) those that may be among the k nearest (``Rounded.nearest``); None
        where they were not gathered. Takes 0.4 of the time that it takes where the rows lie."""
        if self.gathered is None or self.numbers is None:
            return None
        return self.numbers[self.gathered.nearest(asked, [np.flatnonzero(live[self.numbers])], k)]

    def gathering(self, rounded: Rounded | None) -> Passing:
        """The same with its rows gathered out of all the rounded ones, if that is worth it and not done yet."""
        if rounded is None or self.gathered or self.numbers is None or len(self.numbers) < LEAST_GATHERED:
            return self
        if len(self.numbers) * rounded.rows[:1].nbytes > GATHERED_BYTES:
            return self
        return replace(self, gathered=Rounded(rounded.rows[self.numbers], rounded.angle))

    @property
    def nbytes(self) -> int:
        """Memory this takes."""
        held = (self.mask, self.numbers, self.gathered.rows if self.gathered else None)
        return sum(array.nbytes for array in held if array is not None)


class Masks:
    """What filters say of the rows of shards, which never change; the least recently used are dropped beyond ``budget``
    bytes. Thread-safe: who asks at the same time may compute the same."""

    def __init__(self, budget: int = REMEMBERED_BYTES) -> None:
        self._budget = budget
        self._held: OrderedDict[tuple[str, str], Passing] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, shard: str, condition: Filter, rows: pa.Table, rounded: Rounded | None = None) -> Passing:
        """Which rows pass, gathered out of ``rounded`` from the second time on. ``rows`` and ``rounded`` must be the
        same at every call for a shard."""
        name = shard, repr(condition)  # of two equal filters one may mean the number 1 and the other True
        with self._lock:
            known = self._held.get(name)
            if known is not None:
                self._held.move_to_end(name)
        passing = known.gathering(rounded) if known else Passing.of(condition, rows)
        if passing is not known:
            self._remember(name, passing)
        return passing

    def _remember(self, name: tuple[str, str], passing: Passing) -> None:
        with self._lock:
            known = self._held.pop(name, None)
            self._held[name] = passing
            self._bytes += passing.nbytes - (known.nbytes if known else 0)
            while self._bytes > self._budget:
                self._bytes -= self._held.popitem(last=False)[1].nbytes


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

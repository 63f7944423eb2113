"""A filter over mapped metadata columns becomes one boolean per row. ``filters.matches`` defines what it must say."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # noqa: TID251
import pyarrow.compute as pc  # noqa: TID251

from bucketlens.filters import Among, And, Compare, Filter, Not, Op, Operand, Or, Present
from bucketlens.index.block import filterable
from bucketlens.index.columns import Type, arrow_type, column_name
from bucketlens.values import as_instant

Mask: TypeAlias = npt.NDArray[np.bool_]

MASK_BYTES = 4 * 2**20
"""Masks remembered for each shard: sixteen filters over 262,144 rows."""

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


class Masks:
    """The masks of filters over the rows of one shard, which never change; the least recently used are dropped beyond
    ``budget`` bytes. Thread-safe: who asks at the same time may compute the same."""

    def __init__(self, budget: int = MASK_BYTES) -> None:
        self._budget = budget
        self._held: OrderedDict[str, Mask] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, condition: Filter, rows: pa.Table) -> Mask:
        """Which rows pass, (n,), read-only. ``rows`` must be the same at every call."""
        name = repr(condition)  # of two equal filters one may mean the number 1 and the other True
        with self._lock:
            if name in self._held:
                self._held.move_to_end(name)
                return self._held[name]
        mask = evaluate(condition, filterable(rows))
        mask.flags.writeable = False
        with self._lock:
            self._held[name] = mask
            while len(self._held) * len(mask) > self._budget:
                self._held.popitem(last=False)
        return mask


def _all(parts: tuple[Filter, ...], table: pa.Table) -> Mask:
    found = np.ones(table.num_rows, np.bool_)
    for part in parts:
        if not found.any():
            break
        found &= evaluate(part, table)
    return found


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
    found = np.zeros(table.num_rows, np.bool_)
    for position in table.schema.get_all_field_indices(column_name(kind, field)):
        found |= _numpy(test(table.column(position)))
    return found


def _where_any(table: pa.Table, field: str, test: Callable[[pa.ChunkedArray], pa.ChunkedArray]) -> Mask:
    """Rows whose list has an element that passes."""
    found = np.zeros(table.num_rows, np.bool_)
    for position in table.schema.get_all_field_indices(column_name(Type.LIST, field)):
        lists = table.column(position)
        passed = _numpy(test(pc.list_flatten(lists)))
        found[pc.list_parent_indices(lists).to_numpy()[passed]] = True
    return found


def _numpy(passed: pa.ChunkedArray) -> Mask:
    found: Mask = pc.fill_null(passed, False).to_numpy()
    return found


def _scalar(kind: Type, value: str | float | bool | datetime) -> pa.Scalar:
    return pa.scalar(value, arrow_type(kind))

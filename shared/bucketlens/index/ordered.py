"""Rows in the order of a column: those within bounds are found by search, and not by a pass over all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # noqa: TID251

from bucketlens.filters import Op


@dataclass(frozen=True, slots=True)
class Bound:
    """What a number, or an instant in microseconds, must be: in relation ``op`` to ``value``."""

    op: Op
    value: float | int


@dataclass(frozen=True, slots=True)
class Ordered:
    """All n ``rows`` of a column in ascending order of their m ``numbers``; last, in any order, the n - m without."""

    numbers: npt.NDArray[np.float64] | npt.NDArray[np.int64]
    rows: npt.NDArray[np.uint32]

    @classmethod
    def of(cls, cells: pa.ChunkedArray) -> Ordered:
        """Cells are numbers, or instants, which become microseconds, or null. Takes 60 ms for a million."""
        plain = cells.cast(pa.int64()) if pa.types.is_timestamp(cells.type) else cells
        numbers = plain.fill_null(0).combine_chunks().to_numpy(zero_copy_only=False)
        told = cells.is_valid().combine_chunks().to_numpy(zero_copy_only=False) & ~np.isnan(numbers)
        having = np.flatnonzero(told)
        having = having[np.argsort(numbers[having])]
        return cls(numbers[having], np.concatenate([having, np.flatnonzero(~told)]).astype(np.uint32))

    @staticmethod
    def room(count: int) -> int:
        """Bytes that so many rows take."""
        return count * (np.dtype(np.float64).itemsize + np.dtype(np.uint32).itemsize)

    @property
    def nbytes(self) -> int:
        """Memory this takes."""
        return self.numbers.nbytes + self.rows.nbytes

    def within(self, bounds: Iterable[Bound]) -> npt.NDArray[np.bool_]:
        """Which rows have a number within all of these bounds, (n,), writable."""
        first, end = 0, len(self.numbers)
        for bound in bounds:
            before, after = (int(np.searchsorted(self.numbers, bound.value, side=side)) for side in ("left", "right"))
            if bound.op in ("eq", "gt", "gte"):
                first = max(first, after if bound.op == "gt" else before)
            if bound.op in ("eq", "lt", "lte"):
                end = min(end, before if bound.op == "lt" else after)
        end = max(first, end)
        few = 2 * (end - first) <= len(self.rows)
        mask = np.zeros(len(self.rows), np.bool_) if few else np.ones(len(self.rows), np.bool_)
        for part in [self.rows[first:end]] if few else [self.rows[:first], self.rows[end:]]:
            mask[part] = few
        return mask

"""Rows in the order of a column: those within bounds are found by search, and not by a pass over all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # noqa: TID251

from bucketlens.filters import Op

_AT_ONCE = 16_384
"""Rows looked at together: memory for all at once would come fresh from the system, and take longer than the rest."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What a number, or an instant in microseconds, must be: in relation ``op`` to ``value``."""

    op: Op
    value: float | int


@dataclass(frozen=True, slots=True)
class Ordered:
    """All n ``rows`` of a column in ascending order of their m ``numbers``; last, in any order, the n - m without.
    ``places`` (n,) are where each row stands."""

    numbers: npt.NDArray[np.float64] | npt.NDArray[np.int64]
    rows: npt.NDArray[np.uint32]
    places: npt.NDArray[np.uint32]

    @classmethod
    def of(cls, cells: pa.ChunkedArray) -> Ordered:
        """Cells are numbers, or instants, which become microseconds, or null. Takes 60 ms for a million."""
        plain = cells.cast(pa.int64()) if pa.types.is_timestamp(cells.type) else cells
        numbers = plain.fill_null(0).combine_chunks().to_numpy(zero_copy_only=False)
        told = cells.is_valid().combine_chunks().to_numpy(zero_copy_only=False) & ~np.isnan(numbers)
        having = np.flatnonzero(told)
        having = having[np.argsort(numbers[having])]
        rows = np.concatenate([having, np.flatnonzero(~told)]).astype(np.uint32)
        places = np.empty_like(rows)
        places[rows] = np.arange(len(rows), dtype=np.uint32)
        return cls(numbers[having], rows, places)

    @staticmethod
    def room(count: int) -> int:
        """Bytes that so many rows take."""
        return count * (np.dtype(np.float64).itemsize + 2 * np.dtype(np.uint32).itemsize)

    @property
    def nbytes(self) -> int:
        """Memory this takes."""
        return self.numbers.nbytes + self.rows.nbytes + self.places.nbytes

    def within(self, bounds: Iterable[Bound]) -> Stretch:
        """The rows that have a number within all of these bounds."""
        first, end = 0, len(self.numbers)
        for bound in bounds:
            if bound.op in ("eq", "gt", "gte"):
                first = max(first, int(self.numbers.searchsorted(bound.value, "right" if bound.op == "gt" else "left")))
            if bound.op in ("eq", "lt", "lte"):
                end = min(end, int(self.numbers.searchsorted(bound.value, "left" if bound.op == "lt" else "right")))
        return Stretch(self, first, max(first, end))


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows that stand next to one another in the order of a column: from place ``first`` up to ``end``."""

    order: Ordered
    first: int
    end: int

    def __len__(self) -> int:
        return self.end - self.first

    def numbers(self) -> npt.NDArray[np.int64]:
        """Their row numbers, ascending. Takes 2 ns a row."""
        return np.sort(self.order.rows[self.first : self.end]).astype(np.int64)

    def mask(self) -> npt.NDArray[np.bool_]:
        """Which of all n rows they are, (n,), writable. Takes 0.3 ns a row."""
        return self._at(self.order.places)

    def holds(self, rows: npt.NDArray[np.int64] | slice) -> npt.NDArray[np.bool_]:
        """Which of these rows are among them."""
        return self._at(self.order.places[rows])

    def _at(self, places: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
        found = np.empty(len(places), np.bool_)
        behind = np.empty(min(len(places), _AT_ONCE), np.uint32)
        for at in range(0, len(places), _AT_ONCE):
            here = places[at : at + _AT_ONCE]
            # Of those before the first it is more than there are.
            np.subtract(here, np.uint32(self.first), out=behind[: len(here)])
            np.less(behind[: len(here)], np.uint32(len(self)), out=found[at : at + _AT_ONCE])
        return found

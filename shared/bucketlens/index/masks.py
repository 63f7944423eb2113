"""What filters say of the rows of shards, remembered; and what makes the next ones faster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # noqa: TID251

from bucketlens.filters import Filter
from bucketlens.index.arrays import Mask
from bucketlens.index.block import filterable
from bucketlens.index.mask import Orders, by_order, evaluate
from bucketlens.index.ordered import Ordered, Stretch
from bucketlens.index.remembered import Name, Remembered
from bucketlens.index.rounded import Rounded

T = TypeVar("T", bound=npt.NDArray[Any])

MASK_BYTES = 32 * 2**20
"""Masks of all shards together: 15 filters at least over 1,048,576 rows."""
ORDER_BYTES = 40 * 2**20
"""Orders of columns of all shards together: of two columns of 1,048,576 rows."""
FEW_ROWS, _FEW = 50_000, 8
"""Up to so many rows that pass, or one of so many, their numbers are kept: to find so few in a mask takes longer than
to look at them, and of a large shard they take no more bytes than the mask."""
LEAST_GATHERED, GATHERED_BYTES = 500, 32 * 2**20
"""Rows that are gathered for one filter at least, and bytes of them for all filters: of fewer the nearest are as soon
found where they lie (0.04 and 0.04 ms for 200 of 1,048,576 x 512 rows, 0.08 and 0.11 for 1,000, 0.38 and 1.0 for
10,485). A scan of 50,000 x 512 has 25 MiB; what does not fit is scanned where it lies."""


@dataclass(frozen=True)
class Passing:
    """Which of so many ``rows`` pass a filter: where they are few their ``numbers``, ascending; where they are more, a
    mask (n,), ``told``, or the ``stretch`` of a column's order that they are. Read-only. ``name`` is that of the filter
    over these rows, where it is remembered."""

    rows: int
    numbers: npt.NDArray[np.int64] | None = None
    told: Mask | None = None
    name: Name | None = None
    stretch: Stretch | None = None

    @classmethod
    def of(cls, condition: Filter, rows: pa.Table, orders: Orders | None = None) -> Passing:
        """Which of these rows pass, by their metadata and their key."""
        table, count = filterable(rows), int(rows.num_rows)
        few, mask = max(FEW_ROWS, count // _FEW), None
        found = by_order(condition, table, orders, few) if orders else None
        if isinstance(found, Stretch):
            return cls(count, stretch=found)
        if found is None:
            mask = _shut(evaluate(condition, table, orders))
            found = np.flatnonzero(mask) if int(np.count_nonzero(mask)) <= few else None
        return cls(count, None if found is None else _shut(found), mask)

    @cached_property
    def mask(self) -> Mask:
        """Which of the rows, (n,). Of a million, to make it takes as long as to score 4,000."""
        if self.told is not None:
            return self.told
        if self.stretch is not None:
            return _shut(self.stretch.mask())
        mask = np.zeros(self.rows, np.bool_)
        mask[self.numbers] = True
        return _shut(mask)

    @cached_property
    def count(self) -> int:
        """How many pass."""
        if self.stretch is not None:
            return len(self.stretch)
        return int(np.count_nonzero(self.mask)) if self.numbers is None else len(self.numbers)

    def holds(self, rows: npt.NDArray[np.int64] | slice) -> Mask:
        """Which of these rows pass. Of a stretch no mask of all is made for that."""
        return self.mask[rows] if self.stretch is None else self.stretch.holds(rows)

    @property
    def nbytes(self) -> int:
        """Memory this takes, the mask included."""
        return self.rows + (0 if self.numbers is None else self.numbers.nbytes)


def _shut(values: T) -> T:
    values.flags.writeable = False
    return values


class Masks:
    """What filters say of the rows of shards, which never change, within ``budget`` bytes; the order of the rows by
    columns that other filters bound again, within ``ordered``; and the rows themselves of filters that are scanned
    again, within ``gathered``. Thread-safe: who asks at the same time may compute the same."""

    def __init__(self, budget: int = MASK_BYTES, gathered: int = GATHERED_BYTES, ordered: int = ORDER_BYTES) -> None:
        self._passing = Remembered[Passing](budget, lambda passing: passing.nbytes)
        self._gathered = Remembered[Rounded](gathered, lambda rounded: rounded.nbytes)
        self._ordered = Remembered[Ordered](ordered, lambda ordered: ordered.nbytes)

    def get(self, shard: str, condition: Filter, rows: pa.Table) -> Passing:
        """Which rows pass. ``rows`` must be the same at every call for a shard."""
        name = shard, repr(condition)  # of two equal filters one may mean the number 1 and the other True
        passing = self._passing.get(name)
        if passing is None:
            passing = replace(Passing.of(condition, rows, cache(partial(self._order, shard, rows))), name=name)
            if passing.stretch is not None:
                # A stretch keeps a column's order in memory, and once may be never again.
                if not self._passing.wanted(name, passing.nbytes):
                    return passing
                passing = replace(passing, told=passing.mask, stretch=None)
            self._passing.put(name, passing)
        return passing

    def _order(self, shard: str, rows: pa.Table, column: str) -> Ordered | None:
        """The rows in the order of a column, from the second filter on that bounds it, if it will be kept."""
        name = shard, column
        order = self._ordered.get(name)
        if order is None and self._ordered.wanted(name, Ordered.room(rows.num_rows)):
            order = Ordered.of(rows.column(column))
            self._ordered.put(name, order)
        return order

    def gathered(self, passing: Passing, rounded: Callable[[], Rounded | None]) -> Rounded | None:
        """The rounded rows of a filter's ``numbers``, side by side, from the second time on that they are asked for, if
        that is worth it: a search among a tenth of 262,144 takes 0.4 of the time. ``rounded`` gives all rows
        of the shard, or None where there are none."""
        name, numbers = passing.name, passing.numbers
        if name is None or numbers is None or len(numbers) < LEAST_GATHERED:
            return None
        held = self._gathered.get(name)
        if held is None:
            every = rounded()
            if every is not None and self._gathered.wanted(name, every.room(len(numbers))):
                held = every.taken(numbers)
                self._gathered.put(name, held)
        return held

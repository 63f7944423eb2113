"""Parts: rows of the log or of a shard, in the form in which they are searched and shown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from bucketlens.filters import ALWAYS, Filter
from bucketlens.index.arrays import Halves, Mask, Numbers
from bucketlens.index.block import Block
from bucketlens.index.codes import Bits
from bucketlens.index.effort import Effort
from bucketlens.index.graph import Graph
from bucketlens.index.head import Head
from bucketlens.index.masks import Passing
from bucketlens.index.rounded import Asked, Rounded
from bucketlens.records import Vector

if TYPE_CHECKING:
    import pyarrow as pa  # noqa: TID251

_NONE = np.zeros(0, np.bool_)
_FEW_DEAD = 4
"""One row of so many may not count: to look up those in a column's order takes 0.75 of the time of a mask of all then,
of one of 16 a quarter (65,536 to 1,048,576 rows)."""


class Near(Protocol):
    """How rows are found by their codes."""

    def __call__(self, query: Vector, mask: Mask | None, count: int, least: float | None) -> npt.NDArray[np.int64]:
        """About the ``count`` nearest of the rows of a mask (n,), or of all, ascending; if ``least`` is given, only
        rows whose cosine may be that or more."""
        ...


class Apart(Protocol):
    """How far rows are from a query by their codes."""

    def __call__(self, query: Vector, rows: Numbers, /) -> Bits:
        """In how many bits the codes of these rows, ascending, differ from the query's."""
        ...


class Rows(Protocol):
    """What a part offers to search: the same for a shard and for the log."""

    @property
    def rows(self) -> pa.Table:
        """Keys and metadata, n rows."""
        ...

    @property
    def vectors(self) -> Halves:
        """(n, dimension) float16 in the same order."""
        ...

    @property
    def graph(self) -> Graph | None:
        """The graph over the same rows, if there is one."""
        ...

    @property
    def head(self) -> Head | None:
        """The clusters the rows stand in, if they do."""
        ...

    @property
    def rounded(self) -> Rounded | None:
        """The same rows in half the bytes, if there are any."""
        ...

    @property
    def apart(self) -> Apart | None:
        """How the codes of rows are compared, where they can be."""
        ...

    def coding_error(self, query: Vector) -> float:
        """By how much the cosines that codes tell are off, about and at least (``Coding.error``)."""
        ...

    def passing(self, condition: Filter) -> Passing:
        """Which rows pass a filter, counting or not."""
        ...

    def gathered(self, passing: Passing) -> Rounded | None:
        """The rounded rows of the few that pass a filter, side by side, where they are kept."""
        ...


@dataclass(frozen=True, slots=True)
class HeldRows:
    """Rows in memory: the counting images of the log, or what a cold search brought of a shard."""

    block: Block

    @property
    def rows(self) -> pa.Table:
        """Keys and metadata."""
        return self.block.table

    @property
    def vectors(self) -> Halves:
        """(n, dimension) float16."""
        return self.block.vectors

    @property
    def graph(self) -> Graph | None:
        """Rows in memory have no graph."""
        return None

    @property
    def head(self) -> Head | None:
        """Rows in memory have no clusters."""
        return None

    @property
    def rounded(self) -> Rounded | None:
        """Rows in memory are few."""
        return None

    @property
    def apart(self) -> Apart | None:
        """Rows in memory that are many have another way (``Part.near``)."""
        return None

    def coding_error(self, query: Vector) -> float:
        """0: there are no codes."""
        return 0.0

    def passing(self, condition: Filter) -> Passing:
        """Which rows pass a filter."""
        return Passing.of(condition, self.block.table)

    def gathered(self, passing: Passing) -> Rounded | None:
        """Nothing of rows in memory is kept twice."""
        return None


@dataclass(frozen=True)
class Part:
    """Some rows and which of them count. ``name`` is ``log`` or the shard's id; ``near`` compares codes of the rows."""

    name: str
    source: Rows
    live: Mask
    near: Near | None = None

    @cached_property
    def count(self) -> int:
        """Rows that count."""
        return int(np.count_nonzero(self.live))

    @cached_property
    def whole(self) -> bool:
        """Whether all rows count."""
        return self.count == len(self.live)

    @cached_property
    def dead(self) -> Numbers:
        """The others, ascending."""
        return np.flatnonzero(~self.live)

    @property
    def effort(self) -> Effort | None:
        """What a search through the part's graph takes; None where there is no graph."""
        return self.source.head.effort if self.source.head else None

    def matching(self, condition: Filter) -> Matching:
        """Which rows count and pass the filter."""
        return Matching(self, None if condition == ALWAYS else self.source.passing(condition))


@dataclass(frozen=True)
class Matching:
    """The rows of a part that count and pass a filter; None passes all. Of few rows no mask is made unless asked for:
    to make one of a million rows and find the rows in it takes as long as to score 4,000 of them."""

    part: Part
    passing: Passing | None

    @cached_property
    def count(self) -> int:
        """How many."""
        if self.passing is None:
            return self.part.count
        if self.part.whole:
            return self.passing.count
        if self.passing.numbers is not None:
            return len(self.numbers)
        if self.passing.stretch is not None and _FEW_DEAD * len(self.part.dead) <= len(self.part.live):
            return self.passing.count - int(np.count_nonzero(self.passing.holds(self.part.dead)))
        return int(np.count_nonzero(self.mask))

    def within(self, first: int, end: int) -> int:
        """How many of the rows from ``first`` up to ``end``."""
        if self.passing is None or self.passing.numbers is None:
            return int(np.count_nonzero(self.holds(slice(first, end))))
        return int(np.diff(np.searchsorted(self.numbers, (first, end)))[0])

    def holds(self, rows: Numbers | slice) -> Mask:
        """Which of these rows."""
        live = self.part.live
        if self.passing is None:
            return live[rows]
        return self.passing.holds(rows) if self.part.whole else live[rows] & self.passing.holds(rows)

    def counted(self, firsts: Numbers) -> Numbers:
        """How many of the rows from each of these up to the next, ascending and none twice; (len(firsts) - 1,)."""
        if self.passing is not None and self.passing.numbers is not None:
            return np.asarray(np.diff(np.searchsorted(self.numbers, firsts)))
        fitting = np.min_scalar_type(int(np.diff(firsts).max()))  # in half the time of wide numbers
        held = np.add.reduceat(self.mask.view(np.uint8), firsts[:-1], dtype=fitting)
        return np.asarray(held, dtype=np.int64)

    def inside(self, firsts: Numbers, ends: Numbers, counts: Numbers) -> Numbers:
        """Their numbers in these spans of rows, which ascend and have so many of them; ascending."""
        if self.passing is not None and self.passing.numbers is not None:
            places = np.searchsorted(self.numbers, firsts) - _before(counts)
            return np.asarray(self.numbers[np.arange(counts.sum()) + np.repeat(places, counts)])
        spans = zip(firsts.tolist(), ends.tolist(), strict=True)
        held = np.concatenate([_NONE, *(self.mask[first:end] for first, end in spans)])
        return np.asarray(np.flatnonzero(held) + np.repeat(firsts - _before(ends - firsts), counts))

    @property
    def whole(self) -> bool:
        """Whether all rows of the part do."""
        return self.passing is None and self.part.whole

    @cached_property
    def mask(self) -> Mask:
        """Which of the part's n rows, (n,); read-only."""
        if self.passing is None:
            return self.part.live
        return self.passing.mask if self.part.whole else self.part.live & self.passing.mask

    @cached_property
    def numbers(self) -> Numbers:
        """Their row numbers, ascending."""
        few = None if self.passing is None else self.passing.numbers
        if few is None:
            return np.flatnonzero(self.mask)
        return few if self.part.whole else few[self._places]

    @cached_property
    def _places(self) -> Numbers:
        """Where those that count are among the few that pass the filter, ascending; all of none where they are many."""
        few = None if self.passing is None else self.passing.numbers
        if few is None:
            return np.zeros(0, np.int64)
        return np.arange(len(few)) if self.part.whole else np.flatnonzero(self.part.live[few])

    def sifted(self, asked: Asked, k: int) -> Numbers | None:
        """Those that may be among the k nearest, ascending (``Rounded.nearest``), where the rows that pass the filter
        are kept side by side; otherwise None."""
        if self.passing is None or self.passing.numbers is None:
            return None
        gathered = self.part.source.gathered(self.passing)
        return None if gathered is None else self.passing.numbers[gathered.nearest(asked, [self._places], k)]


def _before(counts: Numbers) -> Numbers:
    """The sum of those before each."""
    return np.asarray(np.cumsum(counts) - counts)

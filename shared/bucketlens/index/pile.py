"""Rows in memory to which more are added at the end, so that what there was before is shared and not copied."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # noqa: TID251

from bucketlens.filters import Filter
from bucketlens.index import columns
from bucketlens.index.arrays import Halves, Mask, Numbers
from bucketlens.index.block import Block, keys_of
from bucketlens.index.coded import Coded
from bucketlens.index.codes import Bits, Coding, signs, words_of, words_wide
from bucketlens.index.masks import Passing
from bucketlens.records import Vector

_GROWN = 1.25
"""What is told of all rows is told again when there are so many times as many."""


@dataclass(slots=True)
class _Room:
    """An array whose first ``used`` rows are taken."""

    rows: Halves
    used: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    codes: Coded | None = None
    coded: int = 0
    measured: int = 0

    def coded_to(self, count: int) -> Coded:
        """The first rows by their codes. Costs what was not coded before: about a second for 250,000 x 512.

        The mean is that of the rows there were when codes were first needed, at least half of those to come. The doubt
        is measured again when a quarter has come.
        """
        with self.lock:
            if self.codes is None:
                mean = np.asarray(self.rows[:count].mean(axis=0, dtype=np.float32))
                self.codes = Coded(np.empty((words_wide(len(mean)), len(self.rows)), dtype=np.uint64), mean)
            if self.coded < count:
                codes = signs(self.rows[self.coded : count], self.codes.mean)
                self.codes.words[:, self.coded : count] = words_of(codes)
                self.coded = count
            if self.measured * _GROWN < count:
                self.codes, self.measured = self.codes.measured(self.rows[:count]), count
            return self.codes.first(count)


@dataclass(frozen=True)
class Pile:
    """n rows. Growing costs what is added, on average: vectors lie in one array with room at its end, tables in runs of
    geometric size, so that few are scanned and none is copied more than log2(n) times.

    Piles that grow out of one another share their rows. Only one thread may grow them at a time.
    """

    runs: tuple[pa.Table, ...]
    room: _Room = field(repr=False)
    count: int = 0

    @classmethod
    def empty(cls, dimension: int) -> Pile:
        """No rows yet, with vectors of ``dimension`` components; 0 for rows that have none."""
        return cls((Block.of((), dimension).table,), _Room(np.zeros((0, dimension), dtype=np.float16)))

    def __len__(self) -> int:
        return self.count

    @cached_property
    def rows(self) -> pa.Table:
        """Keys and metadata."""
        return columns.unify(self.runs)

    @property
    def vectors(self) -> Halves:
        """(n, dimension) float16, contiguous."""
        return self.room.rows[: self.count]

    @property
    def graph(self) -> None:
        """Rows in memory have no graph."""
        return

    @property
    def head(self) -> None:
        """Rows in memory have no clusters."""
        return

    @property
    def rounded(self) -> None:
        """Rows in memory are found by their codes."""
        return

    def apart(self, query: Vector, rows: Numbers) -> Bits:
        """In how many bits the codes of these rows differ from the query's, made when first needed."""
        return self.room.coded_to(self.count).apart(query)[rows]

    def coding_error(self, query: Vector) -> float:
        """See ``Coding.error``."""
        return Coding(self.room.coded_to(self.count).mean, 1.0).error(query)

    def near(self, query: Vector, mask: Mask | None, count: int, least: float | None = None) -> npt.NDArray[np.int64]:
        """As ``Coded.nearest``. Codes are made when they are first needed."""
        return self.room.coded_to(self.count).nearest(query, mask, count, least)

    def passing(self, condition: Filter) -> Passing:
        """Which rows pass a filter."""
        return Passing.of(condition, self.rows)

    def gathered(self, passing: Passing) -> None:
        """Nothing of rows in memory is kept twice."""
        return

    def keys(self, start: int) -> list[str]:
        """Keys of the rows from ``start`` on."""
        found: list[str] = []
        first = 0
        for run in self.runs:
            if first + run.num_rows > start:
                found += keys_of(run, max(0, start - first))
            first += run.num_rows
        return found

    def plus(self, blocks: Sequence[Block]) -> Pile:
        """These rows and then those of the blocks."""
        added = [block for block in blocks if len(block)]
        if not added:
            return self
        end = self.count + sum(len(block) for block in added)
        room, at = self._room_for(end), self.count
        for block in added:
            room.rows[at : at + len(block)] = block.vectors
            at += len(block)
        room.used = end
        return Pile(_consolidated((*self.runs, _one([block.table for block in added]))), room, end)

    def where(self, kept: Mask) -> Pile:
        """A pile of its own with the rows that the mask keeps."""
        return Pile.empty(self.vectors.shape[1]).plus([Block(self.rows, self.vectors).where(kept)])

    def take(self, rows: npt.NDArray[np.int64]) -> Block:
        """The rows at these positions, in that order."""
        return Block(self.rows, self.vectors).take(rows)

    def _room_for(self, end: int) -> _Room:
        """Where rows up to ``end`` can stand behind the present ones, without touching what others have added."""
        if self.room.used == self.count and end <= len(self.room.rows):
            return self.room
        room = _Room(np.empty((end if not self.count else 2 * end, self.vectors.shape[1]), dtype=np.float16))
        room.rows[: self.count] = self.vectors
        return room


def _consolidated(runs: tuple[pa.Table, ...]) -> tuple[pa.Table, ...]:
    """The same rows, every run at least twice as long as the next."""
    while len(runs) > 1 and 2 * runs[-1].num_rows > runs[-2].num_rows:
        runs = (*runs[:-2], _one(runs[-2:]))
    return runs


def _one(tables: Sequence[pa.Table]) -> pa.Table:
    return tables[0] if len(tables) == 1 else columns.unify(tables).combine_chunks()

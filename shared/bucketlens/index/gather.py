"""Rows chosen from many blocks, in an order, and read only when and as far as they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # noqa: TID251
import pyarrow.compute as pc  # noqa: TID251

from bucketlens.index import columns
from bucketlens.index.arrays import Halves
from bucketlens.index.block import Block, Vectors

_WINDOW = 65_536
"""Rows whose metadata are in memory at once: about 30 MB of a usual image's. Every window passes over all sources."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """n rows: row ``rows[i]`` of block ``sources[i]``. The blocks may be mapped files; nothing of them is copied."""

    blocks: tuple[Block, ...]
    sources: npt.NDArray[np.int32]
    rows: npt.NDArray[np.int64]

    @classmethod
    def of(cls, parts: Sequence[tuple[Block, npt.NDArray[np.int64]]]) -> Gathered:
        """These rows, ascending, of each block, in order of key. Keys are unique."""
        blocks = tuple(block for block, _ in parts)
        sources = np.concatenate([np.full(len(rows), number) for number, (_, rows) in enumerate(parts)])
        rows = np.concatenate([rows for _, rows in parts])
        keys = [chunk for block, chosen in parts for chunk in _kept(block.table.select(["key"]), chosen)["key"].chunks]
        order = pc.sort_indices(pa.chunked_array(keys, pa.utf8())).to_numpy().astype(np.int64)
        return cls(blocks, sources.astype(np.int32), rows.astype(np.int64)).taken(order)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def vectors(self) -> Vectors:
        """Their vectors, gathered a part at a time."""
        return _Vectors(self)

    def taken(self, positions: npt.NDArray[np.int64]) -> Gathered:
        """The rows at these positions, in that order."""
        return Gathered(self.blocks, self.sources[positions], self.rows[positions])

    def split(self, most: int) -> Iterator[Gathered]:
        """These rows in parts of nearly equal size, at most ``most`` each; nothing when there are none."""
        if len(self):
            for positions in np.array_split(np.arange(len(self)), -(-len(self) // most)):
                yield self.taken(positions)

    def batches(self, ends: Sequence[int]) -> Iterator[pa.Table]:
        """Keys and metadata of the rows up to each of ``ends``, ascending; all with the same columns."""
        start = 0
        while start < len(self):
            window = [end for end in ends if start < end <= start + _WINDOW] or [
                min(end for end in ends if end > start)
            ]
            table, first = self._table(start, window[-1]), start
            for end in window:
                yield table.slice(start - first, end - start)
                start = end

    def _table(self, start: int, end: int) -> pa.Table:
        sources, rows = self.sources[start:end], self.rows[start:end]
        tables, places = [], []
        for number, block in enumerate(self.blocks):
            mine = np.flatnonzero(sources == number)
            tables.append(_kept(block.table, rows[mine]))
            places.append(mine[np.argsort(rows[mine], kind="stable")])
        joined = columns.unify(tables).combine_chunks()
        return joined.take(pa.array(np.argsort(np.concatenate(places), kind="stable")))


@dataclass(frozen=True, slots=True)
class _Vectors:
    gathered: Gathered

    def __len__(self) -> int:
        return len(self.gathered)

    @property
    def dimension(self) -> int:
        return int(self.gathered.blocks[0].vectors.shape[1])

    def __getitem__(self, wanted: slice | npt.NDArray[np.int64]) -> Halves:
        sources, rows = self.gathered.sources[wanted], self.gathered.rows[wanted]
        found = np.empty((len(rows), self.dimension), dtype=np.float16)
        for number in np.unique(sources).tolist():
            mine = sources == number
            found[mine] = self.gathered.blocks[number].vectors[rows[mine]]
        return found


def _kept(table: pa.Table, rows: npt.NDArray[np.int64]) -> pa.Table:
    """These rows in the order of the table: of a table of many chunks, a mask takes them without joining those."""
    mask = np.zeros(table.num_rows, dtype=bool)
    mask[rows] = True
    return table.filter(pa.array(mask))

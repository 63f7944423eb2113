"""The HNSW graph of a shard: usearch over rounded rows, slot by slot in the order of the shard, memory-mapped."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from usearch.index import Index  # noqa: TID251

from bucketlens.index.arrays import Halves, Numbers
from bucketlens.index.effort import strangers
from bucketlens.index.rounded import Asked, Rounding, round_rows, scale_of
from bucketlens.index.slots import Bytes, foreign, map_bytes, rows_by_slot, sort_by_key

T = TypeVar("T")

CONNECTIVITY = 16
LEAST_EXPANSION, MOST_EXPANSION, EXPANDED = 40, 80, 24_576
"""Candidates among which the links of a new row are chosen: so many times components, for linking takes as long as
their product, between the two bounds. On 65,536 x 512 rows around 2,000 centres, recall@10 of 48 candidates and seconds
to build on two cores: connectivity 12 / expansion 40 0.941 in 5.2, 16 / 40 0.995 in 6.3, 12 / 64 0.989 in 7.4, 16 / 48
0.993 in 8.7. Of 64 candidates of 262,144 photographs x 256: 16 / 40 0.984 in 13, 16 / 64 0.990 in 15, 16 / 96 0.993 in
20, 16 / 128 the same in 28. (All that with cosines.) With products and 64 candidates 16 / 64 0.991 in 8, 16 / 80 0.992
in 10; 250,000 x 512 rows take 13 with 48 and 17 with 64."""
_EXPANSION_SEARCH = 16
"""Least; usearch widens it to the number of neighbours asked for."""

_CHUNK = 16_384
_NOTHING: Bytes = np.zeros(0, np.uint8)


class Graph:
    """Approximate neighbours among the rows of one shard. Threads may share it: nothing is set after opening."""

    def __init__(self, index: Index, held: Bytes = _NOTHING) -> None:
        self._index = index
        self.held = held
        """Its file's bytes, if it is mapped."""

    @classmethod
    def map(cls, path: Path, dimension: int) -> tuple[Graph, npt.NDArray[np.int8]]:
        """The graph in a file, mapped, and its rows, (n, dimension) slot by slot. Raises Corrupt, FileNotFoundError.

        Takes 10 ms for a million rows: whether the file is laid out as it must be is seen once, for both.
        """
        held, index = map_bytes(path), _empty(dimension)
        rows = rows_by_slot(held, path.name)
        if rows.shape[1] != dimension:
            raise foreign(path.name)
        try:
            index.view(held.data)
        except RuntimeError as error:
            raise foreign(path.name) from error
        return cls(index, held), rows

    def __len__(self) -> int:
        return len(self._index)

    def nearest(self, asked: Asked, count: int) -> tuple[Numbers, npt.NDArray[np.float32]]:
        """About the ``count`` nearest row numbers, nearest first, fewer only when the graph has fewer rows; and the
        products of their forms and the query's.

        ``count`` is also how widely the graph is searched: the first of many are nearer to the truth than few.
        """
        # One thread, said so: left to itself usearch makes an executor of all cores for a single query.
        matches = self._index.search(asked.form, min(count, len(self)), threads=1)
        return np.asarray(matches.keys, dtype=np.int64), np.subtract(1, matches.distances, dtype=np.float32)


def build(vectors: Halves, threads: int, path: Path, trial: Callable[[Graph, Numbers], T]) -> tuple[T, Rounding]:
    """Write the graph over (n, d) rows as usearch's own file. Time grows as n log n; rows are converted in chunks.

    Gives what ``trial`` said, and how the rows were rounded.

    Rows are linked in a random order, always the same. In the order of their clusters the early links would all lie
    within few of them: with 12 / 40 and 64 candidates, recall@10 was 0.932 instead of 0.977 on the 65,536 rows above.
    Before the last of them are linked, ``trial`` is shown the graph and these rows, which are strangers to it.
    """
    index = _empty(vectors.shape[1])
    order = np.random.default_rng(0).permutation(len(vectors))
    known = len(order) - strangers(len(order))
    scale = scale_of(vectors)
    parts = [order[start : min(start + _CHUNK, known)] for start in range(0, known, _CHUNK)]
    rounded = [_add(index, vectors, part, scale, threads) for part in parts]
    told = trial(Graph(index), np.sort(order[known:]))
    rounded.append(_add(index, vectors, order[known:], scale, threads))
    _save(index, path)
    sort_by_key(path)
    return told, max(rounded, key=lambda part: part.error)


def _add(index: Index, vectors: Halves, rows: Numbers, scale: float, threads: int) -> Rounding:
    forms, rounding = round_rows(vectors[rows], scale)
    index.add(rows.astype(np.uint64), forms, threads=threads)
    return rounding


def _save(index: Index, path: Path) -> None:
    """Raises OSError. Of a disk that is full usearch tells as of no other trouble, and of the last bytes not at all."""
    with suppress(RuntimeError):
        index.save(str(path))
        if path.stat().st_size == index.serialized_length:
            return
    raise OSError(errno.ENOSPC, "No room for a graph", str(path))


def _empty(dimension: int) -> Index:
    return Index(
        ndim=dimension,
        metric="ip",
        dtype="i8",
        connectivity=CONNECTIVITY,
        expansion_add=max(LEAST_EXPANSION, min(MOST_EXPANSION, EXPANDED // dimension)),
        expansion_search=_EXPANSION_SEARCH,
        enable_key_lookups=False,
    )

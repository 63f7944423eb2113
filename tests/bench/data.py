"""Rows, queries and numbers to filter by: the same for every engine, and the same in every run with the same seed.

Vectors are float32 of unit length, mapped from a cache of ``.npy`` files. The first N rows of a larger set are the set
of N rows. ``python -m tests.bench.data --rows N`` makes the cache beforehand.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from rich.progress import track

from tests.bench.mixture import Floats, Mixture
from tests.bench.photographs import Photographs

CACHE = Path("build/bench")
_PIECE = 4_096
_AXIS_FROM = 8_192


class Source(Protocol):
    """Where rows come from."""

    @property
    def id(self) -> str: ...
    @property
    def says(self) -> str: ...
    @property
    def dimension(self) -> int: ...
    def pieces(self, numbers: list[int], rows: int) -> Iterator[tuple[int, Floats]]: ...
    def queries(self, count: int) -> Floats: ...


@dataclass(frozen=True)
class Data:
    """Row n has id n. ``rows`` (n, d) is mapped; ``queries`` are (q, d). ``folder`` is this set's part of the cache."""

    id: str
    says: str
    rows: Floats
    queries: Floats
    folder: Path
    seed: int = 0

    @property
    def dimension(self) -> int:
        """Components of a vector."""
        return int(self.rows.shape[1])

    @cached_property
    def shuffled(self) -> npt.NDArray[np.int64]:
        """A permutation of 0..n-1 that knows nothing of the vectors: ``shuffled < m`` holds for exactly m rows."""
        return np.random.default_rng([self.seed, 3]).permutation(len(self.rows))

    @cached_property
    def along(self) -> npt.NDArray[np.int64]:
        """Each row's rank along the axis on which the rows differ most.

        ``a <= along < b`` holds for exactly b - a rows, which lie in one region of the space.
        """
        order = np.argsort(self._heights, kind="stable")
        ranks = np.empty(len(order), dtype=np.int64)
        ranks[order] = np.arange(len(order))
        return ranks

    def rank(self, query: Floats) -> int:
        """Where a query stands in ``along``."""
        return int(np.searchsorted(self._ladder, float(query @ self._axis)))

    def window(self, query: Floats, count: int, *, near: bool) -> tuple[int, int]:
        """Bounds of ``along`` with exactly ``count`` rows: around the query, or at the end that is farther from it."""
        if not near:
            return (0, count) if self.rank(query) > len(self.rows) // 2 else (len(self.rows) - count, len(self.rows))
        first = min(max(0, self.rank(query) - count // 2), len(self.rows) - count)
        return first, first + count

    @cached_property
    def _axis(self) -> Floats:
        """The first principal direction of the first rows; its largest component is positive."""
        sample = self.rows[:_AXIS_FROM] - self.rows[:_AXIS_FROM].mean(axis=0)
        axis = np.linalg.eigh(sample.T @ sample)[1][:, -1]
        return np.asarray(axis * np.sign(axis[np.argmax(np.abs(axis))]), dtype=np.float32)

    @cached_property
    def _ladder(self) -> Floats:
        return np.sort(self._heights)

    @cached_property
    def _heights(self) -> Floats:
        return np.asarray(self.rows @ self._axis)


@dataclass(frozen=True, slots=True)
class Spec:
    """Which data: what ``load`` takes, to be handed to another process."""

    rows: int
    queries: int = 500
    photographs: Path | None = None
    dimension: int = 512
    cache: Path = CACHE
    seed: int = 0

    def load(self) -> Data:
        """The data; made, and kept, when they are not in the cache."""
        return load(
            self.rows,
            self.queries,
            photographs=self.photographs,
            dimension=self.dimension,
            cache=self.cache,
            seed=self.seed,
        )


def load(
    rows: int,
    queries: int = 500,
    *,
    photographs: Path | None = None,
    dimension: int = 512,
    cache: Path = CACHE,
    seed: int = 0,
) -> Data:
    """The data set: embeddings of ``photographs`` where they are given, else the mixture of this dimension."""
    source: Source = Photographs(photographs, seed) if photographs else Mixture(dimension, seed=seed)
    folder = cache / source.id
    folder.mkdir(parents=True, exist_ok=True)
    return Data(source.id, source.says, _rows(source, folder, rows), _queries(source, folder, queries), folder, seed)


def _queries(source: Source, folder: Path, count: int) -> Floats:
    file = folder / f"queries-{count}.npy"
    if not file.exists():
        save(file, source.queries(count))
    return np.asarray(np.load(file))


def _rows(source: Source, folder: Path, count: int) -> Floats:
    """Mapped rows: of the smallest file that has enough of them, else of a new one."""
    files = {int(file.stem.removeprefix("rows-")): file for file in folder.glob("rows-*.npy")}
    enough = [held for held in files if held >= count]
    file = files[min(enough)] if enough else _assembled(source, folder, count)
    return np.asarray(np.load(file, mmap_mode="r")[:count])


def _assembled(source: Source, folder: Path, count: int) -> Path:
    """One file made of pieces. Pieces are kept: a broken run resumes, and a larger set begins where this ends."""
    pieces = [folder / f"piece-{number:05}.npy" for number in range(-(-count // _PIECE))]
    missing = [number for number, piece in enumerate(pieces) if not piece.exists()]
    made = source.pieces(missing, _PIECE)
    for number, rows in track(made, f"Rows, {source.id}", total=len(missing), disable=not missing):
        save(pieces[number], rows)
    file = folder / f"rows-{count}.npy"
    whole = np.lib.format.open_memmap(
        file.with_suffix(".partial"), mode="w+", dtype=np.float32, shape=(count, source.dimension)
    )
    for number, piece in enumerate(pieces):
        part = whole[number * _PIECE : (number + 1) * _PIECE]
        part[:] = np.load(piece, mmap_mode="r")[: len(part)]
    whole.flush()
    file.with_suffix(".partial").rename(file)
    return file


def save(file: Path, values: np.ndarray) -> None:
    """Written beside and renamed: a file that is there is whole."""
    partial = file.with_suffix(".partial")
    with partial.open("wb") as out:
        np.save(out, values)
    partial.rename(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=65_536)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--cache", type=Path, default=CACHE)
    options = parser.parse_args()
    load(
        options.rows,
        options.queries,
        photographs=options.photographs,
        dimension=options.dimension,
        cache=options.cache,
    )


if __name__ == "__main__":
    main()

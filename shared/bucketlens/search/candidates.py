"""Candidates of a cold search: which matching rows are likely hits, found by ranged reads that were packed beforehand.

Rows of several shards are told apart by the shard's number in the list that is searched. All shards have vectors and
codes of the same width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bucketlens.index.arrays import Numbers, Scores
from bucketlens.index.codes import estimates
from bucketlens.index.effort import PROBES
from bucketlens.index.rounded import Asked
from bucketlens.index.vectors import best, exact_cosines, kth_highest
from bucketlens.records import Vector
from bucketlens.search.budget import CELL_ROWS
from bucketlens.search.packing import Spans
from bucketlens.search.remote import Sought


class Stretch(NamedTuple):
    """Bytes of rows from ``first`` on of shard number ``file``."""

    file: int
    first: int
    body: bytes


class Cells(NamedTuple):
    """Stretches of a cluster's rows from its first to its last matching one, the nearest to the query first: of shard
    ``files``, rows ``starts`` to ``ends``, of which ``counts`` match; ``near`` is the cluster's closeness."""

    files: Numbers
    starts: Numbers
    ends: Numbers
    counts: Numbers
    near: Scores

    def spans(self, width: int) -> Spans:
        """Where they are in a file with so many bytes a row, from where its values begin."""
        return Spans(self.files, self.starts * width, self.ends * width)


class Guesses(NamedTuple):
    """Matching rows ``rows`` of shards ``files`` with ``scores`` that are near their cosines."""

    files: Numbers
    rows: Numbers
    scores: Scores

    def first(self, count: int) -> Guesses:
        """The best so many, best first."""
        top = best(self.scores, count)
        return Guesses(self.files[top], self.rows[top], self.scores[top])

    def kth(self, k: int) -> float:
        """The k-th best score; of fewer the lowest there could be."""
        return kth_highest(self.scores, k) if len(self.scores) >= k else -1.0

    def reaching(self, least: float) -> int:
        """How many have such a score at least."""
        return int(np.count_nonzero(self.scores >= least))

    def spans(self, width: int) -> Spans:
        """As ``Cells.spans``."""
        return Spans(self.files, self.rows * width, (self.rows + 1) * width)


def near_share(sought: Sequence[Sought], query: Vector) -> float:
    """The share of matching rows among those of each shard's clusters nearest to the query, as many as hold what a
    search without a filter wants."""
    rows = matching = 0
    asked = Asked(query)
    for one in sought:
        head = one.cold.head
        probes = head.effort.probes if head.effort else PROBES[-1]
        for cluster in np.argsort(-head.closeness(asked), kind="stable")[:probes].tolist():
            first, end = head.outline.firsts[cluster : cluster + 2].tolist()
            rows += end - first
            matching += int(np.count_nonzero(one.mask[first:end]))
    return matching / rows if rows else 0.0


def cells(sought: Sequence[Sought], query: Vector) -> Cells:
    """The cells of all shards."""
    asked = Asked(query)
    parts = [_cells(number, one, asked) for number, one in enumerate(sought)]
    near = np.concatenate([part.near for part in parts])
    order = np.argsort(-near, kind="stable")
    files, starts, ends, counts = (np.concatenate([part[at] for part in parts])[order] for at in range(4))
    return Cells(files, starts, ends, counts, near[order])


def by_cell(sought: Sequence[Sought], found: Cells) -> Guesses:
    """Every matching row, its cell's nearness for its score: in the order of the cells."""
    spans = zip(found.files.tolist(), found.starts.tolist(), found.ends.tolist(), strict=True)
    rows = [start + np.flatnonzero(sought[number].mask[start:end]) for number, start, end in spans]
    files, near = np.repeat(found.files, found.counts), np.repeat(found.near, found.counts)
    return Guesses(files, np.concatenate([np.zeros(0, np.int64), *rows]), near)


def by_code(sought: Sequence[Sought], query: Vector, read: Iterable[Stretch], *, filtered: bool = True) -> Guesses:
    """The matching rows among those whose codes were read; not ``filtered``: all that count."""
    files, rows, scores = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    for number, first, body in read:
        one = sought[number]
        coding = one.cold.head.coding
        codes = np.frombuffer(body, dtype=np.uint8).reshape(-1, coding.width)
        wanted = one.mask if filtered else one.cold.alive
        inside = np.flatnonzero(wanted[first : first + len(codes)])
        one.scanned += len(inside) if filtered else 0
        files.append(np.full(len(inside), number))
        rows.append(inside + first)
        scores.append(estimates(query, codes[inside], coding))
    return Guesses(np.concatenate(files), np.concatenate(rows), np.concatenate(scores))


def score(sought: Sequence[Sought], query: Vector, read: Iterable[Stretch]) -> None:
    """The cosines of the matching rows among those whose vectors were read: best first, ties in the order of the
    rows."""
    rows: list[list[Numbers]] = [[np.zeros(0, np.int64)] for _ in sought]
    scores: list[list[Scores]] = [[np.zeros(0, np.float32)] for _ in sought]
    for number, first, body in read:
        one = sought[number]
        halves = np.frombuffer(body, dtype=np.float16).reshape(-1, one.cold.head.dimension)
        inside = np.flatnonzero(one.mask[first : first + len(halves)])
        rows[number].append(inside + first)
        scores[number].append(exact_cosines(query, halves[inside]))
    for number, one in enumerate(sought):
        found, cosines = np.concatenate(rows[number]), np.concatenate(scores[number])
        order = np.argsort(-cosines, kind="stable")
        one.rows, one.scores = found[order], cosines[order]
        one.scanned = max(one.scanned, len(order))


def _cells(number: int, one: Sought, asked: Asked) -> Cells:
    firsts, rows = one.cold.head.outline.firsts, np.flatnonzero(one.mask)
    bounds = np.sort(np.concatenate([firsts, *_cuts(firsts)]))
    counts = np.add.reduceat(one.mask, bounds[:-1], dtype=np.int64)
    filled = np.flatnonzero(counts)
    ends = np.cumsum(counts)[filled]
    near = one.cold.head.closeness(asked)[np.searchsorted(firsts, bounds[filled], side="right") - 1]
    starts = rows[ends - counts[filled]]
    return Cells(np.full(len(filled), number), starts, rows[ends - 1] + 1, counts[filled], near)


def _cuts(firsts: npt.NDArray[np.int64]) -> Iterable[npt.NDArray[np.int64]]:
    """Where clusters of more rows than a cell are cut."""
    for cluster in np.flatnonzero(np.diff(firsts) > CELL_ROWS).tolist():
        yield np.arange(firsts[cluster] + CELL_ROWS, firsts[cluster + 1], CELL_ROWS)

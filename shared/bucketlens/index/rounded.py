"""Rows rounded to eight bits a component: what graphs hold, and a first look at many rows.

Each row is scaled so that its largest component is 127. Angles ignore the scale, so all levels serve; what rounding
does to a row turns it, by about 0.007 (radians) and never by more than was measured when it was rounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bucketlens.index.arrays import Numbers
from bucketlens.index.vectors import cosines_among, inner_products, kth_highest, squares
from bucketlens.records import Vector

Forms = npt.NDArray[np.int8]
"""Rounded rows, (n, d), or one, (d,)."""

_KERNEL_ERROR = 3e-6
"""Ten times what a test finds of the cosines of int8 rows, the kernel's and the graph's."""
_PEAK = 127.0
_LEAST = 1e-12
_SUMS, _CANCELLED = 1 + 1e-5, 1e-6
"""What sums in float32 may be off by, and what is left of the differences of components that nearly agree."""


@dataclass(frozen=True)
class Asked:
    """A query (d,) of unit length, and what becomes of it when it is rounded: made once for all that it meets."""

    vector: Vector

    @cached_property
    def rounded(self) -> Forms:
        """(d,) int8."""
        return query_int8(self.vector)

    @cached_property
    def inverse(self) -> float:
        """One over the length of that."""
        return 1 / max(float(np.linalg.norm(self.rounded.astype(np.float32))), 1.0)

    @cached_property
    def turn(self) -> float:
        """The angle between the two, in radians: ``turn`` of one vector, in a third of the time."""
        form = self.rounded.astype(np.float32)
        off = self.vector - form * (np.dot(self.vector, form) / max(float(np.dot(form, form)), _LEAST))
        sine = math.sqrt(np.dot(off, off) / max(float(np.dot(self.vector, self.vector)), _LEAST**2))
        return math.asin(min(1.0, sine * _SUMS + _CANCELLED))


@dataclass(frozen=True, slots=True)
class Rounded:
    """(n, d) int8 rows, mapped or not, each within ``angle`` radians of the row it stands for. ``inverse`` (n,) is one
    over their lengths, where that was reckoned: products are had in half the time of cosines."""

    rows: Forms
    angle: float
    inverse: npt.NDArray[np.float32] | None = None

    @property
    def nbytes(self) -> int:
        """Memory this takes, or maps."""
        return self.rows.nbytes + (0 if self.inverse is None else self.inverse.nbytes)

    def room(self, count: int) -> int:
        """Memory that so many rows of these take once they are ``taken``."""
        return count * (int(self.rows.shape[1]) + np.dtype(np.float32).itemsize)

    def taken(self, numbers: Numbers) -> Rounded:
        """A copy of these rows, and their lengths."""
        rows = np.take(self.rows, numbers, axis=0)
        inverse = np.asarray(1 / np.sqrt(np.maximum(squares(rows), 1)), dtype=np.float32)
        return Rounded(rows, self.angle, inverse)

    def nearest(self, asked: Asked, groups: Sequence[Numbers], k: int) -> Numbers:
        """Of these groups of row numbers, each ascending, those that may be among the k nearest of all of them: every
        row that is, and few others; ascending.

        A row's angle to the query and that of their rounded forms differ by ``angle`` and the query's own turn at most,
        so what lies behind the k-th by more than twice that is out. Of 50,000 rows that know nothing of the query about
        200 are left for k = 10. Takes half the time of float16, which has twice the bytes.
        """
        return self.likely(asked, groups, [self.cosines(asked, group) for group in groups], k)

    def likely(
        self, asked: Asked, groups: Sequence[Numbers], scored: Sequence[npt.NDArray[np.float32]], k: int
    ) -> Numbers:
        """The same of rows whose ``cosines`` are known."""
        rows, cosines = np.concatenate(groups), np.concatenate(scored)
        if len(rows) > k:
            rows = rows[cosines >= self.least(asked, kth_highest(cosines, k))]
        return np.sort(rows)

    def cosines(self, asked: Asked, group: Numbers) -> npt.NDArray[np.float32]:
        """Between the rounded forms of the query and of these rows, ascending; (len(group),)."""
        if self.inverse is None or 2 * len(group) < len(self.rows):
            return cosines_among(asked.rounded, self.rows, group)
        every = inner_products(asked.rounded, self.rows) * (self.inverse * np.float32(asked.inverse))
        return np.asarray(every if len(group) == len(every) else every[group], dtype=np.float32)

    def within(self, asked: Asked, apart: npt.NDArray[np.float32], k: int) -> int:
        """The same of rows of which it is known how far apart (1 - cosine) their rounded forms are from the query's,
        ascending: how many of the first may be among the k nearest of them."""
        if len(apart) <= k:
            return len(apart)
        return int(np.searchsorted(apart, 1 - self.least(asked, 1 - float(apart[k - 1])), side="right"))

    def least(self, asked: Asked, kth: float) -> float:
        """The least cosine between rounded forms that a row may have that is no farther from the query than the one of
        this cosine."""
        farthest = math.acos(min(1.0, max(-1.0, kth))) + 2 * (self.angle + asked.turn)
        return math.cos(min(math.pi, farthest)) - 2 * _KERNEL_ERROR


def to_int8(rows: npt.NDArray[np.floating]) -> Forms:
    """(n, d) rows, each scaled so that its largest component is +-127."""
    wide = rows.astype(np.float32)
    peaks = np.abs(wide).max(axis=1, keepdims=True)
    return np.asarray(np.round(wide / np.maximum(peaks, _LEAST) * _PEAK), dtype=np.int8)


def query_int8(query: Vector) -> Forms:
    """The same of one vector (d,), in half the time."""
    peak = max(float(np.abs(query).max()), _LEAST)
    return np.asarray(np.rint(query * np.float32(_PEAK / peak)), dtype=np.int8)


def turn(rows: npt.NDArray[np.floating], rounded: Forms) -> float:
    """The largest angle between rows (n, d) and their rounded forms, in radians; 0 for rows of zeros.

    The distance of a row to the line of its form is at most that to the form scaled back: that over the length is no
    less than the angle's sine.
    """
    wide, forms = rows.astype(np.float32), rounded.astype(np.float32)
    off = wide - forms * (np.abs(wide).max(axis=1, keepdims=True) / np.float32(_PEAK))
    sines = np.sqrt(np.vecdot(off, off) / np.maximum(np.vecdot(wide, wide), _LEAST**2))
    return math.asin(min(1.0, float(sines.max(initial=0.0)) * _SUMS))

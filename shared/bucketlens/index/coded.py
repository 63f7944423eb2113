"""Rows in memory compared by their codes, bit by bit, and what these tell of the cosines.

Signs along random directions differ with the probability angle / pi (Goemans and Williamson, "Improved approximation
algorithms for maximum cut", 1995). The directions of codes are the components themselves, which tell less where they
differ much in size or go together: how much less is measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bucketlens.index.arrays import Halves, Mask
from bucketlens.index.codes import AT_ONCE, BITS, Words, words_asked
from bucketlens.records import Vector

_ASKING, _AMONG, _NEAREST = 64, 16_384, 10
_SURE, _LEAST_DOUBT = 0.995, 2.576
"""Doubts are measured with so many rows that ask for so many nearest of a sample of so many, and are what such a share
of these pairs stays within, but no less than it takes of a normal distribution: copies tell nothing. Then of the log's
hits for other queries 0.995 to 1.000 (photographs, rows around 2,000 centres) are within, and 0.98 or more where
components differ in size by a hundred times."""
_LEAST = 1e-9


@dataclass(frozen=True, slots=True)
class Coded:
    """Rows by their codes around ``mean`` (d,): compared ten times as fast as vectors of 512 dimensions are scanned,
    and not so finely told apart. ``words`` are ``words_of`` the codes, (width / 8, n), and ``doubt`` says how many
    standard deviations more bits may differ than a cosine tells, as far as that was ``measured``."""

    words: Words
    mean: npt.NDArray[np.float32]
    doubt: float = math.inf

    def first(self, count: int) -> Coded:
        """The first rows."""
        return Coded(self.words[:, :count], self.mean, self.doubt)

    def measured(self, vectors: Halves) -> Coded:
        """The same with the doubt of the first rows, whose unit ``vectors`` (n, d) are. Costs a product of 64 and at
        most 16,384 rows."""
        step = max(1, -(-len(vectors) // _AMONG))
        among, words = vectors[::step].astype(np.float32), self.words[:, : len(vectors) : step]
        if len(among) <= _NEAREST:
            return self
        off = list[float]()
        asking = np.random.default_rng(0).permutation(len(among))[:_ASKING]
        for row, cosines in zip(asking.tolist(), among[asking] @ among.T, strict=True):
            cosines[row] = -np.inf
            for near in np.argpartition(-cosines, _NEAREST)[:_NEAREST].tolist():
                told, spread = self._told(among[row], float(cosines[near]))
                off.append((int(np.bitwise_count(words[:, near] ^ words[:, row]).sum()) - told) / spread)
        return Coded(self.words, self.mean, max(_LEAST_DOUBT, float(np.quantile(off, _SURE))))

    def nearest(
        self, query: Vector, mask: Mask | None, count: int, least: float | None = None
    ) -> npt.NDArray[np.int64]:
        """About the ``count`` nearest of the rows of a mask (n,), ascending; more of them where codes tie. Without a
        mask all rows count. If ``least`` is given, only rows whose cosine to the unit query may be that or more."""
        rows = self.words.shape[1]
        if count >= rows:
            return np.arange(rows) if mask is None else np.flatnonzero(mask)
        apart = self.apart(query)
        if mask is not None:
            np.putmask(apart, ~mask, BITS + 1)
        if least is not None:
            told, spread = self._told(query, least)
            likely = np.flatnonzero(apart <= int(min(BITS, told + self.doubt * spread)))
            if len(likely) <= count:
                return likely
        within = min(BITS, int(np.partition(apart, count - 1)[count - 1]))
        return np.flatnonzero(apart <= within)

    def _told(self, query: Vector, cosine: float) -> tuple[float, float]:
        """In how many bits a row's code differs from that of the unit query if it has this cosine to it and lies as the
        average row does, and the standard deviation of that."""
        square, along = float(self.mean @ self.mean), float(query @ self.mean)
        lengths = math.sqrt(max((1 - 2 * along + square) * (1 - square), _LEAST))
        share = math.acos(min(1.0, max(-1.0, (cosine - along) / lengths))) / math.pi
        bits = min(len(self.mean), BITS)
        return bits * share, math.sqrt(max(bits * share * (1 - share), 1.0))

    def apart(self, query: Vector) -> npt.NDArray[np.uint16]:
        """How many bits of each row's code differ from those of the query's, (n,)."""
        asked = words_asked(query, self.mean)
        found = np.zeros(self.words.shape[1], dtype=np.uint16)
        at_once = min(len(found), AT_ONCE)
        apart, counts = np.empty(at_once, np.uint64), np.empty(at_once, np.uint8)
        for at in range(0, len(found), at_once):
            sums = found[at : at + at_once]
            left, bits = apart[: len(sums)], counts[: len(sums)]
            for words, word in zip(self.words[:, at : at + at_once], asked, strict=True):
                np.bitwise_xor(words, word, out=left)
                np.bitwise_count(left, out=bits)
                np.add(sums, bits, out=sums)
        return found

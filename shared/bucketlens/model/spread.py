"""Scatter of vectors, and the matrices it gives: what both kinds of learning share.

The matrix is linear discriminant analysis that keeps every dimension: it whitens the scatter *within* what belongs
together (Shental et al., "Adjustment learning and relevant component analysis", ECCV 2002), so that directions in which
such images differ anyway count less, then stretches the directions in which the others differ. Shrinkage of the scatter
and a blend with the identity hold it back. Closed form, so the same rows give the same matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from bucketlens.projection import Matrix


@dataclass(frozen=True, slots=True)
class Reach:
    """How far from the identity: little ``shrinkage``, much ``emphasis`` and a ``blend`` of 1 go furthest."""

    shrinkage: float
    emphasis: float
    blend: float


REACHES = tuple(Reach(*reach) for reach in product((0.1, 0.3, 1.0, 3.0), (0.0, 10.0, 100.0, 1000.0), (0.5, 1.0)))
"""The reaches that are tried; which one is taken is chosen on rows the matrix was not fitted to."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean scatter ``within`` what belongs together and ``between`` what does not; both (d, d)."""

    within: npt.NDArray[np.float64]
    between: npt.NDArray[np.float64]

    @classmethod
    def of_labels(cls, vectors: npt.NDArray[np.float32], codes: npt.NDArray[np.int64]) -> Spread:
        """Of rows around the centre of their label (a number from 0), and of the centres around the mean."""
        counts = np.bincount(codes).astype(np.float64)
        sums = np.zeros((len(counts), vectors.shape[1]))
        np.add.at(sums, codes, vectors)
        centres = sums / np.maximum(counts, 1)[:, None]
        apart = vectors - centres[codes]
        offsets = centres - vectors.mean(axis=0)
        shares = counts / len(vectors)
        return cls(apart.T @ apart / len(vectors), (offsets.T * shares) @ offsets)

    @classmethod
    def of_pairs(cls, same: npt.NDArray[np.float32], different: npt.NDArray[np.float32]) -> Spread:
        """Of differences of paired rows, (n, d) each. Two rows of one kind differ by twice the scatter within; two of
        different kinds by twice the scatter within and between together."""
        within, both = (np.asarray(rows.T @ rows, dtype=np.float64) / (2 * len(rows)) for rows in (same, different))
        return cls(within, both - within)

    def matrix(self, reach: Reach) -> Matrix:
        """Whitened, stretched along the discriminants, scaled to the identity's norm, and blended with it."""
        dimension = len(self.within)
        values, axes = np.linalg.eigh(self.within)
        values = np.maximum(values, 0) + reach.shrinkage * max(float(np.trace(self.within)) / dimension, 1e-12)
        whitening = (axes * values**-0.5) @ axes.T
        ratios, discriminants = np.linalg.eigh(whitening @ self.between @ whitening)
        stretch = (discriminants * np.sqrt(1 + reach.emphasis * np.maximum(ratios, 0))) @ discriminants.T
        moved = whitening @ stretch
        moved *= np.sqrt(dimension) / np.linalg.norm(moved)
        return np.asarray(reach.blend * moved + (1 - reach.blend) * np.eye(dimension), dtype=np.float32)

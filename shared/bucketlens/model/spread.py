"""Scatter of vectors, and the matrices it gives: what both kinds of learning share.

The matrix is linear discriminant analysis that keeps every dimension: it whitens the scatter *within* what belongs
together (Shental et al., "Adjustment learning and relevant component analysis", ECCV 2002), so that directions in which
such images differ anyway count less, then stretches the directions in which the others differ. Shrinkage of the scatter
and a blend with the identity hold it back. Closed form, so the same rows give the same matrix.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, product

import numpy as np
import numpy.typing as npt

from bucketlens.projection import Matrix

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reach:
    """How far from the identity: little ``shrinkage``, much ``emphasis`` and a ``blend`` of 1 go furthest."""

    shrinkage: float
    emphasis: float
    blend: float


REACHES = tuple(Reach(*reach) for reach in product((0.1, 1.0, 10.0, 100.0), (1_000.0, 10_000.0), (0.25, 0.5)))
"""The reaches that are tried, chosen by measurement on the embedded model's vectors of 4 to 200 classes of photographs.

Shrinkage of 10 and more, which hardly whitens, wins with up to 25 images a class, 0.1 with hundreds of images or
classes. The best of 140 reaches, with shrinkage from 0.1 to 100, emphasis from 0 to 10,000 and blends from 0.1 to 1,
gains 0.001 more on average than the best of these, and more to choose from makes the choice worse.
"""


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean scatter ``within`` what belongs together and ``between`` what does not; both (d, d)."""

    within: Floats
    between: Floats

    @classmethod
    def of_sums(cls, counts: Floats, sums: Floats, squares: Floats) -> Spread:
        """Of n rows around the centre of their label, and of the centres around the mean: from the number of rows of
        each label (c,), their sums (c, d), and the sum over all rows of ``outer(row, row)`` (d, d)."""
        rows = counts.sum()
        scaled = sums / np.sqrt(np.maximum(counts, 1))[:, None]
        centres = scaled.T @ scaled / rows
        mean = sums.sum(axis=0) / rows
        return cls(squares / rows - centres, centres - np.outer(mean, mean))

    @classmethod
    def of_pairs(cls, images: Floats, same: Floats, different: Floats) -> Spread:
        """Of paired images, (n, d), and of the differences of those that are the same and that are different.

        Two rows of one kind differ by twice the scatter within; two of different kinds by twice the scatter within and
        between together, which is the scatter of all images around their mean as well: both are averaged, since pairs
        of different images alone are few (measured: half the gain).
        """
        within = same.T @ same / (2 * len(same))
        whole = np.concatenate([images - images.mean(axis=0), different / np.sqrt(2)])
        return cls(within, whole.T @ whole / len(whole) - within)

    def matrix(self, reach: Reach) -> Matrix:
        """Whitened, stretched along the discriminants, scaled to the identity's norm, and blended with it."""
        return next(self.matrices((reach,)))

    def matrices(self, reaches: Sequence[Reach] = REACHES) -> Iterator[Matrix]:
        """``matrix`` of each, in order; one eigendecomposition, and one more for each run of equal shrinkage."""
        identity = np.eye(len(self.within))
        values, axes = np.linalg.eigh(self.within)
        values = np.maximum(values, 0)
        for shrinkage, alike in groupby(reaches, key=lambda reach: reach.shrinkage):
            whitening = (axes * (values + shrinkage * max(float(values.mean()), 1e-12)) ** -0.5) @ axes.T
            ratios, discriminants = np.linalg.eigh(whitening @ self.between @ whitening)
            along = whitening @ discriminants
            for emphasis, blended in groupby(alike, key=lambda reach: reach.emphasis):
                moved = (along * np.sqrt(1 + emphasis * np.maximum(ratios, 0))) @ discriminants.T
                moved *= np.sqrt(len(identity)) / np.linalg.norm(moved)
                for reach in blended:
                    yield np.asarray(reach.blend * moved + (1 - reach.blend) * identity, dtype=np.float32)

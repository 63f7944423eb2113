"""Made-up rows: a mixture of Gaussians on the sphere.

Of ``centres`` directions, uniform on the sphere, each row takes one at random and adds ``noise`` times a Gaussian
vector of expected length 1; the sum is scaled to unit length. Queries are further draws from the same mixture.
Neighbours lie in the query's own component, at nearly equal distances: product quantisation finds that hard, and
clusters find it easy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Mixture:
    """The distribution. Every piece of rows and the queries depend on these numbers alone."""

    dimension: int = 512
    centres: int = 2_000
    noise: float = 1.0
    seed: int = 0

    @property
    def id(self) -> str:
        """Names the rows, in file names and reports."""
        return f"mixture-{self.dimension}-{self.centres}-{self.noise:g}-{self.seed}"

    @property
    def says(self) -> str:
        """What the rows are, for a reader."""
        return (
            f"synthetic: {self.centres:,} centres uniform on the sphere of {self.dimension} dimensions, "
            f"noise {self.noise:g} of the centre's length, queries from the same mixture, seed {self.seed}"
        )

    def pieces(self, numbers: list[int], rows: int) -> Iterator[tuple[int, Floats]]:
        """These pieces of ``rows`` rows each, with their numbers."""
        for number in numbers:
            yield number, self._draw(rows, 1, number)

    def queries(self, count: int) -> Floats:
        """Unit queries, none of them a row."""
        return self._draw(count, 2, 0)

    def _draw(self, count: int, purpose: int, number: int) -> Floats:
        centres = unit(np.random.default_rng([self.seed, 0]).standard_normal((self.centres, self.dimension)))
        rng = np.random.default_rng([self.seed, purpose, number])
        around = rng.standard_normal((count, self.dimension), dtype=np.float32)
        around *= self.noise / np.sqrt(self.dimension)
        around += centres[rng.integers(0, self.centres, count)]
        return unit(around)


def unit(rows: npt.NDArray[np.floating]) -> Floats:
    """The rows scaled to length 1."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)

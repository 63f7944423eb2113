"""A matrix that turns the vectors of one model into those of another: what fine-tuning learns and the index applies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
"""(d, d), applied as ``vectors @ matrix``."""


def project(vectors: npt.NDArray[np.floating], matrix: Matrix) -> npt.NDArray[np.float32]:
    """(n, d) vectors through the matrix, unit length again; a zero row stays zero.

    Length does not matter to the direction, so projecting in two steps is projecting by the product of the matrices.
    """
    moved = np.asarray(vectors, dtype=np.float32) @ matrix
    norms = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.asarray(moved / np.where(norms > 0, norms, 1.0), dtype=np.float32)

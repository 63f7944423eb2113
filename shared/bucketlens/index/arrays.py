"""What arrays hold, by name."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Halves = npt.NDArray[np.float16]
"""Vectors, (n, d)."""
Mask = npt.NDArray[np.bool_]
"""Which of n rows."""
Numbers = npt.NDArray[np.int64]
"""Rows, or other things that are counted, by number."""
Scores = npt.NDArray[np.float32]
"""Cosines, or what stands for them."""

"""Which path searches which part. Pure: decides and does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

EXACT_BELOW = 20_000
"""Up to this many matching rows are scanned: reading 20,000 x 512 float16 takes about a millisecond."""
OVERSAMPLE = 3
"""Graph candidates per wanted hit, rescored in full precision (30 for k = 10: recall@10 0.984 on real embeddings)."""
MIN_CANDIDATES = 64


class Path(Enum):
    """How the rows of a part are searched."""

    EXACT = "exact"
    GRAPH = "graph"


@dataclass(frozen=True, slots=True)
class Choice:
    """A path, why, and for the graph how many candidates to begin with."""

    path: Path
    reason: str
    candidates: int = 0


def choose(rows: int, matching: int, k: int, *, has_graph: bool, exact: bool) -> Choice:
    """The path for a part of ``rows`` stored rows of which ``matching`` count and pass the filter."""
    if exact:
        return Choice(Path.EXACT, "an exact answer was asked for")
    if not has_graph:
        return Choice(Path.EXACT, "the part is small")
    if matching <= EXACT_BELOW:
        return Choice(Path.EXACT, "few rows match")
    candidates = max(MIN_CANDIDATES, int(k * OVERSAMPLE * rows / matching) + 1)
    if candidates > rows // 8:
        return Choice(Path.EXACT, "the graph would visit a large share of the rows")
    return Choice(Path.GRAPH, "many rows match", candidates)

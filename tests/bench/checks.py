"""Is the harness right? A recall above 1, or a peer far below what it is known for, says that it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tests.bench.setup import Bench, Found
from tests.bench.truth import nearest, recall

_SAMPLE_ROWS = 50_000
_SAMPLE_QUERIES = 20
_EXACT = 0.999


class HarnessError(Exception):
    """The harness contradicts itself: no figure of this run may be believed."""


def check_truth(bench: Bench) -> None:
    """FAISS's flat index finds the same neighbours as our brute force, in a sample. Raises HarnessError."""
    try:
        from tests.bench.peers.faiss_indexes import flat  # FAISS is a peer: it may not be installed
    except ImportError:
        bench.console.print("[yellow]FAISS is not installed: the ground truth is not checked against it.[/yellow]")
        return
    rows, queries = bench.data.rows[:_SAMPLE_ROWS], bench.data.queries[:_SAMPLE_QUERIES]
    found, right = flat(rows, queries, 10), nearest(rows, queries, 10)
    share = float(np.mean([recall(rows, *each) for each in zip(queries, found, right, strict=True)]))
    if share < _EXACT:
        raise HarnessError(f"FAISS flat and the ground truth agree in {share:.4f} of the neighbours only.")


def check_recall(value: float, name: str) -> float:
    """The same recall. Raises HarnessError when it is none."""
    if not 0.0 <= value <= 1.0:
        raise HarnessError(f"{name}: a recall of {value} is none.")
    return value


def suspicions(found: Sequence[Found], floors: Mapping[str, float]) -> list[str]:
    """Engines that, at their best setting, are far below what they publish: suspect the harness before the engine."""
    best: dict[str, float] = {}
    for row in found:
        best[row["peer"]] = max(best.get(row["peer"], 0.0), row["recall"])
    return [
        f"{name}: recall {best[name]:.3f} at best, where at least {floor:.3f} is expected: suspect the harness"
        for name, floor in floors.items()
        if name in best and best[name] < floor
    ]

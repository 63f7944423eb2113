"""Question: warm, one thread, how long does a query take at which recall?

Every engine is open in a process of its own, and answers in rounds (``rounds.py``): a slice of queries at each of its
settings while the others wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.progress import track

from tests.bench.checks import check_recall, suspicions
from tests.bench.peers.protocol import Knobs
from tests.bench.rounds import label, rounds, sliced
from tests.bench.setup import Bench, Found
from tests.bench.truth import recall
from tests.bench.worker import Timed

SLICE = 25
SECONDS_A_SETTING = 10.0
GOOD, FAIR = 0.98, 0.95
_ADDED_UP = 1e-9
"""By how much less means of the same recalls may come out."""


def measure(bench: Bench) -> list[Found]:
    """A row for each setting of each engine."""
    with bench.opened() as workers:
        about = {name: worker.about() for name, worker in workers.items()}
        asked = [(name, knobs) for name in workers for knobs in about[name]["sweep"]]
        slices = track(sliced(bench.spec.queries, SLICE), "Warm", console=bench.console)
        taken = rounds(workers, asked, slices, SECONDS_A_SETTING / (5 if bench.quick else 1), bench.console)
    found = [{"engine": name, **_row(bench, about[name], knobs, times)} for name, knobs, times in taken]
    for doubt in suspicions(found, {each["name"]: each["floor"] for each in about.values()}):
        bench.console.print(f"[red]{doubt}[/red]")
        for row in found:
            if doubt.startswith(f"{row['peer']}:"):
                row["suspected"] = doubt
    return found


def reaches(row: Found, least: float) -> bool:
    """Whether its recall is that or more, however its parts were added up."""
    return float(row["recall"]) >= least - _ADDED_UP


def fastest(rows: Sequence[Found], *levels: float) -> Found | None:
    """Of one engine's rows: the fastest with the first recall of ``levels`` that any reaches, else the best one.

    A row with wrong hits is taken only where there is no other.
    """
    right = [row for row in rows if not row.get("wrong")] or rows
    for least in levels:
        enough = [row for row in right if reaches(row, least)]
        if enough:
            return min(enough, key=lambda row: float(row["p50_ms"]))
    return max(right, key=lambda row: float(row["recall"]), default=None)


def _row(bench: Bench, about: Mapping[str, Any], knobs: Knobs, times: list[Timed]) -> Found:
    data = bench.data
    shares = [recall(data.rows, data.queries[one.query], one.ids, bench.truth[one.query]) for one in times]
    spent = np.array([one.seconds for one in times]) * 1_000
    return {
        "peer": about["name"],
        "says": about["says"],
        "setting": label(knobs),
        "knobs": dict(knobs),
        "recall": check_recall(float(np.mean(shares)), about["name"]),
        "p50_ms": float(np.median(spent)),
        "p95_ms": float(np.quantile(spent, 0.95)),
        "least_ms": float(spent.min()),
        "queries": len(times),
    }

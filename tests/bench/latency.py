"""Question: warm, one thread, how long does a query take at which recall?

Every engine is open in a process of its own. In each round every engine answers the same slice of queries at each of
its settings while the others wait, so that whatever else the machine does hits all alike; once before that untimed, so
that an engine with one setting finds its pages mapped as one with many does. A setting that has used up its seconds
leaves the rounds, with fewer queries than the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.progress import Progress

from tests.bench.checks import check_recall, suspicions
from tests.bench.peers.protocol import Knobs
from tests.bench.setup import Bench, Found
from tests.bench.truth import recall
from tests.bench.worker import Failed, Timed, Worker

SLICE = 25
SECONDS_A_SETTING = 10.0
GOOD, FAIR = 0.98, 0.95


def measure(bench: Bench) -> list[Found]:
    """A row for each setting of each engine."""
    with bench.opened() as workers:
        about = {name: worker.about() for name, worker in workers.items()}
        taken = _rounds(bench, workers, about)
    found = [{"engine": name, **_row(bench, about[name], knobs, times)} for name, knobs, times in taken]
    for doubt in suspicions(found, {each["name"]: each["floor"] for each in about.values()}):
        bench.console.print(f"[red]{doubt}[/red]")
        for row in found:
            if doubt.startswith(f"{row['peer']}:"):
                row["suspected"] = doubt
    return found


def label(knobs: Knobs) -> str:
    """A setting in words."""
    return ", ".join(f"{name} {value}" for name, value in knobs.items()) or "as it is"


def fastest(found: Iterable[Found], peer: str) -> Found | None:
    """The engine's fastest setting of those with recall 0.98, else 0.95; else its best one."""
    own = [row for row in found if row.get("peer") == peer and "p50_ms" in row]
    for least in (GOOD, FAIR):
        enough = [row for row in own if row["recall"] >= least]
        if enough:
            return min(enough, key=lambda row: float(row["p50_ms"]))
    return max(own, key=lambda row: float(row["recall"]), default=None)


def _rounds(
    bench: Bench, workers: Mapping[str, Worker], about: Mapping[str, Mapping[str, Any]]
) -> list[tuple[str, Knobs, list[Timed]]]:
    taken: list[tuple[str, Knobs, list[Timed]]] = [
        (name, knobs, []) for name in workers for knobs in about[name]["sweep"]
    ]
    budget = SECONDS_A_SETTING / (5 if bench.quick else 1)
    slices = range(0, bench.spec.queries, SLICE)
    with Progress(console=bench.console) as progress:
        task = progress.add_task("Warm", total=len(slices))
        for number, start in enumerate(slices):
            queries = range(start, min(start + SLICE, bench.spec.queries))
            for name in dict.fromkeys(name for name, _, times in taken if _goes_on(times, budget, number)):
                _asked(bench, workers[name], about[name]["sweep"][0], queries)
            turn = number % len(taken) if taken else 0
            for name, knobs, times in taken[turn:] + taken[:turn]:
                if _goes_on(times, budget, number):
                    times += _asked(bench, workers[name], knobs, queries)
            progress.advance(task)
    return [each for each in taken if each[2]]


def _goes_on(times: Sequence[Timed], budget: float, number: int) -> bool:
    """Whether a setting takes part in this round."""
    return sum(each.seconds for each in times) < budget and (bool(times) or not number)


def _asked(bench: Bench, worker: Worker, knobs: Knobs, queries: Sequence[int]) -> list[Timed]:
    try:
        return worker.ask(knobs, queries)
    except Failed as failed:
        bench.console.print(f"[yellow]left out: {failed}, at {label(knobs)}[/yellow]")
        return []


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

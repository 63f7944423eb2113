"""Question: what do filters do to recall and latency, against engines that filter before they search?

Selectivities from 0.01 % to 90 %; rows that match are independent of the vectors (one filter for all queries), or lie
around the query, or on the far side of the space (a filter for each query; making the engine ready for it is part of
the query). Every engine runs at every setting of its sweep, so that each can be told at the recall of another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from rich.progress import Progress

from tests.bench.checks import check_recall
from tests.bench.data import Data
from tests.bench.latency import GOOD, label
from tests.bench.mixture import Floats
from tests.bench.peers.protocol import Knobs, Where
from tests.bench.peers.registry import OURS, WHOLE
from tests.bench.setup import Bench, Found
from tests.bench.truth import Ids, K, recall
from tests.bench.worker import Failed, Timed, Worker

SHARES = (0.0001, 0.001, 0.01, 0.1, 0.5, 0.9)
KINDS = ("independent", "near the query", "far from the query")
_QUERIES = 50
_SLICE = 10
_SECONDS = 6.0


def measure(bench: Bench) -> list[Found]:
    """A row for each engine, setting, kind and selectivity."""
    count = min(_QUERIES, bench.spec.queries)
    scores = bench.data.queries[:count] @ bench.data.rows.T
    found: list[Found] = []
    with (
        bench.only(name for name in bench.peers if name != WHOLE).opened() as workers,
        Progress(console=bench.console) as progress,
    ):
        about = {name: worker.about() for name, worker in workers.items()}
        filtering = {name: worker for name, worker in workers.items() if about[name]["filters"]}
        task = progress.add_task("Filtered", total=len(KINDS) * len(SHARES))
        for kind in KINDS:
            for share in SHARES:
                wheres = _wheres(bench.data, kind, share, count)
                rights = [_right(bench.data, wheres[at % len(wheres)], scores[at]) for at in range(count)]
                asked = [(name, knobs) for name in filtering for knobs in _settings(name, about[name]["sweep"])]
                for name, knobs, times in _rounds(bench, filtering, asked, wheres, count):
                    row = _row(bench, about[name]["name"], knobs, times, wheres, rights)
                    found.append({**row, "kind": kind, "share": share})
                progress.advance(task)
    return found


def _settings(name: str, sweep: Sequence[Knobs]) -> Sequence[Knobs]:
    """All of them; of bucketlens the one it is shipped with."""
    return sweep[:1] if name == OURS else sweep


def fastest(rows: Sequence[Found], least: float = GOOD) -> Found | None:
    """Of one engine's rows: the fastest of those with at least that recall, else the one with the best."""
    enough = [row for row in rows if row["recall"] >= least]
    if enough:
        return min(enough, key=lambda row: float(row["p50_ms"]))
    return max(rows, key=lambda row: float(row["recall"]), default=None)


def _wheres(data: Data, kind: str, share: float, count: int) -> list[Where]:
    """One filter, or one for each query."""
    rows = max(1, round(share * len(data.rows)))
    if kind == KINDS[0]:
        return [Where("shuffled", 0, rows)]
    near = kind == KINDS[1]
    return [Where("along", *data.window(query, rows, near=near)) for query in data.queries[:count]]


def _right(data: Data, where: Where, scores: Floats) -> Ids:
    """The nearest rows of those that pass, best first."""
    numbers = _numbers(data, where)
    passing = np.flatnonzero((numbers >= where.low) & (numbers < where.high))
    if len(passing) > K:
        passing = passing[np.argpartition(-scores[passing], K - 1)[:K]]
    return np.asarray(passing[np.argsort(-scores[passing], kind="stable")])


def _numbers(data: Data, where: Where) -> Ids:
    return data.shuffled if where.field == "shuffled" else data.along


def _rounds(
    bench: Bench,
    workers: Mapping[str, Worker],
    asked: Sequence[tuple[str, Knobs]],
    wheres: Sequence[Where],
    count: int,
) -> list[tuple[str, Knobs, list[Timed]]]:
    taken: list[tuple[str, Knobs, list[Timed]]] = [(name, knobs, []) for name, knobs in asked]
    budget = _SECONDS / (3 if bench.quick else 1)
    for start in range(0, count, _SLICE):
        queries = range(start, min(start + _SLICE, count))
        own = wheres if len(wheres) == 1 else wheres[start : start + _SLICE]
        for name, knobs, times in taken:
            if sum(each.seconds for each in times) < budget:
                try:
                    times += workers[name].ask(knobs, queries, own)
                except Failed as failed:
                    bench.console.print(f"[yellow]{failed}[/yellow]")
    return [each for each in taken if each[2]]


def _row(
    bench: Bench, name: str, knobs: Knobs, times: Sequence[Timed], wheres: Sequence[Where], rights: Sequence[Ids]
) -> Found:
    data, shares, short, wrong = bench.data, [], 0, 0
    for one in times:
        where, right = wheres[one.query % len(wheres)], rights[one.query]
        numbers = _numbers(data, where)[list(one.ids)]
        wrong += not ((numbers >= where.low) & (numbers < where.high)).all()
        short += len(one.ids) < len(right)
        shares.append(recall(data.rows, data.queries[one.query], one.ids, right))
    spent = np.array([one.seconds for one in times]) * 1_000
    return {
        "peer": name,
        "setting": label(knobs),
        "recall": check_recall(float(np.mean(shares)), name),
        "p50_ms": float(np.median(spent)),
        "p95_ms": float(np.quantile(spent, 0.95)),
        "short": short,
        "wrong": wrong,
        "queries": len(times),
    }

"""Question: what do filters do to recall and latency, against engines that filter before they search?

Selectivities from 0.01 % to 90 %; rows that match are independent of the vectors (one filter for all queries), or lie
around the query, or on the far side of the space (a filter for each query; making the engine ready for it is part of
the query). Every engine runs at every setting of its sweep, so that each can be told at the recall of another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.progress import Progress

from tests.bench.checks import check_recall
from tests.bench.data import Data
from tests.bench.mixture import Floats
from tests.bench.peers.protocol import Filters, Knobs, Where
from tests.bench.peers.registry import OURS, WHOLE
from tests.bench.rounds import label, rounds, sliced
from tests.bench.setup import Bench, Found
from tests.bench.truth import Ids, K, Passing, recall
from tests.bench.worker import Timed

SHARES = (0.0001, 0.001, 0.01, 0.1, 0.5, 0.9)
KINDS = ("independent", "near the query", "far from the query")
_QUERIES = 50
_SLICE = 10
_SECONDS = 6.0


def measure(bench: Bench) -> list[Found]:
    """A row for each engine, setting, kind and selectivity."""
    count = min(_QUERIES, bench.spec.queries)
    scores = bench.data.queries[:count] @ bench.data.rows.T
    slices = sliced(count, _SLICE)
    seconds = _SECONDS / (3 if bench.quick else 1)
    found: list[Found] = []
    with (
        bench.only(name for name in bench.peers if name != WHOLE).opened() as workers,
        Progress(console=bench.console) as progress,
    ):
        about = {name: worker.about() for name, worker in workers.items()}
        filtering = {name: worker for name, worker in workers.items() if about[name]["filters"]}
        asked = [(name, knobs) for name in filtering for knobs in _settings(name, about[name]["sweep"])]
        task = progress.add_task("Filtered", total=len(KINDS) * len(SHARES))
        for kind in KINDS:
            for share in SHARES:
                wheres = _wheres(bench.data, kind, share, count)
                filters = Filters(wheres[0]) if kind == KINDS[0] else Filters(own=wheres)
                masks = {where: _passing(bench.data, where) for where in set(wheres)}
                passing = [masks[where] for where in wheres]
                rights = [_right(*each) for each in zip(passing, scores, strict=True)]
                for name, knobs, times in rounds(filtering, asked, slices, seconds, bench.console, filters):
                    row = _row(bench.data, about[name]["name"], knobs, times, passing, rights)
                    found.append({**row, "kind": kind, "share": share})
                progress.advance(task)
    return found


def _settings(name: str, sweep: Sequence[Knobs]) -> Sequence[Knobs]:
    """All of them; of bucketlens the one it is shipped with."""
    return sweep[:1] if name == OURS else sweep


def _wheres(data: Data, kind: str, share: float, count: int) -> list[Where]:
    """Each query's filter."""
    rows = max(1, round(share * len(data.rows)))
    if kind == KINDS[0]:
        return [Where("shuffled", 0, rows)] * count
    near = kind == KINDS[1]
    return [Where("along", *data.window(query, rows, near=near)) for query in data.queries[:count]]


def _passing(data: Data, where: Where) -> Passing:
    numbers = data.shuffled if where.field == "shuffled" else data.along
    return np.asarray((numbers >= where.low) & (numbers < where.high))


def _right(passing: Passing, scores: Floats) -> Ids:
    """The nearest rows of those that pass, best first."""
    ids = np.flatnonzero(passing)
    if len(ids) > K:
        ids = ids[np.argpartition(-scores[ids], K - 1)[:K]]
    return np.asarray(ids[np.argsort(-scores[ids], kind="stable")])


def _row(
    data: Data, name: str, knobs: Knobs, times: Sequence[Timed], passing: Sequence[Passing], rights: Sequence[Ids]
) -> Found:
    shares, short, wrong = [], 0, 0
    for one in times:
        passes, right = passing[one.query], rights[one.query]
        shares.append(recall(data.rows, data.queries[one.query], one.ids, right, passes))
        wrong += not passes[list(one.ids)].all()
        short += len(one.ids) < len(right)
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

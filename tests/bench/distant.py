"""Question: cold, over S3 at a distance, what does a first query take: requests, bytes, rounds, seconds?

The same files that were built lie behind the bench's S3 server and a proxy that adds 30 ms to every request and carries
90 MB/s a connection. Every query has a process of its own with an empty disk; its imports are done before the clock
starts, opening is counted. Ours does not fill its disk in the background, so that what is counted is the answer's own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from tests.bench.checks import check_recall
from tests.bench.distance import BYTES_PER_S, LATENCY_S, Distance
from tests.bench.latency import FAIR, GOOD, fastest
from tests.bench.origin import Origin
from tests.bench.peers.protocol import Knobs
from tests.bench.peers.registry import OUR_TITLE
from tests.bench.rounds import label
from tests.bench.setup import Bench, Found
from tests.bench.truth import recall
from tests.bench.worker import Failed, Worker

PEERS = ("ours", "lance-ivf-pq", "lance-hnsw-sq")
_QUERIES = 10
_QUICK = 4


def measure(bench: Bench) -> list[Found]:
    """A row for each engine and setting: LanceDB as it is by default, and as ``latency`` found it best."""
    best, found = bench.result("warm"), []
    count = min(_QUICK if bench.quick else _QUERIES, bench.spec.queries)
    with Progress(console=bench.console) as progress:
        for name in bench.only(PEERS).peers:
            try:
                bench.built(name)
                with Worker(name, bench.spec, bench.folder(name)) as worker:
                    about = worker.about()
                with Origin(bench.folder(name)) as origin, Distance(origin.url) as distance:
                    for knobs in _settings(about, best):
                        task = progress.add_task(f"Cold, {about['name']}, {label(knobs)}", total=count)
                        asked = []
                        for query in range(count):
                            asked.append(_one(bench, name, knobs, query, distance))
                            progress.advance(task)
                        found.append(_row(about, knobs, asked))
            except Failed as failed:
                bench.console.print(f"[yellow]left out: {failed}[/yellow]")
    return found


def _settings(about: Mapping[str, Any], best: Sequence[Found]) -> list[Knobs]:
    if about["name"] == OUR_TITLE:
        return [{}]
    chosen = fastest([row for row in best if row["peer"] == about["name"]], GOOD, FAIR)
    return [{}, about["sweep"][len(about["sweep"]) // 2] if chosen is None else chosen["knobs"]]


def _one(bench: Bench, name: str, knobs: Knobs, query: int, distance: Distance) -> Found:
    """A first query and, in the same process, a second one."""
    data = bench.data
    with tempfile.TemporaryDirectory() as local, Worker(name, bench.spec, bench.folder(name)) as worker:
        worker.about()
        distance.reset()
        opened = worker.reach(distance.url, Path(local))
        first = worker.first(knobs, query)
        traffic = distance.reset()
        again = worker.first(knobs, (query + 1) % bench.spec.queries)
        more = distance.reset()
    return {
        "open_s": opened,
        "first_s": first.seconds,
        "second_s": again.seconds,
        "requests": traffic.total,
        "mb": traffic.bytes_down / 1e6,
        "rounds": traffic.rounds,
        "second_requests": more.total,
        "second_mb": more.bytes_down / 1e6,
        "recall": recall(data.rows, data.queries[query], first.ids, bench.truth[query]),
    }


def _row(about: Mapping[str, Any], knobs: Knobs, asked: Sequence[Found]) -> Found:
    medians = {name: float(np.median([each[name] for each in asked])) for name in asked[0] if name != "recall"}
    total = [each["open_s"] + each["first_s"] for each in asked]
    return {
        "peer": about["name"],
        "setting": label(knobs),
        "recall": check_recall(float(np.mean([each["recall"] for each in asked])), about["name"]),
        **medians,
        "total_s": float(np.median(total)),
        "most_s": float(max(total)),
        "most_requests": max(each["requests"] for each in asked),
        "most_mb": max(each["mb"] for each in asked),
        "queries": len(asked),
        "latency_ms": LATENCY_S * 1_000,
        "mb_per_s": BYTES_PER_S / 1e6,
    }

"""Cold search over HTTP: ``python -m tests.bench.cold [--rows R] [--dimension D] [--photographs P]``.

The bench's rows (``data.py``) as a collection in a folder, served by ``origin.py`` behind ``distance.py``: 30 ms a
request, 90 MB/s a connection. Every query has an empty disk, no connection and nothing remembered, but a process that
has imported its libraries. GETs, bytes and rounds are the proxy's count: a request that a busy machine sends only after
another of its round was answered counts as a round more. Without a filter, and with filters that exactly so many rows
pass: rows that know nothing of the vectors, that lie around the query, or on the far side of the space. Recall is
against float32 brute force over the rows that pass.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from shutil import rmtree
from statistics import median
from time import perf_counter

import numpy as np
from rich.console import Console
from rich.table import Table

from bucketlens.filters import ALWAYS, Filter, parse
from bucketlens.pipelines.query import QueryTools, search
from bucketlens.queries import ByVector, Query
from bucketlens.search.files import LocalFiles
from bucketlens.search.view import Views
from bucketlens.settings import Settings
from bucketlens.store.memory import MemoryImages
from bucketlens.store.s3 import S3Store, connect
from tests.bench.command import over_data
from tests.bench.data import CACHE, Data, load
from tests.bench.distance import Distance, Traffic
from tests.bench.origin import Origin
from tests.bench.warm_index import indexed, number_of
from tests.support.table import COLLECTION

SHARES = (0.9, 0.5, 0.1, 0.01, 0.001, 0.0001)
RELATIONS = ("independent", "correlated", "anti")
_K = 10
_PIECE = 16_384
_LEVEL = 2e-5
"""Scores this close are level: vectors are stored in float16."""


def measure(
    rows: int = 65_536,
    dimension: int = 512,
    queries: int = 10,
    photographs: Path | None = None,
    cache: Path = CACHE,
) -> list[dict[str, object]]:
    """A row for each relation and share of rows that pass a filter (1: no filter): ``recall``, ``recall_least``,
    ``exact`` (share of answers that say so), ``ms``, ``gets``, ``mb``, ``rounds`` (medians) and ``gets_most``,
    ``mb_most``, ``rounds_most``."""
    data = load(rows, queries, photographs=photographs, dimension=dimension, cache=cache)
    root = indexed(data)
    scores = np.concatenate([data.queries @ data.rows[at : at + _PIECE].T for at in range(0, rows, _PIECE)], axis=1)
    asked = [(1.0, "no filter"), *product(SHARES, RELATIONS)]
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="bench-cold-")))
        distance = opened.enter_context(Distance(opened.enter_context(Origin(root)).url))
        view = _views(distance, folder / "look").view(COLLECTION, strong=True)
        shards = len(view.snapshot.manifest.shards)
        common = {"data": data.id, "rows": rows, "dimension": data.dimension, "shards": shards}
        return [
            {**common, "share": share, "relation": relation, **_asked(distance, folder, data, scores, share, relation)}
            for share, relation in asked
        ]


def _views(distance: Distance, folder: Path) -> Views:
    store = S3Store("bucket", connect(distance.url, 64, credentials=("id", "secret")))
    files = LocalFiles(store, folder, 10**9)
    return Views(store, files, threads=8, max_staleness_s=0.0, clock=perf_counter)


def _asked(
    distance: Distance, folder: Path, data: Data, scores: np.ndarray, share: float, relation: str
) -> dict[str, object]:
    spent, traffic, recalls, exact = list[float](), list[Traffic](), list[float](), 0
    for number, query in enumerate(data.queries):
        local = folder / f"{share}-{relation}-{number}"
        tools = QueryTools(_views(distance, local), MemoryImages(), lambda: None, Settings("b"))  # type: ignore[arg-type, return-value]
        condition, passing = _filter(data, query, share, relation)
        wanted = Query(COLLECTION, ByVector(tuple(query.tolist())), k=_K, strong=True, filter=condition)
        distance.reset()
        began = perf_counter()
        answer = search(wanted, tools)
        spent.append(perf_counter() - began)
        traffic.append(distance.read())
        rmtree(local)
        found = [number_of(hit.key) for hit in answer.hits]
        level = np.sort(scores[number][passing])[-_K:]
        assert passing[found].all(), "a hit does not pass the filter"
        assert len(found) == len(level), "fewer hits than there are"
        recalls.append(np.count_nonzero(scores[number][found] >= level[0] - _LEVEL) / len(level))
        exact += answer.certificate["mode"] == "exact"
    gets = [one.requests["GET"] - 1 for one in traffic]  # the listing is one on the wire
    megabytes = [one.bytes_down / 1e6 for one in traffic]
    rounds = [one.rounds for one in traffic]
    return {
        "recall": round(float(np.mean(recalls)), 3),
        "recall_least": min(recalls),
        "exact": exact / len(data.queries),
        "ms": round(median(spent) * 1000),
        "gets": median(gets),
        "gets_most": max(gets),
        "mb": round(median(megabytes), 2),
        "mb_most": round(max(megabytes), 2),
        "rounds": median(rounds),
        "rounds_most": max(rounds),
    }


def _filter(data: Data, query: np.ndarray, share: float, relation: str) -> tuple[Filter, np.ndarray]:
    """The filter, and which rows pass it."""
    if share == 1.0:
        return ALWAYS, np.ones(len(data.rows), bool)
    count = max(1, round(share * len(data.rows)))
    if relation == "independent":
        return parse({"shuffled": {"$lt": count}}), data.shuffled < count
    least, end = data.window(query, count, near=relation == "correlated")
    return parse({"along": {"$gte": least, "$lt": end}}), (data.along >= least) & (data.along < end)


def main() -> None:
    parser = over_data(__doc__, queries=10)
    measured = measure(**vars(parser.parse_args()))
    names = [name for name in measured[0] if name not in ("data", "rows", "dimension", "shards")]
    title = "{data}: {rows:,} x {dimension} in {shards} shards".format(**measured[0])
    table = Table(*names, title=title)
    for row in measured:
        table.add_row(*(str(row[name]) for name in names))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()

"""Cold search over HTTP: ``python -m tests.bench.cold [--rows R] [--dimension D] [--photographs P]``.

The bench's rows (``data.py``) as a collection in a folder, served by ``origin.py`` behind ``distance.py``: 30 ms a
request, 90 MB/s a connection. Every query has an empty disk, no connection and nothing remembered, but a process that
has imported its libraries. GETs, bytes and rounds are the proxy's count: a request that a busy machine sends only after
another of its round was answered counts as a round more. Recall is against float32 brute force over the rows that pass;
the numbers to filter by know nothing of the vectors.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from rich.console import Console
from rich.table import Table

from bucketlens.filters import parse
from bucketlens.pipelines.query import QueryTools, search
from bucketlens.queries import ByVector, Query
from bucketlens.search.files import LocalFiles
from bucketlens.search.view import Views
from bucketlens.settings import Settings
from bucketlens.store.memory import MemoryImages
from bucketlens.store.s3 import S3Store, connect
from tests.bench.data import CACHE, Data, load
from tests.bench.distance import Distance, Traffic
from tests.bench.origin import Origin
from tests.bench.warm_index import indexed, number_of
from tests.support.table import COLLECTION

SHARES = (1.0, 0.01, 0.001)
_K = 10
_PIECE = 16_384


def measure(
    rows: int = 65_536,
    dimension: int = 512,
    queries: int = 10,
    photographs: Path | None = None,
    cache: Path = CACHE,
) -> list[dict[str, object]]:
    """A row for each share of rows that pass a filter (1: no filter): ``recall``, ``ms``, ``gets``, ``mb``, ``rounds``
    (medians) and ``gets_most``, ``mb_most``, ``rounds_most``."""
    data = load(rows, queries, photographs=photographs, dimension=dimension, cache=cache)
    root = indexed(data)
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="bench-cold-")))
        distance = opened.enter_context(Distance(opened.enter_context(Origin(root)).url))
        view = _views(distance, folder / "look").view(COLLECTION, strong=True)
        shards = len(view.snapshot.manifest.shards)
        common = {"data": data.id, "rows": rows, "dimension": data.dimension, "shards": shards}
        return [{**common, "share": share, **_asked(distance, folder, data, share)} for share in SHARES]


def _views(distance: Distance, folder: Path) -> Views:
    store = S3Store("bucket", connect(distance.url, 64, credentials=("id", "secret")))
    files = LocalFiles(store, folder, 10**9)
    return Views(store, files, threads=8, max_staleness_s=0.0, clock=perf_counter)


def _asked(distance: Distance, folder: Path, data: Data, share: float) -> dict[str, object]:
    below = int(share * len(data.rows))
    condition = parse({} if share == 1.0 else {"shuffled": {"$lt": below}})
    passing = np.flatnonzero(data.shuffled < below)
    spent, traffic, right = list[float](), list[Traffic](), 0
    for number, query in enumerate(data.queries):
        views = _views(distance, folder / f"{share}-{number}")
        tools = QueryTools(views, MemoryImages(), lambda: None, Settings("b"))  # type: ignore[arg-type, return-value]
        wanted = Query(COLLECTION, ByVector(tuple(query.tolist())), k=_K, strong=True, filter=condition)
        distance.reset()
        began = perf_counter()
        answer = search(wanted, tools)
        spent.append(perf_counter() - began)
        traffic.append(distance.read())
        scores = np.concatenate(
            [data.rows[part] @ query for part in np.array_split(passing, -(-len(passing) // _PIECE))]
        )
        true = passing[np.argsort(-scores)[:_K]]
        right += len(set(true.tolist()) & {number_of(hit.key) for hit in answer.hits})
    gets = [one.requests["GET"] - 1 for one in traffic]  # the listing is one on the wire
    megabytes = [one.bytes_down / 1e6 for one in traffic]
    rounds = [one.rounds for one in traffic]
    return {
        "recall": right / (_K * len(data.queries)),
        "ms": round(median(spent) * 1000, 1),
        "gets": median(gets),
        "gets_most": max(gets),
        "mb": round(median(megabytes), 2),
        "mb_most": round(max(megabytes), 2),
        "rounds": median(rounds),
        "rounds_most": max(rounds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=65_536)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--queries", type=int, default=10)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--cache", type=Path, default=CACHE)
    measured = measure(**vars(parser.parse_args()))
    table = Table(*measured[0])
    for row in measured:
        table.add_row(*map(str, row.values()))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()

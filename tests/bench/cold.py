"""Cold search over HTTP: ``python -m tests.bench.cold [--rows R] [--dimension D] [--queries Q]``.

The mixture's rows (``mixture.py``) as a collection in a folder, served by ``origin.py`` behind ``distance.py``: 30 ms a
request, 90 MB/s a connection. Every query has an empty disk, no connection and nothing remembered, but a process that
has imported its libraries. GETs, bytes and rounds are the proxy's count: a request that a busy machine sends only after
another of its round was answered counts as a round more. Recall is against float32 brute force over the rows that pass;
the numbers to filter by know nothing of the vectors.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bucketlens.filters import parse
from bucketlens.index.block import Block
from bucketlens.pipelines.compact import Compact, compact
from bucketlens.pipelines.query import QueryTools, search
from bucketlens.queries import ByVector, Query
from bucketlens.records import Kind, ModelIdentity, Row
from bucketlens.search.files import LocalFiles
from bucketlens.search.view import Views
from bucketlens.settings import Settings
from bucketlens.store.memory import MemoryImages
from bucketlens.store.s3 import S3Store, connect
from tests.bench.distance import Distance, Traffic
from tests.bench.folder import FolderStore, metadata, put, reader
from tests.bench.mixture import Floats, Mixture
from tests.bench.origin import Origin
from tests.support.table import COLLECTION, sequencer

SHARES = (1.0, 0.01, 0.001)
_K = 10
_PIECE = 16_384


def measure(rows: int = 65_536, dimension: int = 512, queries: int = 10) -> list[dict[str, object]]:
    """A row for each share of rows that pass a filter (1: no filter): ``recall``, ``ms``, ``gets``, ``mb``, ``rounds``
    (medians) and ``gets_most``, ``mb_most``, ``rounds_most``."""
    with tempfile.TemporaryDirectory(prefix="bench-cold-") as folder:
        root = Path(folder)
        vectors, chance = _build(root / "bucket", rows, dimension)
        asked = Mixture(dimension).queries(queries)
        with Origin(root) as origin, Distance(origin.url) as distance:
            shards = len(_views(distance, root / "look").view(COLLECTION, strong=True).snapshot.manifest.shards)
            return [
                {
                    "rows": rows,
                    "dimension": dimension,
                    "shards": shards,
                    "share": share,
                    **_asked(distance, root, asked, vectors, chance, share),
                }
                for share in SHARES
            ]


def _build(root: Path, rows: int, dimension: int) -> tuple[Floats, Floats]:
    """The collection; its vectors, and for each row a number between 0 and 1 that is its field ``chance``."""
    store, model = FolderStore(root), ModelIdentity("bench", "b" * 32, dimension)
    chance = np.random.default_rng(1).permutation(rows) / rows
    pieces = list(range(-(-rows // _PIECE)))
    held = []
    for number, drawn in track(Mixture(dimension).pieces(pieces, _PIECE), "append", total=len(pieces), transient=True):
        first = number * _PIECE
        held.append(drawn[: rows - first])
        made = [
            Row(f"images/{n:08}.jpg", sequencer(1), Kind.IMAGE, vector, {**metadata(n), "chance": float(chance[n])})  # type: ignore[dict-item]
            for n, vector in enumerate(held[-1], first)
        ]
        put(store, Block.of(made, dimension), model, 1, _PIECE)
    with tempfile.TemporaryDirectory(prefix="bench-cold-build-") as folder:
        tools = Compact(store, reader(store, Path(folder)), Settings("b"))
        for run in count():
            if not compact(COLLECTION, tools, now=datetime.now(UTC), nonce=f"n{run}").steps:
                break
    return np.concatenate(held), chance


def _views(distance: Distance, folder: Path) -> Views:
    store = S3Store("bucket", connect(distance.url, 64, credentials=("id", "secret")))
    files = LocalFiles(store, folder, 10**9)
    return Views(store, files, threads=8, max_staleness_s=0.0, clock=perf_counter)


def _asked(
    distance: Distance, root: Path, asked: Floats, vectors: Floats, chance: Floats, share: float
) -> dict[str, object]:
    condition = parse({} if share == 1.0 else {"chance": {"$lt": share}})
    passing = np.flatnonzero(chance < share)
    spent, traffic, right = list[float](), list[Traffic](), 0
    for number, query in enumerate(asked):
        views = _views(distance, root / f"{share}-{number}")
        tools = QueryTools(views, MemoryImages(), lambda: None, Settings("b"))  # type: ignore[arg-type, return-value]
        wanted = Query(COLLECTION, ByVector(tuple(query.tolist())), k=_K, strong=True, filter=condition)
        distance.reset()
        began = perf_counter()
        answer = search(wanted, tools)
        spent.append(perf_counter() - began)
        traffic.append(distance.read())
        true = passing[np.argsort(-(vectors[passing] @ query))[:_K]]
        right += len({f"images/{n:08}.jpg" for n in true.tolist()} & {hit.key for hit in answer.hits})
    gets = [one.requests["GET"] - 1 for one in traffic]  # the listing is one on the wire
    megabytes = [one.bytes_down / 1e6 for one in traffic]
    rounds = [one.rounds for one in traffic]
    return {
        "recall": right / (_K * len(asked)),
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
    options = parser.parse_args()
    measured = measure(options.rows, options.dimension, options.queries)
    table = Table(*measured[0])
    for row in measured:
        table.add_row(*map(str, row.values()))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()

"""Warm search, everything local: ``python -m tests.bench.warm [--rows R] [--dimension D] [--photographs P]``.

Latency and recall@10 of a search in the process and of the query function's handler (an HTTP event in, JSON with
metadata and presigned links out), and the memory that is not mapped files. One thread.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bucketlens.filters import ALWAYS
from bucketlens.handlers.query import handler
from bucketlens.search.fuse import fuse
from bucketlens.search.searched import search_view
from tests.bench.command import over_data
from tests.bench.data import CACHE, Data, load
from tests.bench.truth import K, recall, truth
from tests.bench.warm_index import Timed, event_of, indexed, number_of, opened, resident_mb, view_of

_WARM_UP = 20


def measure(
    rows: int = 65_536,
    dimension: int = 512,
    queries: int = 200,
    photographs: Path | None = None,
    cache: Path = CACHE,
) -> list[dict[str, object]]:
    """A row for ``search`` and one for ``handler``: ``recall``, ``p50_ms``, ``p95_ms``, ``cpu_p50_ms``, ``shards``,
    ``mode``, and after all queries ``anonymous_mb`` and ``mapped_mb`` of this process."""
    data = load(rows, queries, photographs=photographs, dimension=dimension, cache=cache)
    right, root = truth(data), indexed(data)
    tools = opened(root)
    view, handle = view_of(tools), handler(tools, lambda _: None)
    searched, handled, found, told = Timed.empty(), Timed.empty(), list[list[int]](), list[dict[str, object]]()
    for number in range(-_WARM_UP, len(data.queries)):  # side by side: what disturbs one disturbs the other
        query = data.queries[number]
        event = event_of(query, K)
        with searched:
            hits = fuse(search_view(view, query, ALWAYS, K, exact=False).found, K, None, ())
        with handled:
            response = handle(event, None)
        if number < 0:
            searched, handled = Timed.empty(), Timed.empty()
            continue
        found.append([number_of(hit.key) for hit in hits])
        told.append(json.loads(str(response["body"])))
    common = {
        "data": data.id,
        "rows": rows,
        "dimension": data.dimension,
        "shards": len(view.shards),
        "mode": told[0]["search"]["mode"],  # type: ignore[index]
    }
    memory = resident_mb()
    answered = [[number_of(hit["key"]) for hit in answer["hits"]] for answer in told]  # type: ignore[attr-defined]
    return [
        {**common, "what": "search", "recall": _mean(data, found, right), **searched.told(), **memory},
        {**common, "what": "handler", "recall": _mean(data, answered, right), **handled.told(), **memory},
    ]


def _mean(data: Data, found: list[list[int]], right: np.ndarray) -> float:
    each = (recall(data.rows, query, *pair) for query, *pair in zip(data.queries, found, right, strict=True))
    return float(np.mean(list(each)))


def main() -> None:
    parser = over_data(__doc__, queries=200)
    found = measure(**vars(parser.parse_args()))
    names = ("what", "mode", "shards", "recall", "p50_ms", "p95_ms", "cpu_p50_ms", "anonymous_mb", "mapped_mb")
    table = Table(*names, title=f"{found[0]['data']}: {found[0]['rows']:,} x {found[0]['dimension']}")
    for row in found:
        table.add_row(*(f"{row[name]:.4g}" if isinstance(row[name], float) else str(row[name]) for name in names))
    Console().print(table)


if __name__ == "__main__":
    main()

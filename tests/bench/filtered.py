"""Filtered search, everything local: ``python -m tests.bench.filtered [--rows R] [--dimension D] [--photographs P]``.

Filters that exactly so many rows match, which know nothing of the vectors (``independent``), match rows around the
query (``correlated``), or rows at the far end of the space (``anti``). Recall is against brute force over the matching
rows as they are stored. Each query is asked without a filter, untimed and timed, and three times with it: first
with a filter that is new, last when all is remembered that will be.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bucketlens.filters import ALWAYS, Filter, parse
from bucketlens.search.fuse import fuse
from bucketlens.search.plan import EXACT_FILTERED_BELOW
from bucketlens.search.searched import search_view
from tests.bench.command import over_data
from tests.bench.data import CACHE, Data, load
from tests.bench.truth import K
from tests.bench.warm_index import Timed, indexed, number_of, opened, view_of

SHARES = (0.0001, 0.001, 0.01, 0.1, 0.5, 0.9)
_AT_ONCE = 16_384
_LEVEL = 1e-6
"""Scores this close are level: sums in float32 differ by as much with their order."""
RELATIONS = ("independent", "correlated", "anti")


def measure(
    rows: int = 65_536,
    dimension: int = 512,
    queries: int = 40,
    photographs: Path | None = None,
    cache: Path = CACHE,
) -> list[dict[str, object]]:
    """A row for each share and relation: ``matching``, ``recall``, ``exact`` (share of answers that say so), ``short``
    (answers with fewer hits than there could be), ``p50_ms``, ``p95_ms``, ``cpu_p50_ms``, ``first_cpu_p50_ms`` with a
    new filter, and ``ratio`` of the processor time to the same queries' without a filter."""
    data = load(rows, queries, photographs=photographs, dimension=dimension, cache=cache)
    view = view_of(opened(indexed(data)))
    scores = np.concatenate([_cosines(data, at) for at in range(0, rows, _AT_ONCE)], axis=1)
    told: list[dict[str, object]] = []
    for share in SHARES:
        for relation in RELATIONS:
            count = max(1, round(rows * share))
            plain, first, again = Timed.empty(), Timed.empty(), Timed.empty()
            recalls, exact, short = list[float](), 0, 0
            for query, scored in zip(data.queries, scores, strict=True):
                condition, matching = _filter(data, query, count, relation)
                turns = [(Timed.empty(), ALWAYS), (plain, ALWAYS)]
                turns += [(first, condition), (Timed.empty(), condition), (again, condition)]
                for timed, asked in turns:
                    with timed:
                        searched = search_view(view, query, asked, K, exact=False)
                        hits = fuse(searched.found, K, None, ())
                wanted = np.flatnonzero(matching)
                right = wanted[np.argsort(-scored[wanted], kind="stable")[:K]]
                found = [number_of(hit.key) for hit in hits]
                assert matching[found].all(), "a hit does not match the filter"
                recalls.append(float(np.count_nonzero(scored[found] >= scored[right[-1]] - _LEVEL)) / len(right))
                exact += searched.exact
                short += len(found) < min(K, count)
            told.append(
                {
                    "data": data.id,
                    "rows": rows,
                    "share": share,
                    "relation": relation,
                    "matching": count,
                    "recall": float(np.mean(recalls)),
                    "recall_least": min(recalls),
                    "promised": 1.0 if count <= EXACT_FILTERED_BELOW else 0.98,
                    "exact": exact / len(data.queries),
                    "short": short,
                    **again.told(),
                    "first_cpu_p50_ms": first.told()["cpu_p50_ms"],
                    "ratio": float(np.median(again.cpu) / np.median(plain.cpu)),
                }
            )
    return told


def _cosines(data: Data, start: int) -> np.ndarray:
    """Of the queries to the rows from ``start`` on as they are stored, in float16."""
    stored = data.rows[start : start + _AT_ONCE].astype(np.float16).astype(np.float32)
    return np.asarray(data.queries @ (stored / np.linalg.norm(stored, axis=1, keepdims=True)).T)


def _filter(data: Data, query: np.ndarray, count: int, relation: str) -> tuple[Filter, np.ndarray]:
    """The filter, and which rows match it."""
    if relation == "independent":
        return parse({"shuffled": {"$lt": count}}), data.shuffled < count
    least, end = data.window(query, count, near=relation == "correlated")
    return parse({"along": {"$gte": least, "$lt": end}}), (data.along >= least) & (data.along < end)


def main() -> None:
    parser = over_data(__doc__, queries=40)
    found = measure(**vars(parser.parse_args()))
    names = ("share", "relation", "matching", "recall", "recall_least", "exact", "short")
    names += ("p50_ms", "cpu_p50_ms", "first_cpu_p50_ms", "ratio")
    table = Table(*names, title=f"{found[0]['data']}: {found[0]['rows']:,} rows")
    for row in found:
        table.add_row(*(f"{row[name]:.4g}" if isinstance(row[name], float) else str(row[name]) for name in names))
    Console().print(table)


if __name__ == "__main__":
    main()

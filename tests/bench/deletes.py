"""Warm search with 30 % of the rows overwritten or deleted: ``python -m tests.bench.deletes [--rows R]``.

The same queries, one after the other as a server meets them, on tables of the same rows: none changed; all of them
deleted by the log, in segments of 100; half of them overwritten and half deleted by the log; and that absorbed, which
reclaims them. ``handler`` is the same from event to JSON. Recall and staleness are told against brute force in float32.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.progress import track

from bucketlens.filters import ALWAYS
from bucketlens.handlers.query import handler
from bucketlens.pipelines.compact import Compact, compact
from bucketlens.pipelines.query import QueryTools
from bucketlens.search.fuse import fuse
from bucketlens.search.searched import search_view
from bucketlens.settings import Settings
from tests.bench.command import show, sized
from tests.bench.folder import FolderStore, append, bury, reader
from tests.bench.mixture import Mixture
from tests.bench.warm_index import Timed, event_of, opened, view_of
from tests.support.table import COLLECTION

_K = 10
_QUERIES = 200
_ROUNDS = 5
_BULK = 20_000
_CHANGED = 0.3


@dataclass(frozen=True, slots=True)
class _State:
    name: str
    tools: QueryTools
    truth: list[set[str]]
    dead: frozenset[str]


def measure(rows: int = 40_000, dimension: int = 256) -> list[dict[str, object]]:
    """For each ``state``: ``recall``, ``stale`` hits, ``p50_ms`` and its ``ratio`` to none changed, ``handler_ms`` and
    ``handler_ratio``, ``log_rows``, ``shards``."""
    with tempfile.TemporaryDirectory(prefix="bench-deletes-") as folder:
        mixture = Mixture(dimension)
        states = _states(mixture, rows, Path(folder))
        queries = mixture.queries(_QUERIES)
        hits = [[_searched(state, query, Timed.empty()) for query in queries] for state in states]
        searches, handlers = [Timed.empty() for _ in states], [Timed.empty() for _ in states]
        for _ in track(range(_ROUNDS), "rounds", transient=True):
            for state, searched, handled in zip(states, searches, handlers, strict=True):
                for query in queries:
                    _searched(state, query, searched)
                for query in queries:
                    _handled(state, query, handled)
        base, whole = searches[0].told()["p50_ms"], handlers[0].told()["p50_ms"]
        return [
            {
                "rows": rows,
                "dimension": dimension,
                "state": state.name,
                "recall": sum(map(len, map(set.intersection, state.truth, found))) / (_K * _QUERIES),
                "stale": sum(len(keys & state.dead) for keys in found),
                "p50_ms": searched.told()["p50_ms"],
                "ratio": searched.told()["p50_ms"] / base,
                "handler_ms": handled.told()["p50_ms"],
                "handler_ratio": handled.told()["p50_ms"] / whole,
                "log_rows": sum(view_of(state.tools).log.size),
                "shards": len(view_of(state.tools).shards),
            }
            for state, found, searched, handled in zip(states, hits, searches, handlers, strict=True)
        ]


def _searched(state: _State, query: np.ndarray, timed: Timed) -> set[str]:
    """Keys of the hits."""
    view = view_of(state.tools)
    with timed:
        hits = fuse(search_view(view, query, ALWAYS, _K, exact=False).found, _K, None, ())
    return {hit.key for hit in hits}


def _handled(state: _State, query: np.ndarray, timed: Timed) -> None:
    event, handle = event_of(query, _K), handler(state.tools, lambda _: None)
    with timed:
        response = handle(event, None)
    assert response["statusCode"] == 200, response


def _states(mixture: Mixture, rows: int, folder: Path) -> list[_State]:
    first, second = (next(mixture.pieces([number], rows))[1] for number in (0, 1))
    queries = mixture.queries(_QUERIES)
    chosen = np.random.default_rng(0).permutation(rows)[: int(_CHANGED * rows)]
    over, gone = np.sort(chosen[: len(chosen) // 2]), np.sort(chosen[len(chosen) // 2 :])
    after = first.copy()
    after[over] = second[over]
    before = _truth(first, queries, np.zeros(0, np.int64))
    fewer = _truth(first, queries, chosen)
    later = _truth(after, queries, gone)

    base = folder / "base"
    append(FolderStore(base / "bucket"), first, range(rows), 1, each=_BULK)
    _compact(base)
    states = [_State("none changed", opened(base), before, frozenset())]
    for name in ("deleted in the log", "changed in the log", "absorbed"):
        store = FolderStore(folder / name / "bucket")
        shutil.copytree(base / "bucket", store.root)
        only = name == "deleted in the log"
        bury(store, (np.sort(chosen) if only else gone).tolist(), mixture.dimension, 2)
        if not only:
            append(store, second[over], over.tolist(), 2)
        if name == "absorbed":
            _compact(folder / name)
        tools = opened(folder / name)
        assert view_of(tools).count
        states.append(_State(name, tools, fewer if only else later, _keys(chosen if only else gone)))
    return states


def _keys(numbers: np.ndarray) -> frozenset[str]:
    return frozenset(f"images/{number:08}.jpg" for number in numbers.tolist())


def _truth(rows: np.ndarray, queries: np.ndarray, gone: np.ndarray) -> list[set[str]]:
    """Keys of the nearest rows of each query, as they are stored."""
    scores = np.concatenate(
        [queries @ rows[at : at + _BULK].astype(np.float16).astype(np.float32).T for at in range(0, len(rows), _BULK)],
        axis=1,
    )
    scores[:, gone] = -np.inf
    return [{f"images/{row:08}.jpg" for row in np.argpartition(-line, _K)[:_K].tolist()} for line in scores]


def _compact(root: Path) -> None:
    store = FolderStore(root / "bucket")
    tools = Compact(store, reader(store, root / "compactor"), Settings("b", sweep_grace_s=10**6))
    compact(COLLECTION, tools, now=datetime.now(UTC), nonce=root.name)


def main() -> None:
    options = sized(__doc__).parse_args()
    show(
        measure(options.rows, options.dimension),
        {
            "30 %": "{state}",
            "recall@10": "{recall:.4f}",
            "stale hits": "{stale}",
            "p50 ms": "{p50_ms:.3f}",
            "ratio": "{ratio:.2f}",
            "handler ms": "{handler_ms:.3f}",
            "its ratio": "{handler_ratio:.2f}",
            "log rows": "{log_rows:,}",
            "shards": "{shards}",
        },
    )


if __name__ == "__main__":
    main()

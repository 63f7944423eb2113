"""Warm search with 30 % of the rows overwritten or deleted: ``python -m tests.bench.deletes [--rows R]``.

The same queries in turn, each the best of three, on tables of the same rows: none changed; all of them deleted by the
log, in segments of 100; half of them overwritten and half deleted by the log; and that absorbed, which reclaims
them. Recall and staleness are told against brute force in float32.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from rich.progress import track

from bucketlens.filters import ALWAYS
from bucketlens.pipelines.compact import Compact, compact
from bucketlens.queries import Hit
from bucketlens.search.fuse import fuse
from bucketlens.search.parts import search_view
from bucketlens.search.view import View
from bucketlens.settings import Settings
from tests.bench.command import show, sized
from tests.bench.folder import FolderStore, append, bury, reader
from tests.bench.mixture import Mixture
from tests.support.table import COLLECTION

_K = 10
_QUERIES = 200
_REPEATS = 3
_BULK = 20_000
_CHANGED = 0.3


@dataclass(frozen=True, slots=True)
class _State:
    name: str
    view: View
    truth: list[set[str]]
    dead: frozenset[str]


def measure(rows: int = 40_000, dimension: int = 256) -> list[dict[str, object]]:
    """For each ``state``: ``recall``, ``stale`` hits, ``p50_ms``, its ``ratio`` to none changed, ``log_rows``."""
    with tempfile.TemporaryDirectory(prefix="bench-deletes-") as folder:
        mixture = Mixture(dimension)
        states = _states(mixture, rows, Path(folder))
        queries = mixture.queries(_QUERIES)
        spent: dict[str, list[float]] = {state.name: [] for state in states}
        right, stale = dict.fromkeys(spent, 0), dict.fromkeys(spent, 0)
        for number, query in enumerate(track(queries, "queries", transient=True)):
            for state in states[number % len(states) :] + states[: number % len(states)]:
                took, hits = min((_timed(state.view, query) for _ in range(_REPEATS)), key=lambda one: one[0])
                spent[state.name].append(took)
                right[state.name] += len({hit.key for hit in hits} & state.truth[number])
                stale[state.name] += sum(hit.key in state.dead for hit in hits)
        base = median(spent[states[0].name])
        return [
            {
                "rows": rows,
                "dimension": dimension,
                "state": state.name,
                "recall": right[state.name] / (_K * _QUERIES),
                "stale": stale[state.name],
                "p50_ms": median(spent[state.name]),
                "ratio": median(spent[state.name]) / base,
                "log_rows": sum(state.view.log.size),
                "shards": len(state.view.shards),
            }
            for state in states
        ]


def _timed(view: View, query: np.ndarray) -> tuple[float, list[Hit]]:
    """Milliseconds, and the hits."""
    began = perf_counter()
    hits = fuse(search_view(view, query, ALWAYS, _K, exact=False).found, _K, None, ())
    return (perf_counter() - began) * 1000, hits


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
    append(FolderStore(base), first, range(rows), 1, each=_BULK)
    _compact(FolderStore(base), folder / "first")
    states = [_State("none changed", _local(FolderStore(base), folder / "r"), before, frozenset())]
    for name in ("deleted in the log", "changed in the log", "absorbed"):
        store = FolderStore(folder / name / "bucket")
        shutil.copytree(base, store.root)
        only = name == "deleted in the log"
        bury(store, (np.sort(chosen) if only else gone).tolist(), mixture.dimension, 2)
        if not only:
            append(store, second[over], over.tolist(), 2)
        if name == "absorbed":
            _compact(store, folder / name / "compactor")
        view = _local(store, folder / name / "reader")
        states.append(_State(name, view, fewer if only else later, _keys(chosen if only else gone)))
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


def _compact(store: FolderStore, folder: Path) -> None:
    tools = Compact(store, reader(store, folder), Settings("b", sweep_grace_s=10**6))
    compact(COLLECTION, tools, now=datetime.now(UTC), nonce=folder.name)


def _local(store: FolderStore, folder: Path) -> View:
    """The present view, with every shard local and settled."""
    view = reader(store, folder).view(COLLECTION, strong=True)
    for entry in view.snapshot.manifest.shards:
        for ref in entry.objects():
            view.reach.files.path(ref)
    assert view.count
    return view


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
            "log rows": "{log_rows:,}",
            "shards": "{shards}",
        },
    )


if __name__ == "__main__":
    main()

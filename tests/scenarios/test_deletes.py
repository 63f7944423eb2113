"""Nearly a third of a shard with a graph overwritten or deleted: nothing stale is found, and the room is taken back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tests.support.table import COLLECTION, START, Table, append, image, tombstone, vector

from bucketlens.filters import ALWAYS
from bucketlens.pipelines.compact import compact
from bucketlens.records import Kind, Row
from bucketlens.search.fuse import fuse
from bucketlens.search.plan import Path as SearchPath
from bucketlens.search.scan import search_parts
from bucketlens.search.view import View
from bucketlens.store.memory import MemoryStore

ROWS = 32_000
K = 10


@dataclass(frozen=True)
class Aged:
    """A table, and what its rows are now."""

    table: Table
    rows: dict[str, Row]


def late(rows: dict[str, Row], numbers: np.ndarray, at: int) -> list[Row]:
    """The first half of these rows with other vectors, the others gone; ``rows`` follows."""
    half = len(numbers) // 2
    written = [image(f"images/{n}.jpg", at, {"n": float(n)}, seed=ROWS * at + n) for n in numbers[:half].tolist()]
    written += [tombstone(f"images/{n}.jpg", at) for n in numbers[half:].tolist()]
    rows.update({row.key: row for row in written})
    return written


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Aged:
    """24 % of the rows superseded by the log."""
    table = Table(MemoryStore(lambda: START), tmp_path_factory.mktemp("t"))
    rows = {f"images/{n}.jpg": image(f"images/{n}.jpg", 1, {"n": float(n)}, seed=n) for n in range(ROWS)}
    append(table.store, list(rows.values()))
    compact(COLLECTION, table.compactor(), now=START, nonce="a")
    chosen = np.random.default_rng(0).permutation(ROWS)[: int(0.24 * ROWS)]
    changes = late(rows, chosen, 2)
    for start in range(0, len(changes), 1_000):
        append(table.store, changes[start : start + 1_000])
    return Aged(table, rows)


def check(view: View, rows: dict[str, Row], path: SearchPath = SearchPath.GRAPH) -> None:
    """Nothing stale, nothing missing, nearly all true neighbours, and on a path."""
    live = {key: row for key, row in rows.items() if row.kind is Kind.IMAGE}
    keys, matrix = list(live), np.stack([np.asarray(row.vector) for row in live.values()])
    assert view.count == len(live)
    shared, paths = 0, set()
    for seed in range(30):
        query = vector(10**8 + seed)
        found = search_parts(view.parts, query, ALWAYS, K, exact=False)
        paths |= {part.choice.path for part in found}
        hits = fuse(found, K, None, None)
        assert len(hits) == K
        for hit in hits:
            assert abs(hit.score - float(np.asarray(live[hit.key].vector) @ query)) < 2e-3, "a stale vector was scored"
        shared += len({hit.key for hit in hits} & {keys[row] for row in np.argsort(-(matrix @ query))[:K]})
    assert path in paths
    assert shared >= 0.97 * K * 30


def test_what_the_log_supersedes_is_found_no_more(logged: Aged) -> None:
    view = logged.table.view()
    check(view, logged.rows)
    check(view, logged.rows, SearchPath.CODES)
    assert len(view.log.images) < len(view.log.others) + ROWS // 5, "tombstones have no vectors to scan"


def test_overwrites_beyond_a_quarter_are_absorbed_and_reclaimed_in_one_step(tmp_path: Path) -> None:
    table = Table(MemoryStore(lambda: START), tmp_path)
    append(table.store, [image(f"images/{n}.jpg", 1, seed=n) for n in range(300)])
    compact(COLLECTION, table.compactor(), now=START, nonce="a")
    append(table.store, [image(f"images/{n}.jpg", 2, seed=1_000 + n) for n in range(100)])
    report = compact(COLLECTION, table.compactor(), now=START, nonce="b")
    assert (report.steps, report.merged, report.rows_written) == (1, 1, 300)
    (entry,) = table.view().snapshot.manifest.shards
    assert (entry.rows, entry.deleted) == (300, 0)


def test_what_was_absorbed_is_found_no_more_and_reclaimed_beyond_a_quarter(logged: Aged) -> None:
    table = logged.table
    compact(COLLECTION, table.compactor(), now=START, nonce="b")
    view = table.view()
    old = view.snapshot.manifest.shards[0]
    assert (old.rows, old.deleted) == (ROWS, int(0.24 * ROWS))
    check(view, logged.rows)
    gone = [key for key, row in logged.rows.items() if row.kind is Kind.IMAGE][: ROWS // 50]
    changes = [tombstone(key, 3) for key in gone]
    logged.rows.update({row.key: row for row in changes})
    append(table.store, changes)
    compact(COLLECTION, table.compactor(), now=START, nonce="c")
    compact(COLLECTION, table.compactor(), now=START, nonce="d")
    view = table.view()
    assert all(entry.deleted <= 0.25 * entry.rows for entry in view.snapshot.manifest.shards)
    assert sum(entry.rows for entry in view.snapshot.manifest.shards) < ROWS
    check(view, logged.rows)

"""sqlite-vec: brute force inside SQLite. Exact, so it also checks the harness.

apsw brings a SQLite that loads extensions, which Python's own often does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw
import sqlite_vec

from tests.bench.mixture import Floats
from tests.bench.peers.protocol import Knobs, Numbers, Peer, Where

_FILE = "rows.sqlite"


class SqliteVec(Peer):
    """A ``vec0`` table with float32 vectors and the numbers as metadata columns."""

    name = "sqlite-vec"
    says = "vec0, float32, brute force"
    sweep: Sequence[Knobs] = ({},)
    floor = 0.999
    filters = True
    stored = _FILE

    def __init__(self) -> None:
        self._connection: apsw.Connection | None = None
        self._sql = ""

    def build(self, rows: Floats, numbers: Numbers, folder: Path, threads: int) -> Mapping[str, float]:
        connection = _connect(folder)
        columns = "".join(f", {name} integer" for name in numbers)
        connection.execute(
            "create virtual table rows using vec0"
            f"(id integer primary key, vector float[{rows.shape[1]}] distance_metric=cosine{columns})"
        )
        held = (
            (number, vector.tobytes(), *(int(values[number]) for values in numbers.values()))
            for number, vector in enumerate(rows)
        )
        with connection:
            connection.executemany(f"insert into rows values (?, ?{', ?' * len(numbers)})", held)  # noqa: S608
        connection.close()
        return {}

    def open(self, folder: Path) -> None:
        self._connection = _connect(folder)

    def prepare(self, knobs: Knobs, where: Where | None) -> None:
        condition = f" and {where.sql()}" if where else ""
        self._sql = f"select id from rows where vector match ? and k = ?{condition}"  # noqa: S608

    def search(self, asked: Floats, k: int) -> Any:
        assert self._connection is not None
        return self._connection.execute(self._sql, (asked.tobytes(), k)).fetchall()

    def ids(self, found: Any) -> list[int]:
        return [int(row[0]) for row in found]


def _connect(folder: Path) -> apsw.Connection:
    connection = apsw.Connection(str(folder / _FILE))
    connection.enable_load_extension(True)
    connection.load_extension(sqlite_vec.loadable_path())
    return connection

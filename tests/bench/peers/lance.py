"""LanceDB in this process, over a folder or over S3. It chooses its own threads.

Settings are its defaults: IVF_PQ with as many partitions as it chooses and a byte for 16 dimensions; IVF_HNSW_SQ with
one partition (what its documentation recommends for most tables), m 20, ef_construction 300. Numbers have BTREE
indexes, which its documentation recommends for filters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa  # noqa: TID251

from tests.bench.mixture import Floats
from tests.bench.peers.protocol import Knobs, Numbers, Peer, Where

BUCKET = "bucket"
_TABLE = "rows"


class Lance(Peer):
    """A table with one vector index."""

    filters = True
    stored = BUCKET

    def __init__(self, kind: str, says: str, sweep: Sequence[Knobs], floor: float) -> None:
        self.name, self.says, self.sweep, self.floor = f"LanceDB {kind}", says, sweep, floor
        self._kind = kind
        self._table: Any = None
        self._knobs: Knobs = {}
        self._where: Where | None = None

    def build(self, rows: Floats, numbers: Numbers, folder: Path, threads: int) -> Mapping[str, float]:
        began = perf_counter()
        schema = pa.schema(
            [("id", pa.int64()), ("vector", pa.list_(pa.float32(), rows.shape[1]))]
            + [(name, pa.int64()) for name in numbers]
        )
        reader = pa.RecordBatchReader.from_batches(schema, _batches(rows, numbers, schema))
        table = lancedb.connect(str(folder / BUCKET)).create_table(_TABLE, reader)
        written = perf_counter() - began
        table.create_index(metric="cosine", vector_column_name="vector", index_type=self._kind)
        for name in numbers:
            table.create_scalar_index(name)
        return {"rows written, s": written}

    def open(self, folder: Path) -> None:
        self._table = lancedb.connect(str(folder / BUCKET)).open_table(_TABLE)

    def reach(self, endpoint: str, local: Path) -> None:
        """Open the same files over S3; nothing is kept in ``local``."""
        options = {
            "endpoint": endpoint,
            "allow_http": "true",
            "virtual_hosted_style_request": "false",
            "region": "us-east-1",
            "access_key_id": "bench",
            "secret_access_key": "bench",
        }
        self._table = lancedb.connect(f"s3://{BUCKET}", storage_options=options).open_table(_TABLE)

    def prepare(self, knobs: Knobs, where: Where | None) -> None:
        self._knobs, self._where = knobs, where

    def search(self, asked: Floats, k: int) -> Any:
        query = self._table.search(asked).limit(k).select(["id", "_distance"])
        for name, value in self._knobs.items():
            query = getattr(query, name)(value)
        if self._where:
            query = query.where(self._where.sql(), prefilter=True)
        return query.to_arrow()

    def ids(self, found: Any) -> list[int]:
        return [int(id) for id in found.column("id").to_pylist()]


def ivf_pq() -> Lance:
    """Its default index."""
    sweep = [{"nprobes": probes, "refine_factor": factor} for factor in (5, 20, 50) for probes in (10, 20, 50, 100)]
    return Lance("IVF_PQ", "default partitions and sub-vectors", sweep, 0.8)


def ivf_hnsw_sq() -> Lance:
    """Graphs over 8-bit rows."""
    sweep = [{"ef": width, "refine_factor": 2} for width in (20, 40, 80, 160, 320)]
    return Lance("IVF_HNSW_SQ", "default partitions, m 20, ef_construction 300", sweep, 0.9)


def _batches(rows: Floats, numbers: Numbers, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(rows), 8_192):
        part = np.ascontiguousarray(rows[start : start + 8_192])
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), part.shape[1])
        held = [pa.array(values[start : start + len(part)]) for values in numbers.values()]
        yield pa.record_batch([pa.array(np.arange(start, start + len(part))), vectors, *held], schema=schema)

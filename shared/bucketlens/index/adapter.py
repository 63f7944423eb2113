"""Adapters as objects of the index: a (d, d) float32 matrix, one row of it per row of the file."""

from __future__ import annotations

import numpy as np
import pyarrow as pa  # noqa: TID251

from bucketlens.errors import Corrupt
from bucketlens.index import arrow
from bucketlens.projection import Matrix


def pack_matrix(matrix: Matrix) -> bytes:
    """The matrix's bytes."""
    flat = pa.array(np.ascontiguousarray(matrix, dtype=np.float32).reshape(-1))
    rows = pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])
    return arrow.write(pa.table({"row": rows}), rows_per_batch=len(matrix))


def unpack_matrix(body: bytes, name: str) -> Matrix:
    """Inverse of ``pack_matrix``. Raises Corrupt."""
    table = arrow.read(body, name)
    with arrow.expected(name):
        column = table.column("row").combine_chunks()
        if not pa.types.is_fixed_size_list(column.type):
            raise Corrupt("An adapter is no matrix.", code="bad_adapter", value=name, remedy="Rebuild the collection.")
        return np.asarray(column.values.to_numpy(), dtype=np.float32).reshape(len(column), column.type.list_size)

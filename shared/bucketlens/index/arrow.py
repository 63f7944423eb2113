"""Arrow IPC files: plain, uncompressed, mappable, with a format number in every schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # noqa: TID251

from bucketlens.errors import Corrupt
from bucketlens.index.arrays import Halves
from bucketlens.index.block import Vectors

FORMAT = 1
"""Format number of every Arrow file of the index. A reader refuses any other."""
ROWS_PER_BATCH, BATCH_BYTES = 2_000, 2**18
"""Most rows and about as many bytes of a record batch of row files: what a cold reader fetches to learn one winner's
metadata. A million rows in batches of 1,000 are mapped in about 0.1 s, in batches of 250 in 0.3."""

Span = tuple[int, int]
"""Bytes of an object: first, and the one behind the last."""

_CHUNK = 16_384
_FORMAT_KEY = b"bucketlens.format"


def write(table: pa.Table, *, facts: Mapping[str, str] | None = None, rows_per_batch: int = ROWS_PER_BATCH) -> bytes:
    """The table as an Arrow IPC file. ``facts`` are kept in the schema's metadata under ``bucketlens.<name>``."""
    table = _stated(table, facts or {})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=max(1, rows_per_batch))
    return bytes(sink.getvalue())


def write_batches(path: Path, batches: Iterable[pa.Table]) -> list[Span]:
    """Tables of one schema as the record batches of an Arrow IPC file, and where in the file each of them is, so that
    ``read_batch`` can read it alone."""
    spans, metadata = list[Span](), {_FORMAT_KEY: str(FORMAT).encode()}
    with pa.OSFile(str(path), "wb") as sink, ExitStack() as stack:
        writer = None
        for table in batches:
            (batch,) = table.replace_schema_metadata(metadata).combine_chunks().to_batches()
            writer = writer or stack.enter_context(pa.ipc.new_file(sink, batch.schema))
            writer.write_batch(batch)
            spans.append((sink.tell() - pa.ipc.get_record_batch_size(batch), sink.tell()))
    return spans


def write_vectors(path: Path, vectors: Vectors, dimension: int, facts: Mapping[str, str]) -> Halves:
    """An Arrow IPC file of one column ``vector`` and one record batch; returns its rows, mapped. In memory are as many
    as are copied at a time: the file is written with zeros, which take no memory until they are touched, then filled.
    """
    blank = pa.table({"vector": vector_column(np.zeros((len(vectors), dimension), dtype=np.float16))})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, _stated(blank, facts).schema) as writer:
        writer.write_table(_stated(blank, facts))
    filled = np.memmap(path, np.float16, "r+", values_at(path), (len(vectors), dimension))
    for at in range(0, len(vectors), _CHUNK):
        filled[at : at + _CHUNK] = vectors[at : at + _CHUNK]
    filled.flush()
    return vector_array(map_file(path).column("vector"))


def schema_bytes(table: pa.Table) -> bytes:
    """The table's schema, as ``read_batch`` wants it."""
    return bytes(table.schema.remove_metadata().serialize())


def read_batch(schema: bytes, message: bytes, name: str) -> pa.Table:
    """The rows of one record batch by itself. Raises Corrupt."""
    try:
        known = pa.ipc.read_schema(pa.py_buffer(schema))
        return pa.Table.from_batches([pa.ipc.read_record_batch(pa.py_buffer(message), known)])
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(name) from error


def values_at(path: Path, column: int = 0) -> int:
    """Where in a file of one record batch the values of a fixed-width column begin: they are contiguous from there."""
    whole = pa.memory_map(str(path)).read_buffer()
    values = pa.ipc.open_file(pa.BufferReader(whole)).get_batch(0).column(column)
    if pa.types.is_fixed_size_list(values.type):
        values = values.values
    return int(values.buffers()[1].address - whole.address)


def read(body: bytes, name: str) -> pa.Table:
    """The table inside these bytes, without copying them. Raises Corrupt."""
    return _checked(pa.BufferReader(body), name)


def map_file(path: Path) -> pa.Table:
    """The table inside a local file, memory-mapped: nothing is read until it is used. Raises Corrupt."""
    return _checked(pa.memory_map(str(path)), path.name)


@contextmanager
def expected(name: str) -> Iterator[None]:
    """What is done within finds the columns and facts it looks for in a table of this file. Raises Corrupt."""
    try:
        yield
    except (KeyError, ValueError, pa.ArrowException) as error:
        raise _unreadable(name) from error


def facts(table: pa.Table) -> dict[str, str]:
    """What ``write`` was told in ``facts``."""
    found = table.schema.metadata or {}
    return {k.decode().removeprefix("bucketlens."): v.decode() for k, v in found.items() if k != _FORMAT_KEY}


def vector_column(vectors: Halves, valid: np.ndarray | None = None) -> pa.Array:
    """(n, d) float16 as a fixed-size list column; rows where ``valid`` is False are null."""
    count, dimension = vectors.shape
    values = pa.array(np.ascontiguousarray(vectors).reshape(-1), type=pa.float16())
    mask = None if valid is None else pa.array(~valid)
    return (
        pa.FixedSizeListArray.from_arrays(values, dimension, mask=mask)
        if count
        else pa.array([], type=pa.list_(pa.float16(), dimension))
    )


def code_column(codes: npt.NDArray[np.uint8]) -> pa.Array:
    """(n, width) bytes as a column of fixed-size binary."""
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(codes.shape[1]), len(codes), [None, pa.py_buffer(np.ascontiguousarray(codes))]
    )


def code_array(column: pa.ChunkedArray) -> npt.NDArray[np.uint8]:
    """Inverse of ``code_column``, read-only; not copied. The column has one chunk."""
    if not pa.types.is_fixed_size_binary(column.type):
        raise ValueError(f"A column of {column.type} holds no codes.")
    (cells,) = column.chunks
    width = cells.type.byte_width
    held = np.frombuffer(cells.buffers()[1], dtype=np.uint8)
    return held[cells.offset * width :][: len(cells) * width].reshape(len(cells), width)


def vector_array(column: pa.ChunkedArray) -> Halves:
    """Inverse of ``vector_column``; a column of one chunk is not copied."""
    if not pa.types.is_fixed_size_list(column.type):
        raise ValueError(f"A column of {column.type} holds no vectors.")
    dimension = column.type.list_size
    chunks = [_halves(chunk, dimension) for chunk in column.chunks]
    if len(chunks) == 1:
        return chunks[0]
    return np.concatenate(chunks) if chunks else np.zeros((0, dimension), dtype=np.float16)


def _stated(table: pa.Table, facts: Mapping[str, str]) -> pa.Table:
    named = {f"bucketlens.{name}".encode(): fact.encode() for name, fact in facts.items()}
    return table.replace_schema_metadata({_FORMAT_KEY: str(FORMAT).encode(), **named})


def _halves(chunk: pa.FixedSizeListArray, dimension: int) -> Halves:
    values: Halves = chunk.values.to_numpy(zero_copy_only=True)
    return values[chunk.offset * dimension : (chunk.offset + len(chunk)) * dimension].reshape(len(chunk), dimension)


def _checked(source: pa.NativeFile, name: str) -> pa.Table:
    try:
        table = pa.ipc.open_file(source).read_all()
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(name) from error
    stated = (table.schema.metadata or {}).get(_FORMAT_KEY, b"").decode(errors="replace")
    if stated != str(FORMAT):
        raise Corrupt(
            f"An index file has format {stated or 'none'}, this version reads format {FORMAT}.",
            code="unknown_format",
            value=name,
            remedy="Use the version of bucketlens that wrote it, or rebuild the index.",
        )
    return table


def _unreadable(name: str) -> Corrupt:
    return Corrupt(
        "An index file is not readable Arrow.",
        code="bad_arrow_file",
        value=name,
        remedy="Restore it or rebuild the index.",
    )

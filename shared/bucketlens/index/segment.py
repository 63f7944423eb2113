"""Log segments: what one ingest batch appended, rows and vectors in one Arrow file. Marks use the same form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa  # noqa: TID251

from bucketlens.index import arrow
from bucketlens.index.block import Block
from bucketlens.records import Kind, ModelIdentity


@dataclass(frozen=True, slots=True)
class Contents:
    """A segment's rows, and the model that made its vectors."""

    block: Block
    model: ModelIdentity


def pack(block: Block, model: ModelIdentity) -> bytes:
    """The segment's bytes; the same rows give the same bytes."""
    images = block.table.column("kind").to_numpy(zero_copy_only=False) == Kind.IMAGE.value
    table = block.table.append_column("vector", arrow.vector_column(block.vectors, images.astype(bool)))
    return arrow.write(table, facts=model_facts(model))


def unpack(body: bytes, name: str) -> Contents:
    """Inverse of ``pack``. Raises Corrupt."""
    return _contents(arrow.read(body, name), name)


def map_file(path: Path) -> Contents:
    """The same from a local file, mapped. Raises Corrupt."""
    return _contents(arrow.map_file(path), path.name)


def _contents(table: pa.Table, name: str) -> Contents:
    with arrow.expected(name):
        vectors = arrow.vector_array(table.column("vector"))
        return Contents(Block(table.drop_columns(["vector"]), vectors), model_of(arrow.facts(table)))


def model_facts(model: ModelIdentity) -> dict[str, str]:
    """The model as it stands in a file's schema."""
    return {
        "model.id": model.id,
        "model.checksum": model.checksum,
        "model.dimension": str(model.dimension),
        "model.metric": model.metric,
    }


def model_of(facts: dict[str, str]) -> ModelIdentity:
    """Inverse of ``model_facts``."""
    return ModelIdentity(
        facts["model.id"], facts["model.checksum"], int(facts["model.dimension"]), facts["model.metric"]
    )

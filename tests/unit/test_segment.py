"""Segments that are none."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa  # noqa: TID251
import pytest
from tests.support.table import DIMENSION, MODEL, image

from bucketlens.errors import Corrupt
from bucketlens.index import arrow, segment
from bucketlens.index.block import Block


def without_facts() -> pa.Table:
    body = segment.pack(Block.of([image("images/a.jpg", 1)], DIMENSION), MODEL)
    return arrow.read(body, "a").replace_schema_metadata({})


@pytest.mark.parametrize(
    "table",
    [pa.table({"a": [1]}), pa.table({"vector": [1]}), without_facts()],
    ids=["no vectors", "no rows of numbers", "no model"],
)
def test_arrow_that_is_no_segment_is_corrupt(table: pa.Table, tmp_path: Path) -> None:
    body = arrow.write(table)
    (tmp_path / "part").write_bytes(body)
    for read in (lambda: segment.unpack(body, "part"), lambda: segment.map_file(tmp_path / "part")):
        with pytest.raises(Corrupt) as caught:
            read()
        assert (caught.value.code, caught.value.value) == ("bad_arrow_file", "part")

"""Metadata column by column: a filter over the columns it looks at says what it says over all of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa  # noqa: TID251
import pytest
from hypothesis import given
from tests.unit.test_mask import FILTERS, ROWS, as_table

from bucketlens.errors import Corrupt
from bucketlens.filters import Filter, parse
from bucketlens.index import fields
from bucketlens.index.block import filterable
from bucketlens.index.columns import unify
from bucketlens.index.mask import evaluate
from bucketlens.records import Metadata


def read(table: pa.Table, condition: Filter) -> pa.Table:
    """The columns the filter looks at, out of their bytes."""
    body, places = fields.pack(table)
    looked = fields.looked_at(condition)
    streams = [(place.name, body[place.start : place.end]) for place in places if place.name in looked]
    return fields.unpack(streams, table.num_rows, "columns.arrow")


@given(FILTERS, ROWS, ROWS)
def test_every_filter_says_the_same_over_the_columns_it_looks_at(
    condition: Filter, first: list[Metadata], second: list[Metadata]
) -> None:
    table = filterable(unify([as_table(first), as_table(second)]))
    assert evaluate(condition, read(table, condition)).tolist() == evaluate(condition, table).tolist()


def test_text_of_few_values_is_stored_small_and_read_as_it_was() -> None:
    cells = [None if n % 7 == 0 else f"a place whose name is long {n % 5}" for n in range(8_000)]
    table = pa.table({"m.s:place": pa.array(cells, pa.utf8()), "key": pa.array(map(str, range(8_000)), pa.utf8())})
    condition = parse({"place": {"$exists": True}})
    assert read(table, condition).column("m.s:place").to_pylist() == cells
    (place,) = fields.pack(table)[1]
    assert place.end - place.start < 8_000


def test_columns_of_one_name_are_all_kept_but_equal_ones_once() -> None:
    one, other = pa.array(["a", "b"]), pa.array(["b", "b"])
    table = pa.Table.from_arrays([one, other, one], names=["m.s:key", "m.s:key", "m.s:key"])
    assert len(fields.pack(table)[1]) == 2
    assert evaluate(parse({"key": "b"}), read(table, parse({"key": "b"}))).all()


def test_rows_without_metadata_still_have_their_number() -> None:
    table = pa.table({"key": pa.array(["a", "b"], pa.utf8())})
    assert fields.pack(table)[1] == []
    assert np.array_equal(evaluate(parse({"x": {"$ne": 1}}), read(table, parse({"x": 1}))), [True, True])


def test_a_column_that_is_damaged_is_corrupt() -> None:
    with pytest.raises(Corrupt):
        fields.unpack([("m.n:x", b"nothing")], 3, "columns.arrow")

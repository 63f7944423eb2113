"""Metadata of any shape goes through Arrow columns and comes back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa  # noqa: TID251
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketlens.errors import Corrupt
from bucketlens.index.columns import Type, column_name, decode, encode, parse_name, unify
from bucketlens.records import Metadata, Value

NAMES = st.text(max_size=4) | st.sampled_from(["a", "a.b", "m.n:a", ":", "m.s:", "é"])
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)
DATES = st.datetimes().map(lambda moment: moment.isoformat()) | st.dates().map(str)
VALUES: st.SearchStrategy[Value] = st.booleans() | NUMBERS | st.text() | DATES | st.lists(st.text(), max_size=3)
ROWS = st.lists(st.dictionaries(NAMES, VALUES, max_size=4), max_size=6)


def as_table(rows: Sequence[Metadata]) -> pa.Table:
    return pa.table({"key": pa.array([str(n) for n in range(len(rows))], pa.utf8()), **encode(rows)})


def kinds(row: Metadata) -> dict[str, bool]:
    return {field: isinstance(value, bool) for field, value in row.items()}


@given(ROWS)
def test_metadata_comes_back_as_it_went_in(rows: list[Metadata]) -> None:
    found = decode(as_table(rows))
    assert found == rows
    assert [kinds(row) for row in found] == [kinds(row) for row in rows]


@given(ROWS, ROWS, st.data())
def test_unified_tables_hold_the_rows_of_each_in_order(
    first: list[Metadata], second: list[Metadata], data: st.DataObject
) -> None:
    table = unify([as_table(first), as_table(second), as_table([])])
    both = [*first, *second]
    assert decode(table) == both
    picked = data.draw(st.lists(st.sampled_from(range(len(both))))) if both else []
    assert decode(table, picked) == [both[row] for row in picked]
    assert decode(table.slice(len(first))) == second


@given(NAMES, st.sampled_from(Type))
def test_physical_names_are_read_back(field: str, kind: Type) -> None:
    assert parse_name(column_name(kind, field)) == (kind, field)


@pytest.mark.parametrize("name", ["key", "", "m", "m.", "m.x:a", "m.n", "n:a", "m.ns:a"])
def test_other_columns_are_no_metadata(name: str) -> None:
    assert parse_name(name) is None
    assert decode(pa.table({name: ["x"]})) == [{}]


def test_one_column_per_field_and_type_that_occurs() -> None:
    rows: list[Metadata] = [{"a": 1}, {"a": "x", "b": True}, {"a": ["x"], "c": "2024-05-01T10:00:00+02:00"}]
    columns = encode(rows)
    assert list(columns) == ["m.b:b", "m.l:a", "m.n:a", "m.s:a", "m.s:c", "m.t:c"]
    assert [str(column.type) for column in columns.values()] == [
        "bool", "list<item: string>", "double", "string", "string", "timestamp[us, tz=UTC]",
    ]  # fmt: skip
    assert columns["m.n:a"].to_pylist() == [1.0, None, None]
    assert columns["m.t:c"].to_pylist()[2] == datetime(2024, 5, 1, 8, tzinfo=UTC)
    assert encode([]) == encode([{}]) == {}


def test_whole_numbers_come_back_as_int_and_others_as_they_can() -> None:
    moment = datetime(2024, 5, 1, 10, tzinfo=UTC)
    rows: list[Metadata] = [{"a": 2.0, "b": 2**53 + 1, "c": moment, "d": 1e300, "e": 0.5}]
    found = decode(as_table(rows))
    assert found == [{"a": 2, "b": "9007199254740993", "c": "2024-05-01T10:00:00+00:00", "d": 1e300, "e": 0.5}]
    assert [type(found[0][field]) for field in "ade"] == [int, float, float]


def test_only_the_fields_asked_for_are_read() -> None:
    table = as_table([{"a": 1, "b": "x"}, {"b": 2, "c": ["y"]}])
    assert decode(table, fields=["b"]) == [{"b": "x"}, {"b": 2}]
    assert decode(table, [1], ["c", "nobody has this"]) == [{"c": ["y"]}]
    assert decode(table.to_batches()[0], [1, 0], {"a"}) == [{}, {"a": 1}]


def test_a_row_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(IndexError):
        decode(as_table([{"a": 1}]), [1])


def test_unifying_copies_no_column() -> None:
    first, second = as_table([{"a": "x"}]), as_table([{"b": 1}])
    table = unify([first, second])
    assert table["m.s:a"].chunk(0).buffers()[2].address == first["m.s:a"].chunk(0).buffers()[2].address
    assert table["m.n:b"].chunk(1).buffers()[1].address == second["m.n:b"].chunk(0).buffers()[1].address
    assert table["m.n:b"].to_pylist() == [None, 1.0]


def test_tables_that_disagree_about_a_type_are_corrupt() -> None:
    with pytest.raises(Corrupt):
        unify([pa.table({"m.n:a": [1.0]}), pa.table({"m.n:a": ["x"]})])
    assert unify([]).num_rows == 0

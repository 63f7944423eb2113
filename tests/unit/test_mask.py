"""Masks over Arrow columns say what the row-by-row definition says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa  # noqa: TID251
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketlens.filters import ALWAYS, Among, And, Compare, Filter, Not, Operand, Or, Present, matches, parse
from bucketlens.index import mask as mask_module
from bucketlens.index import masks as masks_module
from bucketlens.index.columns import encode, unify
from bucketlens.index.mask import by_order, evaluate
from bucketlens.index.masks import Masks, Passing
from bucketlens.index.ordered import Ordered, Stretch
from bucketlens.index.rounded import Rounded, Rounding
from bucketlens.records import Metadata, Value

FAR = [f"9999-12-31T23:59:59.99999{last}Z" for last in (0, 8, 9)]
DATES = [*FAR, "2024-05-01", "2024-05-01T00:00Z", "2024-05-01T02:00:00+02:00", "2025-01-01"]
TEXTS = st.sampled_from(["", "a", "b", "é", "1", "true", "2024-05", *DATES])
ODD_NUMBERS = st.sampled_from([float("nan"), float("inf"), 1, 2**53 + 1])
NUMBERS = st.sampled_from([0.0, -0.0, 1.0, 1.5, -2.0, 2.0**53])
FIELDS = st.sampled_from(["a", "b", "a.b", "nobody"])
VALUES: st.SearchStrategy[Value] = TEXTS | NUMBERS | ODD_NUMBERS | st.booleans() | st.lists(TEXTS, max_size=3)
ROWS = st.lists(st.dictionaries(st.sampled_from(["a", "b", "a.b"]), VALUES, max_size=3), max_size=5)
OPERANDS: st.SearchStrategy[Operand] = TEXTS | NUMBERS | st.booleans()
LEAVES: st.SearchStrategy[Filter] = (
    st.builds(Compare, FIELDS, st.sampled_from(["eq", "gt", "gte", "lt", "lte"]), TEXTS | NUMBERS)
    | st.builds(Compare, FIELDS, st.just("eq"), st.booleans())
    | st.builds(Among, FIELDS, st.lists(OPERANDS, max_size=4).map(tuple))
    | st.builds(Present, FIELDS, st.booleans())
)
FILTERS: st.SearchStrategy[Filter] = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(And, st.lists(inner, max_size=3).map(tuple))
        | st.builds(Or, st.lists(inner, max_size=3).map(tuple))
    ),
    max_leaves=5,
)


def as_table(rows: Sequence[Metadata]) -> pa.Table:
    return pa.table({"key": pa.array([str(n) for n in range(len(rows))], pa.utf8()), **encode(rows)})


@given(FILTERS, ROWS, ROWS)
def test_a_mask_agrees_with_the_definition_on_every_row(
    condition: Filter, first: list[Metadata], second: list[Metadata]
) -> None:
    expected = [matches(condition, row) for row in (*first, *second)]
    table = unify([as_table(first), as_table(second)])
    mask = evaluate(condition, table)
    assert mask.dtype == np.bool_
    assert mask.shape == (table.num_rows,)
    assert mask.tolist() == expected
    assert evaluate(condition, table.slice(1)).tolist() == expected[1:]


@given(st.lists(FILTERS, min_size=3, max_size=6), ROWS, ROWS)
def test_where_the_order_of_columns_is_known_filters_say_the_same(
    conditions: list[Filter], first: list[Metadata], second: list[Metadata]
) -> None:
    table, masks = unify([as_table(first), as_table(second)]), Masks()
    for condition in conditions:
        found, expected = masks.get("s", condition, table), evaluate(condition, table)
        assert found.numbers is not None
        assert found.numbers.tolist() == np.flatnonzero(expected).tolist()
        assert found.mask.tolist() == expected.tolist()
        assert found.count == np.count_nonzero(expected)


@given(FILTERS, ROWS, ROWS, st.integers(0, 10))
def test_rows_are_found_by_orders_alone_or_left_to_a_mask(
    condition: Filter, first: list[Metadata], second: list[Metadata], most: int
) -> None:
    table = unify([as_table(first), as_table(second)])

    def orders(column: str) -> Ordered:
        return Ordered.of(table.column(column))

    expected = evaluate(condition, table)
    assert evaluate(condition, table, orders).tolist() == expected.tolist()
    found = by_order(condition, table, orders, most)
    if isinstance(found, Stretch):
        assert len(found) == np.count_nonzero(expected) > most
        found = found.numbers()
    assert found is None or found.tolist() == np.flatnonzero(expected).tolist()


def test_rows_within_bounds_are_few_or_one_stretch_or_are_not_told() -> None:
    table = as_table([{"n": float(n % 50), "t": str(n)} for n in range(100)])
    orders = {"m.n:n": Ordered.of(table.column("m.n:n"))}.get
    bounds = {"n": {"$gte": 2, "$lt": 5}}
    for condition, most, expected in (
        (bounds, 6, [2, 3, 4, 52, 53, 54]),
        (bounds, 5, Stretch),
        ({**bounds, "n.b": 7}, 5, None),
        ({**bounds, "t": {"$in": ["3", "4", "9"]}}, 5, None),
        ({**bounds, "t": {"$in": ["3", "4", "9"]}}, 6, [3, 4]),
        ({**bounds, "t": "9"}, 6, []),
        ({"t": "9"}, 6, None),
        ({"$or": [bounds, bounds]}, 6, None),
    ):
        found = by_order(parse(condition), table, orders, most)
        if expected is Stretch:
            assert isinstance(found, Stretch)
            found, expected = found.numbers(), [2, 3, 4, 52, 53, 54]
        assert (None if found is None else found.tolist()) == expected, condition


def test_bounds_of_a_column_are_looked_up_in_its_order_from_the_second_filter_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = as_table([{"n": float(n % 50), "at": f"2024-01-{n % 28 + 1:02}", "t": str(n)} for n in range(200)])
    masks, passed = Masks(), list[str]()
    compared = mask_module._compared
    monkeypatch.setattr(mask_module, "_compared", lambda field, *said: passed.append(field) or compared(field, *said))
    for body, passes in (
        ({"n": {"$gte": 10, "$lt": 20}}, 2),
        ({"n": {"$gte": 11, "$lt": 20}}, 0),
        ({"n": 7}, 0),
        ({"$or": [{"n": {"$lt": 3}}, {"$and": [{"n": {"$gt": 40}}, {"n": {"$lte": 41}}]}]}, 0),
        ({"at": {"$gte": "2024-01-05"}}, 1),
        ({"at": {"$gte": "2024-01-06"}, "n": {"$gt": 5}}, 0),
        ({"at": {"$gte": "2024-01-06"}, "t": "7"}, 1),
    ):
        passed.clear()
        found = masks.get("s", parse(body), table).mask
        assert len(passed) == passes, body
        assert found.tolist() == evaluate(parse(body), table).tolist()


def test_many_rows_within_bounds_are_told_by_the_order_and_by_a_mask_once_they_are_asked_for_again() -> None:
    table = as_table([{"n": float(n % 50)} for n in range(60_000)])
    masks, bounds = Masks(), [parse({"n": {"$gte": n}}) for n in (1, 2, 3)]
    assert masks.get("s", bounds[0], table).told is not None, "the order of a column is made for its second filter"
    first = masks.get("s", bounds[1], table)
    assert first.stretch is not None
    again = masks.get("s", bounds[1], table)
    assert again.told is not None
    assert again.stretch is None, "what is remembered keeps no order in memory"
    assert masks.get("s", bounds[1], table) is again
    assert first.count == again.count == 57_600
    assert np.array_equal(first.holds(slice(30, 90)), again.holds(slice(30, 90)))
    assert np.array_equal(first.mask, again.mask)
    assert not first.mask.flags.writeable


def test_fields_nobody_has_match_only_negations() -> None:
    table = pa.table({"key": ["x", "y"], "width": [1, 2]})
    assert not evaluate(parse({"width": 1}), table).any()
    assert not evaluate(parse({"width": {"$exists": True}}), table).any()
    assert evaluate(parse({"width": {"$ne": 1}}), table).all()


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_both_zeros_are_one_number(zero: float) -> None:
    table = as_table([{"a": 0.0}, {"a": -0.0}, {"a": 1.0}])
    for condition in (Among("a", (zero,)), Compare("a", "eq", zero)):
        assert evaluate(condition, table).tolist() == [True, True, False]


def test_the_empty_filter_passes_every_row_and_an_empty_table_has_none() -> None:
    assert evaluate(ALWAYS, as_table([{}, {"a": 1}])).tolist() == [True, True]
    assert evaluate(parse({"a": 1}), as_table([])).shape == (0,)


def test_a_mask_may_be_changed_by_its_owner() -> None:
    mask = evaluate(parse({"a": 1}), as_table([{"a": 1}]))
    mask[0] = False
    assert not mask.any()


def test_columns_of_the_same_name_do_not_hide_each_other() -> None:
    table = as_table([{"key": "x"}, {}]).append_column("m.s:key", pa.array(["a", "b"]))
    assert evaluate(parse({"key": "b"}), table).tolist() == [False, True]
    assert evaluate(parse({"key": {"$in": ["x"]}}), table).tolist() == [True, False]
    assert evaluate(parse({"key": {"$exists": True}}), table).all()


def test_masks_are_computed_once_and_the_least_recently_used_go_first() -> None:
    table = as_table([{"a": n} for n in range(100)])
    masks = Masks(budget=2_600)
    one, two, three = (parse({"a": n}) for n in range(3))
    first = masks.get("s", one, table)
    assert first.mask.tolist() == evaluate(one, table).tolist()
    second = masks.get("s", two, table)
    assert masks.get("s", one, table) is first
    masks.get("s", three, table)
    assert masks.get("s", one, table) is first
    assert masks.get("s", two, table) is not second, "there was room for two"
    with pytest.raises(ValueError, match="read-only"):
        first.mask[0] = True
    assert first.numbers is not None
    with pytest.raises(ValueError, match="read-only"):
        first.numbers[0] = 1


@given(FILTERS, FILTERS)
def test_filters_that_python_calls_equal_may_mean_different_things(one: Filter, other: Filter) -> None:
    table = as_table([{"a": value} for value in (True, 1.0, 0.0, -0.0, False, "1", "true")])
    masks = Masks()
    for condition in (one, other, Compare("a", "eq", True), Compare("a", "eq", 1.0)):
        assert masks.get("s", condition, table).mask.tolist() == evaluate(condition, table).tolist()


def test_the_key_can_be_filtered_through_remembered_masks() -> None:
    assert Masks().get("s", parse({"key": "1"}), as_table([{}, {}])).mask.tolist() == [False, True]


@pytest.mark.parametrize("most", [0, 13])
@pytest.mark.parametrize("passing", [0, 1, 6, 12, 13, 97, 100])
def test_the_numbers_of_few_rows_are_those_of_the_mask(
    passing: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masks_module, "FEW_ROWS", most)
    found = Passing.of(parse({"a": {"$lt": passing}}), as_table([{"a": n} for n in range(100)]))
    assert np.count_nonzero(found.mask) == passing
    if passing <= max(12, most):
        assert found.numbers is not None
        assert found.numbers.tolist() == np.flatnonzero(found.mask).tolist()
        assert found.nbytes == 100 + 8 * passing
    else:
        assert found.numbers is None
        assert found.nbytes == 100


def passing(shard: str, filter: str, numbers: np.ndarray) -> Passing:
    return Passing(0, numbers, name=(shard, filter))


def test_rows_of_a_filter_that_is_scanned_again_are_gathered() -> None:
    rows = Rounded(np.arange(90_000, dtype=np.int64).astype(np.int8).reshape(9_000, 10), Rounding(100.0, 0.01))
    few = passing("s", "few", np.arange(3, 9_000, 17))
    masks, asked = Masks(), list[None]()

    def every() -> Rounded:
        asked.append(None)
        return rows

    assert masks.gathered(few, every) is None, "once may be never again"
    held = masks.gathered(few, every)
    assert held is not None
    assert np.array_equal(held.rows, rows.rows[few.numbers])
    assert held.rounding == rows.rounding
    assert masks.gathered(few, every) is held
    assert len(asked) == 2
    assert few.numbers is not None
    assert masks.gathered(replace(few, name=("t", "few")), every) is None, "another shard has rows of its own"
    for _ in range(3):
        fewer = passing("s", "fewer", few.numbers[:499])
        assert masks.gathered(fewer, every) is None, "as soon found where they lie"
        assert masks.gathered(replace(few, name=("u", "few")), lambda: None) is None, "there are none"
        assert masks.gathered(replace(few, name=None), every) is None, "nothing is remembered of these rows"


def test_what_is_gathered_has_an_end_and_takes_no_room_from_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, table = Rounded(np.ones((9_000, 10), np.int8), Rounding(100.0, 0.0)), as_table([{"a": n} for n in range(100)])
    masks = Masks(budget=1_000_000, gathered=20_000)
    held = masks.get("s", parse({"a": 1}), table)
    for number in range(9):
        few = passing("s", str(number), np.arange(600))
        assert [masks.gathered(few, lambda: rows) is None for _ in range(3)] == [True, False, False]
    assert masks.gathered(passing("s", "0", np.arange(600)), lambda: rows) is None, "the least recently used went"
    monkeypatch.setattr(Rounded, "taken", None)
    for count in (2_001, 2_500):
        many = passing("s", str(count), np.arange(count))
        assert all(masks.gathered(many, lambda: rows) is None for _ in range(3)), "too many, and never copied"
    assert masks.get("s", parse({"a": 1}), table) is held

"""Rows within bounds, found in the order of a column."""

from __future__ import annotations

import numpy as np
import pyarrow as pa  # noqa: TID251
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketlens.filters import Op
from bucketlens.index.ordered import Bound, Ordered

NUMBERS = st.sampled_from([None, float("nan"), float("-inf"), -1.5, -0.0, 0.0, 1.0, 2.0, float("inf")])
OPS: st.SearchStrategy[Op] = st.sampled_from(["eq", "gt", "gte", "lt", "lte"])
RELATIONS = {"eq": np.equal, "gt": np.greater, "gte": np.greater_equal, "lt": np.less, "lte": np.less_equal}


@given(
    st.lists(st.lists(NUMBERS, max_size=6), max_size=4),
    st.lists(st.tuples(OPS, NUMBERS.filter(lambda number: number == number and number is not None)), max_size=3),
)
def test_rows_within_bounds_are_those_that_a_pass_over_the_column_finds(
    chunks: list[list[float | None]], bounds: list[tuple[Op, float]]
) -> None:
    cells = pa.chunked_array([pa.array(chunk, pa.float64()) for chunk in chunks], pa.float64())
    order = Ordered.of(cells)
    numbers = np.array([np.nan if cell is None else cell for chunk in chunks for cell in chunk], dtype=np.float64)
    expected = ~np.isnan(numbers)
    for op, value in bounds:
        expected &= RELATIONS[op](numbers, value)
    stretch = order.within([Bound(op, value) for op, value in bounds])
    assert stretch.mask().tolist() == expected.tolist()
    assert stretch.numbers().tolist() == np.flatnonzero(expected).tolist()
    assert stretch.holds(np.arange(0, len(numbers), 2)).tolist() == expected[::2].tolist()
    assert order.nbytes <= Ordered.room(len(numbers))


@pytest.mark.parametrize("count", [0, 3, 40, 90, 100])
def test_few_rows_or_many_are_found_and_the_mask_is_its_owners(count: int) -> None:
    cells = pa.chunked_array([pa.array([*range(100), None], pa.float64())])
    mask = Ordered.of(cells).within([Bound("lt", count)]).mask()
    assert np.flatnonzero(mask).tolist() == list(range(count))
    mask[0] = True


def test_instants_are_in_order_by_the_microsecond() -> None:
    """Also where no float tells them apart: at the end of the year 9999."""
    for last in (1_700_000_000_000_000, 253_402_300_799_999_998):
        instants = pa.array([last + 1, None, last], pa.timestamp("us", "UTC"))
        order = Ordered.of(pa.chunked_array([instants]))
        assert order.within([Bound("gt", last)]).mask().tolist() == [True, False, False]
        assert order.within([Bound("eq", last)]).mask().tolist() == [False, False, True]
        assert order.within([]).mask().tolist() == [True, False, True]

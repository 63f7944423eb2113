"""Column statistics: what they rule out, no row of the shard passes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.support.table import DIMENSION, image

from bucketlens.filters import parse
from bucketlens.index.block import Block, filterable
from bucketlens.index.mask import evaluate
from bucketlens.index.stats import collect, possible

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3).map(float),
    st.sampled_from(["", "a", "b", "b" * 40, "b" * 40 + "c", "2024-05-01", "2024-05-01T00:00:00Z", "2025-01-01"]),
    st.lists(st.sampled_from(["a", "b", "2024-05-01"]), max_size=2),
)
operands = values.filter(lambda value: value is not None and not isinstance(value, list))
orders = operands.filter(lambda value: not isinstance(value, bool))
leaves = st.one_of(
    st.builds(lambda value: {"f": value}, operands),
    st.builds(lambda value: {"f": {"$ne": value}}, operands),
    st.builds(lambda op, value: {"f": {op: value}}, st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), orders),
    st.builds(lambda among: {"f": {"$in": among}}, st.lists(operands, max_size=3)),
    st.builds(lambda among: {"f": {"$nin": among}}, st.lists(operands, max_size=3)),
    st.builds(lambda present: {"f": {"$exists": present}}, st.booleans()),
    st.builds(lambda name: {"key": {"$gte": name}}, st.sampled_from(["images/1", "images/9"])),
)
filters = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda parts: {"$or": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: {"$and": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"$not": part}, inner),
    ),
    max_leaves=4,
)


@given(rows=st.lists(values, min_size=1, max_size=25), document=filters)
def test_what_the_statistics_rule_out_no_row_passes(rows: list[object], document: dict[str, object]) -> None:
    named = [
        image(f"images/{number}.jpg", 1, {} if value is None else {"f": value}, seed=0)  # type: ignore[dict-item]
        for number, value in enumerate(rows)
    ]
    table = filterable(Block.of(named, DIMENSION).table)
    condition = parse(document)
    if not possible(condition, collect(table), len(rows)):
        assert not evaluate(condition, table).any()


def test_ranges_values_and_presence_rule_out_what_lies_outside_them() -> None:
    rows = [image(f"images/{n}.jpg", 1, {"n": n, "colour": "red", "place": f"p{n:03}"}, seed=0) for n in range(100)]
    columns = collect(filterable(Block.of(rows, DIMENSION).table))
    ruled_out = (
        {"n": {"$gt": 99}},
        {"n": -1},
        {"n": "50"},
        {"colour": "blue"},
        {"colour": {"$ne": "red"}},
        {"colour": {"$exists": False}},
        {"place": {"$lt": "p000"}},
        {"missing": 1},
        {"$or": [{"n": {"$in": [100, 101]}}, {"colour": {"$in": []}}]},
        {"key": "other/1.jpg"},
    )
    assert not any(possible(parse(document), columns, 100) for document in ruled_out)
    open_questions = (
        {},
        {"n": 50.5},
        {"place": "p050x"},
        {"missing": {"$ne": 1}},
        {"n": {"$gte": 99}, "colour": "red"},
    )
    assert all(possible(parse(document), columns, 100) for document in open_questions)

"""The filter language: what parses, what matches, what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketlens.errors import InvalidRequest
from bucketlens.filters import ALWAYS, Among, And, Compare, Not, Or, Present, fields, matches, parse
from bucketlens.records import Metadata

OSLO: Metadata = {
    "place": "Oslo",
    "width": 1600,
    "ratio": 1.5,
    "edited": False,
    "taken": "2024-05-01T10:00:00+02:00",
    "tags": ["sea", "boat"],
    "none": [],
}


def passes(document: object, metadata: Metadata = OSLO) -> bool:
    return matches(parse(document), metadata)


def test_the_empty_filter_matches_everything() -> None:
    assert parse({}) == ALWAYS
    assert passes({}, {})


def test_a_plain_value_means_equality_and_fields_are_anded() -> None:
    assert parse({"a": "x"}) == Compare("a", "eq", "x")
    assert parse({"a": 1, "b": {"$gt": 2, "$lt": 3}}) == And(
        (Compare("a", "eq", 1.0), And((Compare("b", "gt", 2.0), Compare("b", "lt", 3.0))))
    )


def test_every_operator_has_one_tree() -> None:
    assert parse({"a": {"$ne": 1}}) == Not(Compare("a", "eq", 1.0))
    assert parse({"a": {"$in": [1, "x", True]}}) == Among("a", (1.0, "x", True))
    assert parse({"a": {"$nin": []}}) == Not(Among("a", ()))
    assert parse({"a": {"$in": ["x", None]}}) == Or((Among("a", ("x",)), Present("a", False)))
    assert parse({"a": {"$exists": True}}) == parse({"a": {"$ne": None}}) == Present("a", True)
    assert parse({"a": None}) == parse({"a": {"$eq": None}}) == Present("a", False)
    assert parse({"a": {"$not": {"$gte": 3}}}) == parse({"$not": {"a": {"$gte": 3}}}) == Not(Compare("a", "gte", 3.0))
    assert parse({"$or": [{"a": 1}, {"b": 2}]}) == Or((Compare("a", "eq", 1.0), Compare("b", "eq", 2.0)))
    assert parse({"$and": [{"a": 1}, {"b": 2}]}) == And((Compare("a", "eq", 1.0), Compare("b", "eq", 2.0)))


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"place": "Oslo"}, True),
        ({"place": "oslo"}, False),
        ({"place": {"$gt": "Ohio"}}, True),
        ({"width": 1600.0}, True),
        ({"width": "1600"}, False),
        ({"width": {"$gte": 1600, "$lt": 1601}}, True),
        ({"ratio": {"$in": [1.5, "x"]}}, True),
        ({"edited": False}, True),
        ({"edited": 0}, False),
        ({"width": True}, False),
        ({"edited": {"$ne": 0}}, True),
        ({"tags": "sea"}, True),
        ({"tags": {"$ne": "sea"}}, False),
        ({"tags": {"$nin": ["lake", "boat"]}}, False),
        ({"tags": {"$nin": ["lake"]}}, True),
        ({"tags": {"$lt": "c"}}, True),
        ({"tags": 3}, False),
        ({"none": {"$exists": True}}, True),
        ({"none": "x"}, False),
    ],
)
def test_a_comparison_only_matches_values_of_its_own_type(document: object, expected: bool) -> None:
    assert passes(document) is expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"taken": "2024-05-01T08:00:00Z"}, True),
        ({"taken": "2024-05-01"}, False),
        ({"taken": {"$gt": "2024-05-01", "$lt": "2024-05-02"}}, True),
        ({"taken": {"$in": ["2024-05-01 08:00"]}}, True),
        ({"taken": {"$ne": "2024-05-01T08:00:00Z"}}, False),
        ({"taken": {"$gt": "2024-05-01T10:00"}}, False),
        ({"taken": {"$gt": "2024-05-01T1"}}, True),
        ({"taken": {"$lt": "2024-05-01T11"}}, True),
        ({"place": {"$gt": "2024-05-01"}}, False),
    ],
)
def test_dates_compare_as_instants_and_other_text_as_it_is_spelled(document: object, expected: bool) -> None:
    assert passes(document) is expected


def test_a_datetime_value_compares_like_its_text() -> None:
    moment = datetime(2024, 5, 1, 10, tzinfo=timezone(timedelta(hours=2)))
    assert passes({"t": "2024-05-01T08:00Z"}, {"t": moment})
    assert passes({"t": "2024-05-01T10:00"}, {"t": moment.replace(tzinfo=None)})
    assert passes({"t": {"$gte": "2024-05"}}, {"t": moment.astimezone(UTC)})


def test_a_missing_field_matches_negations_and_nothing_else() -> None:
    condition: object
    for condition in ({"$ne": 1}, {"$nin": [1]}, {"$not": {"$gt": 1}}, {"$exists": False}, None):
        assert passes({"a": condition}, {})
    for condition in (1, {"$in": [1]}, {"$lt": 1}, {"$lte": "x"}, {"$exists": True}, {"$ne": None}):
        assert not passes({"a": condition}, {})


def test_whole_numbers_beyond_exact_doubles_compare_as_text() -> None:
    assert not passes({"id": 2.0**53}, {"id": 2**53 + 1})
    assert passes({"id": str(2**53 + 1)}, {"id": 2**53 + 1})


def test_fields_are_those_a_filter_looks_at() -> None:
    assert fields(parse({"a": 1, "$or": [{"b.c": {"$in": [1]}}, {"$not": {"d": None}}]})) == {"a", "b.c", "d"}
    assert fields(ALWAYS) == frozenset()


@pytest.mark.parametrize(
    "document",
    [
        None, [], "x", 3, {"a": []}, {"a": {}}, {"a": {"b": 1}}, {"$eq": 1}, {"$and": []}, {"$or": {}}, {"$or": [1]},
        {"$not": [{}]}, {"a": {"$exists": 1}}, {"a": {"$in": 1}}, {"a": {"$in": [[1]]}}, {"a": {"$not": 3}},
        {"a": {"$not": {}}}, {"a": {"$gt": None}}, {"a": {"$gt": True}}, {"a": {"$lt": [1]}},
        {"a": float("nan")}, {"a": float("inf")}, {"a": 10**400}, {"a": "\ud800"}, {"\udc00": 1},
        {"$where": "1"}, {"a": {"$and": []}}, {3: 4},
    ],
)  # fmt: skip
def test_what_is_not_a_filter_is_refused_with_a_remedy(document: object) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse(document)
    assert refusal.value.code == "bad_filter"
    assert refusal.value.remedy


def test_an_unknown_operator_suggests_the_nearest() -> None:
    with pytest.raises(InvalidRequest, match=r"\$gte3.*Did you mean \$gte\?"):
        parse({"width": {"$gte3": 1}})
    with pytest.raises(InvalidRequest, match=r"Did you mean \$and\?"):
        parse({"$andd": []})


def test_depth_size_and_list_length_are_limited() -> None:
    deep: dict[str, object] = {"a": 1}
    for _ in range(19):
        deep = {"$not": deep}
    parse(deep)
    for document in (
        {"$not": deep},
        {"$or": [{"a": 1}] * 501},
        {"a": {"$in": list(range(1001))}},
    ):
        with pytest.raises(InvalidRequest):
            parse(document)
    parse({"$or": [{"a": 1}] * 500})
    parse({"a": {"$in": list(range(1000))}})


NAMES = st.sampled_from(["a", "b", "$eq", "$in", "$not", "$and", "$or", "$gt", "$exists", "$x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | st.just("2024-05-01"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
VALUES = st.booleans() | st.floats() | st.text() | st.lists(st.text())


@given(JSON, st.dictionaries(st.sampled_from("ab"), VALUES, max_size=2))
def test_any_json_is_a_usable_filter_or_an_invalid_request(document: object, metadata: Metadata) -> None:
    try:
        found = parse(document)
    except InvalidRequest:
        return
    assert matches(Not(found), metadata) is not matches(found, metadata)
    hash(found)

"""Header text and sidecar JSON become metadata values."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketlens.errors import InvalidRequest, Rejected
from bucketlens.records import Value
from bucketlens.values import as_instant, as_stored, flatten, recognise


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12), ("-3", -3), ("0", 0), ("4.50", 4.5), ("-0.5", -0.5), ("1e-07", 1e-07), ("9007199254740992", 2**53),
        ("true", True), ("false", False),
        ("007", "007"), ("-0", "-0"), ("+1", "+1"), ("1e5", "1e5"), ("1e400", "1e400"), ("1.", "1."), (".5", ".5"),
        ("9007199254740993", "9007199254740993"), ("١٢", "١٢"), ("nan", "nan"), ("inf", "inf"), ("True", "True"),
        ("", ""), (" 1", " 1"), ("1_000", "1_000"), ("0x10", "0x10"), ("2024-05-01", "2024-05-01"), ("null", "null"),
        ("1\n", "1\n"), ("a\ud800", "a\ufffd\ufffd\ufffd"),
    ],
)  # fmt: skip
def test_only_canonical_numbers_and_bools_are_recognised(text: str, value: Value) -> None:
    found = recognise(text)
    assert found == value
    assert type(found) is type(value)


@given(st.text())
def test_recognising_never_raises_and_text_stays_as_it_is(text: str) -> None:
    found = recognise(text)
    assert found == text or not isinstance(found, str)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53))
def test_a_number_as_a_program_prints_it_keeps_its_value(number: float) -> None:
    assert recognise(repr(number)) in (number, repr(number))
    if abs(number) < 1e15:
        assert recognise(repr(number)) == number


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-05-01", datetime(2024, 5, 1, tzinfo=UTC)),
        ("2024-05-01T10:30", datetime(2024, 5, 1, 10, 30, tzinfo=UTC)),
        ("2024-05-01 10:30:05.25", datetime(2024, 5, 1, 10, 30, 5, 250_000, tzinfo=UTC)),
        ("2024-05-01T10:30:00Z", datetime(2024, 5, 1, 10, 30, tzinfo=UTC)),
        ("2024-05-01T10:30:00.123456789+02:00", datetime(2024, 5, 1, 8, 30, 0, 123_456, tzinfo=UTC)),
    ],
)
def test_iso_dates_name_instants_in_utc(text: str, instant: datetime) -> None:
    assert as_instant(text) == instant


@pytest.mark.parametrize(
    "text",
    ["", "2024", "2024-05", "20240501", "2024-13-01", "2024-02-30", "2024-05-01T", "2024-05-01T25:00",
     "2024:05:01 10:00:00", "0001-01-01T00:00+14:00",
     "9999-12-31T23:59-14:00", "2024-05-01x", " 2024-05-01", "2024-W01-1", "٢٠٢٤-05-01"],
)  # fmt: skip
def test_other_text_is_no_date(text: str) -> None:
    assert as_instant(text) is None


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_survives_its_stored_spelling(moment: datetime) -> None:
    assert as_instant(str(as_stored(moment))) == moment


def test_stored_numbers_are_doubles_and_large_integers_are_text() -> None:
    assert as_stored(3) == 3.0
    assert isinstance(as_stored(3), float)
    assert as_stored(True) is True
    assert as_stored(2**53 + 1) == "9007199254740993"
    assert as_stored(datetime(2024, 5, 1)) == "2024-05-01T00:00:00+00:00"  # noqa: DTZ001
    assert as_stored(datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))) == "9999-12-31T23:59:59.999999-01:00"


def test_nested_objects_become_dotted_names() -> None:
    document = {"camera": {"make": "Leica", "lens": {"f": 1.4}}, "width": 1600, "raw": False, "gone": None, "empty": {}}
    assert flatten(document) == {"camera.make": "Leica", "camera.lens.f": 1.4, "width": 1600, "raw": False}


def test_lists_become_lists_of_text() -> None:
    document = {"tags": ["sea", "boat"], "sizes": [1, 2.5, True, None, "x"], "none": [], "odd": [{"a": 1}, [2]]}
    assert flatten(document) == {
        "tags": ["sea", "boat"],
        "sizes": ["1", "2.5", "true", "x"],
        "none": [],
        "odd": ['{"a": 1}', "[2]"],
    }


def test_numbers_json_cannot_hold_exactly_become_text() -> None:
    document = json.loads('{"id": 9007199254740993, "big": 1e400, "low": -9007199254740992}')
    assert flatten(document) == {"id": "9007199254740993", "big": "Infinity", "low": -(2**53)}


def test_a_lone_surrogate_cannot_poison_a_row() -> None:
    for name, value in flatten(json.loads('{"\\ud800": "\\udc00", "l": ["\\ud800"]}')).items():
        json.dumps([name, value], ensure_ascii=False).encode()


def nested(levels: int) -> dict[str, object]:
    document: dict[str, object] = {"a": 1}
    for _ in range(levels - 1):
        document = {"a": document}
    return document


@pytest.mark.parametrize(
    "document",
    [
        [], None, "x", 3, nested(21), {"a": [nested(20)]}, {str(n): n for n in range(1001)}, {"a" * 513: 1},
        {"a": "x" * 65_537}, {"a": ["x"] * 1001}, {"a": ["x" * 40_000] * 2}, {"a": {1, 2}},
    ],
)  # fmt: skip
def test_what_is_not_metadata_is_rejected(document: object) -> None:
    with pytest.raises(Rejected) as refusal:
        flatten(document)
    assert refusal.value.code == "bad_metadata"
    assert not isinstance(refusal.value, InvalidRequest)


def test_twenty_levels_are_accepted() -> None:
    assert flatten(nested(20)) == {".".join("a" * 20): 1}


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5))
def test_any_json_object_flattens_into_the_four_types(document: dict[str, object]) -> None:
    for value in flatten(document).values():
        elements = value if isinstance(value, list) else []
        assert isinstance(value, str | float | int | bool | list)
        assert all(isinstance(each, str) for each in elements)

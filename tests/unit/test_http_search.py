"""What a search asks: JSON, query strings, uploads."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.support.requests import FILE, FORM, SEARCH, asked, asked_by_get, event, form, refusal, uploaded

from bucketlens.edge.http import (
    Search,
    failure,
    parse_request,
)  # fmt: skip
from bucketlens.errors import (
    InvalidRequest,
)  # fmt: skip
from bucketlens.filters import parse
from bucketlens.queries import ByImage, ByKey, ByText, ByVector, Query


def test_a_json_search_has_one_of_four_subjects() -> None:
    assert asked({"text": "sea"}) == Query("default", ByText("sea"))
    assert asked({"key": "images/a b+c.jpg"}).subject == ByKey("images/a b+c.jpg")
    assert asked({"vector": [1, 0.5]}).subject == ByVector((1.0, 0.5))
    assert asked({"image": "aGVsbG8=", "text": None}).subject == ByImage(b"hello")
    assert asked({"image": "data:image/png;base64,aGVs\nbG8="}).subject == ByImage(b"hello")


def test_a_json_search_takes_every_option() -> None:
    options = {
        "filter": {"a": 1},
        "k": 1000,
        "min_score": 0,
        "fields": ["a", "b", "a"],
        "consistency": "strong",
        "exact": True,
        "explain": True,
    }
    expected = Query(
        "default", ByText("sea"), parse({"a": 1}), 1000, 0.0, ("a", "b"), strong=True, exact=True, explain=True
    )
    assert asked({"text": "sea", **options}) == expected
    assert asked({"text": "sea", **dict.fromkeys(options)}) == Query("default", ByText("sea"))
    assert asked({"text": "sea", "fields": []}).fields == ()


@pytest.mark.parametrize(
    "body",
    [
        {}, {"text": "a", "key": "b"}, {"text": ""}, {"text": " "}, {"text": 3}, {"text": "x" * 2001},
        {"text": "\ud800"},
        {"key": ""}, {"key": 3}, {"key": "é" * 513}, {"key": "\ud800"},
        {"vector": []}, {"vector": "1"}, {"vector": [0, 0]}, {"vector": [True]}, {"vector": ["1"]}, {"vector": [1e200]},
        {"vector": [10**400]}, {"vector": [1] * 4097}, {"vector": [None]},
        {"image": ""}, {"image": "!"}, {"image": "abc"}, {"image": "é"}, {"image": "data:image/png;base64,"},
        {"image": 3},
        {"text": "a", "k": True}, {"text": "a", "k": 0}, {"text": "a", "k": 1001}, {"text": "a", "k": 10.0},
        {"text": "a", "k": "10"}, {"text": "a", "min_score": 1.5}, {"text": "a", "min_score": True},
        {"text": "a", "min_score": "0"}, {"text": "a", "fields": "a"}, {"text": "a", "fields": [1]},
        {"text": "a", "fields": ["x"] * 1001}, {"text": "a", "consistency": "maybe"}, {"text": "a", "consistency": []},
        {"text": "a", "exact": 1}, {"text": "a", "explain": "yes"}, {"text": "a", "filter": []},
        {"text": "a", "filter": {"$x": 1}}, {"text": "a", "x": 1},
    ],
)  # fmt: skip
def test_a_json_search_that_says_nothing_sensible_is_refused(body: Mapping[str, object]) -> None:
    assert failure(refusal(event("POST", SEARCH, body=json.dumps(body))), "r")["statusCode"] == 400


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "[]", "3", "null", '{"text": "a",}', '{"text": "a", "min_score": NaN}',
        '{"text": "a", "min_score": 1e400}',
        '{"text": "a", "min_score": -Infinity}', '{"text": "a", "text": "b"}',
        '{"text": "a", "filter": {"b": 1, "b": 2}}',
        '{"text": "a", "k": ' + "9" * 5000 + "}", "[" * 100_000, '{"a":' * 900 + "1" + "}" * 900,
        '{"text": "a", "filter": ' + "[" * 900 + "]" * 900 + "}", "\ud800",
    ],
)  # fmt: skip
def test_a_body_that_is_no_clean_json_object_is_refused(text: str) -> None:
    assert failure(refusal(event("POST", SEARCH, body=text)), "r")["statusCode"] == 400


def test_a_body_that_is_not_utf8_or_not_base64_is_refused() -> None:
    latin = base64.b64encode(b'{"text": "\xe9"}').decode()
    assert refusal(event("POST", SEARCH, body=latin, encoded=True)).code == "bad_json"
    assert isinstance(refusal(event("POST", SEARCH, body="é!", encoded=True)), InvalidRequest)
    assert isinstance(refusal(event("POST", SEARCH, body={"text": "a"})), InvalidRequest)


def test_an_unknown_name_suggests_the_nearest() -> None:
    assert "Did you mean min_score?" in refusal(event("POST", SEARCH, body='{"text": "a", "minscore": 1}')).remedy
    assert "Did you mean filter?" in refusal(event("GET", SEARCH, query="q=a&filtre=1")).remedy
    assert "body" in refusal(event("POST", SEARCH, query="k=3", body='{"text": "a"}')).remedy


def test_a_query_string_is_a_search() -> None:
    assert asked_by_get("q=a+red%20%C3%A9") == Query("default", ByText("a red é"))
    assert asked_by_get("key=images/a%2Bb.jpg&k=3&exact=true").subject == ByKey("images/a+b.jpg")
    assert asked_by_get("q=a&k=&min_score=&fields=&consistency=&filter=") == Query("default", ByText("a"))
    filtered = asked_by_get("q=a&fields=a,b&min_score=-0.5&filter=" + quote('{"a": {"$gt": 3}}'))
    assert filtered == Query("default", ByText("a"), parse({"a": {"$gt": 3}}), min_score=-0.5, fields=("a", "b"))


def test_decoded_parameters_serve_where_no_raw_query_string_came() -> None:
    made = event("GET", SEARCH) | {"queryStringParameters": {"q": "a b"}}
    assert parse_request(made) == Search(Query("default", ByText("a b")))


@pytest.mark.parametrize(
    "query",
    [
        "", "q=", "q=a&key=b", "q=a&k=x", "q=a&k=10.0", "q=a&k=0", "q=a&k=-1", "q=a&k=1e1", "q=a&k=99999999999",
        "q=a&min_score=nan", "q=a&min_score=2", "q=a&exact=1", "q=a&explain=1", "q=a&consistency=x", "q=a&filter=x",
        "q=a&filter=null", "q=%ff", "q=a&q=b", "q=a&text=b", "&".join(f"a{n}=1" for n in range(101)), "q=a&k=%D9%A3",
    ],
)  # fmt: skip
def test_a_query_string_that_says_nothing_sensible_is_refused(query: str) -> None:
    assert failure(refusal(event("GET", SEARCH, query=query)), "r")["statusCode"] == 400


def test_an_image_body_is_a_search_with_options_in_the_query_string() -> None:
    found = uploaded(b"\xff\xd8", query="k=3&filter=%7B%22a%22%3A1%7D")
    assert found == Query("default", ByImage(b"\xff\xd8"), parse({"a": 1}), k=3)


@given(st.binary(min_size=1, max_size=200) | st.binary(min_size=1).map(lambda some: (some + b"\r\n\r\n--xy") * 200))
@settings(max_examples=50)
def test_the_file_of_a_form_arrives_byte_for_byte(image: bytes) -> None:
    assume(b"\n--xyz" not in b"\n" + image)  # who sends a form chooses a boundary that is not in it (RFC 2046, 5.1.1)
    assert uploaded(form(FILE + image), FORM).subject == ByImage(image)


def test_line_ends_across_read_buffers_survive_in_a_form() -> None:
    for offset in range(4):
        image = b"x" * offset + b"\r\n\r\n\n\r" * 10_000
        assert uploaded(form(FILE + image), FORM).subject == ByImage(image)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "image/jpeg"), (b"{}", "application/json"), (b"junk", FORM), (b"", FORM), (form(), FORM),
        (form(FILE), FORM), (form(FILE + b"a", FILE + b"b"), FORM),
        (form(FILE + b"a", b'Content-Disposition: form-data; name="k"\r\n\r\n3'), FORM),
        (form(b'Content-Disposition: form-data; name="k"\r\n\r\n3'), FORM), (form(FILE + b"a"), "multipart/form-data"),
        (form(FILE + b"a"), 'multipart/form-data; boundary="é\n'),
    ],
)  # fmt: skip
def test_an_upload_without_exactly_one_image_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(InvalidRequest):
        uploaded(body, content_type)


def test_an_image_that_went_through_text_is_refused() -> None:
    assert "binary" in refusal(event("POST", f"{SEARCH}/image", body="\ufffd\ufffd", content_type="text/plain")).remedy

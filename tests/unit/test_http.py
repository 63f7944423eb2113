"""HTTP events become calls, and nothing a client sends is an internal error."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.requests import FILE, FORM, JSON, SEARCH, event, form, refusal

from bucketlens.edge.http import (
    Call,
    DescribeCollection,
    GetImage,
    Health,
    ListCollections,
    MethodNotAllowed,
    Search,
    failure,
    parse_request,
)  # fmt: skip
from bucketlens.errors import (
    InvalidRequest,
    NotFound,
)  # fmt: skip
from bucketlens.filters import parse
from bucketlens.queries import ByImage, ByText, Query

EVENTS = Path(__file__).parents[2] / "events"
CALLS: dict[str, Call] = {
    "query-text": Search(Query("default", ByText("a red circle"), k=5)),
    "query-get": Search(
        Query(
            "default", ByText("a red circle"), parse({"width": {"$gte": 64}}), k=5, min_score=-1.0,
            fields=("width", "height"), strong=True,
        )
    ),
    "collections": ListCollections(),
    "collection": DescribeCollection("default"),
    "image": GetImage("default", "images/holiday photos/a+b 100%.jpg"),
    "health": Health(),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_recorded_event_is_the_call_it_stands_for(name: str) -> None:
    assert parse_request(json.loads((EVENTS / f"{name}.json").read_bytes())) == CALLS[name]


def test_recorded_image_and_filter_events_are_searches() -> None:
    image = parse_request(json.loads((EVENTS / "query-image.json").read_bytes()))
    assert isinstance(image, Search)
    assert isinstance(image.query.subject, ByImage)
    assert image.query.subject.body.startswith(b"\x89PNG")
    assert image.query.k == 3
    filtered = parse_request(json.loads((EVENTS / "query-filter.json").read_bytes()))
    assert isinstance(filtered, Search)
    assert (filtered.query.exact, filtered.query.strong, filtered.query.k) == (True, True, 20)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("images/a%2Bb%20c.jpg", "images/a+b c.jpg"), ("images/a+b.jpg", "images/a+b.jpg"), ("a%2Fb", "a/b"),
        ("images/a b.jpg", "images/a b.jpg"), ("images/100%.jpg", "images/100%.jpg"), ("é.jpg", "é.jpg"),
        ("%C3%A9.jpg", "é.jpg"), ("a//b/", "a//b/"), ("/a", "/a"), ("search/image", "search/image"),
        ("a b%41", "a b%41"),
    ],
)  # fmt: skip
def test_a_key_keeps_slashes_and_plus_signs_in_either_form_of_the_path(path: str, key: str) -> None:
    assert parse_request(event("GET", f"/collections/default/images/{path}")) == GetImage("default", key)


def test_the_greedy_path_parameter_decides_about_a_key_with_literal_escapes() -> None:
    made = event("GET", "/collections/default/images/a%41.jpg", pathParameters={"key": "a%41.jpg"})
    assert parse_request(made) == GetImage("default", "a%41.jpg")


def test_an_image_can_be_read_with_strong_consistency() -> None:
    made = event("GET", "/collections/default/images/a.jpg", query="consistency=strong")
    assert parse_request(made) == GetImage("default", "a.jpg", strong=True)
    assert "consistency" in refusal(event("GET", "/collections/default/images/a.jpg", query="consistent=1")).remedy


def test_a_stage_prefix_is_stripped() -> None:
    assert parse_request(event("GET", "/prod/health", stage="prod")) == Health()
    assert parse_request(event("GET", "/health", stage="prod")) == Health()
    assert isinstance(refusal(event("GET", "/production/health", stage="prod")), NotFound)


@pytest.mark.parametrize(
    "path",
    ["/", "", "/collection", "/health/", "/collections/a/b", "/collections/a/images", "/collections/a/images/", "x"],
)
def test_an_unknown_address_is_not_found(path: str) -> None:
    error = refusal(event("GET", path))
    assert isinstance(error, NotFound)
    assert error.code == "unknown_route"


def test_a_collection_name_is_checked_before_anything_else_happens() -> None:
    for path in ("/collections/UPPER", "/collections/UPPER/search", "/collections/UPPER/images/a"):
        assert refusal(event("GET", path, query="")).code == "bad_collection_name"
    assert refusal(event("GET", "/collections/%ff")).code == "invalid_request"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", SEARCH, "GET, POST"), ("GET", f"{SEARCH}/image", "POST"), ("POST", "/health", "GET"),
        ("PUT", "/collections", "GET"), ("POST", "/collections/a", "GET"), ("HEAD", "/collections/a/images/b", "GET"),
    ],
)  # fmt: skip
def test_another_method_is_told_which_ones_there_are(method: str, path: str, allow: str) -> None:
    error = refusal(event(method, path))
    assert isinstance(error, MethodNotAllowed)
    response: Any = failure(error, "r")
    assert response["statusCode"] == 405
    assert response["headers"]["allow"] == allow


@pytest.mark.parametrize(
    "broken",
    [
        {}, {"rawPath": "/health"}, {"rawPath": "/health", "requestContext": []}, {"rawPath": 3, "requestContext": {}},
        {"rawPath": "/health", "requestContext": {"http": {"method": 3}}}, event("GET", "/health") | {"headers": "x"},
    ],
)  # fmt: skip
def test_an_event_of_another_format_is_refused(broken: Mapping[str, object]) -> None:
    assert isinstance(refusal(broken), InvalidRequest)


NAMES = st.sampled_from(
    ["text", "image", "key", "vector", "filter", "k", "min_score", "fields", "consistency", "exact", "explain", "q"]
)
PATHS = st.sampled_from(
    [SEARCH, f"{SEARCH}/image", "/collections", "/collections/a", "/collections/a/images/b", "/health"]
)
METHODS = st.sampled_from(["GET", "POST", "PUT"])


def survives(made: Mapping[str, object]) -> None:
    try:
        call = parse_request(made)
    except (InvalidRequest, NotFound) as error:
        response: Any = failure(error, "r")
        assert 400 <= response["statusCode"] < 500
        json.loads(response["body"])
    else:
        assert isinstance(call, Search | ListCollections | DescribeCollection | GetImage | Health)


@given(
    METHODS,
    PATHS,
    st.dictionaries(NAMES | st.text(max_size=5), JSON, max_size=4).map(json.dumps) | st.text(),
    st.booleans(),
)
def test_no_body_is_an_internal_error(method: str, path: str, body: str, encoded: bool) -> None:
    survives(event(method, path, body=body, encoded=encoded))


@given(
    METHODS,
    PATHS | st.text().map("/{}".format),
    st.dictionaries(NAMES, JSON.map(json.dumps) | st.text(), max_size=4).map(
        lambda given: "&".join(f"{name}={quote(text, errors='surrogatepass')}" for name, text in given.items())
    )
    | st.text(),
)
def test_no_path_and_query_string_is_an_internal_error(method: str, path: str, query: str) -> None:
    survives(event(method, path, query=query))


@given(st.binary(max_size=100), st.text(max_size=20), st.booleans())
def test_no_upload_is_an_internal_error(body: bytes, parameters: str, multiple: bool) -> None:
    content_type = FORM + parameters if multiple else parameters
    sent = base64.b64encode(form(FILE + body, body) if multiple else body).decode()
    survives(event("POST", f"{SEARCH}/image", body=sent, content_type=content_type, encoded=True))


@given(st.dictionaries(st.sampled_from([*event("GET", "/"), "pathParameters", "queryStringParameters"]), JSON))
def test_no_event_is_an_internal_error(changed: dict[str, object]) -> None:
    survives(event("POST", SEARCH, body='{"text": "a"}') | changed)

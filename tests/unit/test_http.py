"""HTTP events become calls, errors become status codes, and nothing a client sends is an internal error."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucketlens.edge.http import (
    Call,
    DescribeCollection,
    GetImage,
    Health,
    ListCollections,
    MethodNotAllowed,
    Search,
    answer,
    failure,
    parse_request,
)  # fmt: skip
from bucketlens.edge.report import log_line
from bucketlens.errors import (
    BucketlensError,
    Conflict,
    Corrupt,
    Exists,
    InvalidRequest,
    Misconfigured,
    NotFound,
    Rejected,
    Retryable,
    UnreadableObject,
)  # fmt: skip
from bucketlens.filters import parse
from bucketlens.queries import ByImage, ByKey, ByText, ByVector, Query

EVENTS = Path(__file__).parents[2] / "events"
SEARCH = "/collections/default/search"


def event(
    method: str,
    path: str,
    *,
    query: str = "",
    body: object = None,
    content_type: str = "",
    encoded: bool = False,
    **extra: Any,
) -> dict[str, Any]:
    context = {"http": {"method": method, "path": path}, "stage": extra.pop("stage", "$default")}
    headers = {"Content-Type": content_type} if content_type else {}
    return {
        "rawPath": path, "rawQueryString": query, "headers": headers, "requestContext": context, "body": body,
        "isBase64Encoded": encoded, **extra,
    }  # fmt: skip


def asked(body: Mapping[str, object]) -> Query:
    call = parse_request(event("POST", SEARCH, body=json.dumps(body)))
    assert isinstance(call, Search)
    return call.query


def asked_by_get(query: str) -> Query:
    call = parse_request(event("GET", SEARCH, query=query))
    assert isinstance(call, Search)
    return call.query


def uploaded(body: bytes, content_type: str = "image/jpeg", query: str = "") -> Query:
    text = base64.b64encode(body).decode()
    path = f"{SEARCH}/image"
    call = parse_request(event("POST", path, query=query, body=text, content_type=content_type, encoded=True))
    assert isinstance(call, Search)
    return call.query


def refusal(event: Mapping[str, object]) -> BucketlensError:
    with pytest.raises(BucketlensError) as refused:
        parse_request(event)
    assert refused.value.remedy
    return refused.value


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


def form(*parts: bytes) -> bytes:
    return b"".join(b"--xyz\r\n" + part + b"\r\n" for part in parts) + b"--xyz--\r\n"


FILE = b'Content-Disposition: form-data; name="f"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
FORM = "multipart/form-data; boundary=xyz"


@given(st.binary(min_size=1, max_size=200) | st.binary(min_size=1).map(lambda some: (some + b"\r\n\r\n--xy") * 200))
@settings(max_examples=50)
def test_the_file_of_a_form_arrives_byte_for_byte(image: bytes) -> None:
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


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidRequest("m"), 400, "invalid_request"), (InvalidRequest("m", code="too_large"), 413, "too_large"),
        (Rejected("m"), 400, "rejected"), (UnreadableObject("m"), 422, "unreadable_object"),
        (NotFound("m", code="unknown_collection"), 404, "unknown_collection"), (Conflict("m"), 409, "conflict"),
        (Exists("m"), 409, "exists"), (Retryable("m"), 503, "try_again"), (Corrupt("m"), 500, "corrupt"),
        (Misconfigured("m"), 500, "misconfigured"), (BucketlensError("m"), 500, "internal"),
        (KeyError("secret"), 500, "internal"), (RecursionError(), 500, "internal"),
    ],
)  # fmt: skip
def test_every_error_has_its_status_code(error: BaseException, status: int, code: str) -> None:
    response: Any = failure(error, "request-1")
    told = json.loads(response["body"])["error"]
    assert response["statusCode"] == status
    assert told["code"] == code
    assert told["request_id"] == "request-1"
    assert set(told) == {"code", "message", "value", "remedy", "request_id"}
    assert ("retry-after" in response["headers"]) is (status == 503)


def test_what_the_caller_cannot_change_is_told_without_internals() -> None:
    for error in (
        Corrupt("secret", value="secret", remedy="secret"),
        Retryable("secret", value="secret"),
        OSError("secret"),
    ):
        assert "secret" not in str(failure(error, "r"))


def test_a_refusal_names_the_offending_value_and_the_remedy() -> None:
    response: Any = failure(InvalidRequest("No.", value="\ud800x", remedy="Do."), "r")
    assert json.loads(response["body"])["error"] | {"request_id": ""} == {
        "code": "invalid_request", "message": "No.", "value": "?x", "remedy": "Do.", "request_id": "",
    }  # fmt: skip
    response["body"].encode()


def test_a_request_over_six_megabytes_is_too_large() -> None:
    error = refusal(event("POST", SEARCH, body="x" * (6 * 1024 * 1024 + 1)))
    assert failure(error, "r")["statusCode"] == 413


@dataclass
class Shown:
    when: datetime
    score: np.float32


def test_an_answer_is_json_that_every_client_can_read() -> None:
    body = {
        "nan": float("nan"), "inf": [-np.inf], "tuple": (1, True), "names": {"b", "a"}, "é": np.arange(2),
        "hit": Shown(datetime(2024, 5, 1, tzinfo=UTC), np.float32(0.5)), "kind": np.int64(3),
    }  # fmt: skip
    response: Any = answer(200, body)
    assert response["headers"]["cache-control"] == "no-store"
    assert response["isBase64Encoded"] is False
    assert json.loads(response["body"]) == {
        "nan": None, "inf": [None], "tuple": [1, True], "names": ["a", "b"], "é": [0, 1],
        "hit": {"when": "2024-05-01T00:00:00+00:00", "score": 0.5}, "kind": 3,
    }  # fmt: skip
    with pytest.raises(TypeError):
        answer(200, {"x": object()})


def test_an_answer_too_large_for_lambda_is_the_callers_to_shrink() -> None:
    with pytest.raises(InvalidRequest) as refused:
        answer(200, {"x": "é" * 3_200_000})
    assert refused.value.code == "answer_too_large"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
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


def test_a_log_line_is_one_line_of_json_without_secrets() -> None:
    line = log_line(
        event="query", ms=1.5, nan=float("nan"), text="a\nb", headers={"Authorization": "Bearer x", "Host": "h"},
        body="image bytes", image=b"12345", link="https://b/k?X-Amz-Signature=abc&x=1", none=None,
        error=NotFound("No.", value="v"), other=OSError("broken"), many=list(range(100)), long="x" * 600,
    )  # fmt: skip
    assert "\n" not in line
    found = json.loads(line)
    assert list(found)[:2] == ["event", "ms"]
    assert found["headers"] == {"Authorization": "(redacted)", "Host": "h"}
    assert found["body"] == "(redacted)"
    assert found["image"] == "(5 bytes)"
    assert found["link"] == "https://b/k?X-Amz-Signature=(redacted)&x=1"
    assert found["error"] == {"type": "NotFound", "code": "not_found", "message": "No.", "value": "v"}
    assert found["other"] == {"type": "OSError", "message": "broken"}
    assert found["many"][-1] == "(50 more)"
    assert len(found["long"]) < 600
    assert "none" not in found


class Unshowable:
    def __str__(self) -> str:
        raise ValueError("no")


@given(st.dictionaries(st.text(), JSON | st.binary() | st.sets(st.text()) | st.builds(Unshowable) | st.builds(object)))
def test_no_fact_breaks_the_log_line(facts: dict[str, object]) -> None:
    json.loads(log_line(**facts, huge=10**5000, surrogate="\ud800", cyclic=cyclic()))


def cyclic() -> list[object]:
    found: list[object] = []
    found.append(found)
    return found

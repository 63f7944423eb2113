"""The query function as Lambda calls it, and how every handler is built."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.bundle import make_bundle
from tests.support.functions import CAR, EVENTS, JSON, SEA, Functions, event
from tests.support.world import BLUE, CORRUPT, RED, World, plain, tiny_encoder

from bucketlens.errors import Misconfigured
from bucketlens.handlers import compact, ingest, query
from bucketlens.pipelines.query import QueryTools
from bucketlens.settings import Settings


@pytest.mark.parametrize("name", sorted(path.stem for path in EVENTS.glob("*.json") if "rawPath" in path.read_text()))
def test_every_recorded_request_is_answered(filled: Functions, name: str) -> None:
    answer = filled.query(event(name), None)
    assert answer["statusCode"] == (404 if name == "image" else 200), answer["body"]
    assert "application/json" in str(answer["headers"])


def test_health_and_the_list_of_collections_are_answered_without_an_index(functions: Functions) -> None:
    assert functions.ask("GET", "/health")[0] == 200
    assert functions.ask("GET", "/collections") == (
        200,
        {"collections": [{"name": "default", "prefixes": ["images/"]}]},
    )
    status, empty = functions.ask("GET", "/collections/default")
    assert (status, empty["rows"], empty["shards"], empty["model"]["id"]) == (200, 0, 0, "tiny-0")
    assert functions.search({"text": "red"})[1]["hits"] == []


def test_a_collection_tells_what_it_holds(filled: Functions) -> None:
    _, found = filled.ask("GET", "/collections/default")
    assert (found["rows"], found["shards"], found["log_segments"], found["rejected_count"]) == (2, 1, 1, 1)
    assert found["rejected"][0]["key"] == "images/bad.jpg"
    assert found["rejected"][0]["code"] == "corrupt_image"
    assert found["shard_rows"] == [{"id": found["shard_rows"][0]["id"], "rows": 1, "deleted": 0}]


def test_a_search_by_text_image_key_and_vector_finds_the_same_picture(filled: Functions) -> None:
    vector = filled.world.encoder.text("red").tolist()
    encoded = base64.b64encode(plain(RED)).decode()
    for body in ({"text": "red"}, {"image": encoded}, {"key": CAR}, {"vector": vector}):
        status, found = filled.search({**body, "k": 1, "consistency": "strong"})
        assert (status, found["hits"][0]["key"]) == (200, CAR)
        assert found["search"]["mode"] == "exact"
        assert found["search"]["rows_matched"] == 2
    status, found = filled.ask("POST", "/collections/default/search/image", plain(BLUE), k="1")
    assert (status, found["hits"][0]["key"]) == (200, SEA)
    status, found = filled.ask("GET", "/collections/default/search", q="blue", k="1", fields="name")
    assert (status, found["hits"][0]["metadata"]) == (200, {"name": "海+1.png"})


def test_an_image_is_described_and_a_rejected_one_says_why(filled: Functions) -> None:
    status, image = filled.ask("GET", f"/collections/default/images/{SEA}")
    assert (status, image["key"], image["status"], image["metadata"]["folder"]) == (200, SEA, "indexed", "images/sea")
    status, image = filled.ask("GET", "/collections/default/images/images/bad.jpg")
    assert (status, image["status"], image["rejection"]["code"]) == (200, "rejected", "corrupt_image")
    status, found = filled.search({"key": "images/bad.jpg"})
    assert (status, found["error"]["code"]) == (404, "image_not_found")
    assert "corrupt_image" in found["error"]["remedy"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/collections/Bad Name!", None, 400, "bad_collection_name"),
        ("GET", "/collections/unknown", None, 404, "collection_not_found"),
        ("POST", "/collections/unknown/search", {"text": "red"}, 404, "collection_not_found"),
        ("GET", "/nothing/here", None, 404, "unknown_route"),
        ("DELETE", "/collections/default", None, 405, "method_not_allowed"),
        ("GET", "/collections/default/images/images/none.jpg", None, 404, "image_not_found"),
        ("POST", "/collections/default/search", {"key": "images/none.jpg"}, 404, "image_not_found"),
        ("POST", "/collections/default/search", {"text": "red", "filter": {"a": {"$what": 1}}}, 400, None),
        ("POST", "/collections/default/search", {"text": "red", "k": 0}, 400, "invalid_request"),
        ("POST", "/collections/default/search", {"text": "red", "k": 1001}, 400, "invalid_request"),
        ("POST", "/collections/default/search", {"text": "red", "k": "many"}, 400, "invalid_request"),
        ("POST", "/collections/default/search", {"vector": [1, 2, 3]}, 400, "bad_vector"),
        ("POST", "/collections/default/search", {"vector": [0, 0]}, 400, "invalid_request"),
        ("POST", "/collections/default/search", {"image": "bm90IGFuIGltYWdl"}, 422, "not_an_image"),
        ("POST", "/collections/default/search/image", CORRUPT, 422, "corrupt_image"),
        ("POST", "/collections/default/search", {}, 400, "invalid_request"),
        ("POST", "/collections/default/search", {"text": "red", "key": CAR}, 400, "invalid_request"),
        ("POST", "/collections/default/search", {"text": "   "}, 400, "invalid_request"),
        ("POST", "/collections/default/search", "{", 400, "bad_json"),
        ("GET", "/collections/default/search", None, 400, "invalid_request"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_a_code_and_a_remedy(
    filled: Functions, method: str, path: str, body: object, status: int, code: str | None
) -> None:
    found, told = filled.ask(method, path, body)
    assert found == status
    assert code in (told["error"]["code"], None)
    assert told["error"]["remedy"]


def test_another_model_in_the_query_function_is_an_operator_s_error_without_details(
    world_of: Callable[[], World], tmp_path: Path
) -> None:
    functions = Functions(world_of())
    functions.put(CAR, plain(RED))
    functions.index(CAR)
    other = tiny_encoder(make_bundle(tmp_path / "other", seed=9))
    tools = QueryTools(functions.world.views(), functions.world.images, lambda: other, functions.world.settings)
    functions.query = query.handler(tools, functions._log)
    status, told = functions.search({"text": "red"})
    assert (status, told["error"]["code"]) == (500, "model_mismatch")
    assert functions.search({"key": CAR})[0] == 200, "stored vectors need no model"
    assert "tiny-0" in functions.lines[1]["error"]


PATHS = ["/collections/default/search", "/collections/default/search/image", "/collections/default/images/a", "/health"]
WORDS = [
    "text",
    "image",
    "key",
    "vector",
    "filter",
    "k",
    "min_score",
    "fields",
    "consistency",
    "exact",
    "explain",
    "$and",
    "q",
]
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "rawPath": st.sampled_from(PATHS) | st.text(max_size=30) | JSON,
        "rawQueryString": st.text(max_size=40) | JSON,
        "queryStringParameters": st.dictionaries(st.sampled_from(WORDS), st.text(max_size=10), max_size=3) | JSON,
        "headers": st.dictionaries(st.text(max_size=10), JSON, max_size=2) | JSON,
        "pathParameters": JSON,
        "requestContext": st.fixed_dictionaries(
            {"http": st.fixed_dictionaries({"method": st.sampled_from(["GET", "POST", "PUT"])})}
        )
        | JSON,
        "body": st.dictionaries(st.sampled_from(WORDS), JSON, max_size=4).map(json.dumps) | JSON,
        "isBase64Encoded": st.booleans() | JSON,
    },
)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(junk=REQUESTS | JSON)
def test_whatever_a_client_sends_the_answer_is_json_and_never_a_server_error(filled: Functions, junk: Any) -> None:
    answer = filled.query(junk, None)
    assert 200 <= int(str(answer["statusCode"])) < 500, answer["body"]
    json.loads(str(answer["body"]))


@pytest.mark.parametrize("build", [ingest.build, query.build, compact.build])
def test_a_handler_is_not_built_from_bad_settings_and_all_of_them_are_named(build: Callable[..., object]) -> None:
    with pytest.raises(Misconfigured) as caught:
        build({"THREADS": "x", "CACHE_BYTES": "-1"})
    assert all(name in str(caught.value) for name in ("BUCKET", "THREADS", "CACHE_BYTES"))


def test_building_a_handler_needs_neither_network_nor_model() -> None:
    environ = {"BUCKET": "b", "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "MODEL_URI": "/nowhere"}
    assert query.build(environ)
    assert compact.build(environ)
    assert Settings("b").collection_names() == ("default",)


def test_an_error_carries_an_id_that_the_log_carries_too(filled: Functions) -> None:
    asked = {"rawPath": "/nowhere", "requestContext": {"http": {"method": "GET"}, "requestId": "gateway-7"}}
    answer = json.loads(str(filled.query(asked, None)["body"]))
    assert answer["error"]["request_id"] == filled.lines[-1]["request_id"] == "gateway-7"

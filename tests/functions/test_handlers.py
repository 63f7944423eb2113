"""The handlers as Lambda calls them: events in, answers out, over a bucket in memory and the real model code."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.bundle import make_bundle
from tests.support.faults import FaultStore
from tests.support.world import BLUE, CORRUPT, RED, SETTINGS, World, plain, tiny_encoder

from bucketlens.errors import Misconfigured, Rejected, Retryable
from bucketlens.handlers import compact, ingest, query
from bucketlens.pipelines.compact import Compact
from bucketlens.pipelines.query import QueryTools
from bucketlens.settings import Settings
from bucketlens.table.policy import Limits

EVENTS = Path(__file__).parents[2] / "events"
BUCKET = "bucketlens-local"
CAR, SEA = "images/red car (1).jpg", "images/sea/海+1.png"


def event(name: str) -> Any:
    """A recorded event."""
    return json.loads((EVENTS / f"{name}.json").read_text())


class Functions:
    """The three handlers over one world, and their log lines."""

    def __init__(self, world: World, **settings: Any) -> None:
        self.world = replace(world, settings=replace(SETTINGS, bucket=BUCKET, **settings))
        self.lines: list[dict[str, Any]] = []
        world = self.world
        tools = QueryTools(world.views(), world.images, lambda: world.encoder, world.settings)
        self.query = query.handler(tools, self._log)
        self.ingest = ingest.handler(world.tools(), self._log)
        self.compact = compact.handler(Compact(world.store, world.views(), world.settings, threads=1), self._log)

    def put(self, key: str, body: bytes) -> None:
        self.world.put(key, body)

    def index(self, *keys: str) -> None:
        """Have these keys looked at, by events without a sequencer."""
        records = []
        for key in keys:
            record = copy.deepcopy(event("eventbridge-created"))
            record["detail"]["object"] = {"key": key}
            records.append(message(key, record))
        assert self.ingest({"Records": records}, None) == {"batchItemFailures": []}

    def ask(self, method: str, path: str, body: object = None, **parameters: str) -> tuple[int, Any]:
        """Status and JSON of a request."""
        asked: dict[str, object] = {
            "rawPath": path,
            "queryStringParameters": parameters,
            "requestContext": {"http": {"method": method}, "stage": "$default"},
        }
        if isinstance(body, bytes):
            asked |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
            asked["headers"] = {"content-type": "image/png"}
        elif body is not None:
            asked |= {"body": body if isinstance(body, str) else json.dumps(body)}
        answer = self.query(asked, None)
        return int(str(answer["statusCode"])), json.loads(str(answer["body"]))

    def search(self, body: object) -> tuple[int, Any]:
        return self.ask("POST", "/collections/default/search", body)

    def _log(self, line: str) -> None:
        self.lines.append(json.loads(line))


@pytest.fixture(scope="module")
def world_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], World]:
    encoder = tiny_encoder(make_bundle(tmp_path_factory.mktemp("model")))
    return lambda: World(tmp_path_factory.mktemp("world"), encoder)


@pytest.fixture
def functions(world_of: Callable[[], World]) -> Functions:
    return Functions(world_of())


@pytest.fixture(scope="module")
def filled(world_of: Callable[[], World]) -> Functions:
    """A red car, a blue sea and a file that is no image; the car is compacted, the rest logged."""
    functions = Functions(world_of())
    functions.put(CAR, plain(RED))
    functions.index(CAR)
    functions.compact({}, None)
    functions.put(SEA, plain(BLUE))
    functions.put("images/bad.jpg", CORRUPT)
    functions.index(SEA, "images/bad.jpg")
    return functions


def message(id: str, body: object) -> dict[str, object]:
    return {"messageId": id, "eventSource": "aws:sqs", "body": body if isinstance(body, str) else json.dumps(body)}


@pytest.mark.parametrize("name", ["s3-put", "eventbridge-created", "sqs-batch"])
def test_an_upload_is_indexed_whatever_way_its_event_comes(functions: Functions, name: str) -> None:
    functions.put(CAR, plain(RED))
    assert functions.ingest(event(name), None) == {"batchItemFailures": []}
    assert functions.world.found() == [CAR]
    (line,) = functions.lines
    assert (line["function"], line["images"], line["failed"]) == ("ingest", 1, {})


@pytest.mark.parametrize("name", ["s3-delete", "eventbridge-deleted"])
def test_a_deletion_is_indexed_whatever_way_its_event_comes(functions: Functions, name: str) -> None:
    functions.put(CAR, plain(RED))
    functions.ingest(event("s3-put"), None)
    functions.world.remove(CAR)
    functions.ingest(event(name), None)
    assert functions.world.found() == []


def test_a_deletion_whose_object_is_there_again_is_an_upload(functions: Functions) -> None:
    functions.put(CAR, plain(RED))
    functions.ingest(event("s3-delete"), None)
    assert functions.world.found() == [CAR]


def test_an_event_that_asks_for_nothing_is_ignored(functions: Functions) -> None:
    assert functions.ingest(event("s3-test-event"), None) == {"batchItemFailures": []}
    assert functions.lines[0]["ignored"] == 1


def test_only_the_messages_that_failed_are_named(functions: Functions) -> None:
    class Broken:
        def fetch(self, key: str, **options: object) -> object:
            if key == SEA:
                raise Retryable("Slow down.")
            return images.fetch(key, **options)  # type: ignore[arg-type]

        def etag(self, key: str) -> str | None:
            return images.etag(key)

    images = functions.world.images
    functions.put(CAR, plain(RED))
    functions.put(SEA, plain(BLUE))
    handler = ingest.handler(functions.world.tools(images=Broken()), functions._log)  # type: ignore[arg-type]
    batch = event("sqs-batch")
    sea = batch["Records"][1]["messageId"]
    batch["Records"].append(message("nonsense", "{"))
    answer = handler(batch, None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "nonsense"}, {"itemIdentifier": sea}]}
    assert functions.world.found() == [CAR]
    assert "Slow down." in functions.lines[0]["failed"][SEA]


@pytest.mark.parametrize("name", ["s3-put", "eventbridge-created"])
def test_without_a_queue_a_failure_is_raised_so_that_lambda_delivers_again(functions: Functions, name: str) -> None:
    functions.put(CAR, plain(RED))
    store = FaultStore(functions.world.store, lose_reply_at=1)
    handler = ingest.handler(functions.world.tools(store), functions._log)
    with pytest.raises(Retryable, match="1 objects could not be indexed"):
        handler(event(name), None)
    assert handler(event(name), None) == {"batchItemFailures": []}
    assert len(list(functions.world.store.list(""))) == 1


@pytest.mark.parametrize("junk", [None, [], {}, {"Records": []}, {"Records": [{"eventSource": "aws:sns"}]}, "text"])
def test_an_event_of_no_known_kind_is_refused_by_name_or_has_nothing_in_it(functions: Functions, junk: object) -> None:
    if junk == {"Records": []}:
        assert functions.ingest(junk, None) == {"batchItemFailures": []}
    else:
        with pytest.raises(Rejected, match="no event the ingest function knows"):
            functions.ingest(junk, None)


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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
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


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(junk=JSON, body=JSON, id=st.text(max_size=5))
def test_whatever_a_queue_delivers_is_taken_or_named_as_failed(
    filled: Functions, junk: Any, body: Any, id: str
) -> None:
    answer = filled.ingest({"Records": [message(id, body), message("m2", json.dumps(junk))]}, None)
    named = [one["itemIdentifier"] for one in answer["batchItemFailures"]]  # type: ignore[attr-defined]
    assert set(named) <= {id, "m2"}


def test_compaction_reports_every_collection_and_one_can_be_chosen(world_of: Callable[[], World]) -> None:
    functions = Functions(world_of(), collections=(("images/", "default"), ("shop/", "shop")))
    functions.put(CAR, plain(RED))
    functions.put("shop/a.png", plain(BLUE))
    functions.index(CAR, "shop/a.png")
    one = functions.compact({"collection": "shop"}, None)["collections"]
    assert [(report["collection"], report["rows_written"]) for report in one] == [("shop", 1)]  # type: ignore[attr-defined]
    both = functions.compact({"source": "aws.scheduler"}, None)["collections"]
    assert [(report["collection"], report["rows_written"]) for report in both] == [("default", 1), ("shop", 0)]  # type: ignore[attr-defined]
    assert [line["function"] for line in functions.lines[1:]] == ["compact"] * 3


def test_compaction_begins_no_step_that_the_time_limit_would_end(world_of: Callable[[], World]) -> None:
    class Context:
        aws_request_id = "r"
        left_s = 200.0

        def get_remaining_time_in_millis(self) -> int:
            return int(self.left_s * 1000)

    world = world_of()
    functions = Functions(world)
    for number in range(3):
        functions.put(f"images/{number}.png", plain(RED))
        functions.index(f"images/{number}.png")
    tools = Compact(world.store, world.views(), world.settings, threads=1, limits=Limits(segments=1))
    handle, context = compact.handler(tools, lambda line: None), Context()
    (first,) = handle({}, context)["collections"]  # type: ignore[misc]
    context.left_s = 600.0
    (second,) = handle({}, context)["collections"]  # type: ignore[misc]
    assert (first["consolidated"], first["absorbed"], first["steps"]) == (3, 0, 1)
    assert (second["consolidated"], second["absorbed"], second["steps"]) == (0, 3, 1)


def test_a_collection_that_cannot_be_compacted_does_not_stop_the_others(
    world_of: Callable[[], World], tmp_path: Path
) -> None:
    functions = Functions(world_of(), collections=(("images/", "default"), ("shop/", "shop")))
    functions.world.store.create("index/default/manifest.json", b"{}")
    functions.put("shop/a.png", plain(BLUE))
    functions.index("shop/a.png")
    with pytest.raises(Exception, match="manifest cannot be read"):
        functions.compact({}, None)
    assert [(line["collection"], line.get("code")) for line in functions.lines[1:]] == [
        ("default", "bad_manifest"),
        ("shop", None),
    ]
    assert functions.ask("GET", "/collections/shop")[1]["shards"] == 1


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

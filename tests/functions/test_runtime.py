"""The functions as Lambda starts them: the real adapters, under the runtime interface emulator, against a local S3."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image  # noqa: TID251
from tests.functions.rie import ROOT, Emulator, NoEmulatorError, find_binary
from tests.support.bundle import make_bundle

from bucketlens.local.s3server import S3Server
from bucketlens.store.s3 import connect

pytest.importorskip("awslambdaric", reason="awslambdaric is not installed: pip install -e '.[test]'")

BUCKET = "bucketlens-local"
KEY = "images/red car (1).jpg"


@pytest.fixture(scope="module", autouse=True)
def _binary() -> None:
    try:
        find_binary()
    except NoEmulatorError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server([BUCKET]) as running:
        yield running


@pytest.fixture(scope="module")
def environ(server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("runtime")
    return {
        "BUCKET": BUCKET,
        "COLLECTIONS": "images/=default",
        "MODEL_URI": str(make_bundle(folder / "model")),
        "CACHE_DIR": str(folder / "cache"),
        "AWS_ENDPOINT_URL": server.url,
    }


@pytest.fixture(scope="module")
def ingest(environ: dict[str, str]) -> Iterator[Emulator]:
    with Emulator("ingest", environ) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def query(environ: dict[str, str]) -> Iterator[Emulator]:
    with Emulator("query", environ) as emulator:
        yield emulator


@pytest.fixture
def silent() -> Iterator[str]:
    """An endpoint that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_an_image_named_by_an_s3_event_is_found_by_the_next_query(
    server: S3Server, ingest: Emulator, query: Emulator
) -> None:
    put(server, KEY, picture("red"))
    put(server, "images/sea/海+1.png", picture("blue"))

    answer = ingest.invoke(event("sqs-batch"))
    found = asked(query, text="red", k=1)

    assert answer == {"batchItemFailures": []}
    assert [hit["key"] for hit in found["hits"]] == [KEY]


def test_a_second_event_finds_the_environment_initialised(ingest: Emulator) -> None:
    ingest.invoke(event("s3-test-event"))
    before = ingest.inits

    answer = ingest.invoke(event("s3-test-event"))

    assert "errorMessage" not in answer
    assert ingest.inits == before == 1
    assert len(ingest.init_reports(1)) == 1


def test_an_event_of_a_kind_nobody_knows_is_an_error_with_a_name_and_the_next_one_works(ingest: Emulator) -> None:
    answer = ingest.invoke({"hello": "world"})
    after = ingest.invoke(event("s3-test-event"))

    assert answer["errorType"] in ("InvalidRequest", "Rejected")
    assert "hello" in answer["errorMessage"]
    assert "errorMessage" not in after


def test_a_request_nobody_understands_gets_json_with_a_code_instead_of_a_crash(query: Emulator) -> None:
    answer = query.invoke({"hello": "world"})

    assert 400 <= answer["statusCode"] < 500
    assert json.loads(answer["body"])["error"]["code"]


def test_each_recorded_request_gets_an_answer_that_is_not_a_server_error(query: Emulator) -> None:
    names = sorted(path.stem for path in (ROOT / "events").glob("*.json") if "rawPath" in path.read_text())

    statuses = {name: query.invoke(event(name))["statusCode"] for name in names}

    assert statuses
    assert {name: status for name, status in statuses.items() if status >= 500} == {}


def test_compaction_answers_its_schedule(environ: dict[str, str]) -> None:
    with Emulator("compact", environ, timeout_s=60) as compact:
        answer = compact.invoke({"collection": "default"})

    assert [report["collection"] for report in answer["collections"]] == ["default"]


def test_a_missing_setting_is_named_in_the_error() -> None:
    with Emulator("query", {"BUCKET": ""}) as query:
        answer = query.invoke(event("health"))

    assert "BUCKET is not set" in json.dumps(answer)


def test_a_function_that_runs_out_of_time_is_cut_off_and_the_next_event_finds_a_fresh_one(
    environ: dict[str, str], silent: str
) -> None:
    with Emulator("query", {**environ, "AWS_ENDPOINT_URL": silent}, timeout_s=8) as query:
        late = query.invoke(event("collection"))
        before = query.inits
        after = next(
            filter(is_response, (query.invoke(event("health")) for _ in range(5)))
        )  # slow machines time out again

        assert late == "Task timed out after 8.00 seconds"
        assert after["statusCode"] == 200
        assert query.inits > before


def is_response(answer: object) -> bool:
    return isinstance(answer, dict) and "statusCode" in answer


def event(name: str) -> Any:
    return json.loads((ROOT / "events" / f"{name}.json").read_text())


def asked(query: Emulator, **body: object) -> Any:
    """The answer to a search, its body parsed."""
    request = event("query-text")
    request["body"] = json.dumps({**body, "consistency": "strong"})
    answer = query.invoke(request)
    assert answer["statusCode"] == 200, answer
    return json.loads(answer["body"])


def put(server: S3Server, key: str, body: bytes) -> None:
    connect(server.url, credentials=server.credentials).put_object(
        Bucket=BUCKET, Key=key, Body=body, ContentType="image/png"
    )


def picture(colour: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(stream, "PNG")
    return stream.getvalue()

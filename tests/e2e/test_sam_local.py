"""The built functions and layers in Lambda's container, through `sam local`, against a local S3."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
from tests.e2e.samlocal import PATIENCE, invoke, require_engine, start_api, variables
from tests.support.pictures import drawing, encoded
from tests.template.build import built
from tests.template.template import ROOT

from bucketlens.local.s3server import S3Server
from bucketlens.store.s3 import S3Store, connect

EVENTS = ROOT / "events"
BUCKET = "bucketlens-local"
KEY = "images/red car (1).jpg"
OTHER = "images/sea/海+1.png"
PICTURE = encoded(drawing((320, 240), seed=1), "JPEG", quality=95)

pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("containers")]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    """The bucket, holding the two pictures that the recorded events name."""
    built()
    require_engine()
    with S3Server([BUCKET], host="0.0.0.0") as running:  # noqa: S104  (containers reach it through the bridge)
        client = connect(running.url, credentials=running.credentials)
        client.put_object(Bucket=BUCKET, Key=KEY, Body=PICTURE, ContentType="image/jpeg")
        client.put_object(Bucket=BUCKET, Key=OTHER, Body=encoded(drawing((64, 64), seed=2)), ContentType="image/png")
        yield running


@pytest.fixture(scope="module")
def environment(server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sam")
    return variables(folder, BUCKET=BUCKET, AWS_ENDPOINT_URL=f"http://s3host:{server.port}")


@pytest.fixture(scope="module")
def ingested(environment: Path) -> Any:
    return invoke("IngestFunction", EVENTS / "sqs-batch.json", environment)


@pytest.fixture(scope="module")
def api(environment: Path, ingested: Any) -> Iterator[tuple[str, list[str]]]:
    with start_api(environment) as running:
        yield running


def test_ingest_in_its_container_writes_a_log_segment(server: S3Server, ingested: Any) -> None:
    store = S3Store(BUCKET, connect(server.url, credentials=server.credentials))

    assert ingested == {"batchItemFailures": []}
    assert len(list(store.list("index/default/log/"))) == 1


def test_query_in_its_container_finds_what_was_ingested(environment: Path, ingested: Any) -> None:
    answer = invoke("QueryFunction", EVENTS / "query-text.json", environment)

    assert answer["statusCode"] == 200, answer
    assert {hit["key"] for hit in json.loads(answer["body"])["hits"]} == {KEY, OTHER}


def test_compact_in_its_container_folds_the_log_into_a_shard_that_answers_the_same(
    environment: Path, api: tuple[str, list[str]], tmp_path: Path
) -> None:
    scheduled = tmp_path / "schedule.json"
    scheduled.write_text(json.dumps({"collection": "default"}))
    before = search_by_image(api[0], PICTURE, "image/jpeg")

    answer = invoke("CompactFunction", scheduled, environment)
    after = search_by_image(api[0], PICTURE, "image/jpeg")

    assert [report["collection"] for report in answer["collections"]] == ["default"]
    assert [hit["key"] for hit in after["hits"]] == [hit["key"] for hit in before["hits"]]


@pytest.mark.parametrize("content_type", ["image/jpeg", "application/octet-stream"])
def test_the_bytes_of_a_picture_get_through_the_api_unchanged(api: tuple[str, list[str]], content_type: str) -> None:
    found = search_by_image(api[0], PICTURE, content_type)

    assert found["hits"][0]["key"] == KEY
    assert found["hits"][0]["score"] == pytest.approx(1, abs=2e-3)


def test_a_key_with_blanks_and_brackets_is_looked_up_through_the_api(api: tuple[str, list[str]]) -> None:
    found = fetch(Request(f"{api[0]}/collections/default/images/{quote(KEY)}"))

    assert (found["key"], found["status"]) == (KEY, "indexed")


def test_a_search_by_url_is_answered(api: tuple[str, list[str]]) -> None:
    found = fetch(Request(f"{api[0]}/collections/default/search?q=red&k=1"))

    assert len(found["hits"]) == 1


def test_a_bad_request_is_told_what_is_wrong(api: tuple[str, list[str]]) -> None:
    request = Request(f"{api[0]}/collections/default/search", b"{}", {"Content-Type": "application/json"})

    with pytest.raises(HTTPError) as caught:
        fetch(request)

    assert caught.value.code == 400
    assert json.loads(caught.value.read())["error"]["code"]


def test_sam_local_says_that_it_does_not_check_the_signatures_the_deployed_api_asks_for(
    api: tuple[str, list[str]],
) -> None:
    said = "".join(api[1])

    assert "Authorizer 'AWS_IAM' for route '/collections/{collection}/search'" in said


def search_by_image(url: str, body: bytes, content_type: str) -> Any:
    return fetch(Request(f"{url}/collections/default/search/image", body, {"Content-Type": content_type}))


def fetch(request: Request) -> Any:
    with urlopen(request, timeout=PATIENCE) as response:
        return json.loads(response.read())

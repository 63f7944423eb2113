"""Our presigned URLs against botocore's, byte for byte."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from boto3.session import Session  # noqa: TID251
from botocore.credentials import RefreshableCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from bucketlens.store.presign import Presigner
from bucketlens.store.s3 import connect

KEYS = ["images/a.jpg", "images/a b/ü+~%41.jpg", "/images//x", "images/../x", "images/(x)'!*&=?#.jpg", "😀"]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret/+")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token/+==~ ")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")


def agree(client: Any, bucket: str, ours: Presigner, key: str, seconds: int) -> None:
    theirs = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds)
    stamp = parse_qs(urlsplit(theirs).query)["X-Amz-Date"][0]
    at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert ours.url(key, seconds=seconds, at=at) == theirs


@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:9000", "https://store.example/base"])
@pytest.mark.parametrize("bucket", ["my-bucket", "my.bucket.dots"])
def test_urls_are_those_of_botocore_whatever_the_address(endpoint: str | None, bucket: str) -> None:
    client = connect(endpoint)
    ours = Presigner(bucket, client)
    for key in KEYS:
        agree(client, bucket, ours, key, 900)


def test_without_a_session_token_none_is_named() -> None:
    client = connect("http://127.0.0.1:9000", credentials=("id", "secret"))
    agree(client, "bucket", Presigner("bucket", client), "images/a.jpg", 60)


def test_every_key_is_encoded_as_botocore_encodes_it() -> None:
    client = connect("http://127.0.0.1:9000", credentials=("id", "secret"))
    ours = Presigner("bucket", client)

    @settings(max_examples=60, deadline=None)
    @given(key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40), seconds=st.integers(1, 9999))
    def each(key: str, seconds: int) -> None:
        agree(client, "bucket", ours, key, seconds)

    each()


def test_renewed_credentials_are_used_as_soon_as_they_are_there() -> None:
    session = Session(region_name="eu-central-1")
    renewed: list[str] = []

    def renew() -> dict[str, str]:
        renewed.append("x")
        # Expired as soon as it is made: botocore renews it whenever it is asked for.
        expiry = "2020-01-01T00:00:00Z" if len(renewed) < 3 else "2999-01-01T00:00:00Z"
        return {"access_key": f"id{len(renewed)}", "secret_key": "s", "token": "t", "expiry_time": expiry}

    known = RefreshableCredentials("id0", "s", "t", datetime(2999, 1, 1, tzinfo=UTC), renew, "test")
    session._session._credentials = known  # type: ignore[attr-defined]
    client = session.client("s3")
    ours = Presigner("bucket", client)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert "Credential=id0%2F" in ours.url("a", seconds=60, at=at)
    known._expiry_time = datetime(2020, 1, 1, tzinfo=UTC)  # type: ignore[attr-defined]
    renewed.extend("xx")
    assert "Credential=id3%2F" in ours.url("a", seconds=60, at=at)


def test_a_form_of_signature_that_is_not_ours_is_left_to_botocore() -> None:
    from botocore.config import Config

    client = Session(region_name="us-east-1").client("s3", config=Config(signature_version="s3"))
    url = Presigner("bucket", client).url("a b", seconds=60, at=datetime(2026, 1, 1, tzinfo=UTC))
    assert "X-Amz-" not in url.replace("x-amz-security-token", "")
    assert "Signature=" in url

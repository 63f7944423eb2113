"""How the S3 adapter reads errors that the local server never gives: scripted answers, and botocore's own errors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    IncompleteReadError,
    NoCredentialsError,
    ReadTimeoutError,
)

from bucketlens.errors import BucketlensError, Conflict, Misconfigured, NotFound, Rejected, Retryable, UnreadableObject
from bucketlens.store.s3 import S3Images, S3Store, connect
from bucketlens.store.s3errors import explained

REFUSALS = [
    ("NoSuchKey", 404, NotFound),
    ("404", 404, NotFound),
    ("NoSuchBucket", 404, Misconfigured),
    ("AccessDenied", 403, Misconfigured),
    ("403", 403, Misconfigured),
    ("ExpiredToken", 400, Misconfigured),
    ("InvalidAccessKeyId", 403, Misconfigured),
    ("PermanentRedirect", 301, Misconfigured),
    ("KMS.DisabledException", 400, Misconfigured),
    ("KeyTooLongError", 400, Rejected),
    ("SlowDown", 503, Retryable),
    ("503", 503, Retryable),
    ("InternalError", 500, Retryable),
    ("RequestTimeout", 400, Retryable),
    ("TooManyRequests", 429, Retryable),
    ("OperationAborted", 409, Retryable),
    ("ConditionalRequestConflict", 409, Retryable),
]


@pytest.mark.parametrize(("code", "status", "expected"), REFUSALS)
def test_a_refusal_is_read_by_its_code_whatever_its_text(
    code: str, status: int, expected: type[BucketlensError]
) -> None:
    with pytest.raises(expected) as caught, explained("some-bucket", "some/key"):
        raise ClientError(
            {"Error": {"Code": code, "Message": "NoSuchKey SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
            "GetObject",
        )
    assert type(caught.value) is expected


def test_a_missing_bucket_is_named() -> None:
    with pytest.raises(Misconfigured) as caught, explained("some-bucket", "some/key"):
        raise ClientError({"Error": {"Code": "NoSuchBucket"}}, "GetObject")
    assert (caught.value.code, caught.value.value) == ("no_such_bucket", "some-bucket")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (EndpointConnectionError(endpoint_url="http://x"), Retryable),
        (ConnectTimeoutError(endpoint_url="http://x"), Retryable),
        (ReadTimeoutError(endpoint_url="http://x"), Retryable),
        (IncompleteReadError(actual_bytes=1, expected_bytes=2), Retryable),
        (NoCredentialsError(), Misconfigured),
    ],
)
def test_a_failed_transport_can_be_retried_and_missing_credentials_cannot(
    error: BotoCoreError, expected: type[BucketlensError]
) -> None:
    with pytest.raises(expected), explained("some-bucket", "some/key"):
        raise error


def test_a_contended_create_can_be_retried_and_a_contended_swap_has_lost() -> None:
    with answering(409, xml("ConditionalRequestConflict")) as url:
        with pytest.raises(Retryable):
            store(url).create("a", b"body")
        with pytest.raises(Conflict):
            store(url).swap("a", b"body", '"etag"')


def test_a_body_that_ends_early_can_be_retried() -> None:
    with answering(200, b"half", announced=100) as url:
        with pytest.raises(Retryable):
            store(url).get("a")
        with pytest.raises(Retryable):
            images(url).fetch("a", limit=1000)


def test_an_image_that_announces_too_many_bytes_is_refused_without_reading_them() -> None:
    with answering(200, b"", announced=10**12) as url, pytest.raises(UnreadableObject) as caught:
        images(url).fetch("a", limit=1000)
    assert caught.value.code == "too_large"


def test_an_archived_image_is_unreadable() -> None:
    with answering(403, xml("InvalidObjectState")) as url, pytest.raises(UnreadableObject) as caught:
        images(url).fetch("a", limit=1000)
    assert caught.value.code == "archived"


def test_denied_access_is_never_taken_for_a_missing_object() -> None:
    with answering(403, xml("AccessDenied")) as url:
        for read in (
            lambda: store(url).get("a"),
            lambda: images(url).fetch("a", limit=1000),
            lambda: images(url).etag("a"),
            lambda: list(store(url).list("")),
        ):
            attempt: Callable[[], object] = read
            with pytest.raises(Misconfigured) as caught:
                attempt()
            assert caught.value.code == "access_denied"


def store(url: str) -> S3Store:
    return S3Store("some-bucket", connect(url, 2, credentials=("id", "secret")))


def images(url: str) -> S3Images:
    return S3Images("some-bucket", connect(url, 2, credentials=("id", "secret")))


def xml(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>any text</Message></Error>".encode()


@contextmanager
def answering(status: int, body: bytes, announced: int | None = None) -> Iterator[str]:
    """The URL of a server that gives this answer to everything, and may announce more bytes than it sends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if announced is None else announced))
            self.send_header("ETag", '"etag"')
            self.send_header("Last-Modified", "Sun, 22 Nov 2026 10:00:00 GMT")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            self.close_connection = True

        do_PUT = do_HEAD = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

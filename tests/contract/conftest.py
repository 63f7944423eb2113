"""The stores that the contract suites run against: memory, the local S3 server, and a real bucket by ``--bucket``."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.header import Header
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from bucketlens.local.s3server import S3Server
from bucketlens.store.memory import MemoryImages, MemoryStore
from bucketlens.store.protocol import Images, Store
from bucketlens.store.s3 import S3Images, S3Store, connect

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

THREADS = 16


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bucket", default=None, help="also run the storage contract against this real bucket")


@pytest.fixture(scope="session")
def server() -> Iterator[S3Server]:
    before = set(threading.enumerate())
    with S3Server() as server:
        yield server
    # Readers of ranges that other tests of this process left to the garbage collector are not the server's.
    assert {thread for thread in threading.enumerate() if not thread.name.startswith("ranges")} <= before


@dataclass(frozen=True)
class Bench:
    """A store under test, and the prefix this test may write under."""

    store: Store
    prefix: str


class User(Protocol):
    """Whoever uploads images."""

    def put(
        self, key: str, body: bytes, content_type: str, metadata: Mapping[str, str], tags: Mapping[str, str]
    ) -> None: ...

    def remove(self, key: str) -> None: ...


@dataclass(frozen=True)
class Album:
    """Images under test, their user, and the prefix this test may write under."""

    images: Images
    user: User
    prefix: str
    has_links: bool


@pytest.fixture(params=["memory", "local", "real"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    prefix = f"contract/{uuid4().hex}/"
    if request.param == "memory":
        yield Bench(MemoryStore(), prefix)
        return
    client, bucket = request.getfixturevalue(request.param)
    bench = Bench(S3Store(bucket, client), prefix)
    yield bench
    if request.param == "real":
        _clean(bench.store, prefix)


@pytest.fixture(params=["memory", "local", "real"])
def album(request: pytest.FixtureRequest) -> Iterator[Album]:
    prefix = f"contract/{uuid4().hex}/"
    if request.param == "memory":
        images = MemoryImages()
        yield Album(images, _MemoryUser(images), prefix, has_links=False)
        return
    client, bucket = request.getfixturevalue(request.param)
    yield Album(S3Images(bucket, client), _S3User(bucket, client), prefix, has_links=True)
    if request.param == "real":
        _clean(S3Store(bucket, client), prefix)


def _clean(store: Store, prefix: str) -> None:
    for entry in list(store.list(prefix)):
        store.delete(entry.key)


@pytest.fixture(scope="session")
def local(server: S3Server) -> tuple[S3Client, str]:
    """A client of the local server, and its bucket."""
    return connect(server.url, THREADS, credentials=server.credentials), "bucketlens-local"


@pytest.fixture(scope="session")
def real(request: pytest.FixtureRequest) -> tuple[S3Client, str]:
    """A client of the store behind ``--bucket``, and that bucket."""
    bucket = request.config.getoption("--bucket", default=None)
    if not bucket:
        pytest.skip("no --bucket given")
    return connect(None, THREADS), bucket


class _MemoryUser:
    def __init__(self, images: MemoryImages) -> None:
        self._images = images

    def put(
        self, key: str, body: bytes, content_type: str, metadata: Mapping[str, str], tags: Mapping[str, str]
    ) -> None:
        self._images.put(key, body, content_type=content_type, user_metadata=metadata, tags=tags)

    def remove(self, key: str) -> None:
        self._images.remove(key)


class _S3User:
    def __init__(self, bucket: str, client: S3Client) -> None:
        self._bucket, self._client = bucket, client

    def put(
        self, key: str, body: bytes, content_type: str, metadata: Mapping[str, str], tags: Mapping[str, str]
    ) -> None:
        self._client.put_object(
            Bucket=self._bucket,
            Key=key,
            Body=body,
            ContentType=content_type,
            Metadata={name: _as_s3_returns(value) for name, value in metadata.items()},
            Tagging=urlencode(tags),
        )

    def remove(self, key: str) -> None:
        self._client.delete_object(Bucket=self._bucket, Key=key)


def _as_s3_returns(value: str) -> str:
    """boto3 sends ASCII only; S3 hands other text out as RFC 2047 encoded words."""
    return value if value.isascii() else Header(value, "utf-8", maxlinelen=10_000).encode()

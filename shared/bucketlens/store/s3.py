"""The storage port on S3 and on stores that speak its protocol. The only module that makes clients.

They are botocore's, as boto3's are: to import boto3 as well would make every cold start a tenth of a second longer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from mmap import mmap
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session  # noqa: TID251

from bucketlens.errors import NotFound
from bucketlens.records import SourceObject
from bucketlens.store.presign import Presigner
from bucketlens.store.protocol import Blob, Body, ByteRange, Entry
from bucketlens.store.quick import QuickReader
from bucketlens.store.refusals import archived, conflict, exists, too_large
from bucketlens.store.s3errors import (
    ARCHIVED,
    BEYOND_THE_END,
    CONTENDED,
    LOST_RACE,
    MISSING,
    TRANSPORT,
    code_of,
    explained,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

_CREATE = dict.fromkeys(LOST_RACE, exists)
_SWAP = dict.fromkeys(LOST_RACE | MISSING | {CONTENDED}, conflict)
_GETS = 4
"""Requests after which an answer that breaks off is the last."""


def connect(
    endpoint_url: str | None = None, max_connections: int = 10, *, credentials: tuple[str, str] | None = None
) -> S3Client:
    """A client that may be shared between threads. Region and credentials come from where AWS tools look for them.

    ``endpoint_url`` names another store than AWS; without one, botocore's settings (``AWS_ENDPOINT_URL``) hold. Other
    stores are addressed by path (no bucket in the host name) and are sent no checksums they may not know.
    ``credentials`` (id, secret) go before those of the environment. Calls are tried four times; a connection that
    stays silent for 20 seconds counts as failed.
    """
    session = Session()
    if credentials:
        session.set_credentials(*credentials)
    client = _client(session, endpoint_url, max_connections, foreign=endpoint_url is not None)
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    if endpoint_url is None and not host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        return _client(session, None, max_connections, foreign=True)
    return client


class S3Store:
    """A ``Store`` over one bucket. Safe to share between threads, as the client is.

    Retries inside the client make a lost reply look like a lost race: ``create`` may raise Exists, and ``swap``
    Conflict, after their own write has landed.
    """

    def __init__(self, bucket: str, client: S3Client) -> None:
        self._bucket = bucket
        self._client = client
        self._quick = QuickReader(client)

    def get(self, key: str, span: ByteRange | None = None) -> Blob:
        """See ``Store.get``. One request; a range that begins beyond the end takes three and brings no bytes."""
        asked = self._quick.ready
        return self._quick.get(key, span) or self._get(key, span, 1 + asked)

    def _get(self, key: str, span: ByteRange | None, gets: int) -> Blob:
        """By botocore, which repeats a request that fails, but not one whose answer breaks off: that is done here."""
        with explained(self._bucket, key):
            while True:
                self._quick.learn_from(key)
                found = self._ask(key, span)
                if isinstance(found, Blob):
                    return replace(found, gets=gets)
                gets += found["ResponseMetadata"].get("RetryAttempts", 0)
                try:
                    body = found["Body"].read()
                    return Blob(body, found["ETag"], _whole(found.get("ContentRange"), len(body)), gets)
                except TRANSPORT:
                    if gets >= _GETS:
                        raise
                    gets += 1

    def _ask(self, key: str, span: ByteRange | None) -> GetObjectOutputTypeDef | Blob:
        """The answer before its body is read, or what there is of an object beyond its end."""
        wanted: dict[str, Any] = {} if span is None else {"Range": f"bytes={span.start}-{span.end - 1}"}
        try:
            return self._client.get_object(Bucket=self._bucket, Key=key, **wanted)
        except ClientError as error:
            if code_of(error) != BEYOND_THE_END:
                raise
            head = self._client.head_object(Bucket=self._bucket, Key=key)
            return Blob(b"", head["ETag"], head["ContentLength"])

    def create(self, key: str, body: Body) -> str:
        """See ``Store.create``. Where S3 itself finds the write contended (409): Retryable, nothing was written."""
        if isinstance(body, mmap):
            body.seek(0)  # an attempt before this one may have read it
        with explained(self._bucket, key, _CREATE):
            return self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=body,  # type: ignore[arg-type]  # what is mapped reads and seeks as a file does
                IfNoneMatch="*",
            )["ETag"]

    def swap(self, key: str, body: bytes, expected: str) -> str:
        """See ``Store.swap``. An object that is gone is another version too: Conflict."""
        with explained(self._bucket, key, _SWAP):
            return self._client.put_object(Bucket=self._bucket, Key=key, Body=body, IfMatch=expected)["ETag"]

    def delete(self, key: str) -> None:
        """See ``Store.delete``."""
        with suppress(NotFound), explained(self._bucket, key):
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def list(self, prefix: str) -> Iterator[Entry]:
        """See ``Store.list``. One request for every 1,000 objects, made as the iterator advances."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        with explained(self._bucket, prefix):
            for page in pages:
                for line in page.get("Contents", ()):
                    yield Entry(line["Key"], line["Size"], line["ETag"], line["LastModified"].astimezone(UTC))


class S3Images:
    """``Images`` over one bucket. Safe to share between threads, as the client is."""

    def __init__(self, bucket: str, client: S3Client) -> None:
        self._bucket = bucket
        self._client = client
        self._links = Presigner(bucket, client)

    def fetch(self, key: str, *, limit: int, tags: bool = False) -> SourceObject | None:
        """See ``Images.fetch``. One request, two with ``tags``. An archived object is unreadable (``archived``)."""
        try:
            with explained(self._bucket, key, {ARCHIVED: archived}):
                return self._fetch(key, limit, tags)
        except NotFound:
            return None

    def etag(self, key: str) -> str | None:
        """See ``Images.etag``. One request. S3 does not tell a missing bucket from a missing object here: None."""
        try:
            with explained(self._bucket, key):
                return self._client.head_object(Bucket=self._bucket, Key=key)["ETag"]
        except NotFound:
            return None

    def link(self, key: str, *, seconds: int) -> str:
        """See ``Images.link``. The URL also dies with the credentials that signed it, which may be sooner."""
        with explained(self._bucket, key):
            return self._links.url(key, seconds=seconds, at=datetime.now(UTC))

    def _fetch(self, key: str, limit: int, tags: bool) -> SourceObject:
        found = self._client.get_object(Bucket=self._bucket, Key=key)
        if found["ContentLength"] > limit:
            found["Body"].close()
            raise too_large(key, found["ContentLength"], limit)
        body = found["Body"].read()
        labels = self._client.get_object_tagging(Bucket=self._bucket, Key=key)["TagSet"] if tags else []
        return SourceObject(
            key=key,
            body=body,
            etag=found["ETag"],
            content_type=found.get("ContentType", ""),
            modified=found["LastModified"].astimezone(UTC),
            user_metadata=decode_metadata(found["Metadata"]),
            tags={label["Key"]: label["Value"] for label in labels},
        )


def decode_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """User metadata as its author wrote it: names in lower case, values in Unicode.

    S3 returns values that are not ASCII as RFC 2047 encoded words (User Guide, "Working with object metadata"); stores
    that send raw UTF-8 instead arrive here read as Latin-1. What is neither is kept as it came.
    """
    return {name.lower(): _decode(value) for name, value in headers.items()}


def _client(session: Session, endpoint_url: str | None, max_connections: int, *, foreign: bool) -> S3Client:
    config = Config(
        connect_timeout=3,
        read_timeout=20,
        retries={"mode": "standard", "total_max_attempts": 4},
        max_pool_connections=max_connections,
        tcp_keepalive=True,
        signature_version="s3v4",
        s3={"addressing_style": "path" if foreign else "auto"},
        request_checksum_calculation="when_required" if foreign else "when_supported",
        response_checksum_validation="when_required",
    )
    region = session.get_config_variable("region") or ("us-east-1" if foreign else None)
    client = session.create_client("s3", region_name=region, endpoint_url=endpoint_url, config=config)
    return cast("S3Client", client)


def _decode(value: str) -> str:
    try:
        if not value.isascii():
            return value.encode("latin-1").decode("utf-8")
        return str(make_header(decode_header(value))) if "=?" in value else value
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        return value


def _whole(content_range: str | None, received: int) -> int:
    total = (content_range or "").rpartition("/")[2]
    return int(total) if total.isdecimal() else received

"""Which objects one S3 request has changed, read off the request and its answer as S3's event notifications would."""

from __future__ import annotations

import io
import os.path
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree

from werkzeug.wrappers import Request

_QUIET = frozenset(
    {"acl", "attributes", "encryption", "legal-hold", "partNumber", "renameObject", "restore", "retention", "select"}
)
_VERSION = "x-amz-version-id"


@dataclass(frozen=True, slots=True)
class Change:
    """One object event, before it has a time and a sequencer. ``size`` and ``etag`` are of what is there now, if any.

    ``event`` is S3's name without the ``s3:`` in front, such as ``ObjectCreated:Put``; ``key`` is not encoded.
    """

    event: str
    bucket: str
    key: str
    version_id: str | None = None
    size: int | None = None
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request as a WSGI environment, its body, and the answer it got. Header names of the answer in lower case."""

    environ: Mapping[str, Any]
    body: bytes
    status: int
    headers: Mapping[str, str]
    answer: bytes


def path_of(environ: Mapping[str, Any]) -> tuple[str, str]:
    """Bucket and key of a path-style request; both empty or the key empty where it names none."""
    path = str(environ.get("PATH_INFO", "")).encode("latin-1").decode("utf-8", "replace")
    bucket, _, key = path.lstrip("/").partition("/")
    return bucket, key


def changes(exchange: Exchange) -> Iterator[Change]:
    """Every object change behind a successful request, none for a failed one or one that changes no object."""
    if not 200 <= exchange.status < 400:
        return
    method = exchange.environ["REQUEST_METHOD"]
    query = parse_qs(str(exchange.environ.get("QUERY_STRING", "")), keep_blank_values=True)
    bucket, key = path_of(exchange.environ)
    if method == "POST" and not key:
        yield from _deleted(exchange, bucket) if "delete" in query else _posted(exchange, bucket)
        return
    event = _event(method, query, exchange) if key and not _QUIET & query.keys() else None
    if event:
        version = exchange.headers.get(_VERSION) or next(iter(query.get("versionId", ())), None)
        yield Change(event, bucket, key, version)


def _event(method: str, query: Mapping[str, list[str]], exchange: Exchange) -> str | None:
    if "tagging" in query:
        return {"PUT": "ObjectTagging:Put", "DELETE": "ObjectTagging:Delete"}.get(method)
    if "uploadId" in query:
        # A completion that fails after S3 began to answer is a 200 with an error in it.
        failed = exchange.answer.lstrip().startswith(b"<Error")
        return "ObjectCreated:CompleteMultipartUpload" if method == "POST" and not failed else None
    if method == "PUT":
        return "ObjectCreated:Copy" if "HTTP_X_AMZ_COPY_SOURCE" in exchange.environ else "ObjectCreated:Put"
    if method == "DELETE":
        marked = exchange.headers.get("x-amz-delete-marker") == "true" and "versionId" not in query
        return "ObjectRemoved:DeleteMarkerCreated" if marked else "ObjectRemoved:Delete"
    return None


def _deleted(exchange: Exchange, bucket: str) -> Iterator[Change]:
    root = ElementTree.fromstring(exchange.answer)  # noqa: S314  (the answer of the server in this process)
    for line in root.findall("{*}Deleted"):
        marker = line.findtext("{*}DeleteMarkerVersionId")
        event = "ObjectRemoved:DeleteMarkerCreated" if marker else "ObjectRemoved:Delete"
        yield Change(event, bucket, line.findtext("{*}Key", ""), marker or line.findtext("{*}VersionId"))


def _posted(exchange: Exchange, bucket: str) -> Iterator[Change]:
    form = Request({**exchange.environ, "wsgi.input": io.BytesIO(exchange.body)})
    file = form.files.get("file")
    key = form.form.get("key", "").replace("${filename}", os.path.basename(file.filename or "") if file else "")
    if key:
        yield Change("ObjectCreated:Post", bucket, key, exchange.headers.get(_VERSION))

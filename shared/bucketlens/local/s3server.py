"""An S3 endpoint in this process: moto behind one lock, which makes its conditional writes atomic.

Everything is kept in memory (objects above 16 MB in anonymous temporary files) and gone after ``stop``. Any credentials
are accepted. Buckets are addressed by path. Two servers in one process share nothing, not even bucket names.
"""

from __future__ import annotations

import io
import itertools
import re
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any

from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
from moto.s3.models import FakeKey, s3_backends
from werkzeug.serving import ThreadedWSGIServer
from werkzeug.test import run_wsgi_app

from bucketlens.local.changes import Change, Exchange, changes, path_of

_REGION = "us-east-1"
_ACCOUNTS = itertools.count(100_000_000_000)
_SPAN = re.compile(r"bytes=(\d+)-(\d+)")
_CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE")
_FORM = "application/x-www-form-urlencoded"
_PLAIN_QUERY = re.compile(r"(?:^|&)(?!x-id=|X-Amz-)[^&]")

Headers = list[tuple[str, str]]


class S3Server:
    """An S3-compatible server with its own buckets. Use it as a context manager, or ``start`` and ``stop`` it once.

    ``watch`` hears of every object change, in the order the changes took effect, before the client has its answer; it
    must return quickly and must not call the server. ``port`` 0 takes a free one.
    """

    credentials = ("local", "local-secret")
    """Any pair would do; this one is for clients that have none."""

    def __init__(
        self,
        buckets: Sequence[str] = ("bucketlens-local",),
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        watch: Callable[[Change], None] | None = None,
    ) -> None:
        self._buckets = tuple(buckets)
        self._address = (host, port)
        self._watch = watch
        self._account = str(next(_ACCOUNTS))
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> S3Server:
        """Open the port and create the buckets. Raises OSError when the port is taken."""
        host, port = self._address
        self._server = _Server(host, port, _App(self._account, self._buckets, self._watch), _Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="s3-server", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port and every connection, wait for the threads, forget the objects. A second stop does nothing."""
        server, self._server = self._server, None
        if server is None or self._thread is None:
            return
        server.shutdown()
        self._thread.join()
        server.hang_up()
        server.server_close()
        _forget(self._account)

    @property
    def port(self) -> int:
        """The port in use; the configured one while the server is stopped."""
        return self._server.server_port if self._server else self._address[1]

    @property
    def url(self) -> str:
        """The endpoint URL for clients on this machine."""
        host = self._address[0]
        return f"http://{'127.0.0.1' if host in ('0.0.0.0', '') else host}:{self.port}"  # noqa: S104

    def __enter__(self) -> S3Server:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _App:
    """moto as a WSGI application that handles one request at a time, from a body that has fully arrived."""

    def __init__(self, account: str, buckets: Iterable[str], watch: Callable[[Change], None] | None) -> None:
        self._lock = threading.Lock()
        self._account = account
        self._watch = watch
        self._moto = create_backend_app("s3")
        self._backend = s3_backends[account]["aws"]
        for name in buckets:
            taken = s3_backends.bucket_accounts.pop(name, None)
            self._backend.create_bucket(name, _REGION)
            s3_backends.bucket_accounts.pop(name, None)
            if taken:
                s3_backends.bucket_accounts[name] = taken

    def __call__(self, environ: dict[str, Any], start_response: Callable[[str, Headers], Any]) -> list[bytes]:
        body = _take_body(environ)
        if body is None:
            start_response("400 Bad Request", [("Connection", "close")])
            return [b"<Error><Code>IncompleteBody</Code></Error>"]
        # moto reads the bucket from host names that have dots, and the account from this header.
        environ |= {"HTTP_HOST": "localhost", "HTTP_X_MOTO_ACCOUNT_ID": self._account}
        with self._lock:
            status, headers, answer = self._ranged(environ) or self._any(environ, body)
        start_response(status, headers)
        return [answer]

    def _any(self, environ: dict[str, Any], body: bytes) -> tuple[str, Headers, bytes]:
        asked = {**environ, "wsgi.input": io.BytesIO(body)}
        if environ["REQUEST_METHOD"] == "PUT" and environ.get("CONTENT_TYPE", "").startswith(_FORM):
            asked["CONTENT_TYPE"] = "binary/octet-stream"  # moto would read the body as a form, and lose it
        chunks, status, found = run_wsgi_app(self._moto, asked, buffered=True)
        headers, answer = list(found), b"".join(chunks)
        if self._watch and environ["REQUEST_METHOD"] in ("PUT", "POST", "DELETE"):
            lowered = {name.lower(): value for name, value in headers}
            for change in changes(Exchange(environ, body, int(status[:3]), lowered, answer)):
                self._watch(self._with_content(change))
        return status, headers, answer

    def _with_content(self, change: Change) -> Change:
        held = self._held(change.bucket, change.key)
        return change if held is None else replace(change, size=held.size, etag=held.etag.strip('"'))

    def _held(self, bucket: str, key: str) -> FakeKey | None:
        found = self._backend.buckets.get(bucket)
        held = found.keys.get(key) if found else None
        return held if isinstance(held, FakeKey) else None

    def _ranged(self, environ: dict[str, Any]) -> tuple[str, Headers, bytes] | None:
        """A plain ranged GET, answered without copying the whole object as moto does; None leaves it to moto."""
        span = _SPAN.fullmatch(environ.get("HTTP_RANGE", ""))
        query = environ.get("QUERY_STRING", "")
        if span is None or environ["REQUEST_METHOD"] != "GET" or any(name in environ for name in _CONDITIONS):
            return None
        if _PLAIN_QUERY.search(query) or not ("HTTP_AUTHORIZATION" in environ or "X-Amz-Signature=" in query):
            return None
        held = self._held(*path_of(environ))
        start, end = int(span[1]), int(span[2])
        if held is None or held.storage_class != "STANDARD" or not start < held.size or end < start:
            return None
        with held.lock:
            held._value_buffer.seek(start)  # noqa: SLF001  (the public way reads the whole object)
            body = held._value_buffer.read(end + 1 - start)  # noqa: SLF001
        headers = {
            **held.metadata,
            "Accept-Ranges": "bytes",
            "Content-Length": str(len(body)),
            "Content-Range": f"bytes {start}-{start + len(body) - 1}/{held.size}",
            "ETag": held.etag,
            "Last-Modified": held.last_modified_RFC1123,
        }
        return "206 Partial Content", [(str(name), str(value)) for name, value in headers.items()], body


class _Server(ThreadedWSGIServer):
    """A threaded server that can close the connections clients keep open."""

    def __init__(self, host: str, port: int, app: _App, handler: type[MotoRequestHandler]) -> None:
        self._open: dict[socket.socket, threading.Thread] = {}
        super().__init__(host, port, app, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle a connection in a thread of its own, and remember both."""
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), name="s3-connection", daemon=True
        )
        self._open[request] = thread
        thread.start()

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that is over."""
        super().shutdown_request(request)
        self._open.pop(request, None)

    def hang_up(self) -> None:
        """Close every connection and wait for its thread."""
        for connection, thread in list(self._open.items()):
            with suppress(OSError):  # the client was faster
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(5)


class _Handler(MotoRequestHandler):
    """moto's handler, silent."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  (the parent's name)
        """Log nothing: what the caller wants to know arrives by ``watch``."""


def _take_body(environ: dict[str, Any]) -> bytes | None:
    """The whole body, or None when the client went away before it had sent what it announced."""
    source = environ["wsgi.input"]
    if environ.get("CONTENT_LENGTH"):
        body = bytes(source.read(int(environ["CONTENT_LENGTH"])))
        return body if len(body) == int(environ["CONTENT_LENGTH"]) else None
    body = bytes(source.read()) if environ.get("wsgi.input_terminated") else b""
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ["CONTENT_LENGTH"] = str(len(body))
    return body


def _forget(account: str) -> None:
    for bucket in s3_backends[account]["aws"].buckets.values():
        for key in list(bucket.keys):
            for version in bucket.keys.getlist(key, []):
                getattr(version, "dispose", lambda: None)()
    for name in [name for name, (_, owner) in s3_backends.bucket_accounts.items() if owner == account]:
        del s3_backends.bucket_accounts[name]
    # moto keeps every object it ever made in this list.
    made: list[FakeKey] = vars(FakeKey)["instances_tracked"]
    made[:] = [key for key in made if key.account_id != account]
    s3_backends.pop(account, None)

"""The HTTP API in this process: requests become HTTP API events (payload 2.0), answers become responses."""

from __future__ import annotations

import base64
import socket
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from bucketlens.errors import BucketlensError, Misconfigured

Handler = Callable[[Mapping[str, object], object], dict[str, object]]
Control = Callable[[str, str], Mapping[str, object] | None]
"""Answers a request that is not the API's own, by method and path; None when it is."""

MAX_BODY = 6 * 2**20
"""What Lambda accepts in one request, bytes (Lambda quotas, 2026-11); base64 takes a quarter of it."""
_PIECE = 2**16
_TEXT = ("application/json", "text/", "application/x-www-form-urlencoded")


class ApiServer:
    """Serves one handler over HTTP; ``start`` and ``stop`` it once. Port 0 takes a free one."""

    def __init__(
        self, handler: Handler, *, host: str = "127.0.0.1", port: int = 0, control: Control | None = None
    ) -> None:
        self._handler = handler
        self._address = (host, port)
        self._control = control
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> ApiServer:
        """Open the port. Raises Misconfigured when it cannot be had."""
        host, port = self._address
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = socket.create_server((host, port), family=family)
        except OSError as error:
            raise Misconfigured(
                f"The API cannot listen here: {error.strerror}.",
                value=f"{host}:{port}",
                remedy="End what listens there, or choose another port (0: any free one).",
            ) from error
        with listener:
            self._server = make_server(
                host, port, self._serve, threaded=True, request_handler=_Quiet, fd=listener.fileno()
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="api", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port. A second stop does nothing."""
        server, self._server = self._server, None
        if server is not None and self._thread is not None:
            server.shutdown()
            self._thread.join()
            server.server_close()

    @property
    def url(self) -> str:
        """Where the API is, for clients on this machine."""
        host, port = self._address
        return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{self._server.port if self._server else port}"  # noqa: S104

    def _serve(self, environ: dict[str, Any], start_response: Any) -> Any:
        request = Request(environ)
        body = _read(request)
        if body is None:
            too_large = Response('{"message":"Request Entity Too Large"}', 413, content_type="application/json")
            return too_large(environ, start_response)
        found = self._controlled(request) or self._handler(event_of(request, body), None)
        return _response(found)(environ, start_response)

    def _controlled(self, request: Request) -> dict[str, object] | None:
        from bucketlens.edge.http import answer, failure

        try:
            found = self._control(request.method, request.path) if self._control else None
        except BucketlensError as error:
            return failure(error, uuid.uuid4().hex)
        return None if found is None else answer(200, found)


def event_of(request: Request, body: bytes) -> dict[str, object]:
    """The HTTP API event (payload 2.0) of a request, as API Gateway would make it for the ``$default`` stage."""
    raw_path = str(request.environ.get("REQUEST_URI") or request.path).partition("?")[0]
    path = unquote(raw_path)
    encoded = _is_binary(request.content_type or "", body)
    query = request.query_string.decode("latin-1")
    event: dict[str, object] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "requestContext": {
            "stage": "$default",
            "requestId": uuid.uuid4().hex,
            "http": {"method": request.method, "path": path, "sourceIp": request.remote_addr or ""},
        },
        "isBase64Encoded": encoded,
    }
    if query:
        event["queryStringParameters"] = {name: ",".join(request.args.getlist(name)) for name in request.args}
    if "/images/" in path:
        event["pathParameters"] = {"key": path.partition("/images/")[2]}
    if body:
        event["body"] = base64.b64encode(body).decode() if encoded else body.decode()
    return event


def _read(request: Request) -> bytes | None:
    """The body, or None for one that is too large. That one is read all the same, a piece at a time: a client that is
    cut off while it sends never sees the answer."""
    kept = bytearray()
    while piece := request.stream.read(_PIECE):
        kept += piece[: MAX_BODY + 1 - len(kept)]
    return bytes(kept) if len(kept) <= MAX_BODY else None


def _is_binary(content_type: str, body: bytes) -> bool:
    if not content_type.lower().startswith(_TEXT):
        return bool(body)
    try:
        body.decode()
    except UnicodeDecodeError:
        return True
    return False


def _response(answer: Mapping[str, Any]) -> Response:
    body = answer.get("body", "")
    content = base64.b64decode(body) if answer.get("isBase64Encoded") else body
    return Response(content, answer["statusCode"], headers=answer.get("headers", {}))


class _Quiet(WSGIRequestHandler):
    """A request handler that keeps connections and says nothing: handlers write their own log lines."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  (the parent's name)
        """Log nothing."""

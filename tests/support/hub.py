"""A model hub on this machine: the two requests of a real one over files in memory, and what may go wrong with them."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

REPOSITORY = "somebody/tiny-clip"
_SPAN = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass
class Moods:
    """How the hub behaves. ``breaks`` is how many answers in all are cut after ``break_after`` bytes of their body.
    ``following`` is how it writes the address of the next page, ``{cursor}`` in it; ``listing`` its first page."""

    status: int = 0
    break_after: int | None = None
    breaks: int = 1_000_000
    busy: int = 0
    wrong_sha256: str = ""
    bare: bool = False
    ignore_range: bool = False
    etags: bool = True
    redirect: str = ""
    page: int = 1000
    following: str = ""
    listing: bytes = b""
    more: list[dict[str, Any]] = field(default_factory=list)


class HubServer:
    """A hub with one repository. Use it as a context manager.

    ``files`` maps paths to bytes and may be changed at any time. ``sent`` counts the bytes of each file that left the
    server, ``asked`` holds (path, Range, If-Range) of every request for a file.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.files: dict[str, bytes] = {}
        if folder:
            names = (path for path in sorted(folder.rglob("*")) if path.is_file())
            self.files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in names}
        self.moods = Moods()
        self.sent: Counter[str] = Counter()
        self.asked: list[tuple[str, str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Bound", (_Handler,), {"hub": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def forget(self) -> None:
        """Start counting anew."""
        self.sent.clear()
        self.asked.clear()

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path, moods = unquote(url.path), self.hub.moods
        if moods.status:
            return self._answer(moods.status, b"no")
        if path == f"/api/models/{REPOSITORY}/tree/main":
            return self._tree(int(parse_qs(url.query).get("cursor", ["0"])[0]))
        if path.startswith(f"/{REPOSITORY}/resolve/main/"):
            name = path.removeprefix(f"/{REPOSITORY}/resolve/main/")
            if moods.redirect and name in self.hub.files:
                return self._answer(302, b"elsewhere", Location=f"{moods.redirect}/{name}", ETag='"of the redirect"')
            return self._file(name)
        if path.startswith("/elsewhere/"):
            return self._file(path.removeprefix("/elsewhere/"))
        return self._answer(404, b"nothing here", **{"X-Error-Code": "RepoNotFound"})

    def _tree(self, cursor: int) -> None:
        moods = self.hub.moods
        lines: list[dict[str, Any]] = [{"type": "directory", "path": "onnx", "size": 0, "oid": "0" * 40}]
        for name, body in self.hub.files.items():
            line: dict[str, Any] = {"type": "file", "path": name, "size": len(body), "oid": "0" * 40}
            if ".onnx" in name and not moods.bare:
                true = hashlib.sha256(body).hexdigest()
                line["lfs"] = {"oid": "0" * 64 if name == moods.wrong_sha256 else true, "size": len(body)}
            lines.append(line)
        lines += moods.more
        following = cursor + moods.page
        here = f"{self.hub.url}{urlsplit(self.path).path}?recursive=true&cursor={{cursor}}"
        link = f'<{(moods.following or here).format(cursor=following)}>; rel="next"'
        headers = {"Link": link} if following < len(lines) else {}
        self._answer(200, moods.listing or json.dumps(lines[cursor:following]).encode(), **headers)

    def _file(self, name: str) -> None:
        hub, moods = self.hub, self.hub.moods
        wanted, condition = self.headers.get("Range", ""), self.headers.get("If-Range", "")
        hub.asked.append((name, wanted, condition))
        if name not in hub.files:
            return self._answer(404, b"no such file")
        if moods.busy:
            moods.busy -= 1
            return self._answer(503, b"busy")
        body = hub.files[name]
        etag = f'"{hashlib.md5(body).hexdigest()}"'  # noqa: S324
        headers = {"ETag": etag} if moods.etags else {}
        span = _SPAN.fullmatch(wanted)
        if span is None or moods.ignore_range or condition not in ("", etag):
            return self._answer(200, body, name, **headers)
        start = int(span[1])
        if start >= len(body):
            return self._answer(416, b"")
        headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        return self._answer(206, body[start:], name, **headers)

    def _answer(self, status: int, body: bytes, counted: str = "", **headers: str) -> None:
        moods = self.hub.moods
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        cut = moods.break_after if counted and moods.breaks > 0 else None
        if cut is not None and cut < len(body):
            moods.breaks -= 1
            body = body[:cut]
        self.wfile.write(body)
        self.hub.sent[counted] += len(body)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the parent's name)
        """Silent."""

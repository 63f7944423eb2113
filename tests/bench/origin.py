"""S3 from a folder: ``python -m tests.bench.origin FOLDER``, or ``Origin(FOLDER)`` from another program.

The first level of the folder are buckets, addressed by path. It answers GET (ranged), HEAD, ListObjectsV2, plain PUT
with ``If-None-Match: *`` and ``If-Match``, and DELETE; signatures are not looked at. Whatever else S3 can do is refused
with 501, and a key that is also a folder of other keys with 409. Bodies of GETs go from the page cache to the socket
without passing through Python. One thread for a connection.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socketserver
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.bench.child import Child

_SPAN = re.compile(r"bytes=(\d*)-(\d*)")
_PAGE = 1_000

Headers = dict[str, str]


class Origin(Child):
    """The server over ``folder`` in a process of its own; ``url`` is where it listens."""

    def __init__(self, folder: Path) -> None:
        super().__init__("tests.bench.origin", str(folder.resolve()))


class Refused(Exception):
    """An answer in S3's form of errors."""

    def __init__(self, status: HTTPStatus, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


class Objects:
    """Objects as files. A write is complete or not at all; conditional writes of this process are atomic."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._lock = threading.Lock()
        self._written: dict[Path, str] = {}

    def path(self, name: str) -> Path:
        """The file of an object, ``name`` with its bucket. Names that leave the folder are refused."""
        if not {".", ".."}.isdisjoint(name.split("/")):
            raise Refused(HTTPStatus.BAD_REQUEST, "InvalidURI")
        return self._root / name.lstrip("/")

    def etag(self, path: Path) -> str:
        """Changes with every version: the MD5 of what was put here, else made of the file's inode, time and size."""
        if path in self._written:
            return self._written[path]
        stat = path.stat()
        return f'"{stat.st_ino:x}-{stat.st_mtime_ns:x}-{stat.st_size:x}"'

    def put(self, path: Path, body: bytes, headers: Headers) -> str:
        """Write, under the conditions in the headers; the new etag."""
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
        partial = path.with_name(f".{path.name}.{threading.get_ident()}")
        with self._lock:
            expected = headers.get("if-match")
            if expected and not path.is_file():
                raise Refused(HTTPStatus.NOT_FOUND, "NoSuchKey")
            if (expected and expected != self.etag(path)) or ("if-none-match" in headers and path.is_file()):
                raise Refused(HTTPStatus.PRECONDITION_FAILED, "PreconditionFailed")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                partial.write_bytes(body)
                partial.replace(path)
            except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
                partial.unlink(missing_ok=True)
                raise Refused(HTTPStatus.CONFLICT, "FileAndFolder") from error
            self._written[path] = f'"{digest}"'
        return self._written[path]

    def delete(self, path: Path) -> None:
        """Remove it, if it is there."""
        with self._lock:
            path.unlink(missing_ok=True)
            self._written.pop(path, None)

    def keys(self, bucket: Path, prefix: str) -> list[str]:
        """Keys under the prefix, ascending, as S3 orders them."""
        start = (bucket / prefix).parent if not prefix.endswith("/") else bucket / prefix
        found = (Path(folder) / name for folder, _, names in os.walk(start) for name in names if name[0] != ".")
        keys = (path.relative_to(bucket).as_posix() for path in found)
        return sorted((key for key in keys if key.startswith(prefix)), key=str.encode)


class _Connection(socketserver.StreamRequestHandler):
    """Requests of one connection, one after the other."""

    disable_nagle_algorithm = True
    server: Server

    def handle(self) -> None:
        with suppress(ConnectionError):
            while line := self.rfile.readline(65_536).decode("latin-1").split():
                headers: Headers = {}
                while (field := self.rfile.readline(65_536).decode("latin-1").strip()) != "":
                    name, _, value = field.partition(":")
                    headers[name.lower()] = value.strip()
                self._one(line[0], line[1], headers)
                if headers.get("connection", "").lower() == "close" or "transfer-encoding" in headers:
                    return

    def _one(self, method: str, target: str, headers: Headers) -> None:
        try:
            body = self._body(headers)
            split = urlsplit(target)
            name, asked = unquote(split.path).lstrip("/"), parse_qs(split.query, keep_blank_values=True)
            if method in ("GET", "HEAD") and "/" in name.rstrip("/") and not set(asked) - {"x-id", "versionId"}:
                self._read(method, name, headers)
            elif method == "GET" and asked.get("list-type") == ["2"]:
                self._list(name.rstrip("/"), {key: values[0] for key, values in asked.items()})
            elif method == "HEAD" and self.server.objects.path(name).is_dir():
                self._answer(HTTPStatus.OK)
            elif method == "PUT" and not set(asked) - {"x-id"} and "x-amz-copy-source" not in headers:
                self._answer(HTTPStatus.OK, {"ETag": self._put(name, body, headers)})
            elif method == "DELETE" and not set(asked) - {"x-id"}:
                self.server.objects.delete(self.server.objects.path(name))
                self._answer(HTTPStatus.NO_CONTENT)
            else:
                raise Refused(HTTPStatus.NOT_IMPLEMENTED, "NotImplemented")
        except Refused as refused:
            xml = b"" if method == "HEAD" else f"<Error><Code>{refused.code}</Code></Error>".encode()
            self._answer(refused.status, {"Content-Type": "application/xml"}, xml)

    def _body(self, headers: Headers) -> bytes:
        if headers.get("expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self.rfile.read(int(headers.get("content-length", 0)))
        if "transfer-encoding" in headers or "aws-chunked" in headers.get("content-encoding", ""):
            raise Refused(HTTPStatus.NOT_IMPLEMENTED, "NotImplemented")
        return body

    def _put(self, name: str, body: bytes, headers: Headers) -> str:
        return self.server.objects.put(self.server.objects.path(name), body, headers)

    def _read(self, method: str, name: str, headers: Headers) -> None:
        objects = self.server.objects
        try:
            with objects.path(name).open("rb") as file:
                path = objects.path(name)
                size = os.fstat(file.fileno()).st_size
                start, end = _span(headers.get("range", ""), size)
                about = {
                    "ETag": objects.etag(path),
                    "Last-Modified": formatdate(path.stat().st_mtime, usegmt=True),
                    "Accept-Ranges": "bytes",
                    "Content-Type": "binary/octet-stream",
                }
                status = HTTPStatus.OK
                if "range" in headers:
                    status = HTTPStatus.PARTIAL_CONTENT
                    about["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
                self._answer(status, about, length=end - start)
                if method == "GET" and end > start:
                    self.connection.sendfile(file, start, end - start)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise Refused(HTTPStatus.NOT_FOUND, "NoSuchKey") from error

    def _list(self, bucket: str, asked: dict[str, str]) -> None:
        objects, prefix, delimiter = self.server.objects, asked.get("prefix", ""), asked.get("delimiter", "")
        root = objects.path(bucket)
        if not root.is_dir():
            raise Refused(HTTPStatus.NOT_FOUND, "NoSuchBucket")
        after = max(asked.get("start-after", ""), unquote(asked.get("continuation-token", "")))
        lines: dict[str, str] = {}
        most, more = min(_PAGE, int(asked.get("max-keys", _PAGE))), ""
        shown = quote if asked.get("encoding-type") == "url" else escape
        for key in objects.keys(root, prefix):
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            name = key if cut < 0 else key[: cut + len(delimiter)]
            if name in lines or name <= after or key <= after:
                continue
            if len(lines) == most:
                more = list(lines)[-1]
                break
            lines[name] = (
                _line(shown(key), root / key, objects.etag(root / key))
                if cut < 0
                else f"<CommonPrefixes><Prefix>{shown(name)}</Prefix></CommonPrefixes>"
            )
        xml = (
            f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>{bucket}</Name>'
            f"<Prefix>{shown(prefix)}</Prefix><KeyCount>{len(lines)}</KeyCount><MaxKeys>{most}</MaxKeys>"
            f"<IsTruncated>{str(bool(more)).lower()}</IsTruncated>"
            + (f"<NextContinuationToken>{quote(more, safe='')}</NextContinuationToken>" if more else "")
            + ("<EncodingType>url</EncodingType>" if "encoding-type" in asked else "")
            + "".join(lines.values())
            + "</ListBucketResult>"
        )
        self._answer(HTTPStatus.OK, {"Content-Type": "application/xml"}, xml.encode())

    def _answer(
        self, status: HTTPStatus, headers: Headers | None = None, body: bytes = b"", length: int | None = None
    ) -> None:
        said = {"Content-Length": str(len(body) if length is None else length), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in said.items() if status != HTTPStatus.NO_CONTENT)
        self.connection.sendall(f"HTTP/1.1 {status.value} {status.phrase}\r\n{head}\r\n".encode() + body)


class Server(socketserver.ThreadingTCPServer):
    """Listens on a free port of this machine."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, folder: Path) -> None:
        self.objects = Objects(folder)
        super().__init__(("127.0.0.1", 0), _Connection)


def _span(wanted: str, size: int) -> tuple[int, int]:
    """First byte, and the one behind the last."""
    match = _SPAN.fullmatch(wanted)
    if match is None:
        return 0, size
    if not match[1]:
        return max(0, size - int(match[2] or 0)), size
    start, end = int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)
    if start >= end:
        raise Refused(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "InvalidRange")
    return start, end


def _line(key: str, path: Path, etag: str) -> str:
    stat = path.stat()
    moment = datetime.fromtimestamp(stat.st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return (
        f"<Contents><Key>{key}</Key><LastModified>{moment}</LastModified><ETag>{escape(etag)}</ETag>"
        f"<Size>{stat.st_size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def main() -> None:
    with Server(Path(sys.argv[1])) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        host, port = server.server_address[:2]
        print(json.dumps(f"http://{host!s}:{port}"), flush=True)  # noqa: T201
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main()

"""A model hub over HTTP: what a repository holds, and its files, resumed where a connection broke.

    GET {endpoint}/api/models/{repository}/tree/{revision}?recursive=true   JSON: type, path, size, lfs.oid (sha256)
    GET {endpoint}/{repository}/resolve/{revision}/{path}                   the file, ranges of it, or a redirect to it

That is the interface of huggingface.co and of its mirrors (Hub documentation, "Hub API Endpoints", read 2026-11). The
listing comes in pages, linked by the header ``Link: <url>; rel="next"``.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import quote, urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from bucketlens.errors import BucketlensError, Misconfigured, NotFound, Retryable
from bucketlens.model.partial import Part

HUGGING_FACE = "https://huggingface.co"
Tell = Callable[[str, int], None]
"""Hears of progress: the path of a file, and how many of its bytes are here."""

_REPOSITORY = re.compile(r"(?!\.)[\w.-]{1,96}(?:/(?!\.)[\w.-]{1,96})?", re.ASCII)
_SHA256 = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')
_PAGES, _PAGE_BYTES = 100, 32 * 2**20
_CHUNK = 2**18
_TIMEOUT_S = 30.0
_FRUITLESS, _MOST = 4, 200  # attempts in a row that bring nothing; attempts in all
_BEYOND_THE_END = 416
_PASSING = {408, _BEYOND_THE_END, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class Remote:
    """A file of a repository. ``sha256`` is None where the hub gives none."""

    path: str
    size: int
    sha256: str | None


class Hub:
    """A hub at ``endpoint``. Proxies are those of the environment. Not for sharing between threads."""

    def __init__(self, endpoint: str = HUGGING_FACE, pause: Callable[[float], None] = time.sleep) -> None:
        """Makes no request. ``pause`` waits that many seconds between attempts. Raises Misconfigured."""
        self.endpoint = endpoint.rstrip("/")
        if not _is_address(self.endpoint):
            raise Misconfigured("This is no web address of a hub.", value=endpoint, remedy=f"Write {HUGGING_FACE}.")
        self._pause = pause
        self._opener: OpenerDirector = build_opener(_Redirects)

    def files(self, repository: str, revision: str = "main") -> list[Remote]:
        """Every file of a repository. Raises NotFound, Misconfigured (refused, no listing, unsafe names), Retryable."""
        check_repository(repository)
        url = f"{self.endpoint}/api/models/{repository}/tree/{quote(revision, safe='')}?recursive=true"
        found: list[Remote] = []
        for _ in range(_PAGES):
            page, following = self._patiently(url, self._page)
            found += [_remote(line) for line in page if isinstance(line, dict) and line.get("type") == "file"]
            if not following:
                return found
            url = following
        raise Misconfigured("This repository has too many files.", code="no_bundle", value=repository)

    def download(self, repository: str, revision: str, remote: Remote, target: Path, tell: Tell) -> None:
        """Bring one file to ``target``, which appears complete and checked or not at all.

        What arrived is kept beside it (``.part``), and the next call goes on from there: with a range that holds only
        for the same version of the file (If-Range), or for any where a checksum will tell. Broken connections are tried
        again, four times in a row without progress. Raises Retryable, NotFound, Misconfigured; Corrupt when the bytes
        are not what the hub announced, and then nothing is kept of them.
        """
        url = f"{self.endpoint}/{repository}/resolve/{quote(revision, safe='')}/{quote(remote.path)}"
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Part(target)
        self._patiently(url, lambda _: self._receive_or_restart(url, remote, part, tell), part.size)
        part.finish(remote.size, remote.sha256)

    def _patiently(self, url: str, attempt: Callable[[str], Any], progress: Callable[[], int] = lambda: 0) -> Any:
        fruitless, before = 0, progress()
        for _ in range(_MOST):
            try:
                return attempt(url)
            except _Broken as error:
                reason, now = str(error), progress()
            fruitless, before = (0 if now > before else fruitless + 1), now
            if fruitless >= _FRUITLESS:
                break
            self._pause(0.5 * 2**fruitless)
        raise Retryable(
            "The hub cannot be reached, or breaks off.",
            value=f"{url}: {reason}",
            remedy="Run the same command again: what has arrived is kept.",
        )

    def _page(self, url: str) -> tuple[list[object], str | None]:
        with self._open(url, {}) as answer:
            body, link = _read(answer, _PAGE_BYTES), _NEXT.search(answer.headers.get("Link") or "")
        try:
            page = json.loads(body)
        except (ValueError, RecursionError):
            page = None
        if not isinstance(page, list):
            raise Misconfigured("The hub's listing is no JSON list.", value=url, remedy="Check the address of the hub.")
        return page, _led(url, link[1]) if link else None

    def _receive_or_restart(self, url: str, remote: Remote, part: Part, tell: Tell) -> None:
        try:
            self._receive(url, remote, part, tell)
        except _Broken as error:
            if error.status == _BEYOND_THE_END:
                part.discard()
            raise

    def _receive(self, url: str, remote: Remote, part: Part, tell: Tell) -> None:
        at, version = part.size(), part.version()
        at = at if at <= remote.size and (version or remote.sha256) else 0
        if at == remote.size and remote.sha256:
            return
        at = min(at, max(0, remote.size - 1))  # a version is checked only by asking for something
        wanted = {"Range": f"bytes={at}-"} if at else {}
        with self._open(url, wanted | ({"If-Range": version} if at and version else {})) as answer:
            at = at if at and _continues(answer, at) else 0
            with part.writing(at, answer.headers.get("ETag")) as file:
                tell(remote.path, at)
                while chunk := _read(answer, min(_CHUNK, remote.size + 1 - at)):
                    file.write(chunk)
                    at += len(chunk)
                    tell(remote.path, at)
                    if at > remote.size:
                        break
        if at < remote.size:
            raise _Broken(f"the connection ended after {at} of {remote.size} bytes")

    def _open(self, url: str, headers: Mapping[str, str]) -> Any:
        asked = {"User-Agent": "bucketlens", "Accept-Encoding": "identity", **headers}
        try:
            return self._opener.open(Request(url, headers=asked), timeout=_TIMEOUT_S)  # noqa: S310  (http and https)
        except HTTPError as error:
            with error:
                raise _refusal(error, url) from error
        except (OSError, HTTPException) as error:
            raise _Broken(f"{type(error).__name__}: {error}") from error
        except ValueError as error:  # a redirect whose address the library cannot even take apart
            raise Misconfigured("The hub leads to what is no address.", value=f"{url}: {error}") from error


def check_repository(name: str) -> str:
    """The name itself. Raises Misconfigured unless it is ``owner/name`` or ``name``."""
    if not _REPOSITORY.fullmatch(name):
        raise Misconfigured("This is no name of a repository.", value=name, remedy="Write owner/name.")
    return name


class _Broken(Exception):
    """The attempt failed in a way that another one may not. ``status`` is HTTP's, 0 without an answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class _Redirects(HTTPRedirectHandler):
    """Follows redirects to where ``_led`` allows."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        return super().redirect_request(req, fp, code, msg, headers, _led(req.full_url, newurl))


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _led(url: str, on: str) -> str:
    """Where ``url`` leads on to. Raises Misconfigured where that is from TLS to plain text or away from HTTP."""
    try:
        led = urljoin(url, on)
        old, new = urlsplit(url).scheme, urlsplit(led).scheme
    except ValueError as error:
        raise Misconfigured("The hub leads to what is no address.", value=on) from error
    if new not in ("http", "https") or (old, new) == ("https", "http"):
        raise Misconfigured("The hub leads to an address that is not safe.", value=led)
    return led


def _remote(line: Mapping[str, Any]) -> Remote:
    path, size, lfs = line.get("path"), line.get("size"), line.get("lfs")
    steps = PurePosixPath(path).parts if isinstance(path, str) else ("/",)
    strays = {"..", "."} & {*steps} or path != "/".join(steps) or steps[:1] in ((), ("/",))
    if not isinstance(path, str) or strays or "\\" in path or "\0" in path:
        raise Misconfigured(
            "The hub lists a file outside the repository's folder.",
            code="unsafe_path",
            value=repr(path),
            remedy="Do not use this repository.",
        )
    if not isinstance(size, int) or size < 0:
        raise Misconfigured("The hub's listing gives a file no size.", value=path, remedy="Check the hub's address.")
    checksum = _SHA256.fullmatch(str(lfs.get("oid", "")).lower()) if isinstance(lfs, dict) else None
    return Remote(path, size, checksum[1] if checksum else None)


def _read(answer: Any, size: int) -> bytes:
    try:
        return bytes(answer.read(size))
    except (OSError, HTTPException) as error:
        raise _Broken(f"{type(error).__name__}: {error}") from error


def _continues(answer: Any, at: int) -> bool:
    span = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range") or "")
    return answer.status == 206 and span is not None and int(span[1]) == at


def _refusal(error: HTTPError, url: str) -> BucketlensError | _Broken:
    detail = error.headers.get("X-Error-Code") if error.headers else None
    said = f"{url}: HTTP {error.code}{f' ({detail})' if detail else ''}"
    if error.code in _PASSING:
        return _Broken(f"HTTP {error.code}", error.code)
    if error.code in (401, 403):
        return Misconfigured(
            "The hub does not show this repository to everybody.",
            code="hub_refused",
            value=said,
            remedy="Check its name. A private or gated one: download it with the hub's own client, then "
            "'bucketlens model add FOLDER'.",
        )
    if error.code in (404, 410):
        return NotFound(
            "The hub has no such repository, revision or file.",
            code="not_on_hub",
            value=said,
            remedy="Check REPO, --revision and --endpoint.",
        )
    return Misconfigured("The hub refuses the request.", code="hub_refused", value=said, remedy="Check --endpoint.")

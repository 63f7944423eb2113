"""GETs without botocore's share of them: it takes 2 ms of CPU to ask for a range, four times what the rest takes.

botocore makes the first GET and is watched while it signs: its address, region and credentials serve every GET after
that. These are signed here (AWS Signature Version 4 in a header; S3 API reference, "Authenticating requests: using the
Authorization header", read 2026-11) and sent by urllib3, as botocore's are. Whatever is answered but the bytes, or that
there are none, is left to botocore, which asks again: retries, redirects, proxies and errors have one home.
"""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, Timeout, connection_from_url
from urllib3.exceptions import HTTPError, SSLError

from bucketlens.store.protocol import Blob, ByteRange
from bucketlens.store.refusals import missing
from bucketlens.store.signature import ALGORITHM, scope_of, signature

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SIGNATURE = "s3v4"
"""What botocore calls this form of signature; directory buckets have another, and stay with botocore."""
_SIGNED = "UNSIGNED-PAYLOAD"
_NO_SUCH_KEY = b"<Code>NoSuchKey</Code>"
_KEEP_ALIVE = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]


@dataclass(frozen=True, slots=True)
class _Way:
    """How botocore reached the bucket: the address up to the key, and what it signed with."""

    base: str
    region: str
    service: str
    signer: Any
    pool: HTTPConnectionPool


class QuickReader:
    """GETs of the objects of one bucket, once botocore has made one. Threads may share it."""

    def __init__(self, client: S3Client) -> None:
        self._config: Any = client.meta.config
        self._asking = threading.local()
        self._way: _Way | None = None
        self._off = False
        client.meta.events.register("before-sign.s3.GetObject", self._watch)

    @property
    def ready(self) -> bool:
        """Whether ``get`` would make a request."""
        return self._way is not None

    def learn_from(self, key: str) -> None:
        """The next GET that botocore makes in this thread is for ``key`` in the bucket."""
        self._asking.key = key

    def get(self, key: str, span: ByteRange | None) -> Blob | None:
        """The object or a part of it, None when botocore must ask. Raises NotFound."""
        way = self._way
        if way is None:
            return None
        try:
            answer = self._send(way, key, span)
        except SSLError:
            self._off, self._way = True, None  # botocore may know of certificates that are not known here
            return None
        except HTTPError:
            return None
        if answer.status == (200 if span is None else 206):
            body, whole = answer.data, answer.headers.get("Content-Range", "").rpartition("/")[2]
            return Blob(body, answer.headers["ETag"], int(whole) if whole.isdecimal() else len(body))
        if answer.status == 404 and _NO_SUCH_KEY in answer.data:
            raise missing(key)
        return None

    def _send(self, way: _Way, key: str, span: ByteRange | None) -> BaseHTTPResponse:
        credentials = way.signer.get_auth_instance(way.service, way.region, _SIGNATURE).credentials
        url = way.base + _quoted(key)
        stated = {"host": urlsplit(url).netloc, "x-amz-content-sha256": _SIGNED}
        if span is not None:
            stated["range"] = f"bytes={span.start}-{span.end - 1}"
        if credentials.token:
            stated["x-amz-security-token"] = credentials.token
        headers = signed(url, stated, way.region, way.service, credentials, datetime.now(UTC))
        return way.pool.urlopen("GET", urlsplit(url).path, headers=headers, retries=False, decode_content=False)

    def _watch(self, request: Any, signature_version: str, **facts: Any) -> None:
        """botocore is about to sign a GET: if it is the one that was announced, its way is known."""
        key, self._asking.key = getattr(self._asking, "key", None), None
        address = request.url.partition("?")[0]
        if key is None or self._off or signature_version != _SIGNATURE or not address.endswith("/" + _quoted(key)):
            return
        if get_environ_proxies(address):
            return
        base = address.removesuffix(_quoted(key))
        if self._way is None or self._way.base != base:
            self._way = _Way(
                base, facts["region_name"], facts["signing_name"], facts["request_signer"], self._pool(base)
            )

    def _pool(self, base: str) -> HTTPConnectionPool:
        trusted = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE") or get_cert_path(True)
        secure = {"cert_reqs": "CERT_REQUIRED", "ca_certs": trusted} if base.startswith("https:") else {}
        return connection_from_url(
            base,
            maxsize=self._config.max_pool_connections,
            timeout=Timeout(self._config.connect_timeout, self._config.read_timeout),
            socket_options=_KEEP_ALIVE,
            **secure,
        )


def signed(
    url: str, stated: dict[str, str], region: str, service: str, credentials: Any, at: datetime
) -> dict[str, str]:
    """The headers ``stated`` (names in lower case) with a signature for a GET without a query at ``at`` (UTC)."""
    stamp = at.strftime("%Y%m%dT%H%M%SZ")
    scope = scope_of(stamp, region, service)
    headers = {**stated, "x-amz-date": stamp}
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    names = ";".join(sorted(headers))
    canonical = f"GET\n{urlsplit(url).path}\n\n{lines}\n{names}\n{_SIGNED}"
    proof = signature(canonical, stamp, scope, credentials.secret_key)
    headers["authorization"] = (
        f"{ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={proof}"
    )
    return headers


def _quoted(key: str) -> str:
    return quote(key, safe="/~")

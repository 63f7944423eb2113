"""Presigned GET URLs, signed here: botocore makes them from scratch, half a millisecond each, and an answer holds many.

The signature is AWS Signature Version 4 in the query string (S3 API reference, "Authenticating requests: using query
parameters", read 2026-11). Address, region and credentials are those of the client.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlsplit

from bucketlens.store.signature import ALGORITHM, scope_of, signature

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


_PROBE = "probe"
_SIGNATURE = "s3v4-query"
"""What botocore calls this form of signature; directory buckets and some stores have others, which it makes itself."""


class _Credentials(Protocol):
    access_key: str
    secret_key: str
    token: str | None


@dataclass(frozen=True, slots=True)
class _Plan:
    """How botocore signs for one bucket. ``base`` is the address up to the key, of ``host`` and ``path``; ``signer``
    is botocore's own."""

    base: str
    host: str
    path: str
    region: str
    service: str
    signer: Any

    def credentials(self) -> _Credentials:
        """As they are now: botocore renews them before they expire."""
        auth = self.signer.get_auth_instance(self.service, self.region, _SIGNATURE)
        credentials: _Credentials = auth.credentials
        return credentials


class Presigner:
    """URLs of the objects of one bucket. Threads may share it, as they may the client."""

    def __init__(self, bucket: str, client: S3Client) -> None:
        self._bucket = bucket
        self._client = client
        self._known: list[_Plan | None] = []

    def url(self, key: str, *, seconds: int, at: datetime) -> str:
        """A URL that gets the object for ``seconds`` from the moment ``at`` (UTC). Raises what botocore raises."""
        if not self._known:
            self._known = [self._learn()]
        plan = self._known[0]
        return self._by_botocore(key, seconds) if plan is None else _signed(plan, key, seconds, at)

    def _by_botocore(self, key: str, seconds: int) -> str:
        return self._client.generate_presigned_url(
            "get_object", Params={"Bucket": self._bucket, "Key": key}, ExpiresIn=seconds
        )

    def _learn(self) -> _Plan | None:
        """Watch botocore sign one URL. None when it signs in another form than this module's."""
        seen: list[dict[str, Any]] = []

        def watch(**facts: Any) -> None:
            seen.append(facts)

        self._client.meta.events.register("before-sign.s3.GetObject", watch)
        try:
            url = self._by_botocore(_PROBE, 60)
        finally:
            self._client.meta.events.unregister("before-sign.s3.GetObject", watch)
        address = url.partition("?")[0]
        made = next((facts for facts in seen if facts["request"].url.partition("?")[0] == address), None)
        if made is None or made["signature_version"] != _SIGNATURE or not address.endswith("/" + _PROBE):
            return None
        if "&X-Amz-Expires=60&X-Amz-SignedHeaders=host&" not in url:
            return None
        base, parts = address.removesuffix(_PROBE), urlsplit(address)
        path = parts.path.removesuffix(_PROBE)
        return _Plan(base, parts.netloc, path, made["region_name"], made["signing_name"], made["request_signer"])


def _signed(plan: _Plan, key: str, seconds: int, at: datetime) -> str:
    credentials = plan.credentials()
    stamp = at.strftime("%Y%m%dT%H%M%SZ")
    scope = scope_of(stamp, plan.region, plan.service)
    stated, canonical = _queries(credentials.access_key, credentials.token, scope, stamp, seconds)
    key = quote(key, safe="/~")
    request = f"GET\n{plan.path}{key}\n{canonical}\nhost:{plan.host}\n\nhost\nUNSIGNED-PAYLOAD"
    proof = signature(request, stamp, scope, credentials.secret_key)
    return f"{plan.base}{key}?{stated}&X-Amz-Signature={proof}"


@lru_cache(maxsize=8)
def _queries(access_key: str, token: str | None, scope: str, stamp: str, seconds: int) -> tuple[str, str]:
    """What all URLs of one second state, in botocore's order, and sorted for signing."""
    stated = {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{access_key}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
    } | ({"X-Amz-Security-Token": token} if token is not None else {})
    encoded = [f"{name}={quote(value, safe='~')}" for name, value in stated.items()]
    return "&".join(encoded), "&".join(sorted(encoded))

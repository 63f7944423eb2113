"""AWS Signature Version 4, the steps that every request shares (S3 API Reference, "Authenticating Requests")."""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache

ALGORITHM = "AWS4-HMAC-SHA256"


def scope_of(stamp: str, region: str, service: str) -> str:
    """What a signature of this time (``20261122T181500Z``) is good for."""
    return f"{stamp[:8]}/{region}/{service}/aws4_request"


def signature(canonical: str, stamp: str, scope: str, secret: str) -> str:
    """The signature of a canonical request, in hexadecimal. Keys of the last few scopes are remembered."""
    said = f"{ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    return _hmac(_signing_key(secret, scope), said).hex()


@lru_cache(maxsize=8)
def _signing_key(secret: str, scope: str) -> bytes:
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")

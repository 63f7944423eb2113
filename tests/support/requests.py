"""HTTP events as API Gateway sends them, and what is made of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import strategies as st

from bucketlens.edge.http import Search, parse_request
from bucketlens.errors import BucketlensError
from bucketlens.queries import Query

SEARCH = "/collections/default/search"


def event(
    method: str,
    path: str,
    *,
    query: str = "",
    body: object = None,
    content_type: str = "",
    encoded: bool = False,
    **extra: Any,
) -> dict[str, Any]:
    context = {"http": {"method": method, "path": path}, "stage": extra.pop("stage", "$default")}
    headers = {"Content-Type": content_type} if content_type else {}
    return {
        "rawPath": path, "rawQueryString": query, "headers": headers, "requestContext": context, "body": body,
        "isBase64Encoded": encoded, **extra,
    }  # fmt: skip


def asked(body: Mapping[str, object]) -> Query:
    call = parse_request(event("POST", SEARCH, body=json.dumps(body)))
    assert isinstance(call, Search)
    return call.query


def asked_by_get(query: str) -> Query:
    call = parse_request(event("GET", SEARCH, query=query))
    assert isinstance(call, Search)
    return call.query


def uploaded(body: bytes, content_type: str = "image/jpeg", query: str = "") -> Query:
    text = base64.b64encode(body).decode()
    path = f"{SEARCH}/image"
    call = parse_request(event("POST", path, query=query, body=text, content_type=content_type, encoded=True))
    assert isinstance(call, Search)
    return call.query


def refusal(event: Mapping[str, object]) -> BucketlensError:
    with pytest.raises(BucketlensError) as refused:
        parse_request(event)
    assert refused.value.remedy
    return refused.value


def form(*parts: bytes) -> bytes:
    return b"".join(b"--xyz\r\n" + part + b"\r\n" for part in parts) + b"--xyz--\r\n"


FILE = b'Content-Disposition: form-data; name="f"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
FORM = "multipart/form-data; boundary=xyz"

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)

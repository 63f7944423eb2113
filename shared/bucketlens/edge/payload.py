"""Payload format 2.0 (HTTP APIs and function URLs) unpacked once: method, path, parameters, body."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from bucketlens.errors import InvalidRequest

MAX_BODY = 6 * 1024 * 1024
"""Bytes of a request body as it arrives and of a whole response: Lambda's payload limit (2026-11)."""
MAX_PARAMETERS = 100
"""Parameters of a query string."""

_ENCODED_PATH = re.compile(r"(?:[A-Za-z0-9/._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*")


@dataclass(frozen=True, slots=True)
class Payload:
    """One HTTP request. ``path`` is decoded and without stage, ``key`` the greedy path parameter or empty.

    ``binary`` says that the body arrived in base64: other bodies went through text, which destroys images.
    """

    method: str
    path: str
    key: str
    parameters: Mapping[str, str]
    content_type: str
    body: bytes
    binary: bool


def unpack(event: Mapping[str, object]) -> Payload:
    """The request inside an event. Raises InvalidRequest for an event, path, query string or body that cannot be read.

    A stage other than ``$default`` is stripped from the path. HTTP APIs deliver ``rawPath`` decoded, function URLs
    encoded (2026-09): a path that could be an encoded one is decoded. Path parameters arrive decoded in any case.
    """
    context = _mapping(event, "requestContext")
    key = _mapping(event, "pathParameters").get("key")
    headers = _mapping(event, "headers")
    return Payload(
        method=_text(_mapping(context, "http"), "method").upper(),
        path=_path(_text(event, "rawPath"), context.get("stage")),
        key=key if isinstance(key, str) else "",
        parameters=_parameters(event),
        content_type=next((str(text) for name, text in headers.items() if str(name).lower() == "content-type"), ""),
        body=_body(event),
        binary=event.get("isBase64Encoded") is True,
    )


def _path(path: str, stage: object) -> str:
    if isinstance(stage, str) and stage != "$default" and f"{path}/".startswith(f"/{stage}/"):
        path = path[len(stage) + 1 :]
    if not _ENCODED_PATH.fullmatch(path):
        return path
    try:
        return unquote(path, errors="strict")
    except UnicodeDecodeError as error:
        raise _malformed("The path is not UTF-8.", path, "Percent-encode the path as UTF-8.") from error


def _parameters(event: Mapping[str, object]) -> dict[str, str]:
    """Each parameter once. The raw string goes first: the decoded form joins repeated parameters by commas."""
    raw = event.get("rawQueryString")
    if not isinstance(raw, str) or not raw:
        decoded = _mapping(event, "queryStringParameters")
        return {name: text for name, text in decoded.items() if isinstance(text, str)}
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except ValueError as error:
        raise _malformed("The query string cannot be decoded.", raw, "Percent-encode it as UTF-8.") from error
    found: dict[str, str] = {}
    for name, text in pairs:
        if name in found:
            raise _malformed("This parameter is given more than once.", name, "Give it once.")
        found[name] = text
    return found


def _body(event: Mapping[str, object]) -> bytes:
    body = event.get("body") or ""
    if not isinstance(body, str):
        raise _malformed("The body is not text.", type(body).__name__, "Send payload format 2.0.")
    if len(body) > MAX_BODY:
        raise InvalidRequest(
            "The request is too large.",
            code="too_large",
            value=f"{len(body)} characters",
            remedy="Send a smaller image, or upload it to the bucket and search by key.",
        )
    try:
        return base64.b64decode(body, validate=True) if event.get("isBase64Encoded") is True else body.encode()
    except (binascii.Error, ValueError) as error:
        raise _malformed("The body cannot be decoded.", None, "Send valid base64, or UTF-8 text.") from error


def _mapping(owner: Mapping[str, object], name: str) -> Mapping[str, object]:
    """The named object; absent and null count as empty."""
    found = owner.get(name)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise _malformed(f"{name} is not an object.", type(found).__name__, "Send payload format 2.0.")
    return found


def _text(owner: Mapping[str, object], name: str) -> str:
    found = owner.get(name)
    if not isinstance(found, str):
        raise _malformed(f"The event has no {name}.", None, "Send payload format 2.0.")
    return found


def _malformed(message: str, value: object, remedy: str) -> InvalidRequest:
    return InvalidRequest(message, value=value, remedy=remedy)

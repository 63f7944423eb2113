"""HTTP API events (payload format 2.0) become calls, and answers become responses. Status codes live here only.

GET  /health                                       Health
GET  /collections                                  ListCollections
GET  /collections/{collection}                     DescribeCollection
GET  /collections/{collection}/images/{key+}       GetImage       ?consistency=
GET  /collections/{collection}/search              Search         ?q= | ?key=, and options
POST /collections/{collection}/search              Search         JSON body
POST /collections/{collection}/search/image        Search         image body, options in the query string
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from enum import Enum

from bucketlens.edge import requests
from bucketlens.edge.payload import MAX_BODY, Payload, unpack
from bucketlens.errors import (
    BucketlensError,
    Conflict,
    Exists,
    InvalidRequest,
    NotFound,
    Rejected,
    Retryable,
    UnreadableObject,
)
from bucketlens.keys import check_collection
from bucketlens.queries import Query

RETRY_AFTER_S = 1
"""What a client is told to wait after a 503, seconds."""

_EXCUSES = {
    500: {
        "message": "Something is wrong on our side.",
        "value": None,
        "remedy": "Tell the operator this request id: the logs know more.",
    },
    503: {"message": "The index cannot be reached right now.", "value": None, "remedy": "Try again."},
}


@dataclass(frozen=True, slots=True)
class Search:
    """Search a collection."""

    query: Query


@dataclass(frozen=True, slots=True)
class ListCollections:
    """Which collections there are."""


@dataclass(frozen=True, slots=True)
class DescribeCollection:
    """What a collection holds."""

    collection: str


@dataclass(frozen=True, slots=True)
class GetImage:
    """What the index knows about one key; ``strong`` as in ``Query``."""

    collection: str
    key: str
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the function works at all."""


Call = Search | ListCollections | DescribeCollection | GetImage | Health


class MethodNotAllowed(InvalidRequest):
    """The address exists, the method does not. ``allow`` lists the methods that do."""

    default_code = "method_not_allowed"

    def __init__(self, method: str, allow: tuple[str, ...]) -> None:
        super().__init__("This address has no such method.", value=method, remedy=f"Use {' or '.join(allow)}.")
        self.allow = allow


def parse_request(event: Mapping[str, object]) -> Call:
    """The call an event stands for. Raises InvalidRequest (also MethodNotAllowed) and NotFound, nothing else.

    Keys keep slashes and plus signs. One with a literal ``%41`` is only safe where the route declares ``{key+}``: see
    ``payload.unpack``.
    """
    try:
        return _route(unpack(event))
    except RecursionError as error:
        raise InvalidRequest("The request is nested too deeply.", code="bad_json", remedy="Flatten it.") from error


def answer(status: int, body: Mapping[str, object]) -> dict[str, object]:
    """A response in payload format 2.0: JSON, not to be cached.

    Numbers that are not finite become null, datetimes ISO text, dataclasses objects. Raises InvalidRequest
    (``answer_too_large``) when that exceeds MAX_BODY as Lambda sends it, and TypeError for what has no JSON form.
    """
    encoded = _json(body)
    response = _response(status, encoded, {})
    # Lambda sends the response as JSON itself: a quote or backslash of the body is two bytes there.
    size = len(encoded) if 3 * len(encoded) < MAX_BODY else len(json.dumps(response, ensure_ascii=False).encode())
    if size > MAX_BODY:
        raise InvalidRequest(
            "The answer is larger than a function may return.",
            code="answer_too_large",
            value=f"{size} bytes",
            remedy="Ask for a smaller k, or list the fields you need.",
        )
    return response


def failure(error: BaseException, request_id: str) -> dict[str, object]:
    """The response to an error. What the caller cannot change (5xx) is told without details. Never raises."""
    status = _status(error)
    told: dict[str, object] = {"code": "internal", **_EXCUSES[503 if status == 503 else 500], "request_id": request_id}
    if isinstance(error, BucketlensError):
        told["code"] = error.code
        if status < 500:
            told |= {"message": error.message, "value": error.value, "remedy": error.remedy}
    extra = {"retry-after": str(RETRY_AFTER_S)} if status == 503 else {}
    if isinstance(error, MethodNotAllowed):
        extra["allow"] = ", ".join(error.allow)
    return _response(status, _json({"error": told}), extra)


def _status(error: BaseException) -> int:
    match error:
        case MethodNotAllowed():
            return 405
        case InvalidRequest(code="too_large"):
            return 413
        case UnreadableObject():
            return 422
        case Rejected():
            return 400
        case NotFound():
            return 404
        case Conflict() | Exists():
            return 409
        case Retryable():
            return 503
    return 500


def _route(payload: Payload) -> Call:
    match payload.path.split("/", 4):
        case ["", "health"]:
            return _only_get(payload, Health())
        case ["", "collections"] | ["", "collections", ""]:
            return _only_get(payload, ListCollections())
        case ["", "collections", collection] | ["", "collections", collection, ""]:
            return _only_get(payload, DescribeCollection(check_collection(collection)))
        case ["", "collections", collection, "images", key] if key:
            return _image(payload, check_collection(collection), payload.key or key)
        case ["", "collections", collection, "search"] | ["", "collections", collection, "search", ""]:
            return Search(_search(payload, check_collection(collection)))
        case ["", "collections", collection, "search", "image"]:
            return Search(_search_image(payload, check_collection(collection)))
    raise NotFound(
        "There is nothing at this address.",
        code="unknown_route",
        value=payload.path,
        remedy="Use /health, /collections, /collections/{name}, and below it /search, /search/image, /images/{key}.",
    )


def _search(payload: Payload, collection: str) -> Query:
    _allow(payload, "GET", "POST")
    if payload.method == "GET":
        return requests.from_parameters(collection, payload.parameters)
    requests.check_names(payload.parameters, (), "parameter of POST")
    return requests.from_json(collection, payload.body)


def _search_image(payload: Payload, collection: str) -> Query:
    _allow(payload, "POST")
    if payload.body and not payload.binary:
        raise InvalidRequest(
            "The image arrived as text, which destroys it.",
            value=payload.content_type,
            remedy="Send a binary content-type, such as image/jpeg or multipart/form-data.",
        )
    return requests.from_upload(collection, payload.parameters, payload.body, payload.content_type)


def _image(payload: Payload, collection: str, key: str) -> GetImage:
    _allow(payload, "GET")
    requests.check_names(payload.parameters, ("consistency",), "parameter")
    strong = requests.check_consistency(payload.parameters.get("consistency") or None)
    return GetImage(collection, requests.check_key(key), strong)


def _only_get(payload: Payload, call: Call) -> Call:
    _allow(payload, "GET")
    return call


def _allow(payload: Payload, *methods: str) -> None:
    if payload.method not in methods:
        raise MethodNotAllowed(payload.method, methods)


def _response(status: int, body: bytes, extra: Mapping[str, str]) -> dict[str, object]:
    headers = {"content-type": "application/json; charset=utf-8", "cache-control": "no-store", **extra}
    return {"statusCode": status, "headers": headers, "body": body.decode(), "isBase64Encoded": False}


def _json(body: Mapping[str, object]) -> bytes:
    try:
        text = _written(body)
    except (TypeError, ValueError):  # something json.dumps does not know, or a number that is not finite
        text = _written(_plain(body))
    return text.encode("utf-8", "replace")  # an echoed lone surrogate must not fail the answer


def _written(body: object) -> str:
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _plain(value: object) -> object:
    """The value as json.dumps accepts it."""
    match value:
        case None | str() | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case datetime():
            return value.isoformat()
        case Enum():
            return _plain(value.value)
        case Mapping():
            return {str(name): _plain(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case set() | frozenset():
            return sorted(map(str, value))
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return _plain(value.tolist())
    raise TypeError(f"{type(value).__name__} has no JSON form")

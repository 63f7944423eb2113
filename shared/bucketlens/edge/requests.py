"""Search requests in their three spellings (JSON body, query string, uploaded image) become one ``Query``.

Every function raises InvalidRequest for what it cannot accept, and nothing else, whatever the bytes.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from email.message import Message
from email.parser import BytesParser
from typing import NoReturn

from bucketlens import filters
from bucketlens.errors import InvalidRequest
from bucketlens.keys import check_collection
from bucketlens.queries import MAX_K, ByImage, ByKey, ByText, ByVector, Query, Subject

MAX_TEXT = 2_000
"""Characters of a query text."""
MAX_KEY = 1_024
"""Bytes of an object key in UTF-8 (S3's limit)."""
MAX_COMPONENTS = 4_096
"""Components of a query vector."""
MAX_FIELDS = 1_000
"""Field names that one request may list."""

_SUBJECTS = ("text", "image", "key", "vector")
_OPTIONS = ("filter", "k", "min_score", "fields", "consistency", "exact", "explain")
_LENGTHS = (1e-15, 1e15)


def from_json(collection: str, body: bytes) -> Query:
    """The search that a JSON body asks for: one of text, image (base64), key and vector, and options."""
    document = read_json(body, "The body")
    if not isinstance(document, dict):
        raise _bad("The body must be a JSON object.", type(document).__name__, 'Write {"text": "..."}.')
    check_names(document, (*_SUBJECTS, *_OPTIONS), "field")
    given = {name: value for name, value in document.items() if value is not None}
    subjects = [name for name in _SUBJECTS if name in given]
    if len(subjects) != 1:
        raise _bad("A search has exactly one subject.", ", ".join(subjects), "Give text, image, key or vector.")
    return _query(collection, _subject(subjects[0], given[subjects[0]]), given)


def from_parameters(collection: str, parameters: Mapping[str, str]) -> Query:
    """The search that a query string asks for: ``q`` or ``key``, and options. Blank options count as absent."""
    check_names(parameters, ("q", "key", *_OPTIONS), "parameter")
    if ("q" in parameters) is ("key" in parameters):
        raise _bad("A search has exactly one subject.", None, "Give q=words or key=object-key.")
    subject = ByText(_words(parameters["q"])) if "q" in parameters else ByKey(check_key(parameters["key"]))
    return _query(collection, subject, _options(parameters))


def from_upload(collection: str, parameters: Mapping[str, str], body: bytes, content_type: str) -> Query:
    """The search for images like the uploaded one: the body itself, or the one file of a multipart form."""
    check_names(parameters, _OPTIONS, "parameter")
    kind = content_type.split(";")[0].strip().lower()
    if kind == "application/json":
        raise _bad("This address takes the bytes of an image.", kind, "Send JSON to .../search instead.")
    image = _only_file(body, content_type) if kind == "multipart/form-data" else body
    if not image:
        raise _bad("The image is empty.", None, "Send the bytes of an image file.")
    return _query(collection, ByImage(image), _options(parameters))


def read_json(text: bytes | str, what: str) -> object:
    """Decoded JSON. No NaN or Infinity, no name twice in an object, nesting within what the parser can hold."""
    try:
        if isinstance(text, bytes):
            text = text.decode()
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_once)
    except RecursionError as error:
        raise _bad(f"{what} is nested too deeply.", None, "Flatten it.", code="bad_json") from error
    except ValueError as error:
        raise _bad(f"{what} is not JSON: {error}.", None, "Send JSON in UTF-8.", code="bad_json") from error


def check_names(given: Collection[str], known: Collection[str], what: str) -> None:
    """Refuses names that are not known, suggesting the nearest."""
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"Did you mean {near[0]}? " if near else ""
            options = f"Known are {', '.join(known)}." if known else "Put options into the body."
            raise _bad(f"This {what} is not known.", name, f"{hint}{options}")


def check_key(key: object) -> str:
    """The key itself, when it can be an object's."""
    if not isinstance(key, str) or not 1 <= len(_utf8(key, "key")) <= MAX_KEY:
        raise _bad("This is not an object key.", key, f"Give the full key, 1 to {MAX_KEY:,} bytes in UTF-8.")
    return key


def check_consistency(value: object) -> bool:
    """Whether ``strong`` consistency is asked for; absence (None) means eventual."""
    if value not in (None, "strong", "eventual"):
        raise _bad("This is not a consistency.", value, 'Use "strong" or "eventual".')
    return value == "strong"


def _subject(name: str, value: object) -> Subject:
    match name:
        case "text":
            return ByText(_words(value))
        case "image":
            return ByImage(_image(value))
        case "key":
            return ByKey(check_key(value))
    return ByVector(_vector(value))


def _query(collection: str, subject: Subject, options: Mapping[str, object]) -> Query:
    return Query(
        collection=check_collection(collection),
        subject=subject,
        filter=filters.parse(options.get("filter", {})),
        k=_k(options.get("k", 10)),
        min_score=_min_score(options.get("min_score")),
        fields=_fields(options.get("fields")),
        strong=check_consistency(options.get("consistency")),
        exact=_flag("exact", options),
        explain=_flag("explain", options),
    )


def _flag(name: str, options: Mapping[str, object]) -> bool:
    value = options.get(name, False)
    if not isinstance(value, bool):
        raise _bad(f"{name} must be true or false.", value, "Leave it out for false.")
    return value


def _options(parameters: Mapping[str, str]) -> dict[str, object]:
    """The options of a query string with the types they have in JSON."""
    options: dict[str, object] = {name: text for name, text in parameters.items() if text and name in _OPTIONS}
    for name, text in parameters.items():
        match name:
            case "filter" if text:
                options[name] = read_json(text, "The filter")
            case "fields" if text:
                options[name] = text.split(",")
            case "k" if re.fullmatch("[0-9]{1,9}", text):
                options[name] = int(text)
            case "min_score" if re.fullmatch(r"-?[0-9]{1,9}(\.[0-9]{1,20})?", text):
                options[name] = float(text)
            case "exact" | "explain" if text in ("true", "false"):
                options[name] = text == "true"
    return options


def _words(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _bad("The query text is empty or no text.", value, "Say in words what the images show.")
    if len(value) > MAX_TEXT:
        raise _bad("The query text is too long.", value, f"Use at most {MAX_TEXT:,} characters.")
    _utf8(value, "query text")
    return value


def _image(value: object) -> bytes:
    if isinstance(value, str) and value:
        encoded = value.partition(",")[2] if value[:5].lower() == "data:" else value
        try:
            image = base64.b64decode("".join(encoded.split()), validate=True)
        except (binascii.Error, ValueError):
            image = b""
        if image:
            return image
    raise _bad(
        "image is not base64.", value, "Send the bytes of an image file in base64, or as the body of .../search/image."
    )


def _vector(value: object) -> tuple[float, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_COMPONENTS:
        raise _bad("vector is not a list of numbers.", value, f"Send 1 to {MAX_COMPONENTS:,} numbers.")
    plain = set(map(type, value)) == {float} and math.hypot(*value) <= _LENGTHS[1]  # most are: a quick look
    vector = tuple(value) if plain else tuple(_finite(component, "a component of the vector") for component in value)
    if not _LENGTHS[0] <= math.hypot(*vector) <= _LENGTHS[1]:
        raise _bad("The vector has no direction.", math.hypot(*vector), "Send a vector of about unit length.")
    return vector


def _k(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_K:
        raise _bad("This is not a number of hits.", value, f"Let k be a whole number from 1 to {MAX_K:,}.")
    return value


def _min_score(value: object) -> float | None:
    if value is None:
        return None
    score = _finite(value, "min_score")
    if not -1 <= score <= 1:
        raise _bad("min_score is not a cosine.", value, "Use a number from -1 to 1.")
    return score


def _fields(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > MAX_FIELDS or not all(isinstance(name, str) for name in value):
        raise _bad("fields is not a list of names.", value, f"Send at most {MAX_FIELDS:,} metadata names.")
    return tuple(dict.fromkeys(value))


def _finite(value: object, what: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
        return float(value)
    raise _bad(f"This is no finite number for {what}.", value, "Send a number such as 0.25.")


def _only_file(body: bytes, content_type: str) -> bytes:
    header = " ".join(content_type.split()).encode("ascii", "replace")
    try:
        form = BytesParser().parsebytes(b"Content-Type: " + header + b"\r\nMIME-Version: 1.0\r\n\r\n" + body)
        parts = form.get_payload() if form.is_multipart() else []
        files = [part for part in parts if isinstance(part, Message) and part.get_filename() is not None]
        image = files[0].get_payload(decode=True) if len(files) == len(parts) == 1 else None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _bad("The form cannot be read.", content_type, "Send multipart/form-data with one file.") from error
    if not isinstance(image, bytes):
        raise _bad("The form must hold one file and nothing else.", len(parts), "Put options into the query string.")
    return image


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _bad("This name is given more than once.", twice, "Give it once.")
    return found


def _no_constant(name: str) -> NoReturn:
    raise _bad("This is not a JSON number.", name, "Use finite numbers.", code="bad_json")


def _utf8(text: str, what: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise _bad(f"The {what} is not Unicode text.", ascii(text), "Remove unpaired surrogates.") from error


def _bad(message: str, value: object, remedy: str, code: str | None = None) -> InvalidRequest:
    return InvalidRequest(message, code=code, value=value, remedy=remedy)

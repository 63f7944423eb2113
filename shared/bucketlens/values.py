"""Outside text and JSON become metadata values, and text that is an ISO date becomes an instant.

Metadata has four types: bool, number (an IEEE double, as in JSON), text, and list of text. A date is text that
``as_instant`` understands: it keeps its spelling, and compares as the instant it names.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime

from bucketlens.errors import Rejected
from bucketlens.records import Metadata, Value

MAX_EXACT_INT = 2**53
"""Whole numbers up to this magnitude are exact as doubles; larger ones are kept as text."""
MAX_DEPTH = 20
"""Levels of objects and lists in a sidecar."""
MAX_FIELDS = 1_000
"""Fields of one image."""
MAX_NAME = 512
"""Characters of a (dotted) field name."""
MAX_TEXT = 65_536
"""Characters of one text, and of a list's texts together."""
MAX_LIST = 1_000
"""Elements of one list."""

_WHOLE = re.compile(r"0|-?[1-9][0-9]*")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+")
_EXPONENT = re.compile(r"-?[0-9](?:\.[0-9]+)?e[+-][0-9]+")
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)


def recognise(text: str) -> Value:
    """The value a header's text stands for.

    ``true`` and ``false`` are bools. A plain decimal without superfluous leading zeros (``12``, ``-0.50``) is a number,
    and so is the shortest exponent form of a double (``1e-07``). Everything else is text as it stands: ``007``, ``+1``,
    ``1e5``, ``1e400``, whole numbers beyond 2**53, dates. Lone surrogates become U+FFFD. Never raises.
    """
    if text in ("true", "false"):
        return text == "true"
    if len(text) <= 40:
        if _WHOLE.fullmatch(text) and abs(int(text)) <= MAX_EXACT_INT:
            return int(text)
        if _DECIMAL.fullmatch(text) and abs(float(text)) <= MAX_EXACT_INT:
            return float(text)
        if _EXPONENT.fullmatch(text) and repr(float(text)) == text:
            return float(text)
    return _clean(text)


def as_instant(text: str) -> datetime | None:
    """The instant (UTC, microseconds) that an ISO 8601 date or datetime names, or None for any other text.

    Only the extended form counts: ``2024-05-01``, ``2024-05-01T10:30``, ``2024-05-01 10:30:00.25+02:00``, ``...Z``. A
    date alone is its midnight in UTC, a datetime without offset is UTC, digits beyond microseconds are cut.
    """
    if len(text) < 10 or text[4] != "-" or not _DATE.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def as_stored(value: str | float | int | bool | datetime) -> str | float | bool:
    """The same value as one of the three stored scalar types: every comparison and every column sees it so.

    A number is its nearest double, a whole number beyond 2**53 its digits as text, a datetime its ISO text in UTC
    (naive means UTC).
    """
    if isinstance(value, bool | str):
        return value
    if isinstance(value, datetime):
        try:
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
        except OverflowError:  # an offset carries it out of the years 1 to 9999
            return value.isoformat()
    return str(value) if isinstance(value, int) and abs(value) > MAX_EXACT_INT else float(value)


def flatten(document: object) -> Metadata:
    """The metadata of a sidecar's decoded JSON.

    Nested objects become dotted names (on a clash the later one wins). Lists become lists of text: strings as they are,
    everything else as its JSON text. Nulls are left out, also inside lists; empty objects vanish, empty lists stay.
    Whole numbers beyond 2**53 and numbers JSON cannot hold become text. Lone surrogates become U+FFFD.
    Raises Rejected (``bad_metadata``) when the document is not an object or passes a limit of this module.
    """
    if not isinstance(document, dict):
        raise _rejected("Metadata must be a JSON object.", type(document).__name__, 'Write {"name": value, ...}.')
    found: dict[str, Value] = {}
    _collect(document, "", 1, found)
    return found


def _collect(document: dict[object, object], prefix: str, depth: int, found: dict[str, Value]) -> None:
    if depth > MAX_DEPTH:
        raise _rejected("The metadata is nested too deeply.", prefix, f"Use at most {MAX_DEPTH} levels.")
    for key, item in document.items():
        name = f"{prefix}{_clean(str(key))}"
        if len(name) > MAX_NAME:
            raise _rejected("A metadata field's name is too long.", name, f"Use at most {MAX_NAME} characters.")
        if isinstance(item, dict):
            _collect(item, f"{name}.", depth + 1, found)
        elif item is not None:
            found[name] = _listed(item, name, depth) if isinstance(item, list | tuple) else _scalar(item, name)
        if len(found) > MAX_FIELDS:
            raise _rejected("The metadata has too many fields.", len(found), f"Use at most {MAX_FIELDS:,} fields.")


def _listed(items: list[object] | tuple[object, ...], name: str, depth: int) -> list[str]:
    if len(items) > MAX_LIST:
        raise _rejected("A metadata list is too long.", name, f"Use at most {MAX_LIST:,} elements.")
    texts = [_text(item, name, depth + 1) for item in items if item is not None]
    if sum(map(len, texts)) > MAX_TEXT:
        raise _rejected("A metadata list holds too much text.", name, f"Use at most {MAX_TEXT:,} characters.")
    return texts


def _scalar(item: object, name: str) -> Value:
    if isinstance(item, bool):
        return item
    if isinstance(item, int) and abs(item) <= MAX_EXACT_INT:
        return item
    if isinstance(item, float) and math.isfinite(item):
        return item
    text = _text(item, name, 1)
    if len(text) > MAX_TEXT:
        raise _rejected("A metadata text is too long.", name, f"Use at most {MAX_TEXT:,} characters.")
    return text


def _text(item: object, name: str, depth: int) -> str:
    if isinstance(item, str):
        return _clean(item)
    if _depth(item) + depth > MAX_DEPTH:
        raise _rejected("The metadata is nested too deeply.", name, f"Use at most {MAX_DEPTH} levels.")
    try:
        return _clean(json.dumps(item, ensure_ascii=False))
    except (TypeError, ValueError) as error:
        raise _rejected("A metadata value is not JSON.", name, "Use what JSON can hold.") from error


def _depth(item: object) -> int:
    """Levels of containers in ``item``, breadth first so that no depth exhausts the stack; stops past the limit."""
    levels, layer = 0, [item]
    while levels <= MAX_DEPTH:
        inner: list[object] = []
        containers = False
        for one in layer:
            if isinstance(one, dict):
                containers = True
                inner.extend(one.values())
            elif isinstance(one, list | tuple):
                containers = True
                inner.extend(one)
        if not containers:
            break
        levels, layer = levels + 1, inner
    return levels


def _clean(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _rejected(message: str, value: object, remedy: str) -> Rejected:
    return Rejected(message, code="bad_metadata", value=value, remedy=remedy)

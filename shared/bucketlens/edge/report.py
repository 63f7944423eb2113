"""The canonical log line: one JSON object per invocation, printed by the handler."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from bucketlens.errors import BucketlensError

MAX_TEXT = 500
"""Characters of one text in the log; the rest is cut."""
MAX_ITEMS = 50
"""Elements of one list or object in the log; the rest is counted."""

_SECRET_NAME = re.compile(
    r"(?i)authori[sz]ation|cookie|password|secret|token$|credential|signature|^body$|^url$|api.?key"
)
_SIGNED = re.compile(r"(?i)([?&](?:x-amz-(?:signature|credential|security-token)|signature|awsaccesskeyid)=)[^&\s\"']+")
_DEPTH = 6


def log_line(**facts: object) -> str:
    """The facts as one line of JSON in the order given; facts that are None are left out. Never raises, for any facts.

    Values of names that sound secret are replaced by "(redacted)", and so are the signatures of presigned URLs; bytes
    become their size, long texts and lists are cut, errors become their type, code and message.
    """
    shown = {name: _shown(name, value, _DEPTH) for name, value in facts.items() if value is not None}
    return json.dumps(shown, allow_nan=False, separators=(",", ":"))


def _shown(name: str, value: object, depth: int) -> object:
    if _SECRET_NAME.search(name):
        return "(redacted)"
    match value:
        case Enum():
            return _shown(name, value.value, depth)
        case BucketlensError():
            facts = {"type": type(value).__name__, "code": value.code, "message": value.message, "value": value.value}
            return _cut_object(facts, depth)
        case BaseException():
            return {"type": type(value).__name__, "message": _cut(_described(value))}
        case Mapping() if depth:
            return _cut_object(value, depth - 1)
        case list() | tuple() if depth:
            shown = [_shown("", item, depth - 1) for item in value[:MAX_ITEMS]]
            return [*shown, f"({len(value) - MAX_ITEMS} more)"] if len(value) > MAX_ITEMS else shown
    return _scalar(value)


def _scalar(value: object) -> object:
    match value:
        case None | bool():
            return value
        case int():
            return value if abs(value) < 2**63 else _described(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case bytes() | bytearray():
            return f"({len(value)} bytes)"
        case datetime():
            return value.isoformat()
    return _cut(value if isinstance(value, str) else _described(value))


def _cut_object(value: Mapping[Any, object], depth: int) -> dict[str, object]:
    names = list(value)[:MAX_ITEMS]
    shown = {_cut(str(name)): _shown(str(name), value[name], depth) for name in names}
    return {**shown, "...": f"({len(value) - MAX_ITEMS} more)"} if len(value) > MAX_ITEMS else shown


def _cut(text: str) -> str:
    text = _SIGNED.sub(r"\1(redacted)", text)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}... ({len(text)} characters)"


def _described(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  (a log line must not fail for a value that cannot be shown)
        return f"({type(value).__name__})"

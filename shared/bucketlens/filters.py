"""Filters over metadata: JSON in MongoDB's style becomes a small tree of conditions.

    {"place": "Oslo", "width": {"$gte": 640, "$lt": 4000}, "$or": [{"tags": "sea"}, {"taken": {"$gt": "2024-05-01"}}]}

``{"field": value}`` means ``$eq``; everything inside one object is and-ed. What matches:

- A comparison only matches values of its own type: bool, number, text, or date. A bool is not a number and has no
  order. Numbers compare as IEEE doubles, text by code point.
- Text that is an ISO 8601 date or datetime is a date. A date given in a filter compares, as an instant, with the
  stored texts that are dates; any other text given compares with every stored text as it is spelled.
- A list matches when any of its elements does, compared as text. ``$ne`` and ``$nin``: none does.
- ``$ne``, ``$nin`` and ``$not`` are plain negations, so a missing field matches them. It also matches
  ``$exists: false``, and nothing else.
- ``{"field": null}`` means ``$exists: false``, ``{"field": {"$ne": null}}`` means ``$exists: true``.

``matches`` is that definition as code; ``index/mask.py`` is the fast equivalent.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Literal

from bucketlens.errors import InvalidRequest
from bucketlens.records import Metadata, Value
from bucketlens.values import as_instant, as_stored

MAX_DEPTH = 20
"""Levels of objects in a filter."""
MAX_CONDITIONS = 500
"""Comparisons in a filter; a ``$in`` counts as one."""
MAX_AMONG = 1_000
"""Values of one ``$in`` or ``$nin``."""

Op = Literal["eq", "gt", "gte", "lt", "lte"]
Operand = str | float | bool
"""What a field is compared with. Numbers are always float, never int; dates are text."""


@dataclass(frozen=True, slots=True)
class Compare:
    """The field has a value of the operand's type that stands in relation ``op`` to it. bool comes with ``eq`` only."""

    field: str
    op: Op
    value: Operand


@dataclass(frozen=True, slots=True)
class Among:
    """The field equals one of the values; with no values, nothing matches."""

    field: str
    values: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Present:
    """The field has (``present``) or lacks a value; an empty list is a value."""

    field: str
    present: bool


@dataclass(frozen=True, slots=True)
class And:
    """All parts match; true without parts."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any part matches; false without parts."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not match."""

    part: Filter


Filter = Compare | Among | Present | And | Or | Not
ALWAYS: Filter = And(())
"""Matches every row: the filter ``{}``."""

_ORDERS: Mapping[str, Op] = MappingProxyType({"$gt": "gt", "$gte": "gte", "$lt": "lt", "$lte": "lte"})
_FIELD_OPERATORS = ("$eq", "$ne", *_ORDERS, "$in", "$nin", "$exists", "$not")
_GROUPS = ("$and", "$or", "$not")
RELATIONS: Mapping[Op, Callable[[Any, Any], bool]] = MappingProxyType(
    {"eq": operator.eq, "gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}
)
"""Of a stored value, first, to an operand of its type."""


def parse(document: object) -> Filter:
    """The filter that decoded JSON describes. Raises InvalidRequest (``bad_filter``), naming culprit and remedy."""
    try:
        return _parse(document)
    except RecursionError:  # while showing a deeply nested culprit
        raise _bad("The filter is nested too deeply.", None, f"Use at most {MAX_DEPTH} levels.") from None


def fields(condition: Filter) -> frozenset[str]:
    """The names of the fields a filter looks at."""
    match condition:
        case And(parts) | Or(parts):
            return frozenset().union(*map(fields, parts))
        case Not(part):
            return fields(part)
        case Compare(field) | Among(field) | Present(field):
            return frozenset({field})


def matches(condition: Filter, metadata: Metadata) -> bool:
    """Whether one image passes: the definition of the semantics, row by row. The fast path must agree with it."""
    match condition:
        case And(parts):
            return all(matches(part, metadata) for part in parts)
        case Or(parts):
            return any(matches(part, metadata) for part in parts)
        case Not(part):
            return not matches(part, metadata)
        case Present(field, present):
            return (field in metadata) is present
        case Compare(field, op, value):
            return field in metadata and _stands(metadata[field], op, value)
        case Among(field, values):
            return field in metadata and any(_stands(metadata[field], "eq", value) for value in values)


def _stands(stored: Value, op: Op, wanted: Operand) -> bool:
    relation = RELATIONS[op]
    if isinstance(stored, list):
        return isinstance(wanted, str) and any(relation(element, wanted) for element in stored)
    stored = as_stored(stored)
    if type(stored) is not type(wanted):
        return False
    instant = as_instant(wanted) if isinstance(wanted, str) else None
    if instant is None:
        return relation(stored, wanted)
    moment = as_instant(str(stored))
    return moment is not None and relation(moment, instant)


def _parse(document: object) -> Filter:
    if not isinstance(document, dict):
        raise _bad("A filter must be a JSON object.", document, 'Write {"field": value} or {"field": {"$gt": 3}}.')
    found = _group(document, 1)
    if _conditions(found) > MAX_CONDITIONS:
        raise _bad("The filter has too many conditions.", _conditions(found), f"Use at most {MAX_CONDITIONS}, or $in.")
    return found


def _group(document: Mapping[object, object], depth: int) -> Filter:
    """Fields and groups of one object, and-ed."""
    _check_depth(depth)
    parts: list[Filter] = []
    for name, body in document.items():
        if not isinstance(name, str) or not _encodable(name):
            raise _bad("A field's name is not text.", name, "Name fields with Unicode text.")
        if not name.startswith("$"):
            parts.append(_field(name, body, depth + 1))
        elif name in ("$and", "$or"):
            inner = tuple(_group(each, depth + 1) for each in _objects(name, body))
            parts.append(And(inner) if name == "$and" else Or(inner))
        elif name == "$not":
            if not isinstance(body, dict):
                raise _bad("$not needs an object.", body, 'Write {"$not": {"field": value}}.')
            parts.append(Not(_group(body, depth + 1)))
        elif name in _FIELD_OPERATORS:
            raise _bad("This operator belongs inside a field.", name, f'Write {{"field": {{"{name}": ...}}}}.')
        else:
            raise _unknown(name, _GROUPS)
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _objects(name: str, body: object) -> Iterable[Mapping[object, object]]:
    if isinstance(body, list) and body and all(isinstance(each, dict) for each in body):
        return body
    raise _bad(f"{name} needs a list of objects, at least one.", body, f'Write {{"{name}": [{{"field": value}}]}}.')


def _field(field: str, body: object, depth: int) -> Filter:
    if isinstance(body, list):
        raise _bad("A list is not a value to compare with.", field, f'Write {{"{field}": {{"$in": [...]}}}}.')
    if not isinstance(body, dict):
        return _equals(field, body)
    _check_depth(depth)
    if not body:
        raise _bad("A field needs a value or operators.", field, f'Write {{"{field}": value}}, or leave the field out.')
    parts = tuple(_condition(field, name, operand, depth) for name, operand in body.items())
    return parts[0] if len(parts) == 1 else And(parts)


def _condition(field: str, name: object, operand: object, depth: int) -> Filter:
    if isinstance(name, str) and name in _ORDERS:
        value = _operand(field, operand)
        if isinstance(value, bool):
            raise _bad("true and false have no order.", field, "Use $eq or $ne.")
        return Compare(field, _ORDERS[name], value)
    match name:
        case "$eq" | "$ne":
            found = _equals(field, operand)
        case "$in" | "$nin":
            found = _among(field, operand)
        case "$exists":
            found = _exists(field, operand)
        case "$not":
            if not isinstance(operand, dict):
                raise _bad("$not needs operators.", operand, f'Write {{"{field}": {{"$ne": value}}}}, or {{"$gt": 3}}.')
            found = _field(field, operand, depth + 1)
        case str() if not name.startswith("$"):
            raise _bad("An object is not a value to compare with.", field, f'Write the dotted name "{field}.{name}".')
        case _:
            raise _unknown(str(name), _FIELD_OPERATORS)
    return _negated(found) if name in ("$ne", "$nin", "$not") else found


def _exists(field: str, operand: object) -> Filter:
    if not isinstance(operand, bool):
        raise _bad("$exists needs true or false.", operand, f'Write {{"{field}": {{"$exists": true}}}}.')
    return Present(field, operand)


def _equals(field: str, operand: object) -> Filter:
    return Present(field, False) if operand is None else Compare(field, "eq", _operand(field, operand))


def _among(field: str, operand: object) -> Filter:
    if not isinstance(operand, list):
        raise _bad("$in and $nin need a list.", operand, f'Write {{"{field}": {{"$in": ["a", "b"]}}}}.')
    if len(operand) > MAX_AMONG:
        raise _bad("The list of $in or $nin is too long.", len(operand), f"Use at most {MAX_AMONG:,} values.")
    among = Among(field, tuple(_operand(field, each) for each in operand if each is not None))
    return Or((among, Present(field, False))) if None in operand else among


def _negated(part: Filter) -> Filter:
    return Present(part.field, not part.present) if isinstance(part, Present) else Not(part)


def _operand(field: str, value: object) -> Operand:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and _encodable(value):
        return value
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise _bad(
        f"This is not a value that {field!r} can be compared with.",
        "null" if value is None else value,
        "Use text, a finite number, true, false or an ISO date; null only with equality.",
    )


def _conditions(condition: Filter) -> int:
    match condition:
        case And(parts) | Or(parts):
            return sum(map(_conditions, parts))
        case Not(part):
            return _conditions(part)
    return 1


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise _bad("The filter is nested too deeply.", None, f"Use at most {MAX_DEPTH} levels.")


def _encodable(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _unknown(name: str, known: Iterable[str]) -> InvalidRequest:
    near = get_close_matches(name, known, 1, 0.4)
    hint = f"Did you mean {near[0]}? " if near else ""
    return _bad("This is not an operator here.", name, f"{hint}Use one of {', '.join(known)}.")


def _bad(message: str, value: object, remedy: str) -> InvalidRequest:
    return InvalidRequest(message, code="bad_filter", value=value, remedy=remedy)

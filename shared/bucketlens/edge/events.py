"""What brings images to the ingest function, parsed into values: S3 events, straight or through EventBridge, SNS, SQS.

    S3 -> Lambda                     {"Records": [{"eventSource": "aws:s3", ...}]}, keys form-encoded
    S3 -> SQS -> Lambda              {"Records": [{"eventSource": "aws:sqs", "body": <the above as JSON>}]}
    S3 -> SNS -> SQS -> Lambda       ... "body": {"Type": "Notification", "Message": <the above as JSON>}
    S3 -> EventBridge [-> SQS] -> Lambda    {"source": "aws.s3", "detail-type": ..., "detail": ...}, keys plain

Shapes: S3 User Guide, "Event message structure" and "EventBridge event message structure", read 2026-11. Keys are
decoded here and nowhere else.

**An event without a sequencer** (tag events, stores that send none) gets the empty ``Sequencer``, which is older than
every event that has one. It is still a reason to look at the key, but it does not say when: it must not overrule what
an ordered event has said, and two of them are a tie. Where no event has one, order comes from the object itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote_plus

from bucketlens.errors import Rejected
from bucketlens.records import Change, Notice, Sequencer

Source = Literal["s3", "sqs", "eventbridge"]

_EVENTS = (
    ("ObjectCreated:", Change.CREATED),
    ("ObjectTagging:", Change.CREATED),
    ("ObjectRestore:Completed", Change.CREATED),
    ("ObjectRemoved:", Change.REMOVED),
    ("LifecycleExpiration:", Change.REMOVED),
)
_DETAIL_TYPES = {
    "Object Created": Change.CREATED,
    "Object Tags Added": Change.CREATED,
    "Object Tags Deleted": Change.CREATED,
    "Object Restore Completed": Change.CREATED,
    "Object Deleted": Change.REMOVED,
}
_HEX = re.compile(r"[0-9A-Fa-f]*")


@dataclass(frozen=True, slots=True)
class Batch:
    """One invocation's worth of notices, in the order they came.

    ``unreadable`` are the ids of SQS messages that nobody can parse: report them as failures, so that the queue moves
    them to its dead letters. ``ignored`` counts well-formed events that ask for nothing, such as ``s3:TestEvent``.
    """

    notices: tuple[Notice, ...]
    unreadable: tuple[str, ...]
    ignored: int
    source: Source


def parse_ingest(event: object) -> Batch:
    """The batch in a Lambda event. Raises Rejected, naming what it saw, for an event of no known shape.

    A message with one unreadable record counts as unreadable as a whole, and none of its notices are returned.
    """
    if _is_sqs(event):
        return _parse_queue(_list(_mapping(event).get("Records")))
    try:
        notices, ignored = _parse_document(event, None)
    except _ShapeError as error:
        raise Rejected(
            f"This is no event the ingest function knows: {error}.",
            code="unknown_event",
            value=event,
            remedy="Connect it to S3 event notifications, directly or through SQS, SNS and SQS, or EventBridge.",
        ) from error
    bridged = isinstance(event, Mapping) and "detail-type" in event
    return Batch(tuple(notices), (), ignored, "eventbridge" if bridged else "s3")


def failures(message_ids: Iterable[str]) -> dict[str, object]:
    """The answer that makes SQS deliver just these messages again; each is named once."""
    return {"batchItemFailures": [{"itemIdentifier": id} for id in dict.fromkeys(message_ids)]}


class _ShapeError(ValueError):
    """Says what was found where something else was expected."""


def _is_sqs(event: object) -> bool:
    records = event.get("Records") if isinstance(event, Mapping) else None
    first = records[0] if isinstance(records, list) and records else None
    return isinstance(first, Mapping) and first.get("eventSource") == "aws:sqs"


def _parse_queue(records: list[object]) -> Batch:
    notices: list[Notice] = []
    unreadable: list[str] = []
    ignored = 0
    for record in records:
        message = _mapping(record)
        id = str(message.get("messageId", ""))
        try:
            found, skipped = _parse_document(_unwrap(_json(message.get("body"))), id)
        except _ShapeError:
            unreadable.append(id)
            continue
        notices += found
        ignored += skipped
    return Batch(tuple(notices), tuple(unreadable), ignored, "sqs")


def _unwrap(document: object) -> object:
    if isinstance(document, Mapping) and document.get("Type") == "Notification" and "Message" in document:
        return _json(document["Message"])
    return document


def _parse_document(document: object, message: str | None) -> tuple[list[Notice], int]:
    """Notices, and the number of events that ask for nothing."""
    fields = _mapping(document)
    if "Records" in fields:
        found = [_parse_record(_mapping(record), message) for record in _list(fields["Records"])]
    elif "detail-type" in fields:
        found = [_parse_bridged(fields, message)]
    elif fields.get("Event") == "s3:TestEvent":
        found = [None]
    else:
        raise _ShapeError(f"an object with the fields {sorted(map(str, fields))}")
    notices = [notice for notice in found if notice is not None]
    return notices, len(found) - len(notices)


def _parse_record(record: Mapping[str, object], message: str | None) -> Notice | None:
    source = record.get("eventSource", record.get("EventSource"))
    if not (isinstance(source, str) and source.endswith(":s3")):
        raise _ShapeError(f"a record of the source {source!r}")
    name = _text(record.get("eventName"), "eventName").removeprefix("s3:")
    change = next((change for prefix, change in _EVENTS if name.startswith(prefix)), None)
    if change is None:
        return None
    s3 = _mapping(record.get("s3"))
    thing = _mapping(s3.get("object"))
    try:
        key = unquote_plus(_text(thing.get("key"), "key"), errors="strict")
    except UnicodeDecodeError as error:
        raise _ShapeError(f"a key that is not UTF-8: {thing.get('key')!r}") from error
    return _notice(s3.get("bucket"), key, thing.get("sequencer"), change, message)


def _parse_bridged(event: Mapping[str, object], message: str | None) -> Notice | None:
    if event.get("source") != "aws.s3":
        raise _ShapeError(f"an EventBridge event of the source {event.get('source')!r}")
    change = _DETAIL_TYPES.get(_text(event.get("detail-type"), "detail-type"))
    if change is None:
        return None
    detail = _mapping(event.get("detail"))
    thing = _mapping(detail.get("object"))
    return _notice(detail.get("bucket"), _text(thing.get("key"), "key"), thing.get("sequencer"), change, message)


def _notice(bucket: object, key: str, sequencer: object, change: Change, message: str | None) -> Notice:
    text = "" if sequencer is None else sequencer
    if not (isinstance(text, str) and _HEX.fullmatch(text)):
        raise _ShapeError(f"a sequencer that is not hexadecimal: {sequencer!r}")
    return Notice(_text(_mapping(bucket).get("name"), "bucket name"), key, Sequencer(text.upper()), change, message)


def _json(text: object) -> object:
    try:
        found: object = json.loads(_text(text, "body"))
    except (json.JSONDecodeError, RecursionError) as error:
        raise _ShapeError("a body that is not JSON") from error
    return found


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise _ShapeError(f"{type(value).__name__} where an object belongs")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise _ShapeError(f"{type(value).__name__} where a list belongs")
    return value


def _text(value: object, what: str) -> str:
    if not (isinstance(value, str) and value):
        raise _ShapeError(f"no {what}")
    return value

"""Lambda events of every kind become the same notices."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketlens.edge.events import Batch, failures, parse_ingest
from bucketlens.errors import Rejected
from bucketlens.records import Change, Notice, Sequencer

EVENTS = Path(__file__).parents[2] / "events"
BUCKET = "bucketlens-local"
CAR = "images/red car (1).jpg"
PUT = Notice(BUCKET, CAR, Sequencer("0055AED6DCD90281E5"), Change.CREATED)
DELETE = Notice(BUCKET, CAR, Sequencer("0055AED6DCD90281F7"), Change.REMOVED)


def load(name: str) -> object:
    return json.loads((EVENTS / f"{name}.json").read_text("utf-8"))


def record(
    name: str = "ObjectCreated:Put",
    *,
    key: str = "images/a.jpg",
    sequencer: object = "0055AED6DCD90281E5",
    bucket: str = BUCKET,
) -> dict[str, object]:
    thing = {"key": key} if sequencer is None else {"key": key, "sequencer": sequencer}
    return {"eventSource": "aws:s3", "eventName": name, "s3": {"bucket": {"name": bucket}, "object": thing}}


def bridged(kind: str, key: str) -> dict[str, object]:
    return {"source": "aws.s3", "detail-type": kind, "detail": {"bucket": {"name": BUCKET}, "object": {"key": key}}}


def message(id: str, body: str) -> dict[str, object]:
    return {"messageId": id, "body": body, "eventSource": "aws:sqs"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("s3-put", Batch((PUT,), (), 0, "s3")),
        ("s3-delete", Batch((DELETE,), (), 0, "s3")),
        ("eventbridge-created", Batch((PUT,), (), 0, "eventbridge")),
        ("eventbridge-deleted", Batch((DELETE,), (), 0, "eventbridge")),
        ("s3-test-event", Batch((), (), 1, "s3")),
    ],
)
def test_each_direct_event_file_says_what_happened_to_which_key(name: str, expected: Batch) -> None:
    assert parse_ingest(load(name)) == expected


def test_the_batch_file_holds_s3_sns_eventbridge_and_test_messages_and_each_notice_names_its_message() -> None:
    batch = parse_ingest(load("sqs-batch"))
    assert (batch.unreadable, batch.ignored, batch.source) == ((), 1, "sqs")
    assert [(notice.key, notice.change, (notice.message or "")[-1]) for notice in batch.notices] == [
        (CAR, Change.CREATED, "1"),
        ("images/sea/海+1.png", Change.CREATED, "2"),
        (CAR, Change.REMOVED, "3"),
        (CAR, Change.CREATED, "4"),
    ]


@given(st.text(min_size=1, max_size=30).filter(lambda key: key.isprintable()))
def test_any_key_survives_form_encoding_and_eventbridge_keys_are_taken_as_they_are(key: str) -> None:
    encoded = parse_ingest({"Records": [record(key=quote_plus(key))]})
    plain = parse_ingest(bridged("Object Created", key))
    assert [notice.key for notice in (*encoded.notices, *plain.notices)] == [key, key]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("ObjectCreated:Put", Change.CREATED),
        ("ObjectCreated:Post", Change.CREATED),
        ("ObjectCreated:Copy", Change.CREATED),
        ("ObjectCreated:CompleteMultipartUpload", Change.CREATED),
        ("s3:ObjectCreated:Put", Change.CREATED),
        ("ObjectTagging:Put", Change.CREATED),
        ("ObjectTagging:Delete", Change.CREATED),
        ("ObjectRestore:Completed", Change.CREATED),
        ("ObjectRemoved:Delete", Change.REMOVED),
        ("ObjectRemoved:DeleteMarkerCreated", Change.REMOVED),
        ("LifecycleExpiration:Delete", Change.REMOVED),
        ("LifecycleExpiration:DeleteMarkerCreated", Change.REMOVED),
    ],
)
def test_an_event_name_tells_created_from_removed(name: str, change: Change) -> None:
    assert [notice.change for notice in parse_ingest({"Records": [record(name)]}).notices] == [change]


@pytest.mark.parametrize(
    "name",
    [
        "ObjectRestore:Post",
        "ObjectRestore:Delete",
        "ObjectAcl:Put",
        "LifecycleTransition",
        "Replication:Anything",
        "New",
    ],
)
def test_events_that_change_no_content_are_counted_and_ignored(name: str) -> None:
    assert parse_ingest({"Records": [record(name), record()]}).ignored == 1


@pytest.mark.parametrize(
    ("kind", "change"),
    [("Object Tags Added", Change.CREATED), ("Object Restore Completed", Change.CREATED), ("Object ACL Updated", None)],
)
def test_an_eventbridge_detail_type_tells_what_to_do(kind: str, change: Change | None) -> None:
    batch = parse_ingest(bridged(kind, "a.jpg"))
    assert [notice.change for notice in batch.notices] == ([change] if change else [])
    assert batch.ignored == (0 if change else 1)


def test_an_event_without_a_sequencer_is_older_than_every_event_that_has_one() -> None:
    (notice,) = parse_ingest({"Records": [record(sequencer=None)]}).notices
    assert notice.sequencer == Sequencer()
    assert notice.sequencer < Sequencer("0000000001")


def test_a_sequencer_is_read_in_capitals() -> None:
    (notice,) = parse_ingest({"Records": [record(sequencer="0055aed6dcd90281e5")]}).notices
    assert notice.sequencer.base == "0055AED6DCD90281E5"


@pytest.mark.parametrize(
    "body",
    [
        "not json",
        "",
        "[1, 2]",
        "null",
        "[" * 100_000,
        '{"hello": "world"}',
        '{"Records": 7}',
        '{"Records": [7]}',
        '{"Type": "Notification", "Message": "not json"}',
        json.dumps({"source": "aws.ec2", "detail-type": "Instance Started", "detail": {}}),
        json.dumps({"source": "aws.s3", "detail-type": "Object Created", "detail": {"object": {"key": "a"}}}),
        json.dumps({"Records": [{"eventSource": "aws:dynamodb"}]}),
        json.dumps({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put"}]}),
    ],
)
def test_a_message_nobody_can_parse_is_named_and_holds_up_no_other(body: str) -> None:
    good = json.dumps({"Records": [record()]})
    batch = parse_ingest({"Records": [message("good-1", good), message("bad", body), message("good-2", good)]})
    assert [notice.message for notice in batch.notices] == ["good-1", "good-2"]
    assert batch.unreadable == ("bad",)


@pytest.mark.parametrize(
    "bad",
    [record(key=""), record(key="%FF.jpg"), record(sequencer="not hex"), record(sequencer=7), record(bucket="")],
)
def test_a_record_with_a_bad_field_makes_its_whole_message_unreadable(bad: dict[str, object]) -> None:
    body = json.dumps({"Records": [record(), bad]})
    assert parse_ingest({"Records": [message("m", body)]}) == Batch((), ("m",), 0, "sqs")


@pytest.mark.parametrize(
    ("event", "seen"),
    [
        ({}, "[]"),
        ({"httpMethod": "GET", "path": "/"}, "httpMethod"),
        ({"Records": [{"eventSource": "aws:dynamodb"}]}, "aws:dynamodb"),
        ({"Records": [{"EventSource": "aws:sns"}]}, "aws:sns"),
        ({"source": "aws.ec2", "detail-type": "Instance Started"}, "aws.ec2"),
        (None, "NoneType"),
        ("text", "str"),
        ([], "list"),
    ],
)
def test_an_event_of_no_known_shape_is_rejected_naming_what_was_seen(event: object, seen: str) -> None:
    with pytest.raises(Rejected) as caught:
        parse_ingest(event)
    assert caught.value.code == "unknown_event"
    assert seen in caught.value.message


def test_an_event_without_records_asks_for_nothing() -> None:
    assert parse_ingest({"Records": []}) == Batch((), (), 0, "s3")


def test_failures_name_each_message_once_in_the_order_given() -> None:
    assert failures(["b", "a", "b"]) == {"batchItemFailures": [{"itemIdentifier": "b"}, {"itemIdentifier": "a"}]}
    assert failures([]) == {"batchItemFailures": []}

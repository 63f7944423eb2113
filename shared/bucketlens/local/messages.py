"""S3 event records and SQS messages, worded as AWS words them.

Shapes: S3 User Guide, "Event message structure"; Lambda Developer Guide, "Using Lambda with Amazon SQS"; read 2026-11.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from urllib.parse import quote_plus

from bucketlens.local.changes import Change

_REGION = "us-east-1"
_ACCOUNT = "000000000000"


def s3_event(change: Change, sequencer: str, at: datetime) -> dict[str, object]:
    """The notification of one object change, key form-encoded. ``size`` and ``eTag`` only where something is there."""
    thing: dict[str, object] = {"key": encode_key(change.key)}
    if change.event.startswith("ObjectCreated:") and change.size is not None:
        thing["size"] = change.size
    if change.event.startswith(("ObjectCreated:", "ObjectTagging:")) and change.etag is not None:
        thing["eTag"] = change.etag
    if change.version_id is not None:
        thing["versionId"] = change.version_id
    thing["sequencer"] = sequencer
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": _REGION,
                "eventTime": _iso(at),
                "eventName": change.event,
                "userIdentity": {"principalId": "local"},
                "requestParameters": {"sourceIPAddress": "127.0.0.1"},
                "responseElements": {"x-amz-request-id": sequencer[-16:], "x-amz-id-2": "local"},
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "local",
                    "bucket": {
                        "name": change.bucket,
                        "ownerIdentity": {"principalId": "local"},
                        "arn": f"arn:aws:s3:::{change.bucket}",
                    },
                    "object": thing,
                },
            }
        ]
    }


def configuration_test(bucket: str, at: datetime) -> dict[str, object]:
    """What S3 sends once when a notification is configured."""
    return {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": _iso(at),
        "Bucket": bucket,
        "RequestId": "0000000000000000",
        "HostId": "local",
    }


def sqs_record(id: str, body: str, *, attempt: int, sent: datetime, bucket: str) -> dict[str, object]:
    """One message of a Lambda event from SQS, received for the ``attempt``-th time."""
    millis = str(int(sent.timestamp() * 1000))
    return {
        "messageId": id,
        "receiptHandle": f"{id}#{attempt}",
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": str(attempt),
            "SentTimestamp": millis,
            "SenderId": "local",
            "ApproximateFirstReceiveTimestamp": millis,
        },
        "messageAttributes": {},
        "md5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{_REGION}:{_ACCOUNT}:{bucket}",
        "awsRegion": _REGION,
    }


def as_body(document: dict[str, object]) -> str:
    """A document as the body of a message."""
    return json.dumps(document, separators=(",", ":"))


def encode_key(key: str) -> str:
    """A key as S3 writes it into notifications: form-encoded (a blank is ``+``), slashes kept."""
    return quote_plus(key, safe="/*").replace("~", "%7E")


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"

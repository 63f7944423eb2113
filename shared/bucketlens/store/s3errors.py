"""What S3's errors mean to a caller. Decided by the error's code (and status), never by its text.

Codes: S3 API reference, "Error responses", read 2026-11. A HEAD answer has no body, so its code is the status number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ChecksumError,
    ClientError,
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
)
from botocore.exceptions import ConnectionError as NoConnection

from bucketlens.errors import BucketlensError, Misconfigured, Rejected, Retryable
from bucketlens.store.refusals import missing

MISSING = frozenset({"NoSuchKey", "NotFound", "404"})
LOST_RACE = frozenset({"PreconditionFailed", "412"})
CONTENDED = "ConditionalRequestConflict"
"""A conditional write met another one under way (409); nothing was written."""
ARCHIVED = "InvalidObjectState"
BEYOND_THE_END = "InvalidRange"

_AGAIN = frozenset(
    {
        CONTENDED,
        "BadDigest",
        "EC2ThrottledException",
        "InternalError",
        "OperationAborted",
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "TooManyRequestsException",
    }
)
_DENIED = frozenset({"AccessDenied", "AllAccessDisabled", "Forbidden", "403"})
_BAD_KEY = frozenset({"KeyTooLongError", "InvalidURI"})
TRANSPORT = (
    ChecksumError,
    NoConnection,
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
)
"""No answer, or not the whole of it."""

Meanings = Mapping[str, Callable[[str], BucketlensError]]
"""What a code means to one verb: the error to raise, made from the object's key."""


@contextmanager
def explained(bucket: str, key: str, meanings: Meanings | None = None) -> Iterator[None]:
    """Turn whatever botocore raises inside into one of our errors. ``meanings`` overrule the general reading."""
    try:
        yield
    except ClientError as error:
        own = (meanings or {}).get(code_of(error))
        raise (own(key) if own else _refusal(error, bucket, key)) from error
    except TRANSPORT as error:
        raise Retryable(
            f"S3 could not be reached or did not answer in full ({type(error).__name__}).",
            code="s3_unreachable",
            value=key,
        ) from error
    except BotoCoreError as error:
        raise Misconfigured(
            f"The S3 client cannot make this call ({type(error).__name__}).",
            code="s3_client",
            value=key,
            remedy="Check credentials, region and endpoint.",
        ) from error


def code_of(error: ClientError) -> str:
    """The error's Code: a name, or the status number where the answer had no body."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _refusal(error: ClientError, bucket: str, key: str) -> BucketlensError:
    code = code_of(error)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in MISSING:
        return missing(key)
    if code in _AGAIN or status >= 500 or status == 429:
        return Retryable(f"S3 asked to try again ({code}).", value=key)
    if code in _BAD_KEY:
        return Rejected(f"S3 takes no such key ({code}).", code="bad_key", value=key)
    if code == "NoSuchBucket":
        return Misconfigured("There is no such bucket.", code="no_such_bucket", value=bucket, remedy="Set BUCKET.")
    if code in _DENIED:
        return Misconfigured(
            f"S3 denies access to {key!r} in the bucket.",
            code="access_denied",
            value=bucket,
            remedy="Grant the action, and s3:ListBucket: without it S3 also answers so for objects that do not exist.",
        )
    return Misconfigured(
        f"S3 refused the request for {key!r} ({code or status}).",
        code="s3_refused",
        value=bucket,
        remedy="Check the bucket's region and settings, and the credentials.",
    )

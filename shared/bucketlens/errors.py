"""Errors, grouped by what the caller should do about them.

    BucketlensError
    |-- Rejected          the input is wrong and always will be: fix the input, do not retry
    |   |-- InvalidRequest    ... a search request, filter or setting of a request
    |   `-- UnreadableObject  ... an object that cannot become a row (corrupt, unsupported, too large)
    |-- NotFound          the named thing does not exist (now)
    |-- Exists            a create met an object of that name: immutable names make this harmless
    |-- Conflict          a swap met another version: reload, re-apply, try again
    |-- Retryable         the environment failed (throttling, timeouts): the same call may succeed later
    |-- Corrupt           stored bytes are not what the index recorded: rebuild or restore them
    `-- Misconfigured     a setting, model or permission is wrong: an operator has to act

Every error carries a stable ``code``, the offending ``value`` (shortened) and a ``remedy``. Only ``edge/http.py``
knows status codes, and nothing anywhere matches on message text.
"""

from __future__ import annotations

_SHOWN = 200


class BucketlensError(Exception):
    """Base of every error this package raises on purpose.

    ``code`` is stable across releases, ``value`` the offending input cut to 200 characters, ``remedy`` one sentence.
    """

    default_code = "internal"

    def __init__(self, message: str, *, code: str | None = None, value: object = None, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.value = _shorten(value)
        self.remedy = remedy

    def __str__(self) -> str:
        shown = f" (value: {self.value})" if self.value is not None else ""
        return f"{self.message}{shown}{' ' + self.remedy if self.remedy else ''}"


class Rejected(BucketlensError):
    """The input is wrong; the same input will be refused every time."""

    default_code = "rejected"


class InvalidRequest(Rejected):
    """A request that cannot be understood or exceeds a limit."""

    default_code = "invalid_request"


class UnreadableObject(Rejected):
    """An object of the bucket that cannot become a row."""

    default_code = "unreadable_object"


class NotFound(BucketlensError):
    """The named object, collection or image does not exist now."""

    default_code = "not_found"


class Exists(BucketlensError):
    """``create`` met an object of that name."""

    default_code = "exists"


class Conflict(BucketlensError):
    """``swap`` met another version than the expected one."""

    default_code = "conflict"


class Retryable(BucketlensError):
    """The environment failed; the same call may succeed later."""

    default_code = "try_again"


class Corrupt(BucketlensError):
    """Stored bytes differ from what the index recorded, or have an unknown format number."""

    default_code = "corrupt"


class Misconfigured(BucketlensError):
    """A setting, model bundle or permission is wrong."""

    default_code = "misconfigured"


def _shorten(value: object) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"

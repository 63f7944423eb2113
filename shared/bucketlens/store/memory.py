"""The storage port in memory: the reference adapter, for tests and for trying things out."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

from bucketlens.records import SourceObject
from bucketlens.store.protocol import Blob, Body, ByteRange, Entry
from bucketlens.store.refusals import conflict, exists, missing, too_large


def utc_now() -> datetime:
    """The time of the machine's clock, in UTC."""
    return datetime.now(UTC)


class MemoryStore:
    """A ``Store`` in a dictionary. Safe to share between threads; every verb is one atomic step.

    An etag is the quoted MD5 of the bytes, as S3 makes it: the same bytes have the same etag. ``clock`` dates writes.
    """

    def __init__(self, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._objects: dict[str, tuple[bytes, Entry]] = {}

    def get(self, key: str, span: ByteRange | None = None) -> Blob:
        """See ``Store.get``."""
        with self._lock:
            body, entry = self._objects.get(key, (b"", None))
        if entry is None:
            raise missing(key)
        return Blob(body if span is None else body[span.start : span.end], entry.etag, entry.size)

    def create(self, key: str, body: Body) -> str:
        """See ``Store.create``."""
        with self._lock:
            if key in self._objects:
                raise exists(key)
            return self._write(key, bytes(body))

    def swap(self, key: str, body: bytes, expected: str) -> str:
        """See ``Store.swap``. An object that is gone is another version too: Conflict."""
        with self._lock:
            if key not in self._objects or self._objects[key][1].etag != expected:
                raise conflict(key)
            return self._write(key, body)

    def delete(self, key: str) -> None:
        """See ``Store.delete``."""
        with self._lock:
            self._objects.pop(key, None)

    def list(self, prefix: str) -> Iterator[Entry]:
        """See ``Store.list``. The listing is a copy made at the call: later writes do not show in it."""
        with self._lock:
            found = [entry for key, (_, entry) in self._objects.items() if key.startswith(prefix)]
        return iter(sorted(found, key=lambda entry: entry.key.encode()))

    def _write(self, key: str, body: bytes) -> str:
        copy = bytes(body)
        entry = Entry(key, len(copy), etag_of(copy), self._clock())
        self._objects[key] = (copy, entry)
        return entry.etag


@dataclass(slots=True)
class MemoryImages:
    """``Images`` over a dictionary, with ``put`` and ``remove`` to play the user. Safe to share between threads."""

    objects: dict[str, SourceObject] = field(default_factory=dict)
    clock: Callable[[], datetime] = utc_now

    def put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str = "binary/octet-stream",
        user_metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> SourceObject:
        """Upload or replace an object, dated by ``clock``; returns what ``fetch`` with tags will bring."""
        found = SourceObject(
            key=key,
            body=bytes(body),
            etag=etag_of(body),
            content_type=content_type,
            modified=self.clock(),
            user_metadata={name.lower(): value for name, value in (user_metadata or {}).items()},
            tags=dict(tags or {}),
        )
        self.objects[key] = found
        return found

    def remove(self, key: str) -> None:
        """Delete an object. Deleting what is not there succeeds."""
        self.objects.pop(key, None)

    def fetch(self, key: str, *, limit: int, tags: bool = False) -> SourceObject | None:
        """See ``Images.fetch``."""
        found = self.objects.get(key)
        if found is None:
            return None
        if found.size > limit:
            raise too_large(key, found.size, limit)
        return SourceObject(
            found.key,
            found.body,
            found.etag,
            found.content_type,
            found.modified,
            dict(found.user_metadata),
            dict(found.tags) if tags else {},
        )

    def etag(self, key: str) -> str | None:
        """See ``Images.etag``."""
        found = self.objects.get(key)
        return found.etag if found else None

    def link(self, key: str, *, seconds: int) -> str:
        """A URL of the right shape that no browser can open: ``memory:///<key>?expires=<seconds>``."""
        return f"memory:///{quote(key)}?expires={seconds}"


def etag_of(body: bytes) -> str:
    """The etag S3 gives a body that was uploaded in one piece: its MD5 in hexadecimal, in double quotes."""
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'

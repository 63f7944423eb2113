"""The storage port: five verbs. An adapter is right when it passes ``tests/contract``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from mmap import mmap
from typing import Protocol

from bucketlens.records import ByteRange, SourceObject

__all__ = ["Blob", "Body", "ByteRange", "Entry", "Images", "Store"]

Body = bytes | mmap
"""What is written: from memory, or from a file as it is read."""


@dataclass(frozen=True, slots=True)
class Blob:
    """What a ``get`` brought: the bytes asked for, and the version they belong to. ``size`` is the whole object's.

    ``gets`` is how often it had to be asked for.
    """

    body: bytes
    etag: str
    size: int
    gets: int = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing. ``size`` in bytes, ``modified`` in UTC."""

    key: str
    size: int
    etag: str
    modified: datetime


class Store(Protocol):
    """Objects under one bucket. Every verb raises ``Retryable`` when the environment fails.

    Reads and listings are strongly consistent: they see every write that was acknowledged before they began.
    """

    def get(self, key: str, span: ByteRange | None = None) -> Blob:
        """The object, or the part of it inside ``span`` (clipped to its end). Raises NotFound."""
        ...

    def create(self, key: str, body: Body) -> str:
        """Write an object that must not exist yet; returns its etag. Raises Exists, and then has changed nothing.

        A create whose reply is lost may raise Exists on the retry although it was this call that wrote it.
        """
        ...

    def swap(self, key: str, body: bytes, expected: str) -> str:
        """Replace the version ``expected`` (an etag) and return the new etag. Raises Conflict on any other version.

        A swap whose reply is lost may raise Conflict on the retry although it landed: callers must recognise
        their own work when they reload.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove an object. Removing what is not there succeeds."""
        ...

    def list(self, prefix: str) -> Iterator[Entry]:
        """Every object under ``prefix`` in ascending order of key."""
        ...


class Images(Protocol):
    """The user's images, read only. Raises ``Retryable`` when the environment fails."""

    def fetch(self, key: str, *, limit: int, tags: bool = False) -> SourceObject | None:
        """The object as it is now, or None when there is none.

        Raises UnreadableObject (code ``too_large``) without reading the body when it has more than ``limit`` bytes.
        ``tags`` asks for the object tags as well, one more request.
        """
        ...

    def etag(self, key: str) -> str | None:
        """The version of the object as it is now, or None when there is none. Reads no body."""
        ...

    def link(self, key: str, *, seconds: int) -> str:
        """A presigned GET URL for the object, valid for ``seconds``. Makes no request."""
        ...

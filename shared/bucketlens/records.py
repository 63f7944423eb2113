"""The values every room speaks: sequencers, rows, notices. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import total_ordering

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
"""One embedding, shape (dimension,), unit length."""

Value = str | float | int | bool | datetime | list[str]
"""One metadata value. A field may hold different types in different images."""

Metadata = Mapping[str, Value]


@total_ordering
@dataclass(frozen=True, slots=True)
class Sequencer:
    """The version of a key: S3's event sequencer, and a revision for rows the index wrote on its own account.

    S3 sequencers are hexadecimal strings of unequal length that order the events of *one* key: pad the shorter on the
    right with zeros, then compare (S3 User Guide, "Event message structure", read 2026-11). ``revision`` counts
    re-indexings under the same event (a changed sidecar, a reconciliation): it beats what it replaces and loses to
    any later event. The empty base is older than every event.
    """

    base: str = ""
    revision: int = 0

    @classmethod
    def parse(cls, text: str) -> Sequencer:
        """Inverse of ``str``. Raises ValueError on a revision that is not a number."""
        base, _, revision = text.partition("+")
        return cls(base.upper(), int(revision or 0))

    def __str__(self) -> str:
        return f"{self.base}+{self.revision}" if self.revision else self.base

    def next_revision(self) -> Sequencer:
        """The smallest sequencer that beats this one and loses to any later event."""
        return Sequencer(self.base, self.revision + 1)

    def __lt__(self, other: Sequencer) -> bool:
        return self._order(other) < 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequencer) and self._order(other) == 0

    def __hash__(self) -> int:
        return hash((self.base.rstrip("0"), self.revision))

    def _order(self, other: Sequencer) -> int:
        width = max(len(self.base), len(other.base))
        mine = (self.base.ljust(width, "0"), self.revision)
        theirs = (other.base.ljust(width, "0"), other.revision)
        return (mine > theirs) - (mine < theirs)


class Kind(Enum):
    """What a row says about its key."""

    IMAGE = "image"
    TOMBSTONE = "tombstone"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an object is not searchable. ``code`` is stable, ``reason`` is for people, ``at`` is the object's time."""

    code: str
    reason: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One version of one key. ``vector`` is set for images, ``rejection`` for rejections, neither for tombstones."""

    key: str
    sequencer: Sequencer
    kind: Kind
    vector: Vector | None = None
    metadata: Metadata = field(default_factory=dict)
    rejection: Rejection | None = None


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model made a vector. Vectors of different checksums never meet in one index."""

    id: str
    checksum: str
    dimension: int
    metric: str = "cosine"


class Change(Enum):
    """What an event claims happened. Only a hint: ingest reads the object as it is now."""

    CREATED = "created"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Notice:
    """ "Look at this key again": one S3 event record, decoded. ``message`` names the queue message that carried it."""

    bucket: str
    key: str
    sequencer: Sequencer
    change: Change
    message: str | None = None


@dataclass(frozen=True, slots=True)
class SourceObject:
    """One object of the user's bucket as it is now, with its body."""

    key: str
    body: bytes
    etag: str
    content_type: str
    modified: datetime
    user_metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return len(self.body)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes ``start`` to ``end``, end exclusive, both from the beginning of the object. ``0 <= start < end``."""

    start: int
    end: int

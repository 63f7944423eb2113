"""A handler that remembers what a feeder brings it, and changes to bring."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from bucketlens.edge.events import parse_ingest
from bucketlens.local.changes import Change
from bucketlens.local.feeder import Feeder
from bucketlens.records import Notice

BUCKET = "bucketlens-local"


NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


PATIENCE = 20.0
"""Seconds to wait for what must happen; nothing depends on how long it takes."""


class Inbox:
    """A handler that takes everything, remembers it, and fails what it is told to."""

    def __init__(self, answer: Callable[[Sequence[Notice]], object] = lambda notices: None) -> None:
        self.batches: list[tuple[Notice, ...]] = []
        self.events: list[dict[str, list[dict[str, str]]]] = []
        self.tests = 0
        self._answer = answer
        self._lock = threading.Lock()

    def __call__(self, event: object) -> object:
        batch = parse_ingest(event)
        assert batch.source == "sqs"
        assert batch.unreadable == ()
        with self._lock:
            self.batches.append(batch.notices)
            self.events.append(event)  # type: ignore[arg-type]
            self.tests += batch.ignored
        return self._answer(batch.notices)

    @property
    def notices(self) -> list[Notice]:
        return [notice for batch in self.batches for notice in batch]


def feeder(inbox: Callable[[object], object], **options: object) -> Feeder:
    return Feeder(inbox, window_s=0.005, backoff_s=0.005, clock=lambda: NOON, **options)  # type: ignore[arg-type]


def created(key: str = "images/a.jpg", **fields: object) -> Change:
    return Change("ObjectCreated:Put", BUCKET, key, **fields)  # type: ignore[arg-type]


def removed(key: str = "images/a.jpg") -> Change:
    return Change("ObjectRemoved:Delete", BUCKET, key)

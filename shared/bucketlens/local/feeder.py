"""The event path of a bucket in one process: notifications, a queue, and the Lambda poller that empties it.

It behaves like S3 notifications through SQS with partial batch responses: at least once, in no promised order, again
and again until the handler succeeds or ``attempts`` are used up (dead letters). What AWS does rarely, such as
duplicates, late and reordered events, it does as often as ``Chaos`` says.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from types import TracebackType
from uuid import UUID

from bucketlens.local.changes import Change
from bucketlens.local.messages import as_body, configuration_test, s3_event, sqs_record

Handler = Callable[[object], object]
"""The function behind the queue: takes a Lambda event, returns what a Lambda function would."""

_LONGEST_BACKOFF_S = 30.0


@dataclass(frozen=True, slots=True)
class Chaos:
    """How unpleasant the queue is, drawn from ``seed``.

    ``duplicate`` is the probability that a notification is sent twice. ``delay_s`` holds every message back that long;
    with ``reorder`` each for a random time up to it (at least two windows), so that later ones overtake.
    """

    duplicate: float = 0.0
    reorder: bool = False
    delay_s: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message the handler never took, and what it said the last time."""

    message_id: str
    body: str
    attempts: int
    reason: str


@dataclass(order=True, slots=True)
class _Message:
    due: float
    order: int
    id: str = field(compare=False)
    body: str = field(compare=False)
    sent: datetime = field(compare=False)
    attempt: int = field(default=1, compare=False)


class Feeder:
    """Delivers the changes of one bucket under some prefixes to a handler. Pass ``hear`` to the server as ``watch``.

    Messages wait at most ``window_s`` for others to share a batch of up to ``batch``. Up to ``workers`` batches are
    under way at once. A message that fails comes back after ``backoff_s``, doubled each time, at most 30 seconds.
    ``clock`` dates the events.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        bucket: str = "bucketlens-local",
        prefixes: Sequence[str] = ("images/",),
        workers: int = 2,
        batch: int = 10,
        window_s: float = 0.05,
        attempts: int = 5,
        backoff_s: float = 0.2,
        chaos: Chaos | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._handler = handler
        self._bucket = bucket
        self._prefixes = tuple(prefixes)
        self._batch = batch
        self._window_s = window_s
        self._attempts = attempts
        self._backoff_s = backoff_s
        self._chaos = chaos or Chaos()
        self._clock = clock
        self._random = Random(self._chaos.seed)
        self._changed = threading.Condition()
        self._waiting: list[_Message] = []
        self._under_way = 0
        self._sent = 0
        self._dead: list[DeadLetter] = []
        self._sequencer = 0
        self._stopping = False
        self._threads = [threading.Thread(target=self._work, name=f"feeder-{n}", daemon=True) for n in range(workers)]

    def start(self) -> Feeder:
        """Begin to deliver. The first message is ``s3:TestEvent``, as when a notification is configured."""
        with self._changed:
            self._send(as_body(configuration_test(self._bucket, self._clock())))
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Finish the batches under way and end the threads. What still waits is not delivered. Safe to repeat."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def hear(self, change: Change) -> None:
        """Queue the notification of a change, if it is of the watched bucket and prefixes. Returns at once."""
        if change.bucket != self._bucket or not change.key.startswith(self._prefixes):
            return
        with self._changed:
            at = self._clock()
            body = as_body(s3_event(change, self._next_sequencer(at), at))
            self._send(body)
            if self._random.random() < self._chaos.duplicate:
                self._send(body)

    def pending(self) -> int:
        """Messages that wait or are with the handler now; dead letters do not count."""
        with self._changed:
            return len(self._waiting) + self._under_way

    def drain(self, timeout_s: float) -> bool:
        """Wait until nothing is pending. False when time ran out, or the feeder was stopped, before that."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or not (self._waiting or self._under_way), timeout_s)
            return not (self._waiting or self._under_way)

    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """The messages that were given up, oldest first."""
        with self._changed:
            return tuple(self._dead)

    def __enter__(self) -> Feeder:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _next_sequencer(self, at: datetime) -> str:
        self._sequencer = max(self._sequencer + 1, int(at.timestamp() * 1_000_000) * 1_000)
        return f"{self._sequencer:018X}"

    def _send(self, body: str) -> None:
        delay = self._chaos.delay_s
        if self._chaos.reorder:
            delay = self._random.uniform(0, max(delay, 2 * self._window_s))
        id = str(UUID(int=self._random.getrandbits(128), version=4))
        self._sent += 1
        heapq.heappush(self._waiting, _Message(time.monotonic() + delay, self._sent, id, body, self._clock()))
        self._changed.notify_all()

    def _work(self) -> None:
        while batch := self._next_batch():
            failed = self._deliver(batch)
            with self._changed:
                for message in batch:
                    if message.id in failed:
                        self._again(message, failed[message.id])
                self._under_way -= len(batch)
                self._changed.notify_all()

    def _next_batch(self) -> list[_Message]:
        """The next batch, counted as under way; empty once the feeder stops."""
        with self._changed:
            while not self._stopping:
                now = time.monotonic()
                ready: list[_Message] = []
                while self._waiting and len(ready) < self._batch and self._waiting[0].due <= now:
                    ready.append(heapq.heappop(self._waiting))
                if len(ready) == self._batch or (ready and now >= ready[0].due + self._window_s):
                    self._under_way += len(ready)
                    return ready
                for message in ready:
                    heapq.heappush(self._waiting, message)
                window = self._window_s if ready else 0.0
                self._changed.wait(self._waiting[0].due + window - now if self._waiting else None)
            return []

    def _deliver(self, batch: Sequence[_Message]) -> Mapping[str, str]:
        """The ids that failed and why. Read as Lambda reads it: an answer that makes no sense fails the whole batch."""
        everything = {message.id: message for message in batch}
        records = [
            sqs_record(message.id, message.body, attempt=message.attempt, sent=message.sent, bucket=self._bucket)
            for message in batch
        ]
        try:
            answer = self._handler({"Records": records})
        except BaseException as error:  # noqa: BLE001  (whatever ends the handler fails its batch, as in Lambda)
            return dict.fromkeys(everything, f"{type(error).__name__}: {error}")
        named = _named_failures(answer)
        if named is None or not named <= everything.keys():
            return dict.fromkeys(everything, "The handler's answer is no list of failed messages.")
        return dict.fromkeys(named, "The handler named this message as failed.")

    def _again(self, message: _Message, reason: str) -> None:
        if message.attempt >= self._attempts:
            self._dead.append(DeadLetter(message.id, message.body, message.attempt, reason))
            return
        message.due = time.monotonic() + min(self._backoff_s * 2 ** (message.attempt - 1), _LONGEST_BACKOFF_S)
        message.attempt += 1
        heapq.heappush(self._waiting, message)


def _named_failures(answer: object) -> set[str] | None:
    if not answer:
        return set()
    listed = answer.get("batchItemFailures") if isinstance(answer, Mapping) else 0
    if listed is None:
        return set()
    if not isinstance(listed, list):
        return None
    named = [item.get("itemIdentifier") if isinstance(item, Mapping) else None for item in listed]
    found = {name for name in named if isinstance(name, str) and name}
    return found if len(found) == len(set(map(repr, named))) else None

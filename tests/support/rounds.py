"""How many round trips depend on each other."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from bucketlens.store.forward import Forwarding
from bucketlens.store.protocol import Blob, ByteRange, Entry, Store

Interval = tuple[float, float]
"""When a request was asked, and when it was answered."""


_BEAT_S = 0.01


def dependent(requests: Iterable[Interval]) -> int:
    """Rounds: a round is a set of requests that were all asked before any of them was answered.

    The least number of rounds, which is the length of the longest chain of requests each asked after the one before was
    answered (interval scheduling: earliest end first).
    """
    rounds, closed = 0, float("-inf")
    for asked, answered in sorted(requests, key=lambda request: request[1]):
        if asked >= closed:
            rounds, closed = rounds + 1, answered
    return rounds


class RoundStore(Forwarding):
    """A store that answers in rounds: requests wait until none has arrived for ``quiet_s``, then all are answered.

    That time is counted in short naps of the first of them: on a busy machine, where another may come late, they are
    longer, too. ``rounds`` lists, for each round, what was asked, sorted: the name of an index object's file, or
    ``log/``.
    """

    def __init__(self, inner: Store, quiet_s: float = 0.8) -> None:
        super().__init__(inner)
        self.rounds: list[list[str]] = []
        self._naps = round(quiet_s / _BEAT_S)
        self._turn = threading.Condition()
        self._waiting: list[str] = []

    def get(self, key: str, span: ByteRange | None = None) -> Blob:
        """See ``Store.get``."""
        self._wait(key.rpartition("/")[2] if "/log/" not in key else "log/")
        return super().get(key, span)

    def list(self, prefix: str) -> Iterator[Entry]:
        """See ``Store.list``. One request."""
        self._wait("log/")
        return super().list(prefix)

    def _wait(self, name: str) -> None:
        with self._turn:
            mine = len(self.rounds)
            self._waiting.append(name)
            if len(self._waiting) > 1:
                self._turn.wait_for(lambda: len(self.rounds) > mine)
                return
            naps, met = 0, 1
            while naps < self._naps:
                self._turn.wait(_BEAT_S)
                naps, met = (naps + 1 if len(self._waiting) == met else 0), len(self._waiting)
            self.rounds.append(sorted(self._waiting))
            self._waiting = []
            self._turn.notify_all()

"""How many round trips depend on each other."""

from __future__ import annotations

from collections.abc import Iterable

Interval = tuple[float, float]
"""When a request was asked, and when it was answered."""


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

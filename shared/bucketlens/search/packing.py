"""Which spans of files to read in how many requests. Pure.

A request costs a round trip whatever it brings, so that near spans are read in one with what lies between them: as near
as is cheaper than a request, or, when requests are few, as near as it takes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bucketlens.index.arrays import Numbers

GAP = 128 * 1024
"""Bytes between two spans of a file that are read along rather than asked for apart: what comes in about a
millisecond."""
MOST = 2**20
"""Bytes after which the next span is asked for apart: one connection brings so many in about ten milliseconds."""
MANY = 2**31
"""More requests than any plan has."""

_APART = 2**50
"""More bytes than a file has."""


class Spans(NamedTuple):
    """Bytes ``starts`` to ``ends``, ends exclusive, of the files of these numbers; (n,) each."""

    files: Numbers
    starts: Numbers
    ends: Numbers

    @property
    def size(self) -> int:
        """Bytes of all together, if they do not overlap."""
        return int((self.ends - self.starts).sum())

    def first(self, count: int) -> Spans:
        """The first so many."""
        return Spans(self.files[:count], self.starts[:count], self.ends[:count])


def joined(spans: Spans, gets: int = MANY, gap: int = GAP) -> Spans:
    """The requests that bring these spans, ascending, each span inside one of them: at most ``gets``, but one a file.

    Spans within ``gap`` are one request until it begins to be longer than ``MOST``. When that makes more than ``gets``,
    the narrowest gaps are read along: no other way to make so few reads fewer bytes.
    """
    if not len(spans.files):
        return spans
    order = np.lexsort((spans.starts, spans.files))
    files, starts = spans.files[order], spans.starts[order]
    reached = np.maximum.accumulate(spans.ends[order] + files * _APART) - files * _APART
    apart = files[1:] != files[:-1]
    gaps = np.where(apart, _APART, starts[1:] - reached[:-1])
    cut = gaps > gap
    opens = np.flatnonzero(np.concatenate([[True], cut]))
    begun = np.repeat(starts[opens], np.diff(np.append(opens, len(starts))))
    lengths = (starts - begun) // MOST
    cut |= (lengths[1:] != lengths[:-1]) & (gaps >= 0)
    _close(cut, gaps, gets - 1)
    first, last = np.concatenate([[True], cut]), np.concatenate([cut, [True]])
    return Spans(files[first], starts[first], reached[last])


def within(requests: Spans, spans: Spans) -> Numbers:
    """Which of the requests, ascending, each of the spans lies in."""
    begin, places = (each.files * _APART + each.starts for each in (requests, spans))
    return np.asarray(np.searchsorted(begin, places, side="right") - 1)


def most(spans: Spans, gets: int, size: int, gap: int = GAP) -> int:
    """How many of the first spans can be read in ``gets`` requests of ``size`` bytes together, within one of the
    greatest such number."""
    low, high, asked = 0, len(spans.files) + 1, len(spans.files)
    while high - low > 1:
        requests = joined(spans.first(asked), gets, gap)
        fits = len(requests.files) <= gets and requests.size <= size
        low, high = (asked, high) if fits else (low, asked)
        asked = (low + high) // 2
    return low


def _close(cut: npt.NDArray[np.bool_], gaps: Numbers, most_cuts: int) -> None:
    """Leave at most so many cuts, those at the widest gaps; between files there is one always."""
    cuts = np.flatnonzero(cut)
    surplus = len(cuts) - most_cuts
    if surplus > 0:
        narrow = cuts[np.argsort(gaps[cuts], kind="stable")[:surplus]]
        cut[narrow[gaps[narrow] < _APART]] = False

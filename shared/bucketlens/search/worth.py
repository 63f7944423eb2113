"""What a request of a cold search may bring: the share of the hits that is expected in it. Pure.

A request costs a round trip, a fee and a connection, whatever it brings. Cells and candidates are ranked by what is
known of them before they are read, and the rank tells how likely they hold a hit: far down the list one alone is not
worth asking for, many beside one another are.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bucketlens.search.packing import Spans, within
from bucketlens.search.plan import FIRST_K

Shares = npt.NDArray[np.float64]

LEAST_SHARE, SHARE_OF_CODES = 0.0005, 2
"""The least share of the hits for which a plain search makes one more request for vectors, and how many times as much
one for codes must bring: its candidates cost requests in turn. The GETs of ten hits among 262,144 photographs fall from
32 to 23 so, and recall@10 is 0.995 to 0.997 (0.996 before); among 1,048,576 from 35 to 27, and it is 0.977 to 0.981
(0.986); with twice as much they are 21 (0.992) and 23 (0.975)."""
_FALL = 1.7
"""Of ten hits among 262,144 and 1,048,576 photographs the nearest cell holds 5.4 and 4.3, the second 1.8 and 1.7, the
6th 0.20 and 0.25, the 12th 0.06 and 0.08, the 24th 0.015 and 0.025, the 48th 0.003 and 0.009; this says 4.8, 1.5, 0.23,
0.07, 0.02 and 0.007."""


def of_cells(count: int, hits: int, shards: int) -> Shares:
    """The share of the hits in each of the first so many cells, nearest first, (count,): Zipf and Mandelbrot's law.

    More hits lie in more cells, and so many shards have a nearest cell each.
    """
    spread = shards * max(hits, FIRST_K) / FIRST_K
    total = spread / (_FALL - 1) + 1 / 2 + _FALL / (12 * spread)  # Euler and Maclaurin: of all ranks there are
    return np.asarray((1 + np.arange(count) / spread) ** -_FALL / total)


def of_candidates(count: int, hits: int) -> Shares:
    """The share of the hits that each of the first so many candidates is, best code first, (count,): half of a Cauchy
    distribution as wide as there are hits.

    Of ten hits among 262,144 and 1,048,576 photographs one in the first ten places is 0.51 and 0.44, one around the
    15th 0.19 and 0.19, the 30th 0.08 and 0.08, the 60th 0.022 and 0.026, the 120th 0.005 and 0.008, the 240th 0.0007
    and 0.0016; this says 0.50, 0.20, 0.06, 0.017, 0.004 and 0.0011.
    """
    scale = max(hits, FIRST_K)
    return np.asarray(2 / (np.pi * scale * (1 + (np.arange(count) / scale) ** 2)))


def worthwhile(requests: Spans, spans: Spans, shares: Shares, least: float, sure: int) -> Spans:
    """Those of the requests that bring at least such a share of the hits, and those that bring any of the first
    ``sure`` spans. Each span lies in one of the requests, which ascend; ``shares`` are the spans'."""
    inside = within(requests, spans)
    kept = np.bincount(inside, weights=shares, minlength=len(requests.files)) >= least
    kept[inside[:sure]] = True
    return Spans(*(column[kept] for column in requests))

"""Question: how do latency, build time and size grow with the rows?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.bench.latency import FAIR, GOOD, fastest
from tests.bench.latency import measure as measure_latency
from tests.bench.setup import Bench, Found

PEERS = ("ours", "faiss-hnsw16", "lance-ivf-pq")
_MEASURES = ("p50_ms", "build_s", "size_mb")
_LARGE = 500_000


def sizes(rows: int) -> list[int]:
    """Three sizes that end with this one: steps of ten for large tables, else of four."""
    step = 10 if rows >= _LARGE else 4
    return [rows // step**2, rows // step, rows]


def measure(bench: Bench) -> list[Found]:
    """A row for each engine and size at its fastest good setting, then one with the fitted exponents."""
    found: list[Found] = []
    for rows in sizes(bench.spec.rows):
        smaller = replace(bench.sized(rows).only(PEERS), quick=True)
        warm = measure_latency(smaller)
        for short, name in dict.fromkeys((row["engine"], row["peer"]) for row in warm):
            best = fastest([row for row in warm if row["peer"] == name], GOOD, FAIR)
            record = smaller.built(short)
            if best is None:
                continue
            found.append(
                {
                    "peer": name,
                    "rows": rows,
                    **{key: best[key] for key in ("setting", "recall", "p50_ms")},
                    **{key: record[key] for key in ("build_s", "size_mb")},
                }
            )
    return found + [_fitted(found, name) for name in dict.fromkeys(row["peer"] for row in found)]


def exponent(rows: list[int], values: list[float]) -> float:
    """b of the power law a * rows^b, by least squares of the logarithms."""
    return float(np.polyfit(np.log(rows), np.log(values), 1)[0])


def _fitted(found: list[Found], name: str) -> Found:
    own = [row for row in found if row["peer"] == name]
    rows = [row["rows"] for row in own]
    return {
        "peer": name,
        "rows": "exponent",
        **{each: exponent(rows, [row[each] for row in own]) for each in _MEASURES},
    }

"""Rows found in the parts, fused into one ranked list."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from bucketlens.index.block import key_column, metadata_at
from bucketlens.index.vectors import kth_highest
from bucketlens.queries import Hit
from bucketlens.records import Metadata
from bucketlens.search.scan import Found


def fuse(found: Sequence[Found], k: int, min_score: float | None, fields: Collection[str] | None) -> list[Hit]:
    """The k best over all parts, highest score first, ties by key; hits below ``min_score`` are dropped."""
    scores = np.concatenate([part.scores for part in found]) if found else np.zeros(0, np.float32)
    floor = kth_highest(scores, k) if len(scores) > k else -np.inf
    if min_score is not None:
        floor = max(floor, min_score)
    ranked: list[tuple[float, str, int, int]] = []
    for which, part in enumerate(found):
        if not len(part.rows):
            continue
        keys = key_column(part.part.source.rows)
        for row, score in zip(part.rows.tolist(), part.scores.tolist(), strict=True):
            if score >= floor:
                ranked.append((-score, keys[row].as_py(), which, row))
    ranked = sorted(ranked)[:k]
    metadata = _metadata(found, [(which, row) for _, _, which, row in ranked], fields)
    return [Hit(key, -minus, metadata[which, row]) for minus, key, which, row in ranked]


def _metadata(
    found: Sequence[Found], wanted: Sequence[tuple[int, int]], fields: Collection[str] | None
) -> dict[tuple[int, int], Metadata]:
    known: dict[tuple[int, int], Metadata] = {}
    for which in {which for which, _ in wanted}:
        rows = [row for other, row in wanted if other == which]
        decoded = metadata_at(found[which].part.source.rows, rows, fields)
        known.update({(which, row): metadata for row, metadata in zip(rows, decoded, strict=True)})
    return known

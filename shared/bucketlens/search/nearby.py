"""The clusters of a part around a query, and which of their rows match."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bucketlens.index.arrays import Numbers, Scores
from bucketlens.index.head import Head
from bucketlens.index.rounded import Asked
from bucketlens.search.part import Matching
from bucketlens.search.sift import Ground


@dataclass(frozen=True)
class Nearby:
    """The matching rows of a part as a query sees them."""

    matching: Matching
    asked: Asked

    def share(self, rows: int, most: int) -> float:
        """Of so many rows of the nearest clusters, but at most so many of these, the share that match; 0 where there is
        no graph to walk."""
        head = self._head
        if head is None or head.effort is None or not self.matching.count:
            return 0.0
        spans = head.near(self.closeness, rows, most)
        return sum(self.matching.within(*span) for span in spans) / sum(end - first for first, end in spans)

    def ground(self) -> Ground:
        """The matching rows in their clusters; all in one where the part has none."""
        head = self._head
        if head is None:
            return Ground.of(self.matching.numbers)
        nearness, firsts = self.closeness, head.outline.firsts
        order, counts = np.argsort(-nearness), self.matching.counted(firsts)

        def rows(places: slice) -> tuple[Numbers, Scores]:
            clusters = np.sort(order[places])
            held = counts[clusters]
            found = self.matching.inside(firsts[clusters], firsts[clusters + 1], held)
            return found, np.repeat(nearness[clusters], held)

        return Ground(nearness[order], counts[order], rows)

    @cached_property
    def closeness(self) -> Scores:
        """The cosine of the query to each cluster, (c,); looked up once."""
        head = self._head
        return head.closeness(self.asked) if head else np.zeros(0, np.float32)

    @property
    def _head(self) -> Head | None:
        return self.matching.part.source.head

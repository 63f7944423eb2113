"""Which keys a shard that is not local holds, and in which version: by ranged reads, without bringing it local."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bucketlens.index.block import keys_at, sequencers_at
from bucketlens.index.shard import KEYS
from bucketlens.records import Sequencer
from bucketlens.search.ranges import Ranges
from bucketlens.search.remote import Cold, Rows, batch_pieces, batches_of, key_pieces, rows_of


class KeySearch:
    """What ``settle`` asks of a shard. Two rounds; the second reads the record batches of the rows that were found."""

    def __init__(self, cold: Cold, ranges: Ranges) -> None:
        self._cold = cold
        self._ranges = ranges
        self._versions: dict[int, Sequencer] = {}

    def find(self, keys: Sequence[str], wanted: npt.NDArray[np.uint64]) -> dict[str, int]:
        """Counting rows of those of the keys that the shard holds. ``wanted`` are the keys' hashes."""
        rows = self._hashed(wanted)
        rows = rows[self._cold.alive[rows]]
        batches = batches_of(self._cold, rows)
        bodies = self._ranges.read(batch_pieces(self._cold, batches))
        if not len(rows):
            return {}
        table = rows_of(self._cold, rows, dict(zip(batches, bodies, strict=True)))
        places, asked = np.arange(len(rows)), set(keys)
        self._versions.update(zip(rows.tolist(), sequencers_at(table, places), strict=True))
        held = zip(keys_at(table, places), rows.tolist(), strict=True)
        return {key: row for key, row in held if key in asked}

    def versions(self, rows: Rows) -> list[Sequencer]:
        """The versions of rows that were found."""
        return [self._versions[row] for row in rows.tolist()]

    def _hashed(self, wanted: npt.NDArray[np.uint64]) -> Rows:
        """Rows whose key has one of these hashes, ascending. Around each hash where they are few, else all are read."""
        outline = self._cold.head.outline
        whole = (0, outline.rows)
        first, last = outline.places_near(2**63)
        if len(wanted) * (last - first) < outline.rows:
            pieces = [piece for hashed in wanted.tolist() for piece in key_pieces(self._cold, hashed)]
        else:
            spans = (outline.hash_span(whole), outline.number_span(whole))
            pieces = [self._cold.piece(KEYS, span) for span in spans]
        bodies = self._ranges.read(pieces)
        found = [np.zeros(0, np.uint32)]
        for hashes, numbers in zip(bodies[::2], bodies[1::2], strict=True):
            held = np.isin(np.frombuffer(hashes, "<u8"), wanted)
            found.append(np.frombuffer(numbers, "<u4")[held])
        return np.asarray(np.unique(np.concatenate(found)), dtype=np.int64)

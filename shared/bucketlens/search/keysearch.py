"""Which keys a shard that is not local holds, and in which version: by ranged reads, without bringing it local."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import compress

import numpy as np
import numpy.typing as npt

from bucketlens.index.arrays import Mask, Numbers
from bucketlens.index.block import keys_at, sequencers_at
from bucketlens.index.shard import KEYS, Shard, key_hashes
from bucketlens.records import Sequencer
from bucketlens.search.ranges import Piece, Ranges
from bucketlens.search.remote import Cold, batch_pieces, batches_of, key_pieces, rows_of
from bucketlens.table.log import Log
from bucketlens.table.settle import Settled, settle

_HASHED = np.dtype([("hash", np.uint64), ("row", np.int64)])


def settle_by_range(
    log: Log, shards: Sequence[tuple[Shard, Mask]], cold: Mapping[int, Cold], ranges: Ranges, *, sure: bool
) -> Settled:
    """``settle`` without bringing local the shards of these numbers. Unless it must be ``sure``, a row whose key has
    the hash of a newer one in the log counts as superseded though its key was not read: of a million rows and as many
    keys of the log that is wrong for one in 10**7."""
    searches = {at: KeySearch(one, ranges, None if sure else log) for at, one in cold.items()}
    wanted = key_hashes(log.keys())
    ranges.read([piece for search in searches.values() for piece in search.pieces(wanted)])  # remembered, all at once
    return settle(log, [(searches.get(at, shard), deleted) for at, (shard, deleted) in enumerate(shards)])


class KeySearch:
    """What ``settle`` asks of a shard. Two rounds; the second reads the record batches of the rows that were found, but
    for those that are older than what ``said`` says of their keys, as the head tells."""

    def __init__(self, cold: Cold, ranges: Ranges, said: Log | None = None) -> None:
        self._cold = cold
        self._ranges = ranges
        self._said = said
        self._versions: dict[int, Sequencer] = {}

    def find(self, keys: Sequence[str], wanted: npt.NDArray[np.uint64]) -> dict[str, int]:
        """Counting rows of those of the keys that the shard holds. ``wanted`` are the keys' hashes."""
        newest = self._cold.head.outline.newest
        older = np.array([self._older(key, newest) for key in keys], dtype=bool)
        hashed = self._hashed(wanted)
        hashed = hashed[self._cold.alive[hashed["row"]]]
        trusted = dict(zip(wanted[older].tolist(), compress(keys, older), strict=True))
        known = {trusted[hashing]: row for hashing, row in hashed.tolist() if hashing in trusted}
        self._versions.update(dict.fromkeys(known.values(), newest))
        others = hashed["row"][~np.isin(hashed["hash"], wanted[older])]
        return {**known, **self._read(set(keys), np.array(sorted(set(others.tolist())), dtype=np.int64))}

    def pieces(self, wanted: npt.NDArray[np.uint64]) -> list[Piece]:
        """Where hashes and rows are, alternately: around each of these hashes where they are few, else all."""
        outline = self._cold.head.outline
        whole = (0, outline.rows)
        first, last = outline.places_near(2**63)
        if len(wanted) * (last - first) < outline.rows:
            return [piece for hashed in wanted.tolist() for piece in key_pieces(self._cold, hashed)]
        return [self._cold.piece(KEYS, span) for span in (outline.hash_span(whole), outline.number_span(whole))]

    def versions(self, rows: Numbers) -> list[Sequencer]:
        """The versions of rows that were found."""
        return [self._versions[row] for row in rows.tolist()]

    def _older(self, key: str, newest: Sequencer) -> bool:
        said = self._said.get(key) if self._said is not None else None
        return said is not None and newest < said.sequencer

    def _read(self, keys: Collection[str], rows: Numbers) -> dict[str, int]:
        """Which of these rows, ascending, have one of the keys."""
        batches = batches_of(self._cold, rows)
        bodies = self._ranges.read(batch_pieces(self._cold, batches))
        if not len(rows):
            return {}
        table = rows_of(self._cold, rows, dict(zip(batches, bodies, strict=True)))
        places = np.arange(len(rows))
        self._versions.update(zip(rows.tolist(), sequencers_at(table, places), strict=True))
        held = zip(keys_at(table, places), rows.tolist(), strict=True)
        return {key: row for key, row in held if key in keys}

    def _hashed(self, wanted: npt.NDArray[np.uint64]) -> npt.NDArray[np.void]:
        """Hashes and rows of keys that have one of these hashes."""
        bodies = self._ranges.read(self.pieces(wanted))
        found = [np.zeros(0, _HASHED)]
        for hashes, numbers in zip(bodies[::2], bodies[1::2], strict=True):
            both = np.empty(len(hashes) // 8, _HASHED)
            both["hash"], both["row"] = np.frombuffer(hashes, "<u8"), np.frombuffer(numbers, "<u4")
            found.append(both[np.isin(both["hash"], wanted)])
        return np.concatenate(found)

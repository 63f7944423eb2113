"""Which version of each key counts, across log, marks and shards: the newest sequencer wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bucketlens.index.block import Block, Mask, identities, sequencer_at
from bucketlens.index.shard import Shard, key_hashes
from bucketlens.records import Kind, Sequencer


@dataclass(frozen=True, slots=True)
class Said:
    """One row of the log or the marks that counts: where it is, its version, and what it says."""

    row: int
    sequencer: Sequencer
    kind: Kind


@dataclass(frozen=True, slots=True)
class Settled:
    """``log`` maps keys to the log rows that count; ``dead`` marks, per shard, the rows that do not."""

    log: Mapping[str, Said]
    dead: tuple[Mask, ...]

    def rows(self, kind: Kind) -> npt.NDArray[np.int64]:
        """Positions in the log of the counting rows of a kind, in order of key."""
        found = sorted((key, said.row) for key, said in self.log.items() if said.kind is kind)
        return np.array([row for _, row in found], dtype=np.int64)


def settle(log: Block, shards: Sequence[tuple[Shard, Mask]]) -> Settled:
    """Settle log rows (marks first, then segments) against shards with their dead rows.

    Two rows of one key and one sequencer are the same state seen twice: the later position counts, and the log before
    the shards. Cost: one hash and one binary search per log key and shard; metadata is not touched.
    """
    newest = _newest(log)
    names = list(newest)
    hashes = key_hashes(names)
    dead = []
    for shard, already in shards:
        mask = already.copy()
        for key, row in shard.find(names, hashes).items():
            if mask[row] or key not in newest:
                continue
            if newest[key].sequencer >= sequencer_at(shard.rows, row):
                mask[row] = True
            else:
                del newest[key]
        dead.append(mask)
    return Settled(newest, tuple(dead))


def _newest(log: Block) -> dict[str, Said]:
    newest: dict[str, Said] = {}
    for row, (key, sequencer, kind) in enumerate(identities(log.table)):
        known = newest.get(key)
        if known is None or sequencer >= known.sequencer:
            newest[key] = Said(row, sequencer, kind)
    return newest

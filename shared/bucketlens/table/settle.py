"""Which version of each key counts, across log, marks and shards: the newest sequencer wins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bucketlens.index.arrays import Mask
from bucketlens.index.shard import key_hashes
from bucketlens.records import Kind, Sequencer
from bucketlens.table.log import Log, Said


@dataclass(frozen=True, slots=True)
class Against:
    """What some shards and the first rows of a log (up to its ``size``) say of each other.

    ``dead`` marks, per shard, the rows that do not count; ``outdone`` are keys of which a shard has a newer row.
    """

    size: tuple[int, int]
    dead: tuple[Mask, ...]
    outdone: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Settled:
    """A log settled against shards."""

    spoken: Log
    against: Against

    @property
    def dead(self) -> tuple[Mask, ...]:
        """Per shard, the rows that do not count."""
        return self.against.dead

    @cached_property
    def log(self) -> Mapping[str, Said]:
        """Keys and the log rows that count."""
        return _Counting(self.spoken, self.against.outdone)

    @cached_property
    def images(self) -> Mask:
        """Which of the log's image rows count."""
        return self._less_outdone(self.spoken.newest_images, images=True)

    def others(self, kind: Kind) -> npt.NDArray[np.int64]:
        """Positions among the log's other rows of the counting ones of a kind, in order of key."""
        counting = self._less_outdone(self.spoken.newest_others, images=False)
        rows = np.flatnonzero(counting & (self.spoken.others.rows.column("kind").to_numpy() == kind.value))
        keys = self.spoken.others.rows.column("key").to_numpy()[rows] if len(rows) else np.zeros(0, object)
        return np.asarray(rows[np.argsort(keys, kind="stable")], dtype=np.int64)

    def _less_outdone(self, newest: Mask, *, images: bool) -> Mask:
        said = [self.spoken.get(key) for key in self.against.outdone]
        outdone = [one.row for one in said if one is not None and (one.kind is Kind.IMAGE) is images]
        if not outdone:
            return newest
        left = newest.copy()
        left[outdone] = False
        return left


class Keyed(Protocol):
    """What is asked of a shard, wherever it is. ``Shard`` says what the answers are."""

    def find(self, keys: Sequence[str], wanted: npt.NDArray[np.uint64]) -> dict[str, int]: ...
    def versions(self, rows: npt.NDArray[np.int64]) -> list[Sequencer]: ...


def settle(log: Log, shards: Sequence[tuple[Keyed, Mask]], before: Against | None = None) -> Settled:
    """Settle a log against shards with their deleted rows.

    Two rows of one key and one sequencer are the same state seen twice: the log counts before the shards. ``before`` is
    what the same shards said of a log out of which this one has grown. Cost: one hash and one binary search per key and
    shard, of the keys that are new since; metadata is not touched.
    """
    if before is None:
        before = Against((0, 0), tuple(deleted for _, deleted in shards))
    names = log.keys(before.size)
    hashes = key_hashes(names)
    outdone = set(before.outdone) - set(names)
    dead = []
    for (shard, deleted), already in zip(shards, before.dead, strict=True):
        found = {key: row for key, row in shard.find(names, hashes).items() if not deleted[row]}
        rows = np.array(list(found.values()), dtype=np.int64)
        versions = shard.versions(rows) if found else []
        newer = {key for key, version in zip(found, versions, strict=True) if _of(log, key).sequencer < version}
        outdone |= newer
        mask = already
        if len(found) > len(newer):
            mask = already.copy()
            mask[[row for key, row in found.items() if key not in newer]] = True
        dead.append(mask)
    return Settled(log, Against(log.size, tuple(dead), frozenset(outdone)))


def _of(log: Log, key: str) -> Said:
    said = log.get(key)
    if said is None:
        raise KeyError(key)
    return said


class _Counting(Mapping[str, Said]):
    """What a log says of keys, less those of which a shard has a newer row."""

    def __init__(self, log: Log, outdone: frozenset[str]) -> None:
        self._log = log
        self._outdone = outdone

    def get(self, key: str, default: object = None) -> Said | None:  # type: ignore[override]
        """What the log says of a key, None when that does not count."""
        return None if key in self._outdone else self._log.get(key)

    def __getitem__(self, key: str) -> Said:
        said = self.get(key)
        if said is None:
            raise KeyError(key)
        return said

    def __iter__(self) -> Iterator[str]:
        return (key for key in self._log.keys() if key not in self._outdone)  # noqa: SIM118

    def __len__(self) -> int:
        return len(self._log.keys()) - len(self._outdone)

    def __bool__(self) -> bool:
        return self._log.size != (0, 0)

"""What counts of a snapshot's log and shards, as parts to search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bucketlens.index.arrays import Mask
from bucketlens.index.shard import Shard
from bucketlens.search.part import Part
from bucketlens.table.log import Log
from bucketlens.table.settle import Settled, settle

_KEPT = 4
"""Sets of shards for which is remembered what counts: while shards become local one by one and are removed again, each
search may see another set, and each set knows of every row whether it counts."""

Places = tuple[int, ...]
"""Places of shards in the manifest, ascending."""

Among = tuple[Settled, tuple[Part, ...]]
"""The log settled against some shards; and as parts the log first, then those shards."""


@dataclass(frozen=True)
class Settlements:
    """A log settled against whichever shards are asked for, remembered for the last few sets of them.

    ``before`` is what was settled last of the same shards and a log out of which this one has grown.
    """

    log: Log
    shards: tuple[tuple[Shard, Mask], ...]
    before: Mapping[Places, Among] = field(default_factory=dict)
    _known: dict[Places, Among] = field(default_factory=dict)

    def among(self, asked: Places) -> Among:
        """What counts as far as these shards tell, ``dead`` in their order."""
        found = self._known.get(asked)
        if found is None:
            self._known[asked] = found = self._settled(asked)
            for name in self._known.keys() - _last(self._known).keys():
                self._known.pop(name, None)
        return found

    @property
    def last(self) -> Mapping[Places, Among]:
        """What was settled last, for the log that grows out of this one."""
        return _last({**self.before, **self._known})

    def _settled(self, asked: Places) -> Among:
        pairs, before = [self.shards[number] for number in asked], self.before.get(asked)
        settled = settle(self.log, pairs, before[0].against if before else None)
        same = self._parts()
        parts = [
            same.get((shard.id, id(dead))) or Part(shard.id, shard, ~dead)
            for (shard, _), dead in zip(pairs, settled.dead, strict=True)
        ]
        return settled, (logged(self.log, settled), *parts)

    def _parts(self) -> Mapping[tuple[str, int], Part]:
        """Those of any set of shards that are known, by shard and by which array says what is dead."""
        return {
            (part.name, id(dead)): part
            for settled, (_, *parts) in [*self.before.values(), *self._known.values()]
            for part, dead in zip(parts, settled.dead, strict=True)
        }


def logged(log: Log, settled: Settled) -> Part:
    """The log's images that count, as a part."""
    return Part("log", log.images, settled.images, log.images.near)


def _last(settled: Mapping[Places, Among]) -> dict[Places, Among]:
    return dict(list(settled.items())[-_KEPT:])

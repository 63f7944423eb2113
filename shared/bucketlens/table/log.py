"""The log settled in itself: of every key the newest row among marks, merged segments and segments.

A log grows out of the one before it: what arrived is settled against what there was, at a cost of what arrived.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bucketlens.index import columns
from bucketlens.index.arrays import Mask
from bucketlens.index.block import Block, identities, kind_at, sequencer_at
from bucketlens.index.pile import Pile
from bucketlens.records import Kind, Sequencer


@dataclass(frozen=True, slots=True)
class Said:
    """One row of the log that counts: its version, what it says, and where it is: in ``images`` or in ``others``."""

    row: int
    sequencer: Sequencer
    kind: Kind


@dataclass(frozen=True, slots=True)
class Origin:
    """A segment (or marks) by name, and the first of its rows in ``images`` and in ``others``."""

    name: str
    image: int
    other: int


_Place = int
"""A row of ``images`` (0, 1, ...) or of ``others`` (-1, -2, ...)."""


@dataclass(frozen=True)
class Log:
    """Image rows, with vectors, and other rows (tombstones, rejections), in the order in which they became known.

    ``newest_images`` and ``newest_others`` say which of them are the newest of their key. ``layers`` find those by key:
    the last that has the key is right.
    """

    images: Pile
    others: Pile
    newest_images: Mask = field(repr=False)
    newest_others: Mask = field(repr=False)
    origins: tuple[Origin, ...] = ()
    layers: tuple[Mapping[str, _Place], ...] = field(default=(), repr=False)

    @classmethod
    def empty(cls, dimension: int) -> Log:
        """A log that says nothing."""
        return cls(Pile.empty(dimension), Pile.empty(0), np.zeros(0, dtype=bool), np.zeros(0, dtype=bool))

    @property
    def size(self) -> tuple[int, int]:
        """Image rows and other rows, counting or not: grows with the log."""
        return len(self.images), len(self.others)

    @property
    def names(self) -> frozenset[str]:
        """The origins it was made of."""
        return frozenset(origin.name for origin in self.origins)

    def get(self, key: str) -> Said | None:
        """What the log says of a key."""
        place = self._find(key)
        return None if place is None else self._said(place)

    def keys(self, since: tuple[int, int] = (0, 0)) -> list[str]:
        """Keys of the rows beyond the ``size`` of an earlier log, each once."""
        return list(dict.fromkeys([*self.images.keys(since[0]), *self.others.keys(since[1])]))

    def newest(self) -> Block:
        """The newest row of every key, of any kind: as good as the log to whoever settles it."""
        rows = columns.unify([self.images.rows, self.others.rows])
        blank = np.zeros((len(self.others), self.images.vectors.shape[1]), dtype=np.float16)
        counting = np.concatenate([self.newest_images, self.newest_others])
        return Block(rows, np.concatenate([self.images.vectors, blank])).where(counting)

    def grown(self, parts: Sequence[tuple[str, Block]], order: Sequence[str]) -> Log:
        """This log and what more origins say. ``order`` names all of them as they were written, and decides between
        rows of one key and one sequencer: the later counts; within an origin the later position.
        """
        if not parts:
            return self
        images, others, origins = list[Block](), list[Block](), list[Origin]()
        at = self.size
        for name, whole in parts:
            block = _distinct(whole)
            is_image = block.of_kind(Kind.IMAGE)
            image, other = block.where(is_image), block.where(~is_image)
            origins.append(Origin(name, *at))
            images.append(image)
            others.append(Block(other.table, other.vectors[:, :0]))
            at = at[0] + len(image), at[1] + len(other)
        grown = replace(
            self,
            images=self.images.plus(images),
            others=self.others.plus(others),
            newest_images=_longer(self.newest_images, at[0]),
            newest_others=_longer(self.newest_others, at[1]),
            origins=(*self.origins, *origins),
        )
        return grown.resolved(self.size, order)

    def only(self, kept: Collection[str], order: Sequence[str]) -> Log:
        """A log of these of its origins alone, copied: the others' rows are let go."""
        ends = [*self.origins[1:], Origin("", *self.size)]
        images, others, origins = np.zeros(self.size[0], bool), np.zeros(self.size[1], bool), list[Origin]()
        at = (0, 0)
        for first, end in zip(self.origins, ends, strict=True):
            if first.name in kept:
                images[first.image : end.image] = True
                others[first.other : end.other] = True
                origins.append(Origin(first.name, *at))
                at = at[0] + end.image - first.image, at[1] + end.other - first.other
        log = Log(
            self.images.where(images),
            self.others.where(others),
            np.ones(at[0], dtype=bool),
            np.ones(at[1], dtype=bool),
            tuple(origins),
        )
        return log.resolved((0, 0), order)

    def resolved(self, since: tuple[int, int], order: Sequence[str]) -> Log:
        """This log with the rows beyond ``since`` resolved against each other and those before. Changes its masks."""
        images, others = self.images.keys(since[0]), self.others.keys(since[1])
        places = [*range(since[0], self.size[0]), *range(-since[1] - 1, -self.size[1] - 1, -1)]
        keys = [*images, *others]
        layer = dict(zip(keys, places, strict=True))
        if len(layer) < len(keys) or any(not layer.keys().isdisjoint(known.keys()) for known in self.layers):
            layer = self._contested(zip(keys, places, strict=True), self._later(order))
        return replace(self, layers=_consolidated((*self.layers, layer)))

    def _contested(
        self, found: Iterable[tuple[str, _Place]], later: Callable[[_Place, _Place], bool]
    ) -> dict[str, _Place]:
        layer: dict[str, _Place] = {}
        for key, place in found:
            known = layer.get(key)
            if known is None:
                known = self._find(key)
            if known is None or later(place, known):
                layer[key] = place
                beaten = known
            else:
                beaten = place
            if beaten is not None and beaten >= 0:
                self.newest_images[beaten] = False
            elif beaten is not None:
                self.newest_others[-1 - beaten] = False
        return layer

    def _later(self, order: Sequence[str]) -> Callable[[_Place, _Place], bool]:
        """Whether the first of two rows of a key beats the second."""
        ranks = {name: rank for rank, name in enumerate(order)}
        images, others = [one.image for one in self.origins], [one.other for one in self.origins]

        def rank(place: _Place) -> int:
            at = bisect_right(images, place) if place >= 0 else bisect_right(others, -1 - place)
            return ranks[self.origins[at - 1].name]

        def later(one: _Place, other: _Place) -> bool:
            mine, theirs = self._sequencer(one), self._sequencer(other)
            return mine > theirs or (mine == theirs and rank(one) > rank(other))

        return later

    def _find(self, key: str) -> _Place | None:
        for layer in reversed(self.layers):
            if key in layer:
                return layer[key]
        return None

    def _said(self, place: _Place) -> Said:
        pile, row = (self.images, place) if place >= 0 else (self.others, -1 - place)
        return Said(row, sequencer_at(pile.rows, row), kind_at(pile.rows, row))

    def _sequencer(self, place: _Place) -> Sequencer:
        return sequencer_at(*((self.images.rows, place) if place >= 0 else (self.others.rows, -1 - place)))


def _distinct(block: Block) -> Block:
    """The block with one row for each key, the newest; of equal sequencers the last."""
    newest: dict[str, tuple[Sequencer, int]] = {}
    if len(set(block.table.column("key").to_pylist())) == len(block):
        return block
    for row, (key, sequencer, _) in enumerate(identities(block.table)):
        if key not in newest or sequencer >= newest[key][0]:
            newest[key] = sequencer, row
    kept = np.zeros(len(block), dtype=bool)
    kept[[row for _, row in newest.values()]] = True
    return block.where(kept)


def _longer(mask: Mask, count: int) -> Mask:
    return np.concatenate([mask, np.ones(count - len(mask), dtype=bool)])


def _consolidated(layers: tuple[Mapping[str, _Place], ...]) -> tuple[Mapping[str, _Place], ...]:
    """The same, every layer at least twice as long as the next: few are asked, and none is copied often."""
    while len(layers) > 1 and 2 * len(layers[-1]) > len(layers[-2]):
        layers = (*layers[:-2], {**layers[-2], **layers[-1]})
    return layers

"""A view searched: each part by the path that suits the query and the place where its rows are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bucketlens.filters import ALWAYS, Filter
from bucketlens.index.arrays import Mask
from bucketlens.index.rounded import Asked
from bucketlens.index.stats import possible
from bucketlens.records import Vector
from bucketlens.search.cold import Wanted, search_cold
from bucketlens.search.keysearch import settle_by_range
from bucketlens.search.plan import Choice, Path
from bucketlens.search.scan import Found, search_parts
from bucketlens.search.settlements import logged
from bucketlens.search.view import View
from bucketlens.search.winners import Unsettled


@dataclass(frozen=True, slots=True)
class Searched:
    """What was found in each part that was opened. ``pruned`` names shards that column statistics ruled out, ``cold``
    those that were read by range."""

    found: tuple[Found, ...]
    pruned: tuple[str, ...]
    cold: tuple[str, ...]

    @property
    def exact(self) -> bool:
        """Whether no part was searched approximately."""
        return all(one.choice.path is Path.EXACT for one in self.found)


def search_view(view: View, query: Vector, filter: Filter, k: int, *, exact: bool) -> Searched:
    """The k best rows of the view, and maybe more. An exact search brings every shard it opens local.

    Raises SnapshotGone, Corrupt, Retryable.
    """
    entries = view.snapshot.manifest.shards
    split = _Split.of(view, filter, exact=exact)
    opened = [number for number in split.cold if number not in split.pruned]
    view.reach.check([entries[number] for number in opened])
    wanted = Wanted(query, filter, k)
    try:
        found = _search(view, split, wanted, exact=exact, known=False)
    except Unsettled:
        found = _search(view, split, wanted, exact=exact, known=True)
    asked = Asked(query)
    near = {number: float(np.max(view.shards[number][0].head.closeness(asked))) for number in opened}
    nearest = [entries[number] for number in sorted(near, key=lambda number: -near[number])]
    local = [entries[number] for number in split.local if number not in split.pruned]
    view.reach.bring(view.snapshot.manifest, nearest, local)
    view.reach.touch(view.shards[number][0] for number in split.local)
    pruned, cold = (tuple(entries[number].id for number in numbers) for numbers in (sorted(split.pruned), opened))
    return Searched(tuple(found), pruned, cold)


def explanation(searched: Searched) -> list[dict[str, object]]:
    """The plan as it was carried out, part by part."""
    told = [_told(one.part.name, one.choice, one.matched, one.scanned) for one in searched.found]
    for part in told:
        part["cold"] = part["part"] in searched.cold
    shut = Choice(Path.NONE, "column statistics rule it out")
    return told + [_told(id, shut, 0, 0) for id in searched.pruned]


def _told(part: str, choice: Choice, matched: int, scanned: int) -> dict[str, object]:
    return {"part": part, "path": choice.path.value, "reason": choice.reason, "matched": matched, "scanned": scanned}


@dataclass(frozen=True, slots=True)
class _Split:
    """Numbers of the shards that are searched where they are mapped, of the others, and of those ruled out."""

    local: tuple[int, ...]
    cold: tuple[int, ...]
    pruned: frozenset[int]

    @classmethod
    def of(cls, view: View, filter: Filter, *, exact: bool) -> _Split:
        entries = view.snapshot.manifest.shards
        pruned = frozenset(number for number in range(len(entries)) if not _admits(view, number, filter))
        local = tuple(
            number
            for number, entry in enumerate(entries)
            if view.reach.local(entry) or (exact and number not in pruned)
        )
        return cls(local, tuple(number for number in range(len(entries)) if number not in local), pruned)


def _admits(view: View, number: int, filter: Filter) -> bool:
    entry = view.snapshot.manifest.shards[number]
    if filter == ALWAYS or entry.rows < view.reach.cold_from:
        return True
    return possible(filter, view.shards[number][0].head.outline.columns, entry.rows)


def _search(view: View, split: _Split, wanted: Wanted, *, exact: bool, known: bool) -> list[Found]:
    """``known``: settle the log against the cold shards first, too, by reading their keys.

    Shards that are ruled out still say which rows of the log are older than theirs.
    """
    settled, parts = view.among(split.local)
    if not split.cold and not split.pruned:
        return search_parts(parts, *wanted, exact=exact)
    dead: Mapping[int, Mask] = {}
    if known:
        cold = {number: view.cold(number) for number in split.cold}
        settled = settle_by_range(view.log, view.shards, cold, view.reach.ranges, sure=False)
        dead = dict(enumerate(settled.dead))
        log = logged(view.log, settled)
        parts = (*([log] if log.count else []), *(part for part in parts if part.name != "log"))
    unread = {view.shards[number][0].id for number in (*split.cold, *split.pruned)}
    local = [part for part in parts if part.name not in unread]
    found = search_parts(local, *wanted, exact=exact)
    of_log = next((one for one in found if one.part.name == "log"), None)
    shards = [view.cold(number, dead.get(number), shut=number in split.pruned) for number in split.cold]
    said, contending = ({}, None) if known else (settled.log, of_log)
    opened = view.reach.opening(view.snapshot.manifest.shards)
    counting, brought = search_cold(shards, said, contending, wanted, view.reach.ranges, opened)
    if counting is not None:
        found = [counting if one is of_log else one for one in found]
    return found + [one for number, one in zip(split.cold, brought, strict=True) if number not in split.pruned]

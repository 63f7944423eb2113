"""How the rows of shards are reached: local files, ranged reads, and a thread that makes shards local."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import TypeVar

from bucketlens.index.masks import Masks
from bucketlens.index.shard import CODES, COLUMNS, HEAD, KEYS, ROWS, VECTORS, Shard
from bucketlens.search.files import DiskFull, LocalFiles
from bucketlens.search.hydrate import Hydrator, mapped, wanted
from bucketlens.search.ranges import MEMORY, Piece, Ranges
from bucketlens.search.touch import Toucher
from bucketlens.table.manifest import Manifest, ObjectRef, ShardEntry

T = TypeVar("T")

COLD_FROM = 4_096
"""Shards of fewer rows are brought local before they are searched: that is a few requests in one round."""


@dataclass(frozen=True, slots=True)
class Reach:
    """``hydrator`` is None where nothing is brought local in the background, and ``toucher`` where nothing is touched.
    Smaller ``cold_from`` is for tests."""

    files: LocalFiles
    ranges: Ranges
    hydrator: Hydrator | None = None
    cold_from: int = COLD_FROM
    masks: Masks = field(default_factory=Masks, repr=False)
    toucher: Toucher | None = None

    def open(self, entry: ShardEntry) -> Shard:
        """The shard, whose files are brought local by use and let go of when they are removed."""
        parts = entry.parts

        def read(part: str, mapped: Callable[[Path], T]) -> T:
            try:
                return self.files.opened(parts[part], mapped)
            except DiskFull as error:
                size = sum(ref.size for ref in wanted(entry))
                message = f"{error.message} It is of a shard that takes {size:,} bytes there."
                raise DiskFull(message, value=error.value, remedy=error.remedy) from error

        shard = Shard(entry.id, parts, read, self.masks, lambda part: self.files.holds([parts[part]]))
        self.files.used_by(shard, wanted(entry))
        return shard

    def local(self, entry: ShardEntry) -> bool:
        """Whether the shard is searched where it is mapped: it is there, or so small that it is brought."""
        return entry.rows < self.cold_from or self.files.holds(mapped(entry))

    def first(self, entry: ShardEntry) -> list[ObjectRef]:
        """What is read with the log, before it is known what is asked: the head, or all that is mapped if little."""
        if entry.rows < self.cold_from:
            return [entry.parts[part] for part in (ROWS, VECTORS, KEYS)]
        return [entry.parts[HEAD]]

    def look(self, entries: Sequence[ShardEntry], names: Collection[str]) -> None:
        """Read the columns with these names of shards that are not local, as far as the manifest says where they are,
        so that a search that follows need not wait for them; no more than is surely still remembered then."""
        pieces = [
            Piece(entry.parts[COLUMNS].key, start, end)
            for entry in entries
            if not self.local(entry)
            for name, start, end in entry.fields
            if name in names
        ]
        sizes = accumulate(piece.end - piece.start for piece in pieces)
        self.ranges.read([piece for piece, size in zip(pieces, sizes, strict=True) if size <= MEMORY // 2])

    def opening(self, entries: Sequence[ShardEntry]) -> tuple[int, int]:
        """Requests and bytes that opening a view of these shards takes, besides the log."""
        refs = [ref for entry in entries for ref in (*self.first(entry), entry.deletes) if ref is not None]
        return 1 + len(refs), sum(ref.size for ref in refs)

    def check(self, entries: Sequence[ShardEntry]) -> None:
        """Raises Corrupt when one of these, which are to be read by range, is known to be."""
        for entry in entries:
            known = self.hydrator.verdict(entry.id) if self.hydrator is not None else None
            if known is not None:
                raise known

    def bring(self, manifest: Manifest, cold: Sequence[ShardEntry], local: Sequence[ShardEntry]) -> None:
        """What these searched shards of a manifest lack on the disk is brought in the background, the first first, if
        that is done here: all of the cold ones, codes of the others."""
        if self.hydrator is not None:
            large = [entry for entry in local if entry.rows >= self.cold_from]
            lacking = [entry for entry in large if not self.files.holds([entry.parts[CODES]], used=False)]
            self.hydrator.want(manifest, [*cold, *lacking])

    def touch(self, searched: Iterable[Shard]) -> None:
        """What these map since their last search is touched in the background, if that is done here."""
        if self.toucher is not None:
            for shard in searched:
                for pages in shard.fresh():
                    self.toucher.touch(pages)

"""What a cold search may spend. Pure: a budget of requests and bytes, divided before anything is read.

The promise is ``GETS`` and ``BYTES`` for an answer of ten hits, everything included but the log. What the view and the
filter's columns take is subtracted first; what is left holds by construction, because every round is packed into its
share (``packing.most``).
"""

from __future__ import annotations

from dataclasses import dataclass

HITS, GETS, BYTES = 10, 80, 24_000_000
FEWEST_GETS, FEWEST_BYTES = 24, 8_000_000
"""For codes and vectors, however much heads and columns took: of ten shards and more, or columns of megabytes."""
CODES_GETS = 0.5
CODES_BYTES = 0.75
"""Shares of a search that reads codes: the rest is for vectors."""
CELL_ROWS = 1_024
"""Rows of a cluster whose codes are read together, at most: clusters of equal rows may be of any size."""
PLAIN_GAP = 256 * 1024
"""Bytes read along rather than asked for apart by a plain search, one near whose query rows match densely: it needs a
small part of the budget. Ten hits among 262,144 photographs take 23 GETs and 5.6 MB so, at recall@10 0.997; with
128 KiB 26 and 4.7 (0.998), with 512 KiB 20 and 6.4 (0.993)."""
PLAIN_GETS, PLAIN_EXCESS = 16, 15
"""For vectors of a plain search: requests besides one for each hit, and bytes read for each byte wanted."""
CODES_EXCESS = 6
"""For codes of a plain search: bytes read for each byte wanted."""
_CELL_BYTES = 64 * CELL_ROWS
_ROW_BYTES = 2 * 4_096


@dataclass(frozen=True, slots=True)
class Budget:
    """Requests and bytes for codes and vectors. ``wanted`` further requests are kept for the record batches of so many
    likely hits: k, and some more while the log may supersede them."""

    gets: int
    size: int
    wanted: int

    @classmethod
    def after(cls, gets: int, size: int, wanted: int, batch: int) -> Budget:
        """What is left after so many requests and bytes; a record batch has about ``batch`` bytes.

        More hits than the promise is for cost two requests each, and the codes and vectors of their cells.
        """
        least = wanted * (_CELL_BYTES + _ROW_BYTES)
        return cls(
            max(GETS - gets - wanted, FEWEST_GETS, 2 * wanted + 2),
            max(BYTES - size - wanted * batch, FEWEST_BYTES, 2 * least),
            wanted,
        )

    @property
    def codes(self) -> tuple[int, int]:
        """Requests and bytes of them for codes."""
        return max(self.wanted, int(self.gets * CODES_GETS)), int(self.size * CODES_BYTES)

    def plain_codes(self, wanted: int) -> tuple[int, int]:
        """The same for so many bytes of codes of a plain search."""
        gets, size = self.codes
        return gets, min(size, CODES_EXCESS * wanted)

    def plain(self, candidates: int) -> tuple[int, int]:
        """Requests and bytes of them for the vectors of a plain search's candidates of so many bytes."""
        return min(self.gets, PLAIN_GETS + self.wanted), min(self.size, PLAIN_EXCESS * candidates)

    def less(self, gets: int, size: int) -> Budget:
        """What is left of it."""
        return Budget(self.gets - gets, self.size - size, self.wanted)

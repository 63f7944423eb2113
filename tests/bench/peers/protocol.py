"""What the bench asks of an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tests.bench.mixture import Floats

Numbers = Mapping[str, npt.NDArray[np.int64]]
Knobs = Mapping[str, int]
"""A setting of the search, by the engine's own names of its parameters. Empty: nothing to set."""


@dataclass(frozen=True, slots=True)
class Where:
    """Rows whose number ``field`` is at least ``low`` and below ``high``."""

    field: str
    low: int
    high: int

    def sql(self) -> str:
        """As a condition of SQL."""
        return f"{self.field} >= {self.low} AND {self.field} < {self.high}"


@dataclass(frozen=True, slots=True)
class Filters:
    """What queries are filtered by: one for all of them, or each by its own, which stands at the query's number."""

    shared: Where | None = None
    own: Sequence[Where] = ()


UNFILTERED = Filters()


class Peer(Protocol):
    """One engine over one set of rows. Row n has id n; vectors are of unit length and compared by cosine."""

    name: str
    says: str
    """Its parameters, and who recommends them."""
    sweep: Sequence[Knobs]
    """Settings of the search, fast to thorough."""
    floor: float
    """The recall it is known to reach at its most thorough setting; less is suspected to be an error of the bench."""
    filters: bool
    """Whether it has filters that hold before the search."""
    stored: str
    """The file or folder, in the index's folder, that counts as its size."""

    def build(self, rows: Floats, numbers: Numbers, folder: Path, threads: int) -> Mapping[str, float]:
        """Make the index in an empty folder. Seconds of steps that are to be told apart, if any."""
        ...

    def open(self, folder: Path) -> None:
        """Open what was built, to search with one thread."""
        ...

    def prepare(self, knobs: Knobs, where: Where | None) -> None:
        """Set how the next searches are done; what an engine remembers of a filter between queries is made here."""
        ...

    def form(self, query: Floats, k: int) -> Any:
        """A query as a caller of this engine holds it. Not timed."""
        return query

    def search(self, asked: Any, k: int) -> Any:
        """About the k nearest rows to what ``form`` made. This is what is timed."""
        ...

    def ids(self, found: Any) -> list[int]:
        """Row numbers of what ``search`` returned. Not timed."""
        return [int(id) for id in found]


class Missing(Exception):
    """The engine cannot run here; the message says what to do about it."""

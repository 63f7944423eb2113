"""usearch by itself, with its default settings and its own conversion of rows. Its Python interface has no filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from usearch.index import Index  # noqa: TID251

from tests.bench.mixture import Floats
from tests.bench.peers.protocol import Knobs, Numbers, Peer, Where

_FILE = "index.usearch"


class Usearch(Peer):
    """connectivity 16, expansion_add 128, loaded into memory."""

    filters = False
    stored = _FILE
    sweep: Sequence[Knobs] = tuple({"expansion_search": width} for width in (16, 32, 64, 128, 256, 512))

    def __init__(self, dtype: str) -> None:
        self.name = f"usearch {dtype}"
        self.says = "connectivity 16, expansion_add 128 (the defaults)"
        self.floor = 0.97 if dtype == "f16" else 0.85
        self._dtype = dtype
        self._index: Index | None = None

    def build(self, rows: Floats, numbers: Numbers, folder: Path, threads: int) -> Mapping[str, float]:
        index = Index(ndim=rows.shape[1], metric="cos", dtype=self._dtype)
        for start in range(0, len(rows), 65_536):
            part = np.asarray(rows[start : start + 65_536])
            index.add(np.arange(start, start + len(part), dtype=np.uint64), part, threads=threads)
        index.save(str(folder / _FILE))
        return {}

    def open(self, folder: Path) -> None:
        self._index = Index.restore(str(folder / _FILE))

    def prepare(self, knobs: Knobs, where: Where | None) -> None:
        assert self._index is not None
        self._index.expansion_search = knobs["expansion_search"]  # type: ignore[misc]  # its setter has no type

    def search(self, asked: Floats, k: int) -> Any:
        assert self._index is not None
        return self._index.search(asked, k, threads=1).keys

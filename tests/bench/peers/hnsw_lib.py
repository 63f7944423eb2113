"""hnswlib: a graph over float32 rows, with the settings of its own README."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.mixture import Floats
from tests.bench.peers.protocol import Knobs, Missing, Numbers, Peer, Where

try:
    import hnswlib
except ImportError as error:
    raise Missing("hnswlib is built from source: install a C++ compiler (g++), then run make bench again.") from error

_FILE = "index.hnswlib"


class Hnswlib(Peer):
    """M 16, ef_construction 200. Its filter is a Python function called for every visited row."""

    name = "hnswlib"
    says = "M 16, ef_construction 200 (the example of its README), float32"
    sweep: Sequence[Knobs] = tuple({"ef": width} for width in (10, 16, 32, 64, 128, 256, 512))
    floor = 0.97
    filters = False
    stored = _FILE

    def __init__(self) -> None:
        self._index: Any = None

    def build(self, rows: Floats, numbers: Numbers, folder: Path, threads: int) -> Mapping[str, float]:
        index = hnswlib.Index(space="ip", dim=rows.shape[1])
        index.init_index(max_elements=len(rows), M=16, ef_construction=200, random_seed=0)
        for start in range(0, len(rows), 65_536):
            part = np.asarray(rows[start : start + 65_536])
            index.add_items(part, np.arange(start, start + len(part)), num_threads=threads)
        index.save_index(str(folder / _FILE))
        (folder / "dimension").write_text(str(rows.shape[1]))
        return {}

    def open(self, folder: Path) -> None:
        self._index = hnswlib.Index(space="ip", dim=int((folder / "dimension").read_text()))
        self._index.load_index(str(folder / _FILE))

    def prepare(self, knobs: Knobs, where: Where | None) -> None:
        self._index.set_ef(knobs["ef"])

    def search(self, asked: Floats, k: int) -> Any:
        return self._index.knn_query(asked, k, num_threads=1)[0][0]

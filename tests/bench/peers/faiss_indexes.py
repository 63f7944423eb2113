"""FAISS: HNSW and inverted lists over scalar quantisation, inverted lists over product quantisation with refinement.

Settings follow FAISS's own "Guidelines to choose an index": HNSW with 16 or 32 links and the default efConstruction of
40; inverted lists with the power of two next to 4 sqrt(n) lists, trained on 40 rows a list (they say 30 to 256).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from tests.bench.mixture import Floats
from tests.bench.peers.protocol import Knobs, Numbers, Peer, Where

_FILE = "index.faiss"
_ROWS_A_LIST = 40


class Faiss(Peer):
    """One index of FAISS, in memory. A filter is evaluated with numpy and handed over as a bitmap of ids."""

    filters = True
    stored = _FILE

    def __init__(self, name: str, factory: str, says: str, sweep: Sequence[Knobs], floor: float) -> None:
        self.name, self.says, self.sweep, self.floor = name, says, sweep, floor
        self._factory = factory
        self._index: Any = None
        self._numbers: dict[str, np.ndarray] = {}
        self._parameters: Any = None

    def build(self, rows: Floats, numbers: Numbers, folder: Path, threads: int) -> Mapping[str, float]:
        faiss.omp_set_num_threads(threads)
        dimension = rows.shape[1]
        lists = list_count(len(rows))
        factory = self._factory.format(lists=lists, bytes=dimension // 8)
        index = faiss.index_factory(dimension, factory, faiss.METRIC_INNER_PRODUCT)
        if "IVF" in factory:
            faiss.extract_index_ivf(index).cp.max_points_per_centroid = _ROWS_A_LIST
        index.train(_sample(rows, max(65_536, lists * _ROWS_A_LIST)))
        for start in range(0, len(rows), 65_536):
            index.add(np.ascontiguousarray(rows[start : start + 65_536]))
        faiss.write_index(index, str(folder / _FILE))
        np.savez(folder / "numbers.npz", allow_pickle=False, **numbers)
        return {}

    def open(self, folder: Path) -> None:
        faiss.omp_set_num_threads(1)
        self._index = faiss.read_index(str(folder / _FILE))
        self._numbers = dict(np.load(folder / "numbers.npz"))

    def prepare(self, knobs: Knobs, where: Where | None) -> None:
        selected = self._selector(where) if where else None
        if "efSearch" in knobs:
            self._parameters = faiss.SearchParametersHNSW(efSearch=knobs["efSearch"], sel=selected)
            return
        self._parameters = faiss.SearchParametersIVF(nprobe=knobs["nprobe"], sel=selected)
        if "k_factor" in knobs:
            self._parameters = faiss.IndexRefineSearchParameters(
                k_factor=knobs["k_factor"], base_index_params=self._parameters
            )

    def search(self, asked: Floats, k: int) -> Any:
        return self._index.search(asked[None], k, params=self._parameters)[1][0]

    def ids(self, found: Any) -> list[int]:
        return [int(id) for id in found if id >= 0]

    def _selector(self, where: Where) -> Any:
        numbers = self._numbers[where.field]
        return faiss.IDSelectorBitmap(np.packbits((numbers >= where.low) & (numbers < where.high), bitorder="little"))


def hnsw(links: int) -> Faiss:
    """A graph over 8-bit rows."""
    return Faiss(
        f"FAISS HNSW{links}-SQ8",
        f"HNSW{links},SQ8",
        f"M {links}, efConstruction 40 (the default)",
        [{"efSearch": width} for width in (16, 32, 64, 128, 256, 512)],
        0.95,
    )


def ivf_sq8() -> Faiss:
    """Inverted lists of 8-bit rows."""
    return Faiss(
        "FAISS IVF-SQ8",
        "IVF{lists},SQ8",
        "lists: the power of two next to 4 sqrt(n)",
        [{"nprobe": probes} for probes in (4, 8, 16, 32, 64, 128, 256, 1024)],
        0.95,
    )


def ivf_pq() -> Faiss:
    """Inverted lists of product codes, the best refined with half-precision rows."""
    return Faiss(
        "FAISS IVF-PQ, refined",
        "IVF{lists},PQ{bytes}x8np,Refine(SQfp16)",
        "lists as IVF-SQ8, one byte for 8 dimensions (no polysemous training), float16 refinement",
        [
            {"nprobe": probes, "k_factor": factor}
            for factor in (4, 16, 64)
            for probes in (8, 16, 32, 64, 128, 256, 1024)
        ],
        0.9,
    )


def list_count(rows: int) -> int:
    """The power of two next to 4 sqrt(n)."""
    return int(2 ** round(np.log2(4 * np.sqrt(rows))))


def _sample(rows: Floats, count: int) -> Floats:
    if count >= len(rows):
        return np.ascontiguousarray(rows)
    return np.ascontiguousarray(rows[np.sort(np.random.default_rng(0).permutation(len(rows))[:count])])


def flat(rows: Floats, queries: Floats, k: int) -> np.ndarray:
    """Ids of the k nearest rows of each query, by FAISS's own brute force."""
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(np.ascontiguousarray(rows))
    return np.asarray(index.search(queries, k)[1])

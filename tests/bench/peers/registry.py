"""Every engine by a short name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module

from tests.bench.peers.protocol import Missing, Peer

OURS, WHOLE = "ours", "ours-handler"
OUR_TITLE = "bucketlens"
"""What ours is called in results; the name of its whole handler begins with it."""


def _from(module: str, name: str, *arguments: object, **named: object) -> Callable[[], Peer]:
    def make() -> Peer:
        try:
            maker = getattr(import_module(f"tests.bench.peers.{module}"), name)
        except ImportError as error:
            raise Missing(f"{error}: run it through make bench, which installs the peers.") from error
        return partial(maker, *arguments, **named)()  # type: ignore[no-any-return]

    return make


_MAKERS: dict[str, Callable[[], Peer]] = {
    OURS: _from("ours", "Ours", whole=False),
    WHOLE: _from("ours", "Ours", whole=True),
    "faiss-hnsw16": _from("faiss_indexes", "hnsw", 16),
    "faiss-hnsw32": _from("faiss_indexes", "hnsw", 32),
    "faiss-ivf-sq8": _from("faiss_indexes", "ivf_sq8"),
    "faiss-ivf-pq": _from("faiss_indexes", "ivf_pq"),
    "hnswlib": _from("hnsw_lib", "Hnswlib"),
    "usearch-f16": _from("plain_usearch", "Usearch", "f16"),
    "usearch-i8": _from("plain_usearch", "Usearch", "i8"),
    "lance-ivf-pq": _from("lance", "ivf_pq"),
    "lance-hnsw-sq": _from("lance", "ivf_hnsw_sq"),
    "sqlite-vec": _from("sqlite", "SqliteVec"),
}
NAMES = tuple(_MAKERS)
PACKAGES = {
    "faiss-hnsw16": "faiss-cpu",
    "faiss-hnsw32": "faiss-cpu",
    "faiss-ivf-sq8": "faiss-cpu",
    "faiss-ivf-pq": "faiss-cpu",
    "hnswlib": "hnswlib",
    "usearch-f16": "usearch",
    "usearch-i8": "usearch",
    "lance-ivf-pq": "lancedb",
    "lance-hnsw-sq": "lancedb",
    "sqlite-vec": "sqlite-vec",
}
"""The distribution that each engine comes in."""
BUILT_AS = {WHOLE: OURS}
"""Engines that search what another one built."""


def make(name: str) -> Peer:
    """The engine, nothing built or opened. Raises Missing."""
    return _MAKERS[name]()

"""A store in a folder, and log segments in it: what does not fit into memory beside what is measured."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import numpy as np

from bucketlens import keys
from bucketlens.index import segment
from bucketlens.index.block import Block
from bucketlens.records import Kind, ModelIdentity, Row
from bucketlens.search.files import LocalFiles
from bucketlens.search.view import Views
from bucketlens.store.protocol import Blob, ByteRange, Entry
from bucketlens.store.refusals import conflict, exists, missing
from tests.support.table import COLLECTION, sequencer

_AT_ONCE = 20_000


class FolderStore:
    """A ``Store`` of files, for one process at a time and readers in others. Objects become visible whole."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.gets = self.bytes = 0
        self.list_s = 0.0
        self._lock = threading.Lock()

    def get(self, key: str, span: ByteRange | None = None) -> Blob:
        with self._lock:
            self.gets += 1
        try:
            with (self.root / key).open("rb") as file:
                stat = os.fstat(file.fileno())
                file.seek(span.start if span else 0)
                body = file.read(span.end - span.start if span else -1)
        except FileNotFoundError:
            raise missing(key) from None
        with self._lock:
            self.bytes += len(body)
        return Blob(body, _etag(stat), stat.st_size)

    def create(self, key: str, body: bytes) -> str:
        with self._lock:
            if (self.root / key).exists():
                raise exists(key)
            return self._write(key, body)

    def swap(self, key: str, body: bytes, expected: str) -> str:
        with self._lock:
            path = self.root / key
            if not path.exists() or _etag(path.stat()) != expected:
                raise conflict(key)
            return self._write(key, body)

    def delete(self, key: str) -> None:
        (self.root / key).unlink(missing_ok=True)

    def list(self, prefix: str) -> Iterator[Entry]:
        began = perf_counter()
        found = []
        for folder, _, names in os.walk(self.root / prefix):
            for name in names:
                path = Path(folder, name)
                stat = path.stat()
                modified = datetime.fromtimestamp(stat.st_mtime, UTC)
                if not name.startswith("."):
                    found.append(Entry(str(path.relative_to(self.root)), stat.st_size, _etag(stat), modified))
        found.sort(key=lambda entry: entry.key)
        with self._lock:
            self.list_s += perf_counter() - began
        return iter(found)

    def reset(self) -> tuple[int, int, float]:
        """GETs, bytes and seconds of listing since the last reset."""
        with self._lock:
            told = self.gets, self.bytes, self.list_s
            self.gets, self.bytes, self.list_s = 0, 0, 0.0
        return told

    def _write(self, key: str, body: bytes) -> str:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.with_name(f".{path.name}")
        hidden.write_bytes(body)
        hidden.replace(path)
        return _etag(path.stat())


def _etag(stat: os.stat_result) -> str:
    return f'"{stat.st_ino:x}-{stat.st_mtime_ns:x}-{stat.st_size:x}"'


def append(store: FolderStore, vectors: np.ndarray, numbers: Sequence[int], at: int, each: int = 100) -> None:
    """Image rows ``images/<number>.jpg``, all of version ``at``, in log segments of ``each`` rows."""
    model = ModelIdentity("bench", "b" * 32, vectors.shape[1])
    for start in range(0, len(vectors), _AT_ONCE):
        part, named = (of[start : start + _AT_ONCE] for of in (vectors, numbers))
        rows = [
            Row(f"images/{n:08}.jpg", sequencer(at), Kind.IMAGE, vector, metadata(n))
            for n, vector in zip(named, part, strict=True)
        ]
        put(store, Block.of(rows, vectors.shape[1]), model, at, each)


def bury(store: FolderStore, numbers: Sequence[int], dimension: int, at: int, each: int = 100) -> None:
    """Tombstones of these rows."""
    rows = [Row(f"images/{n:08}.jpg", sequencer(at), Kind.TOMBSTONE) for n in numbers]
    put(store, Block.of(rows, dimension), ModelIdentity("bench", "b" * 32, dimension), at, each)


def put(store: FolderStore, block: Block, model: ModelIdentity, at: int, each: int) -> None:
    for start in range(0, len(block), each):
        rows = block.take(np.arange(start, min(start + each, len(block))))
        body = segment.pack(rows, model)
        store.create(keys.render(keys.Segment(COLLECTION, keys.segment_id(sequencer(at).base, body))), body)


def metadata(number: int) -> dict[str, object]:
    """About what ingest says of an image, as many bytes."""
    return {
        "name": f"{number:08}.jpg",
        "folder": f"images/{number % 97}",
        "content_type": "image/jpeg",
        "bytes": 100_000.0 + number,
        "width": 640.0,
        "height": 480.0,
        "etag": f"{number:032x}",
        "n": float(number),
    }


def reader(store: FolderStore, folder: Path) -> Views:
    """Views with an empty disk of their own."""
    files = LocalFiles(store, folder, 10**11)
    return Views(store, files, threads=8, max_staleness_s=0.0, clock=perf_counter)

"""bucketlens itself: log segments as ingest writes them, shards as compaction makes them, searched as its functions do.

The bucket is a folder behind the bench's own S3 server. Rows are appended in segments of 4,096 and compacted whenever
the log holds as many as the largest shard.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from bucketlens import keys
from bucketlens.filters import ALWAYS, Filter, parse
from bucketlens.handlers.query import Handler, handler
from bucketlens.handlers.wiring import Wiring
from bucketlens.index import segment
from bucketlens.index.block import Block
from bucketlens.pipelines.compact import compact, sweep
from bucketlens.pipelines.query import QueryTools, search
from bucketlens.queries import ByVector, Query
from bucketlens.records import Kind, ModelIdentity, Row, Sequencer
from bucketlens.search.fuse import fuse
from bucketlens.search.searched import search_view
from bucketlens.table.policy import MAX_SHARD_ROWS
from tests.bench.mixture import Floats
from tests.bench.origin import Origin
from tests.bench.peers.protocol import Knobs, Numbers, Peer, Where
from tests.bench.peers.registry import OUR_TITLE

BUCKET = "bucket"
COLLECTION = "default"
_SEGMENT_ROWS = 4_096
_PATIENCE_S = 300.0


class Ours(Peer):
    """Searched as the query function does, down to the keys; ``whole``: through that function, event to JSON."""

    floor = 0.95
    filters = True
    stored = BUCKET

    def __init__(self, *, whole: bool) -> None:
        self.name = f"{OUR_TITLE}, whole handler" if whole else OUR_TITLE
        self.says = "as shipped: HTTP event in, JSON out, links signed" if whole else "as shipped: vector in, keys out"
        self.sweep: Sequence[Knobs] = ({},) if whole else ({}, {"exact": 1})
        self._whole = whole
        self._opened = ExitStack()
        self._tools: QueryTools | None = None
        self._handle: Handler | None = None
        self._exact = False
        self._filter: Filter = ALWAYS
        self._asked: Mapping[str, object] = {}

    def build(self, rows: Floats, numbers: Numbers, folder: Path, threads: int) -> Mapping[str, float]:
        (folder / BUCKET).mkdir()
        appended = compacted = 0.0
        model = ModelIdentity("bench", "b" * 32, rows.shape[1])
        with Origin(folder) as origin:
            for start in range(0, len(rows), MAX_SHARD_ROWS):
                wiring = wire(origin.url, folder / "building")
                began = perf_counter()
                for first in range(start, min(start + MAX_SHARD_ROWS, len(rows)), _SEGMENT_ROWS):
                    _append(wiring, rows, numbers, first, min(first + _SEGMENT_ROWS, start + MAX_SHARD_ROWS), model)
                appended += perf_counter() - began
                began = perf_counter()
                compact(COLLECTION, wiring.compact(), now=datetime.now(UTC), nonce=f"bench{start}")
                compacted += perf_counter() - began
            later = datetime.now(UTC) + timedelta(days=1)
            sweep(COLLECTION, wire(origin.url, folder / "building").compact(), now=later)
        shutil.rmtree(folder / "building", ignore_errors=True)
        return {"log written, s": appended, "compaction, s": compacted}

    def open(self, folder: Path) -> None:
        origin = self._opened.enter_context(Origin(folder))
        self._serve(wire(origin.url, folder / "local").query())
        self._bring()

    def reach(self, endpoint: str, local: Path) -> None:
        """Search what lies behind an endpoint, with a disk of its own, and without filling it in the background."""
        self._serve(wire(endpoint, local, hydrate=False).query())

    def _serve(self, tools: QueryTools) -> None:
        self._tools = tools
        self._handle = handler(self._tools, lambda line: None)

    def prepare(self, knobs: Knobs, where: Where | None) -> None:
        self._exact = bool(knobs)
        self._asked = {where.field: {"$gte": where.low, "$lt": where.high}} if where else {}
        self._filter = parse(self._asked) if where else ALWAYS

    def form(self, query: Floats, k: int) -> Any:
        if self._whole:
            return self._event(query, k)
        return query

    def search(self, asked: Any, k: int) -> Any:
        if self._handle is not None and self._whole:
            return self._handle(asked, None)
        view = self._ready().views.view(COLLECTION, strong=False)
        return fuse(search_view(view, asked, self._filter, k, exact=self._exact).found, k, None, ())

    def ids(self, found: Any) -> list[int]:
        if not self._whole:
            return [_number(hit.key) for hit in found]
        if found["statusCode"] != 200:
            raise RuntimeError(found["body"])
        return [_number(hit["key"]) for hit in json.loads(found["body"])["hits"]]

    def _event(self, query: Floats, k: int) -> Mapping[str, object]:
        body: dict[str, object] = {"vector": query.tolist(), "k": k, "filter": dict(self._asked)}
        return {
            "version": "2.0",
            "routeKey": "POST /collections/{collection}/search",
            "rawPath": f"/collections/{COLLECTION}/search",
            "pathParameters": {"collection": COLLECTION},
            "requestContext": {"http": {"method": "POST", "path": f"/collections/{COLLECTION}/search"}},
            "body": json.dumps(body),
        }

    def _bring(self) -> None:
        """Wait until every shard is on the local disk."""
        tools, until = self._ready(), perf_counter() + _PATIENCE_S
        dimension = tools.views.view(COLLECTION, strong=True).model
        assert dimension is not None
        probe = Query(COLLECTION, ByVector((1.0,) * dimension.dimension))
        while search(probe, tools).certificate["shards_cold"]:
            if perf_counter() > until:
                raise TimeoutError(f"Shards are still not local after {_PATIENCE_S:.0f} s.")
            sleep(0.05)

    def _ready(self) -> QueryTools:
        assert self._tools is not None
        return self._tools


def wire(endpoint: str, local: Path, *, hydrate: bool = True) -> Wiring:
    """The functions' own wiring over the bench's server; the environment is the shipped one but for the disk's size."""
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    environ = {
        "BUCKET": BUCKET,
        "AWS_ENDPOINT_URL": endpoint,
        "CACHE_DIR": str(local),
        "CACHE_BYTES": str(64 * 10**9),
        "HYDRATE": str(hydrate).lower(),
    }
    return Wiring.of(environ, credentials=("bench", "bench"))


def _append(wiring: Wiring, rows: Floats, numbers: Numbers, first: int, end: int, model: ModelIdentity) -> None:
    made = [
        Row(
            f"images/{row:08}.jpg",
            Sequencer(f"{row + 1:018X}"),
            Kind.IMAGE,
            rows[row],
            {name: int(values[row]) for name, values in numbers.items()},
        )
        for row in range(first, min(end, len(rows)))
    ]
    body = segment.pack(Block.of(made, rows.shape[1]), model)
    name = keys.Segment(COLLECTION, keys.segment_id(f"{first + 1:018X}", body))
    wiring.store.create(keys.render(name), body)


def _number(key: str) -> int:
    return int(key[len("images/") : -len(".jpg")])

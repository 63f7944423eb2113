"""Query: request -> encode -> snapshot -> plan -> search -> fuse -> answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TypeVar

import numpy as np

from bucketlens.errors import InvalidRequest, NotFound, Retryable
from bucketlens.filters import ALWAYS, Filter
from bucketlens.index.block import kind_at, metadata_at, rejection_at, sequencer_at
from bucketlens.model.encode import Encoder
from bucketlens.model.prepare import prepare
from bucketlens.queries import ByImage, ByKey, ByText, ByVector, Hit, Query
from bucketlens.records import Kind, Metadata, Rejection, Vector
from bucketlens.search.files import DISK, SnapshotGone
from bucketlens.search.fuse import fuse
from bucketlens.search.meter import Spent, metered
from bucketlens.search.searched import Searched, explanation, search_view
from bucketlens.search.view import View, Views
from bucketlens.settings import Settings
from bucketlens.store.protocol import Images

T = TypeVar("T")

_TRIES = 3


@dataclass(frozen=True, slots=True)
class QueryTools:
    """What queries work with. ``encoder`` is called when a query first needs the model."""

    views: Views
    images: Images
    encoder: Callable[[], Encoder]
    settings: Settings


@dataclass(frozen=True, slots=True)
class Answer:
    """Hits, best first, and the certificate: how they were found."""

    hits: tuple[Hit, ...]
    certificate: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class StoredImage:
    """What the index says of one key: metadata and a link, or why it is not searchable."""

    key: str
    sequencer: str
    metadata: Metadata
    url: str
    rejection: Rejection | None = None


def search(query: Query, tools: QueryTools) -> Answer:
    """The k nearest images that pass the filter. Raises InvalidRequest, NotFound, UnreadableObject, Retryable."""
    watch = _Stopwatch()
    given = None if isinstance(query.subject, ByKey) else watch.time("encode", lambda: _encode(query, tools))

    def attempt(view: View) -> Answer:
        vector = _stored_vector(view, query.subject.key) if isinstance(query.subject, ByKey) else given
        if vector is None:
            raise InvalidRequest("The query has no subject.", remedy="Give text, image, key or vector.")
        searched = watch.time("search", lambda: _search(view, vector, query, tools))
        hits = watch.time("fuse", lambda: fuse(searched.found, query.k, query.min_score, query.fields))
        linked = [
            replace(
                hit,
                url=tools.images.link(hit.key, seconds=tools.settings.link_ttl_s),
                metadata=_with_key(hit.key, hit.metadata, query.fields),
            )
            for hit in hits
        ]
        plan = {"plan": explanation(searched)} if query.explain else {}
        return Answer(tuple(linked), {**certificate(view, searched, spent, watch.milliseconds), **plan})

    with metered() as spent:
        return with_view(query.collection, tools, query.strong, attempt, query.filter)


def look_up(collection: str, key: str, tools: QueryTools, *, strong: bool) -> StoredImage:
    """One stored image by its full object key. Raises NotFound."""

    def attempt(view: View) -> StoredImage:
        found = view.find(key)
        if found is None or kind_at(found[0], found[1]) is Kind.TOMBSTONE:
            raise _no_such_image(view, key)
        table, row, _ = found
        rejection = rejection_at(table, row) if kind_at(table, row) is Kind.REJECTED else None
        link = tools.images.link(key, seconds=tools.settings.link_ttl_s)
        return StoredImage(
            key, str(sequencer_at(table, row)), _with_key(key, metadata_at(table, [row])[0]), link, rejection
        )

    return with_view(collection, tools, strong, attempt)


def with_view(
    collection: str, tools: QueryTools, strong: bool, work: Callable[[View], T], filter: Filter = ALWAYS
) -> T:
    """``work`` on a view of the collection, which will be searched with ``filter``; taken anew when an object of it was
    swept, or removed from the disk before it was mapped. Raises NotFound, Retryable, and what taking a view raises."""
    for remaining in reversed(range(_TRIES)):
        try:
            view = tools.views.view(collection, strong=strong, filter=filter)
            if view.snapshot.empty and collection not in tools.settings.collection_names():
                raise NotFound(
                    "There is no such collection.",
                    code="collection_not_found",
                    value=collection,
                    remedy=f"Collections are: {', '.join(tools.settings.collection_names())}.",
                )
            return work(view)
        except SnapshotGone:
            tools.views.forget(collection)
            if not remaining:
                raise
        except FileNotFoundError as error:  # removed from the local disk by another request or process
            tools.views.forget(collection)
            if not remaining:
                raise Retryable(
                    "Local copies of index objects were removed faster than they could be opened.",
                    code=DISK,
                    value=str(error),
                    remedy="Raise CACHE_BYTES, or the function's ephemeral storage.",
                ) from error
    raise AssertionError("unreachable")


def _with_key(key: str, metadata: Metadata, fields: Collection[str] | None = None) -> Metadata:
    """Metadata as it can be filtered: the key is a field of it, wherever it is stored."""
    return {"key": key, **metadata} if fields is None or "key" in fields else metadata


def certificate(view: View, searched: Searched, spent: Spent, milliseconds: Mapping[str, float]) -> dict[str, object]:
    """How an answer was found: exact or not, what was searched and spent, and the snapshot it speaks of."""
    return {
        "mode": "exact" if searched.exact else "approximate",
        "rows_matched": sum(part.matched for part in searched.found),
        "rows_scanned": sum(part.scanned for part in searched.found),
        "shards_searched": sum(part.part.name != "log" for part in searched.found),
        "shards_pruned": len(searched.pruned),
        "shards_cold": len(searched.cold),
        "gets": spent.gets,
        "bytes": spent.bytes,
        "manifest_version": view.snapshot.manifest.version,
        "log_segments": view.snapshot.log_segments,
        "newest_segment": view.snapshot.newest_segment,
        "ms": {stage: round(took, 3) for stage, took in milliseconds.items()},
    }


def _search(view: View, vector: Vector, query: Query, tools: QueryTools) -> Searched:
    if not isinstance(query.subject, ByVector | ByKey):
        vector = view.lineage.vector(vector, tools.encoder().identity)
    if view.model is not None and len(vector) != view.model.dimension:
        raise InvalidRequest(
            f"The vector has {len(vector)} components; the collection's model makes {view.model.dimension}.",
            code="bad_vector",
            remedy=f"Give a vector made by {view.model.id}.",
        )
    return search_view(view, vector, query.filter, query.k, exact=query.exact)


def _encode(query: Query, tools: QueryTools) -> Vector | None:
    match query.subject:
        case ByText(text):
            return tools.encoder().text(text)
        case ByImage(body):
            encoder = tools.encoder()
            return encoder.embed(prepare(body, encoder.recipe, max_pixels=tools.settings.max_image_pixels).pixels)
        case ByVector(values):
            return _unit(values)
        case ByKey():
            return None


def _unit(values: tuple[float, ...]) -> Vector:
    wide = np.asarray(values, dtype=np.float64)
    peak = float(np.max(np.abs(wide), initial=0.0))
    if not 0.0 < peak < np.inf:
        raise InvalidRequest(
            "A zero or non-finite vector has no direction.",
            code="bad_vector",
            value=str(values[:4]),
            remedy="Give a non-zero vector.",
        )
    scaled = wide / peak
    return np.asarray(scaled / np.linalg.norm(scaled), dtype=np.float32)


def _stored_vector(view: View, key: str) -> Vector:
    found = view.find(key)
    if found is None or found[2] is None:
        raise _no_such_image(view, key)
    return _unit(tuple(found[2][found[1]].tolist()))


def _no_such_image(view: View, key: str) -> NotFound:
    said = view.log.get(key)
    rejection = rejection_at(view.log.others.rows, said.row) if said and said.kind is Kind.REJECTED else None
    reason = (
        f"It was rejected ({rejection.code}): {rejection.reason}"
        if rejection
        else "Give the full object key of an image."
    )
    return NotFound("There is no such image in the collection.", code="image_not_found", value=key, remedy=reason)


class _Stopwatch:
    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}

    def time(self, stage: str, work: Callable[[], T]) -> T:
        began = perf_counter()
        try:
            return work()
        finally:
            self.milliseconds[stage] = self.milliseconds.get(stage, 0.0) + (perf_counter() - began) * 1000

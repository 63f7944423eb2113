"""Ingest: event -> decode -> embed -> pack -> log.

Level-triggered: an event only says "look at this key again". What is written is the key as it is now, so duplicated,
reordered and late events end in the same state. The index's manifest is never touched.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

from bucketlens import keys
from bucketlens.errors import BucketlensError, Exists, Misconfigured, Retryable
from bucketlens.index import segment
from bucketlens.index.block import Block, metadata_at, sequencer_at
from bucketlens.model.encode import Encoder
from bucketlens.pipelines.describe import bare
from bucketlens.pipelines.observe import SIDECAR, Observed, is_sidecar, look, row_of, sidecar_key
from bucketlens.records import Kind, ModelIdentity, Notice, Row, Sequencer
from bucketlens.search.view import Views
from bucketlens.settings import Settings
from bucketlens.store.protocol import Images, Store
from bucketlens.table.snapshot import read_manifest

T = TypeVar("T")

_AHEAD = 4
"""Objects held in memory while one is decoded."""
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Ingest:
    """What ingest works with."""

    store: Store
    images: Images
    encoder: Encoder
    views: Views
    settings: Settings


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What one batch came to. ``failed`` maps notices that must be delivered again to the reason."""

    written: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    images: int = 0
    removed: int = 0
    rejected: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[Notice, str] = field(default_factory=dict)
    ignored: int = 0


def ingest(notices: Sequence[Notice], tools: Ingest) -> IngestReport:
    """Bring the index up to date for the keys of these notices. Raises nothing for what is one key's own trouble."""
    by_collection: dict[str, list[Notice]] = defaultdict(list)
    ignored = 0
    for notice in notices:
        collection = tools.settings.collection_of(notice.key)
        if collection is None or notice.key.endswith("/") or notice.bucket != tools.settings.bucket:
            ignored += 1
        else:
            by_collection[collection].append(notice)
    reports = [_ingest_collection(name, batch, tools) for name, batch in by_collection.items()]
    return _sum(reports, ignored)


def _ingest_collection(collection: str, notices: Sequence[Notice], tools: Ingest) -> IngestReport:
    newest: dict[str, Sequencer] = {}
    for notice in notices:
        newest[notice.key] = max(notice.sequencer, newest.get(notice.key, notice.sequencer))
    failures: dict[str, str] = {}
    try:
        _check_model(collection, tools)
        observed, rows = _observe({key: at for key, at in newest.items() if _ordered(key, at)}, tools, failures)
        written, repeated = _append(collection, list(rows.values()), tools)
    except BucketlensError as error:
        return IngestReport(failed={notice: str(error) for notice in notices})
    due = {key: key.removesuffix(SIDECAR) for key, at in newest.items() if not _ordered(key, at)}
    due |= {key: key for key in _changed_meanwhile(observed, tools, failures)}
    for cause, key in sorted(due.items()):
        with _contained(failures, cause):
            written += ensure(collection, key, tools)
    return IngestReport(
        written=tuple(written),
        repeated=tuple(repeated),
        images=sum(row.kind is Kind.IMAGE for row in rows.values()),
        removed=sum(row.kind is Kind.TOMBSTONE for row in rows.values()),
        rejected={row.key: row.rejection.code for row in rows.values() if row.rejection},
        failed={notice: failures[notice.key] for notice in notices if notice.key in failures},
    )


def ensure(collection: str, key: str, tools: Ingest) -> list[str]:
    """Write rows until the index says what the bucket says about a key. Returns the segments written.

    For changes whose event does not order the key itself: a sidecar's, and events without a sequencer. A row written
    here beats what it replaces and loses to any later event. Of two that race, the one that writes last looks last,
    sees the other's row or the other's reason, and writes again: the loop ends when what was read before the write is
    still true after it.
    """
    written: list[str] = []
    for _ in range(_TRIES):
        before = _versions(key, tools)
        known, stands = _known(collection, key, tools)
        if known == before and (written or not tools.settings.object_tags):
            return written  # tags have no version of their own: with them, one row is written to be sure
        row = row_of(look(tools.images, key, tools.settings), stands.next_revision(), tools.encoder, tools.settings)
        if row.kind is Kind.TOMBSTONE and known == (None, None):
            return written
        new, _ = _append(collection, [row], tools)
        written += new
        after = _versions(key, tools)
        if after == before and _known(collection, key, tools)[1] == row.sequencer:
            return written
    raise Retryable("An image or its sidecar keeps changing while it is being indexed.", code="contention", value=key)


def _ordered(key: str, at: Sequencer) -> bool:
    """Whether an event says which version of an image it speaks of."""
    return at.base != "" and not is_sidecar(key)


def _observe(
    wanted: Mapping[str, Sequencer], tools: Ingest, failures: dict[str, str]
) -> tuple[list[Observed], dict[str, Row]]:
    observed: list[Observed] = []
    rows: dict[str, Row] = {}
    with ThreadPoolExecutor(max(1, min(tools.settings.threads, _AHEAD))) as pool:
        for key, look_result in _ahead(pool, lambda key: look(tools.images, key, tools.settings), sorted(wanted)):
            with _contained(failures, key):
                seen = look_result.result()
                rows[key] = row_of(seen, wanted[key], tools.encoder, tools.settings)
                observed.append(seen)
    return observed, rows


def _append(collection: str, rows: Sequence[Row], tools: Ingest) -> tuple[list[str], list[str]]:
    """One log segment by one conditional PUT: (new segments, segments that were there already)."""
    if not rows:
        return [], []
    ordered = sorted(rows, key=lambda row: row.key)
    body = segment.pack(Block.of(ordered, tools.encoder.identity.dimension), tools.encoder.identity)
    id = keys.segment_id(max(row.sequencer for row in ordered).base, body)
    try:
        tools.store.create(keys.render(keys.Segment(collection, id)), body)
    except Exists:
        return [], [id]
    return [id], []


def _changed_meanwhile(observed: Sequence[Observed], tools: Ingest, failures: dict[str, str]) -> list[str]:
    """Keys whose sidecar changed while their row was being written: the sidecar's own event may have come too early."""
    changed = []
    with ThreadPoolExecutor(tools.settings.threads) as pool:
        seen = {one.key: one for one in observed if one.source is not None}
        for key, etag in _ahead(pool, lambda key: tools.images.etag(sidecar_key(key)), seen):
            with _contained(failures, key):
                if etag.result() != seen[key].sidecar_etag:
                    changed.append(key)
    return changed


def _versions(key: str, tools: Ingest) -> tuple[str | None, str | None]:
    """(etag of the object, etag of its sidecar) as they are now; a sidecar without its image counts as none."""
    etag = tools.images.etag(key)
    sidecar = tools.images.etag(sidecar_key(key)) if etag else None
    return bare(etag) if etag else None, bare(sidecar) if sidecar else None


def _known(collection: str, key: str, tools: Ingest) -> tuple[tuple[str | None, str | None], Sequencer]:
    """What the index says of a key: the same pair, and the version of the row that says it."""
    found = tools.views.view(collection, strong=True).find(key)
    if found is None:
        return (None, None), Sequencer()
    table, row, _ = found
    metadata = metadata_at(table, [row], ("etag", "sidecar_etag"))[0]
    etag, sidecar = (str(metadata[name]) if name in metadata else None for name in ("etag", "sidecar_etag"))
    return (etag, sidecar), sequencer_at(table, row)


def _check_model(collection: str, tools: Ingest) -> None:
    manifest, _ = read_manifest(tools.store, collection)
    theirs: ModelIdentity | None = manifest.model
    mine = tools.encoder.identity
    if theirs is not None and theirs != mine:
        raise Misconfigured(
            f"Collection {collection!r} was made with model {theirs.id} ({theirs.checksum[:8]}); "
            f"this function has {mine.id} ({mine.checksum[:8]}).",
            code="model_mismatch",
            remedy="Deploy the collection's model again, or index into a new collection.",
        )


def _ahead(pool: ThreadPoolExecutor, work: Callable[[str], T], items: Iterable[str]) -> Iterator[tuple[str, Future[T]]]:
    waiting: deque[tuple[str, Future[T]]] = deque()
    for item in items:
        waiting.append((item, pool.submit(work, item)))
        if len(waiting) > _AHEAD:
            yield waiting.popleft()
    yield from waiting


@contextmanager
def _contained(failures: dict[str, str], key: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001  one image's unforeseen failure must not stop its neighbours: it goes
        failures[key] = f"{type(error).__name__}: {error}"  # back to the queue and, in the end, to the dead letters


def _sum(reports: Sequence[IngestReport], ignored: int) -> IngestReport:
    return IngestReport(
        written=tuple(chain.from_iterable(report.written for report in reports)),
        repeated=tuple(chain.from_iterable(report.repeated for report in reports)),
        images=sum(report.images for report in reports),
        removed=sum(report.removed for report in reports),
        rejected=dict(chain.from_iterable(report.rejected.items() for report in reports)),
        failed=dict(chain.from_iterable(report.failed.items() for report in reports)),
        ignored=ignored,
    )

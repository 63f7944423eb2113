"""Ingest: event -> read -> decode -> embed -> pack -> log. Every core takes pictures from file to vector, one by one.

Level-triggered: an event only says "look at this key again". What is written is the key as it is now, so duplicated,
reordered and late events end in the same state. The index's manifest is never touched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from bucketlens.errors import BucketlensError
from bucketlens.pipelines.append import Batch, Ingest, append, check_model, storable
from bucketlens.pipelines.each import abreast
from bucketlens.pipelines.ensure import ensure
from bucketlens.pipelines.observe import image_of, is_sidecar, observe, row_of, sidecar_key
from bucketlens.records import Kind, Notice, Sequencer


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
        if collection is None or _image(notice.key) is None or notice.bucket != tools.settings.bucket:
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
        check_model(collection, tools)
        batch, sidecars = _observe({key: at for key, at in newest.items() if _ordered(key, at)}, tools, failures)
        written, repeated = append(collection, batch, tools)
    except BucketlensError as error:
        return IngestReport(failed={notice: str(error) for notice in notices})
    causes = {key: _image(key) or key for key, at in newest.items() if not _ordered(key, at)}
    causes |= {key: key for key in _changed_meanwhile(sidecars, tools, failures)}
    ensured = ensure(collection, causes.values(), tools)
    failures |= {cause: ensured.failures[key] for cause, key in causes.items() if key in ensured.failures}
    return IngestReport(
        written=(*written, *ensured.written),
        repeated=tuple(repeated),
        images=sum(row.kind is Kind.IMAGE for row in batch.rows),
        removed=sum(row.kind is Kind.TOMBSTONE for row in batch.rows),
        rejected={row.key: row.rejection.code for row in batch.rows if row.rejection},
        failed={notice: failures[notice.key] for notice in notices if notice.key in failures},
    )


def _image(key: str) -> str | None:
    """The image that an event of this key asks to look at; None for folder markers and sidecars of no image."""
    if is_sidecar(key):
        return image_of(key)
    return None if key.endswith("/") else key


def _ordered(key: str, at: Sequencer) -> bool:
    """Whether an event says which version of an image it speaks of."""
    return at.base != "" and not is_sidecar(key)


def _observe(
    wanted: Mapping[str, Sequencer], tools: Ingest, failures: dict[str, str]
) -> tuple[Batch, dict[str, str | None]]:
    """The rows to write, and of each object that is there the version of the sidecar that was read with it."""
    seen = observe(tools.eyes(), sorted(wanted), failures)
    batch = storable([row_of(one, wanted[key]) for key, one in seen.items()], tools, failures)
    there = [seen[row.key] for row in batch.rows if seen[row.key].modified is not None]
    return batch, {one.key: one.sidecar_etag for one in there}


def _changed_meanwhile(read: Mapping[str, str | None], tools: Ingest, failures: dict[str, str]) -> list[str]:
    """Keys whose sidecar changed between being read and their row being written: its event may have come too early."""
    now = abreast(tools.settings.threads, lambda key: tools.images.etag(sidecar_key(key)), read, failures)
    return [key for key, etag in now.items() if etag != read[key]]


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

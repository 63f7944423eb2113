"""Ensure: versions -> view -> look -> append, until the index says of some keys what the bucket says.

For changes whose event does not order the key itself: a sidecar's, and events without a sequencer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bucketlens.errors import BucketlensError
from bucketlens.index.block import kind_at, metadata_at, sequencer_at
from bucketlens.pipelines.append import Batch, Ingest, append, storable
from bucketlens.pipelines.describe import bare
from bucketlens.pipelines.each import abreast
from bucketlens.pipelines.observe import observe, row_of, sidecar_key
from bucketlens.records import Kind, Sequencer
from bucketlens.search.view import View

_WRITES = 5
_CHANGING = "An image or its sidecar keeps changing while it is being indexed."

Versions = tuple[str | None, str | None]
"""(etag of the object, etag of its sidecar); a sidecar without its image counts as none."""

_ABSENT: Versions = (None, None)
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Ensured:
    """The segments written, and by key why it could not be ensured."""

    written: tuple[str, ...]
    failures: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Said:
    """What a row says, or said when it was written, and its version."""

    versions: Versions
    sequencer: Sequencer


def ensure(collection: str, wanted: Iterable[str], tools: Ingest) -> Ensured:
    """Write rows until the index says what the bucket says about these keys. Raises nothing for one key's own trouble.

    A row written here beats what it replaces and loses to any later event. Of two that race, the one that writes last
    looks last, sees the other's row, and writes again: a key is done when what was read before the write is still true
    after it. Cost: two HEADs a key and one view a round, at most six rounds, two when nothing races.
    """
    due, failures = sorted(set(wanted)), dict[str, str]()
    written: list[str] = []
    wrote: dict[str, _Said] = {}
    try:
        for writes in range(_WRITES + 1):
            now = _versions(due, tools, failures)
            view = tools.views.view(collection, strong=True) if now else None
            known = {key: _known(view, key) for key in now} if view else {}
            due = [key for key in now if not _settled(now[key], known[key], wrote.get(key), tools)]
            if not due or writes == _WRITES:
                break
            batch = _batch(due, known, tools, failures)
            written += append(collection, batch, tools)[0]
            wrote |= {row.key: _Said(now[row.key], row.sequencer) for row in batch.rows}
        failures |= dict.fromkeys(due, _CHANGING)
    except BucketlensError as error:
        failures |= dict.fromkeys(due, str(error))
    return Ensured(tuple(written), failures)


def _versions(keys: Sequence[str], tools: Ingest, failures: dict[str, str]) -> dict[str, Versions]:
    """Of each key as it is now, those left out that cannot be told."""

    def ask(key: str) -> Versions:
        etag = tools.images.etag(key)
        sidecar = tools.images.etag(sidecar_key(key)) if etag else None
        return bare(etag) if etag else None, bare(sidecar) if sidecar else None

    return abreast(tools.settings.threads, ask, keys, failures)


def _known(view: View, key: str) -> _Said:
    """What the index says of a key. What was refused unread has no version that could be compared."""
    found = view.find(key)
    if found is None:
        return _Said(_ABSENT, Sequencer())
    table, row, _ = found
    metadata = metadata_at(table, [row], ("etag", "sidecar_etag"))[0]
    etag, sidecar = (str(metadata[name]) if name in metadata else None for name in ("etag", "sidecar_etag"))
    if etag is None and kind_at(table, row) is not Kind.TOMBSTONE:
        etag = _UNKNOWN
    return _Said((etag, sidecar), sequencer_at(table, row))


def _settled(now: Versions, known: _Said, wrote: _Said | None, tools: Ingest) -> bool:
    """Whether nothing is left to write: the row of our own stands and is still true, or another one says the same."""
    if wrote == _Said(now, known.sequencer):
        return True
    # Tags have no version of their own: with them, one row is written to be sure.
    sure = wrote is not None or not tools.settings.object_tags or now == _ABSENT
    return sure and known.versions == now


def _batch(due: Sequence[str], known: Mapping[str, _Said], tools: Ingest, failures: dict[str, str]) -> Batch:
    seen = observe(tools.eyes(), due, failures)
    rows = [row_of(one, known[key].sequencer.next_revision()) for key, one in seen.items()]
    wanted = [row for row in rows if row.kind is not Kind.TOMBSTONE or known[row.key].versions != _ABSENT]
    return storable(wanted, tools, failures)

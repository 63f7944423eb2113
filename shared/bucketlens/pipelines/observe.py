"""One key of the bucket, as it is now, as a row: read -> decode -> embed."""

from __future__ import annotations

from dataclasses import dataclass

from bucketlens.errors import UnreadableObject
from bucketlens.model.decode import decode
from bucketlens.model.encode import Encoder
from bucketlens.pipelines.describe import bare, describe, object_fields
from bucketlens.records import Kind, Rejection, Row, Sequencer, SourceObject
from bucketlens.settings import Settings
from bucketlens.store.protocol import Images

SIDECAR = ".json"
_SIDECAR_LIMIT = 1_000_000


@dataclass(frozen=True, slots=True)
class Observed:
    """What the bucket held when we looked: the object, or why it cannot be one, or neither; and its sidecar."""

    key: str
    source: SourceObject | None
    sidecar: SourceObject | None
    refusal: UnreadableObject | None = None

    @property
    def sidecar_etag(self) -> str | None:
        """The version of the sidecar that was read, None when there was none."""
        return self.sidecar.etag if self.sidecar else None


def look(images: Images, key: str, settings: Settings) -> Observed:
    """Read a key and its sidecar as they are now. Raises Retryable."""
    sidecar = _read_sidecar(images, key)
    try:
        return Observed(key, images.fetch(key, limit=settings.max_image_bytes, tags=settings.object_tags), sidecar)
    except UnreadableObject as refusal:
        return Observed(key, None, sidecar, refusal)


def row_of(observed: Observed, sequencer: Sequencer, encoder: Encoder, settings: Settings) -> Row:
    """The row that says what was observed: an image, a rejection with its reason, or a tombstone."""
    source = observed.source
    if observed.refusal is not None:
        return _rejection(observed, sequencer, observed.refusal)
    if source is None:
        return Row(observed.key, sequencer, Kind.TOMBSTONE)
    try:
        picture = decode(source.body, max_pixels=settings.max_image_pixels, at_least=encoder.image_size)
        vector = encoder.image(picture)
    except UnreadableObject as refusal:
        return _rejection(observed, sequencer, refusal)
    return Row(source.key, sequencer, Kind.IMAGE, vector, describe(source, picture, observed.sidecar))


def sidecar_key(key: str) -> str:
    """Where the sidecar of an image would be."""
    return key + SIDECAR


def is_sidecar(key: str) -> bool:
    """Whether a key is a sidecar: every ``.json`` object is, and none is an image."""
    return key.endswith(SIDECAR)


def _read_sidecar(images: Images, key: str) -> SourceObject | None:
    try:
        return images.fetch(sidecar_key(key), limit=_SIDECAR_LIMIT)
    except UnreadableObject:
        return None


def _rejection(observed: Observed, sequencer: Sequencer, refusal: UnreadableObject) -> Row:
    source = observed.source
    reason = f"{refusal.message} {refusal.remedy}".strip()
    rejection = Rejection(refusal.code, reason, source.modified if source else None)
    metadata = object_fields(source) if source else {}
    if observed.sidecar:
        metadata["sidecar_etag"] = bare(observed.sidecar.etag)
    return Row(observed.key, sequencer, Kind.REJECTED, metadata=metadata, rejection=rejection)

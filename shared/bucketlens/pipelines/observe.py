"""One key of the bucket, as it is now, as a row: read -> decode -> embed."""

from __future__ import annotations

from dataclasses import dataclass

from bucketlens.errors import UnreadableObject
from bucketlens.model.decode import decode
from bucketlens.model.encode import Encoder
from bucketlens.pipelines.describe import bare, describe, object_fields
from bucketlens.records import Kind, Metadata, Rejection, Row, Sequencer, SourceObject
from bucketlens.settings import Settings
from bucketlens.store.protocol import Images

SIDECAR = ".json"
_SIDECAR_LIMIT = 1_000_000


@dataclass(frozen=True, slots=True)
class Observed:
    """What the bucket held when we looked: the object, or why it cannot be one, or neither; likewise its sidecar."""

    key: str
    source: SourceObject | None
    sidecar: SourceObject | None
    refusal: UnreadableObject | None = None
    sidecar_refusal: UnreadableObject | None = None

    @property
    def sidecar_etag(self) -> str | None:
        """The version of the sidecar that was read, None when there was none."""
        return self.sidecar.etag if self.sidecar else None


def look(images: Images, key: str, settings: Settings) -> Observed:
    """Read a key and its sidecar as they are now. Raises Retryable."""
    sidecar, trouble = _read(images, sidecar_key(key), _SIDECAR_LIMIT, tags=False)
    source, refusal = _read(images, key, settings.max_image_bytes, tags=settings.object_tags)
    return Observed(key, source, sidecar, refusal, trouble)


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
    metadata = {**describe(source, picture, observed.sidecar), **_sidecar_trouble(observed)}
    return Row(source.key, sequencer, Kind.IMAGE, vector, metadata)


def sidecar_key(key: str) -> str:
    """Where the sidecar of an image would be."""
    return key + SIDECAR


def is_sidecar(key: str) -> bool:
    """Whether a key is a sidecar: every ``.json`` object is, and none is an image."""
    return key.endswith(SIDECAR)


def image_of(sidecar: str) -> str | None:
    """The image a sidecar speaks of; None for one that can have no image: of a folder, or of another sidecar."""
    key = sidecar.removesuffix(SIDECAR)
    return None if key.endswith("/") or is_sidecar(key) else key


def _read(images: Images, key: str, limit: int, *, tags: bool) -> tuple[SourceObject | None, UnreadableObject | None]:
    try:
        return images.fetch(key, limit=limit, tags=tags), None
    except UnreadableObject as refusal:
        return None, refusal


def _sidecar_trouble(observed: Observed) -> Metadata:
    refusal = observed.sidecar_refusal
    return {"sidecar_error": f"{sidecar_key(observed.key)}: {refusal.message}"} if refusal else {}


def _rejection(observed: Observed, sequencer: Sequencer, refusal: UnreadableObject) -> Row:
    source = observed.source
    reason = f"{refusal.message} {refusal.remedy}".strip()
    rejection = Rejection(refusal.code, reason, source.modified if source else None)
    metadata = object_fields(source) if source else {}
    if observed.sidecar:
        metadata["sidecar_etag"] = bare(observed.sidecar.etag)
    return Row(observed.key, sequencer, Kind.REJECTED, metadata=metadata, rejection=rejection)

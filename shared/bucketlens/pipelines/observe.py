"""One key of the bucket, as it is now, as a row: look (read -> decode -> resize), then embed.

Looking is done ahead, in threads, while the model works on earlier keys: what it hands over is small.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bucketlens.errors import UnreadableObject
from bucketlens.model.encode import Encoder
from bucketlens.model.prepare import Prepared, prepare
from bucketlens.model.preprocess import Recipe
from bucketlens.model.room import Room
from bucketlens.pipelines.describe import bare, describe, object_fields
from bucketlens.records import Kind, Metadata, Rejection, Row, Sequencer, SourceObject
from bucketlens.settings import Settings
from bucketlens.store.protocol import Images

SIDECAR = ".json"
_SIDECAR_LIMIT = 1_000_000


@dataclass(frozen=True, slots=True)
class Observed:
    """What the bucket held when we looked: the object and its picture, or why there is none, or neither; likewise its
    sidecar. ``source`` has no body any more: a batch may bring more bytes than fit into memory together."""

    key: str
    source: SourceObject | None
    sidecar: SourceObject | None
    picture: Prepared | None = None
    refusal: UnreadableObject | None = None
    sidecar_refusal: UnreadableObject | None = None

    @property
    def sidecar_etag(self) -> str | None:
        """The version of the sidecar that was read, None when there was none."""
        return self.sidecar.etag if self.sidecar else None


@dataclass(frozen=True, slots=True)
class Eyes:
    """What looking needs; ``room`` is shared by all threads that look."""

    images: Images
    recipe: Recipe
    settings: Settings
    room: Room


def look(eyes: Eyes, key: str) -> Observed:
    """Read a key and its sidecar as they are now, and prepare the picture for the model. Raises Retryable."""
    settings = eyes.settings
    sidecar, trouble = _read(eyes.images, sidecar_key(key), _SIDECAR_LIMIT, tags=False)
    source, refusal = _read(eyes.images, key, settings.max_image_bytes, tags=settings.object_tags)
    if source is None:
        return Observed(key, None, sidecar, None, refusal, trouble)
    picture = None
    try:
        picture = prepare(source.body, eyes.recipe, max_pixels=settings.max_image_pixels, room=eyes.room)
    except UnreadableObject as error:
        refusal = error
    return Observed(key, replace(source, body=b""), sidecar, picture, refusal, trouble)


def row_of(observed: Observed, sequencer: Sequencer, encoder: Encoder) -> Row:
    """The row that says what was observed: an image, a rejection with its reason, or a tombstone."""
    source, picture = observed.source, observed.picture
    if observed.refusal is not None:
        return _rejection(observed, sequencer, observed.refusal)
    if source is None or picture is None:
        return Row(observed.key, sequencer, Kind.TOMBSTONE)
    try:
        vector = encoder.embed(picture.pixels)
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

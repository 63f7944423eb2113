"""One key of the bucket, as it is now, as a row: look (read -> decode -> resize), then embed.

Looking is done ahead, in threads, while the model works on earlier keys: what it hands over is small.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt

from bucketlens.errors import UnreadableObject
from bucketlens.model.encode import Encoder
from bucketlens.model.prepare import prepare
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
    """What the bucket held when we looked, without its bytes: a batch may bring more than fit into memory together.

    ``pixels`` are ready for the model; without them the key is refused (``refusal``) or gone. ``metadata`` is that of
    an image, ``facts`` what a rejection says of its object. ``modified`` is None unless the object was read, and
    ``sidecar_etag`` unless its sidecar was.
    """

    key: str
    pixels: npt.NDArray[np.float32] | None = None
    refusal: UnreadableObject | None = None
    modified: datetime | None = None
    metadata: Metadata = field(default_factory=dict)
    facts: Metadata = field(default_factory=dict)
    sidecar_etag: str | None = None


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
    version = sidecar.etag if sidecar else None
    facts: Metadata = {"sidecar_etag": bare(sidecar.etag)} if sidecar else {}
    if source is None:
        return Observed(key, refusal=refusal, facts=facts, sidecar_etag=version)
    facts = {**object_fields(source), **facts}
    seen = Observed(key, modified=source.modified, facts=facts, sidecar_etag=version)
    try:
        picture = prepare(source.body, eyes.recipe, max_pixels=settings.max_image_pixels, room=eyes.room)
    except UnreadableObject as error:
        return replace(seen, refusal=error)
    metadata = {**describe(source, picture, sidecar), **_sidecar_trouble(key, trouble)}
    return replace(seen, pixels=picture.pixels, metadata=metadata)


def row_of(observed: Observed, sequencer: Sequencer, encoder: Encoder) -> Row:
    """The row that says what was observed: an image, a rejection with its reason, or a tombstone."""
    if observed.refusal is not None:
        return _rejection(observed, sequencer, observed.refusal)
    if observed.pixels is None:
        return Row(observed.key, sequencer, Kind.TOMBSTONE)
    try:
        vector = encoder.embed(observed.pixels)
    except UnreadableObject as refusal:
        return _rejection(observed, sequencer, refusal)
    return Row(observed.key, sequencer, Kind.IMAGE, vector, observed.metadata)


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


def _sidecar_trouble(key: str, refusal: UnreadableObject | None) -> Metadata:
    return {"sidecar_error": f"{sidecar_key(key)}: {refusal.message}"} if refusal else {}


def _rejection(observed: Observed, sequencer: Sequencer, refusal: UnreadableObject) -> Row:
    reason = f"{refusal.message} {refusal.remedy}".strip()
    rejection = Rejection(refusal.code, reason, observed.modified)
    return Row(observed.key, sequencer, Kind.REJECTED, metadata=observed.facts, rejection=rejection)

"""Keys of the bucket, as they are now, as rows: read -> decode -> resize -> embed, each key in one thread to the end.

Threads that only decode and a thread that only embeds would wait for each other. As many pictures as there are cores
are on their way from file to vector; two more threads read meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime

from bucketlens.errors import UnreadableObject
from bucketlens.model.encode import Encoder
from bucketlens.model.prepare import prepare
from bucketlens.model.room import Room
from bucketlens.pipelines.describe import bare, describe, object_fields
from bucketlens.pipelines.each import abreast
from bucketlens.records import Kind, Metadata, Rejection, Row, Sequencer, SourceObject, Vector
from bucketlens.settings import Settings
from bucketlens.store.protocol import Images

SIDECAR = ".json"
_SIDECAR_LIMIT = 1_000_000
_SPARE_READERS = 2
"""Threads that read while every core has a picture. Each thread holds at most one file."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What the bucket held when we looked, without its bytes: a batch may bring more than fit into memory together.

    Without ``vector`` the key is refused (``rejection``) or gone. ``metadata`` is that of an image, ``facts`` what a
    rejection says of its object. ``modified`` is None unless the object was read, and ``sidecar_etag`` unless its
    sidecar was.
    """

    key: str
    vector: Vector | None = None
    rejection: Rejection | None = None
    modified: datetime | None = None
    metadata: Metadata = field(default_factory=dict)
    facts: Metadata = field(default_factory=dict)
    sidecar_etag: str | None = None


@dataclass(frozen=True, slots=True)
class Eyes:
    """What looking needs; ``room`` is shared by all threads that look."""

    images: Images
    encoder: Encoder
    settings: Settings
    room: Room


def observe(eyes: Eyes, keys: Collection[str], failures: dict[str, str]) -> dict[str, Observed]:
    """What ``look`` finds at each key, in their order; what it raises is noted in ``failures`` instead."""
    threads = min(eyes.settings.threads, eyes.room.cores + _SPARE_READERS)
    return abreast(threads, lambda key: look(eyes, key), keys, failures)


def look(eyes: Eyes, key: str) -> Observed:
    """Read a key and its sidecar as they are now, and embed the picture. Raises Retryable, Misconfigured."""
    settings = eyes.settings
    sidecar, trouble = _read(eyes.images, sidecar_key(key), _SIDECAR_LIMIT, tags=False)
    source, refusal = _read(eyes.images, key, settings.max_image_bytes, tags=settings.object_tags)
    version = sidecar.etag if sidecar else None
    facts: Metadata = {"sidecar_etag": bare(sidecar.etag)} if sidecar else {}
    if source is None:
        return Observed(key, rejection=_rejection(refusal) if refusal else None, facts=facts, sidecar_etag=version)
    facts = {**object_fields(source), **facts}
    seen = Observed(key, modified=source.modified, facts=facts, sidecar_etag=version)
    try:
        with eyes.room.core:
            picture = prepare(source.body, eyes.encoder.recipe, max_pixels=settings.max_image_pixels, room=eyes.room)
            vector = eyes.encoder.embed(picture.pixels)
    except UnreadableObject as error:
        return replace(seen, rejection=_rejection(error, source.modified))
    metadata = {**describe(source, picture, sidecar), **_sidecar_trouble(key, trouble)}
    return replace(seen, vector=vector, metadata=metadata)


def row_of(observed: Observed, sequencer: Sequencer) -> Row:
    """The row that says what was observed: an image, a rejection with its reason, or a tombstone."""
    if observed.rejection is not None:
        return Row(observed.key, sequencer, Kind.REJECTED, metadata=observed.facts, rejection=observed.rejection)
    if observed.vector is None:
        return Row(observed.key, sequencer, Kind.TOMBSTONE)
    return Row(observed.key, sequencer, Kind.IMAGE, observed.vector, observed.metadata)


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


def _rejection(refusal: UnreadableObject, modified: datetime | None = None) -> Rejection:
    """A refusal without its traceback, which would keep the file in memory."""
    return Rejection(refusal.code, f"{refusal.message} {refusal.remedy}".strip(), modified)

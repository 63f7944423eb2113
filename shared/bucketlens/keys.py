"""One grammar for object names, both directions.

    index/<collection>/manifest.json
    index/<collection>/log/<segment>.arrow
    index/<collection>/merged/<id>.arrow
    index/<collection>/marks/<id>.arrow
    index/<collection>/adapters/<id>.arrow
    index/<collection>/shards/<shard>/<part>

``<segment>`` is ``<first 16 hex digits of the newest sequencer>-<BLAKE2b-128 of the bytes>``: a listing is roughly in
the order of events, and a segment proves its own content.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from mmap import mmap

from bucketlens.errors import Corrupt, InvalidRequest

COLLECTION = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_NAME = r"[A-Za-z0-9._-]+"
_OBJECT = re.compile(
    rf"index/(?P<collection>{COLLECTION.pattern})/"
    rf"(?:(?P<manifest>manifest\.json)|log/(?P<segment>{_NAME})\.arrow|marks/(?P<marks>{_NAME})\.arrow"
    rf"|merged/(?P<merged>{_NAME})\.arrow|adapters/(?P<adapter>{_NAME})\.arrow"
    rf"|shards/(?P<shard>{_NAME})/(?P<part>{_NAME}))"
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The one mutable object of a collection."""

    collection: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A log segment: what one ingest batch appended."""

    collection: str
    id: str


@dataclass(frozen=True, slots=True)
class Marks:
    """Tombstones and rejections carried out of absorbed log segments."""

    collection: str
    id: str


@dataclass(frozen=True, slots=True)
class Merged:
    """Log segments made one, until they are absorbed."""

    collection: str
    id: str


@dataclass(frozen=True, slots=True)
class Adapter:
    """A matrix from the vectors of an earlier model to those of the collection's model."""

    collection: str
    id: str


@dataclass(frozen=True, slots=True)
class ShardPart:
    """One file of a shard, such as ``rows.arrow``."""

    collection: str
    shard: str
    part: str


Name = Manifest | Segment | Marks | Merged | Adapter | ShardPart


def render(name: Name) -> str:
    """The object key of a name. Inverse of ``parse``."""
    match name:
        case Manifest(collection):
            return f"{root(collection)}manifest.json"
        case Segment(collection, id):
            return f"{log_prefix(collection)}{id}.arrow"
        case Marks(collection, id):
            return f"{root(collection)}marks/{id}.arrow"
        case Merged(collection, id):
            return f"{root(collection)}merged/{id}.arrow"
        case Adapter(collection, id):
            return f"{root(collection)}adapters/{id}.arrow"
        case ShardPart(collection, shard, part):
            return f"{root(collection)}shards/{shard}/{part}"


def parse(key: str) -> Name | None:
    """The name behind an object key, or None for an object that is not ours. Inverse of ``render``."""
    match = _OBJECT.fullmatch(key)
    if match is None:
        return None
    found = match.groupdict()
    if found["manifest"]:
        return Manifest(found["collection"])
    if found["segment"]:
        return Segment(found["collection"], found["segment"])
    if found["marks"]:
        return Marks(found["collection"], found["marks"])
    if found["merged"]:
        return Merged(found["collection"], found["merged"])
    if found["adapter"]:
        return Adapter(found["collection"], found["adapter"])
    return ShardPart(found["collection"], found["shard"], found["part"])


def root(collection: str) -> str:
    """Prefix of everything a collection's index consists of."""
    return f"index/{check_collection(collection)}/"


def log_prefix(collection: str) -> str:
    """Prefix of a collection's log segments."""
    return f"{root(collection)}log/"


def check_collection(name: str) -> str:
    """The name itself. Raises InvalidRequest unless it is 1 to 63 of ``a-z 0-9 . _ -``, a letter or digit first."""
    if not COLLECTION.fullmatch(name):
        raise InvalidRequest(
            "This is not a collection name.",
            code="bad_collection_name",
            value=name,
            remedy="Use 1 to 63 of a-z, 0-9, dot, underscore and hyphen, beginning with a letter or digit.",
        )
    return name


def segment_id(newest_sequencer: str, body: bytes) -> str:
    """The id of a log segment with these bytes."""
    return f"{newest_sequencer[:16].ljust(16, '0').lower()}-{digest(body)}"


def check_segment(id: str, body: bytes) -> bytes:
    """The bytes themselves. Raises Corrupt when they are not what the segment's name promises."""
    if id.rpartition("-")[2] != digest(body):
        raise Corrupt(
            "A log segment's bytes do not match its name.",
            code="checksum_mismatch",
            value=id,
            remedy="Restore the object, or delete it and touch the images it held.",
        )
    return body


def digest(body: bytes | memoryview | mmap) -> str:
    """BLAKE2b-128 in hexadecimal, 32 digits: the checksum of everything the index names."""
    return hashlib.blake2b(body, digest_size=16).hexdigest()

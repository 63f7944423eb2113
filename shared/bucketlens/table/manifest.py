"""The manifest: which objects are the index of a collection. The only mutable object, and a value here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

from bucketlens import keys
from bucketlens.errors import Corrupt
from bucketlens.records import ModelIdentity
from bucketlens.store.protocol import Body

FORMAT = 1


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """An immutable object: its full key, size in bytes, and BLAKE2b-128 checksum."""

    key: str
    size: int
    checksum: str

    @classmethod
    def of(cls, key: str, body: Body) -> ObjectRef:
        """The reference to an object with these bytes."""
        return cls(key, len(body), keys.digest(body))

    def check(self, body: bytes) -> bytes:
        """The bytes themselves. Raises Corrupt when they are not the ones the manifest names."""
        if len(body) != self.size or keys.digest(body) != self.checksum:
            raise Corrupt(
                f"An index object has {len(body)} bytes with checksum {keys.digest(body)}; "
                f"the manifest says {self.size} and {self.checksum}.",
                code="checksum_mismatch",
                value=self.key,
                remedy="Restore the object from a backup or rebuild the collection.",
            )
        return body


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """One shard: ``rows`` stored rows, ``deleted`` of them superseded (see ``deletes``), and its files by part.

    ``fields`` says where in columns.arrow metadata columns are (name, first byte, end): a reader that knows its filter
    need not read the head first. It may lack some.
    """

    id: str
    rows: int
    parts: Mapping[str, ObjectRef]
    deleted: int = 0
    deletes: ObjectRef | None = None
    fields: tuple[tuple[str, int, int], ...] = ()

    @property
    def live(self) -> int:
        """Rows that still count."""
        return self.rows - self.deleted

    def objects(self) -> Iterator[ObjectRef]:
        """Every object this entry names."""
        yield from self.parts.values()
        if self.deletes is not None:
            yield self.deletes


@dataclass(frozen=True, slots=True)
class MergedEntry:
    """Log segments made one: the object, its rows, the ids of the segments in the order they were written, and when."""

    object: ObjectRef
    rows: int
    segments: tuple[str, ...]
    at: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The state of a collection's index.

    ``merged`` are the oldest part of the log, oldest first; their segments do not count beside them. ``absorbed`` maps
    log segments whose rows are in shards or marks to the time (ISO 8601) they were absorbed, ``retired`` does the same
    for objects no longer named. Both are forgotten once the sweep has deleted what they name. ``adapters`` maps the
    checksums of earlier models to the matrices that make their vectors this model's. ``building`` is the tag of a
    generation of shards being made beside the present one, empty for none: the sweep spares it.
    Invariants (``check``): ids are unique, counts agree, nothing is both named and retired, shards have a model.
    """

    collection: str
    version: int = 0
    model: ModelIdentity | None = None
    shards: tuple[ShardEntry, ...] = ()
    marks: ObjectRef | None = None
    merged: tuple[MergedEntry, ...] = ()
    adapters: Mapping[str, ObjectRef] = field(default_factory=dict)
    building: str = ""
    absorbed: Mapping[str, str] = field(default_factory=dict)
    retired: Mapping[str, str] = field(default_factory=dict)

    def objects(self) -> Iterator[ObjectRef]:
        """Every object the manifest names."""
        for shard in self.shards:
            yield from shard.objects()
        if self.marks is not None:
            yield self.marks
        yield from (one.object for one in self.merged)
        yield from self.adapters.values()

    def left(self) -> Mapping[str, str]:
        """Log segments whose rows are elsewhere now, in shards, marks or merged segments, and since when."""
        return {**self.absorbed, **{id: one.at for one in self.merged for id in one.segments}}

    def check(self) -> Manifest:
        """The manifest itself. Raises Corrupt when an invariant does not hold: such a state is never written."""
        named = [ref.key for ref in self.objects()]
        merged = [id for one in self.merged for id in one.segments]
        problems = [
            name
            for name, broken in {
                "a shard id appears twice": len({s.id for s in self.shards}) != len(self.shards),
                "an object is named twice": len(set(named)) != len(named),
                "an object is both named and retired": not self.retired.keys().isdisjoint(named),
                "a shard has impossible counts": any(not 0 <= s.deleted < s.rows for s in self.shards),
                "deleted rows and deletion vector disagree": any(
                    bool(s.deleted) != bool(s.deletes) for s in self.shards
                ),
                "a segment was merged twice, or merged and absorbed": len(set(merged)) != len(merged)
                or not self.absorbed.keys().isdisjoint(merged),
                "there are shards but no model": bool(self.shards or self.merged) and self.model is None,
            }.items()
            if broken
        ]
        if problems:
            raise Corrupt(
                f"The manifest of collection {self.collection!r} is inconsistent: {'; '.join(problems)}.",
                code="bad_manifest",
                remedy="Restore an earlier manifest or rebuild the collection.",
            )
        return self


def dumps(manifest: Manifest) -> bytes:
    """The manifest as JSON. Inverse of ``loads``; raises Corrupt rather than write an inconsistent state."""
    document = {"format": FORMAT, **asdict(manifest.check())}
    return json.dumps(document, indent=1, sort_keys=True).encode()


def loads(body: bytes, key: str) -> Manifest:
    """The manifest in these bytes. Raises Corrupt for anything that is not one, or has an unknown format number."""
    try:
        document = json.loads(body)
        stated = document.pop("format")
        if stated != FORMAT:
            raise Corrupt(
                f"The manifest has format {stated}, this version reads format {FORMAT}.",
                code="unknown_format",
                value=key,
                remedy="Use the version of bucketlens that wrote it, or rebuild the collection.",
            )
        return Manifest(
            collection=_text(document["collection"]),
            version=_number(document["version"]),
            model=_model(document["model"]),
            shards=tuple(_shard(entry) for entry in document["shards"]),
            marks=_ref(document["marks"]),
            merged=tuple(_merged(entry) for entry in document["merged"]),
            adapters={checksum: _object(ref) for checksum, ref in _mapping(document["adapters"]).items()},
            building=_text(document["building"]),
            absorbed=_times(document["absorbed"]),
            retired=_times(document["retired"]),
        ).check()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Corrupt(
            f"The manifest cannot be read: {error!r}.",
            code="bad_manifest",
            value=key,
            remedy="Restore an earlier version of it.",
        ) from error


def stamp(now: datetime) -> str:
    """A moment as the manifest writes it."""
    return now.isoformat()


def _shard(document: Mapping[str, object]) -> ShardEntry:
    return ShardEntry(
        id=_text(document["id"]),
        rows=_number(document["rows"]),
        parts={name: _object(ref) for name, ref in _mapping(document["parts"]).items()},
        deleted=_number(document["deleted"]),
        deletes=_ref(document["deletes"]),
        fields=tuple(_field(place) for place in _list(document.get("fields", []))),
    )


def _field(document: object) -> tuple[str, int, int]:
    name, start, end = _list(document)
    return _text(name), _number(start), _number(end)


def _merged(document: Mapping[str, object]) -> MergedEntry:
    at = _times({"at": document["at"]})["at"]
    ids = tuple(_text(id) for id in _list(document["segments"]))
    return MergedEntry(_object(document["object"]), _number(document["rows"]), ids, at)


def _ref(document: object) -> ObjectRef | None:
    return None if document is None else _object(document)


def _object(document: object) -> ObjectRef:
    found = _mapping(document)
    return ObjectRef(_text(found["key"]), _number(found["size"]), _text(found["checksum"]))


def _model(document: object) -> ModelIdentity | None:
    if document is None:
        return None
    found = _mapping(document)
    id, checksum, metric = (_text(found[name]) for name in ("id", "checksum", "metric"))
    return ModelIdentity(id, checksum, _number(found["dimension"]), metric)


def _times(document: object) -> dict[str, str]:
    times = {name: _text(at) for name, at in _mapping(document).items()}
    for at in times.values():
        if datetime.fromisoformat(at).tzinfo is None:
            raise ValueError(f"{at} has no offset from UTC")
    return times


def _mapping(document: object) -> dict[str, object]:
    if not isinstance(document, dict):
        raise TypeError(f"{type(document).__name__} where an object belongs")
    return document


def _list(document: object) -> list[object]:
    if not isinstance(document, list):
        raise TypeError(f"{type(document).__name__} where a list belongs")
    return document


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where text belongs")
    return value


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} where a count belongs")
    return value

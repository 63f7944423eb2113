"""What is known about an image besides its vector: every fact becomes a metadata field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC

from bucketlens.errors import Rejected
from bucketlens.model.prepare import Prepared
from bucketlens.records import Metadata, SourceObject, Value
from bucketlens.values import flatten, recognise

BUILT_IN = frozenset(
    (
        *("key", "name", "folder", "extension", "content_type", "bytes", "width", "height", "format"),
        *("uploaded_at", "etag", "taken_at", "camera", "lens", "latitude", "longitude"),
        *("sidecar_etag", "sidecar_error"),
    )
)
"""Fields the index sets. A user's field of the same name becomes ``meta.<name>``."""


def describe(source: SourceObject, picture: Prepared, sidecar: SourceObject | None) -> Metadata:
    """All metadata of an image. User metadata wins over the sidecar's only by name: the sidecar is applied last."""
    return {
        **_user_fields({name: recognise(value) for name, value in source.user_metadata.items()}),
        **{f"tag.{name}": value for name, value in source.tags.items()},
        **sidecar_fields(sidecar),
        **picture.exif,
        **object_fields(source),
        "width": picture.width,
        "height": picture.height,
        "format": picture.format,
    }


def object_fields(source: SourceObject) -> dict[str, Value]:
    """What the object store says about an object. ``key`` itself is a column of every row."""
    folder, _, name = source.key.rpartition("/")
    stem, dot, extension = name.rpartition(".")
    fields: dict[str, Value] = {
        "name": name,
        "folder": folder,
        "content_type": source.content_type,
        "bytes": source.size,
        "uploaded_at": source.modified.astimezone(UTC),
        "etag": bare(source.etag),
    }
    return {**fields, "extension": extension.lower()} if dot and stem else fields


def bare(etag: str) -> str:
    """An etag without the quotes HTTP puts around it, as people and consoles write it."""
    return etag.strip('"')


def sidecar_fields(sidecar: SourceObject | None) -> dict[str, Value]:
    """The fields of a sidecar, which must be a JSON object. A bad one loses only itself: ``sidecar_error``."""
    if sidecar is None:
        return {}
    version: dict[str, Value] = {"sidecar_etag": bare(sidecar.etag)}
    try:
        return {**_user_fields(flatten(json.loads(sidecar.body))), **version}
    except (ValueError, RecursionError) as error:
        return {**version, "sidecar_error": f"{sidecar.key} is not JSON: {error}"[:500]}
    except Rejected as error:
        return {**version, "sidecar_error": f"{sidecar.key}: {error.message}"[:500]}


def _user_fields(fields: Mapping[str, Value]) -> dict[str, Value]:
    return {f"meta.{name}" if name in BUILT_IN else name: value for name, value in fields.items()}

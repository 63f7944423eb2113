"""The refusals every storage adapter words alike."""

from __future__ import annotations

from bucketlens.errors import Conflict, Exists, NotFound, UnreadableObject


def missing(key: str) -> NotFound:
    """The answer to reading what is not there."""
    return NotFound("There is no object of this name.", value=key)


def exists(key: str) -> Exists:
    """The answer to a create that came second."""
    return Exists("There is an object of this name already.", value=key)


def conflict(key: str) -> Conflict:
    """The answer to a swap that met another version, or none."""
    return Conflict("The object is not the version that was to be replaced.", value=key)


def too_large(key: str, size: int, limit: int) -> UnreadableObject:
    """The answer for an image of more than ``limit`` bytes."""
    return UnreadableObject(
        f"The object has {size} bytes, more than the {limit} that are read.",
        code="too_large",
        value=key,
        remedy="Upload a smaller image, or raise MAX_IMAGE_BYTES.",
    )


def archived(key: str) -> UnreadableObject:
    """The answer for an image in an archive storage class."""
    return UnreadableObject(
        "The object is archived, so it cannot be read.",
        code="archived",
        value=key,
        remedy="Restore it, or copy it to another storage class.",
    )

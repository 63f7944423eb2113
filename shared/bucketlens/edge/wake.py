"""What wakes the compact function: S3 says that an object of the index was written, through a queue or directly.

Every object but a manifest may wake it, its own as well: a run that ended for lack of time is followed by another, and
one that finds nothing due writes nothing, which is the end.
"""

from __future__ import annotations

from collections.abc import Mapping

from bucketlens import keys
from bucketlens.edge.events import parse_ingest


def written_collections(event: object) -> tuple[str, ...] | None:
    """The collections whose objects were written, each once; None for an event that is not of S3, such as a schedule's.

    Messages that nobody can parse, and objects that are not the index's, name none: a wake-up may be lost, for the
    schedule comes anyway. Raises Rejected for records of another source.
    """
    if not (isinstance(event, Mapping) and "Records" in event):
        return None
    names = (keys.parse(notice.key) for notice in parse_ingest(event).notices)
    return tuple(dict.fromkeys(name.collection for name in names if name is not None))

"""Lambda entry point of the ingest function: builds its handler at the first event, then calls it."""

from __future__ import annotations

import os
from functools import cache

from bucketlens.handlers.ingest import Handler


def handler(event: dict[str, object], context: object) -> dict[str, object]:
    """Answer one event. The environment is read once per container."""
    return _built()(event, context)


@cache
def _built() -> Handler:
    from bucketlens.handlers.ingest import build

    return build(os.environ)

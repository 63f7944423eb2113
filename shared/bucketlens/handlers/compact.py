"""The compact function: compaction and a sweep of every collection, or of those that an event names."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime

from bucketlens.edge.report import log_line
from bucketlens.edge.wake import written_collections
from bucketlens.errors import BucketlensError
from bucketlens.handlers.wiring import Wiring
from bucketlens.pipelines.compact import Compact, compact

STEP_S = 300.0
"""Time left, in seconds, with which another step is begun. One that the time limit ends has done no harm."""

Handler = Callable[[object, object], dict[str, object]]


def build(environ: Mapping[str, str], log: Callable[[str], None] = print) -> Handler:
    """The handler for this environment. Raises Misconfigured."""
    return handler(Wiring.of(environ).compact(), log)


def handler(tools: Compact, log: Callable[[str], None]) -> Handler:
    """Answers ``{"collections": [report, ...]}``. ``{"collection": name}`` in the event chooses one collection, S3's
    events choose those whose objects were written.

    A collection that fails does not stop the others; the first failure is raised at the end.
    """

    def handle(event: object, context: object) -> dict[str, object]:
        names = _chosen(event)
        if names is None:
            names = tools.settings.collection_names()
        reports: list[dict[str, object]] = []
        failure: BucketlensError | None = None
        for name in names:
            try:
                nonce = uuid.uuid4().hex[:12]
                report = asdict(
                    compact(
                        name, tools, now=datetime.now(UTC), nonce=nonce, more=lambda: _seconds_left(context) > STEP_S
                    )
                )
                reports.append(report)
            except BucketlensError as error:
                report = {"collection": name, "code": error.code, "error": str(error)}
                failure = failure or error
            log(log_line(function="compact", request_id=getattr(context, "aws_request_id", None), **report))
        if failure is not None:
            raise failure
        return {"collections": reports}

    return handle


def _chosen(event: object) -> tuple[str, ...] | None:
    """The collections that an event is about; None for all."""
    chosen = event.get("collection") if isinstance(event, Mapping) else None
    return (chosen,) if isinstance(chosen, str) else written_collections(event)


def _seconds_left(context: object) -> float:
    """Of the invocation, as Lambda tells; without end elsewhere."""
    tell = getattr(context, "get_remaining_time_in_millis", None)
    return tell() / 1000 if tell is not None else float("inf")

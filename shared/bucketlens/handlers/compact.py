"""The compact function: on a schedule, one step of compaction and a sweep for each collection."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime

from bucketlens.edge.report import log_line
from bucketlens.errors import BucketlensError
from bucketlens.handlers.wiring import Wiring
from bucketlens.pipelines.compact import Compact, compact

Handler = Callable[[object, object], dict[str, object]]


def build(environ: Mapping[str, str], log: Callable[[str], None] = print) -> Handler:
    """The handler for this environment. Raises Misconfigured."""
    return handler(Wiring.of(environ).compact(), log)


def handler(tools: Compact, log: Callable[[str], None]) -> Handler:
    """Answers ``{"collections": [report, ...]}``. ``{"collection": name}`` in the event chooses one collection.

    A collection that fails does not stop the others; the first failure is raised at the end.
    """

    def handle(event: object, context: object) -> dict[str, object]:
        chosen = event.get("collection") if isinstance(event, Mapping) else None
        names = (chosen,) if isinstance(chosen, str) else tools.settings.collection_names()
        reports: list[dict[str, object]] = []
        failure: BucketlensError | None = None
        for name in names:
            try:
                report = asdict(compact(name, tools, now=datetime.now(UTC), nonce=uuid.uuid4().hex[:12]))
                reports.append(report)
            except BucketlensError as error:
                report = {"collection": name, "code": error.code, "error": str(error)}
                failure = failure or error
            log(log_line(function="compact", request_id=getattr(context, "aws_request_id", None), **report))
        if failure is not None:
            raise failure
        return {"collections": reports}

    return handle

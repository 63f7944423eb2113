"""The ingest function: events in, one log segment per batch out, failed messages named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter

from bucketlens.edge.events import failures, parse_ingest
from bucketlens.edge.report import log_line
from bucketlens.errors import Retryable
from bucketlens.handlers.wiring import Wiring
from bucketlens.pipelines.append import Ingest
from bucketlens.pipelines.ingest import ingest

Handler = Callable[[object, object], dict[str, object]]


def build(environ: Mapping[str, str], log: Callable[[str], None] = print) -> Handler:
    """The handler for this environment. Raises Misconfigured."""
    return handler(Wiring.of(environ).ingest(), log)


def handler(tools: Ingest, log: Callable[[str], None]) -> Handler:
    """Answers SQS events with the messages to deliver again. For events that come without a queue any failure raises
    Retryable, so that Lambda's own retry delivers them again."""

    def handle(event: object, context: object) -> dict[str, object]:
        began = perf_counter()
        batch = parse_ingest(event)
        report = ingest(batch.notices, tools)
        failed = {notice.message for notice in report.failed if notice.message}
        log(
            log_line(
                function="ingest",
                request_id=getattr(context, "aws_request_id", None),
                source=batch.source,
                notices=len(batch.notices),
                images=report.images,
                removed=report.removed,
                rejected=dict(report.rejected),
                segments=list(report.written),
                repeated=list(report.repeated),
                ignored=batch.ignored + report.ignored,
                unreadable=list(batch.unreadable),
                failed={notice.key: reason for notice, reason in report.failed.items()},
                ms=round((perf_counter() - began) * 1000, 1),
            )
        )
        if report.failed and batch.source != "sqs":
            keys = sorted({notice.key for notice in report.failed})
            raise Retryable(
                f"{len(keys)} objects could not be indexed now: {next(iter(report.failed.values()))}", value=keys
            )
        return failures([*batch.unreadable, *sorted(failed)])

    return handle

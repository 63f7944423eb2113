"""The query function: HTTP API requests in, JSON out. Nothing a client sends becomes a 500."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter

from bucketlens import __version__
from bucketlens.edge.http import (
    Call,
    DescribeCollection,
    GetImage,
    Health,
    ListCollections,
    Search,
    answer,
    failure,
    parse_request,
)
from bucketlens.edge.report import log_line
from bucketlens.errors import InvalidRequest
from bucketlens.handlers.wiring import Wiring
from bucketlens.pipelines.query import QueryTools, look_up, search, with_view
from bucketlens.queries import Query
from bucketlens.records import Rejection
from bucketlens.search.view import View

Handler = Callable[[object, object], dict[str, object]]

_REJECTIONS_SHOWN = 1_000


def build(environ: Mapping[str, str], log: Callable[[str], None] = print) -> Handler:
    """The handler for this environment. Raises Misconfigured."""
    return handler(Wiring.of(environ).query(), log)


def handler(tools: QueryTools, log: Callable[[str], None]) -> Handler:
    """Answers every event with an HTTP response; errors are responses too."""

    def handle(event: object, context: object) -> dict[str, object]:
        began = perf_counter()
        request_id = _request_id(event, context)
        call: Call | None = None
        try:
            call = parse_request(_mapping(event))
            response = answer(200, _respond(call, tools))
            trouble = None
        except Exception as error:  # noqa: BLE001  the last line of defence: a client gets JSON whatever happens
            response = failure(error, request_id)
            trouble = f"{type(error).__name__}: {error}"
        log(
            log_line(
                function="query",
                request_id=request_id,
                call=type(call).__name__,
                status=response["statusCode"],
                error=trouble,
                ms=round((perf_counter() - began) * 1000, 1),
            )
        )
        return response

    return handle


def _request_id(event: object, context: object) -> str:
    """Lambda's id of the invocation, which its logs carry; without one, the gateway's id of the request."""
    gateway = event.get("requestContext") if isinstance(event, Mapping) else None
    known = gateway.get("requestId") if isinstance(gateway, Mapping) else None
    return str(getattr(context, "aws_request_id", None) or known or "")


def _mapping(event: object) -> Mapping[str, object]:
    if not isinstance(event, Mapping):
        raise InvalidRequest("This event is no HTTP request.", value=event, remedy="Send payload format 2.0.")
    return event


def _respond(call: Call, tools: QueryTools) -> dict[str, object]:
    match call:
        case Search(query):
            return _search(query, tools)
        case GetImage(collection, key, strong):
            return _image(collection, key, tools, strong=strong)
        case DescribeCollection(collection):
            return with_view(collection, tools, True, lambda view: _description(collection, view, tools))
        case ListCollections():
            return {"collections": [_listed(name, tools) for name in tools.settings.collection_names()]}
        case Health():
            return {"status": "ok", "version": __version__}


def _search(query: Query, tools: QueryTools) -> dict[str, object]:
    found = search(query, tools)
    hits = [{"key": hit.key, "score": hit.score, "metadata": dict(hit.metadata), "url": hit.url} for hit in found.hits]
    return {"hits": hits, "search": dict(found.certificate)}


def _image(collection: str, key: str, tools: QueryTools, *, strong: bool) -> dict[str, object]:
    image = look_up(collection, key, tools, strong=strong)
    body: dict[str, object] = {"key": image.key, "metadata": dict(image.metadata), "sequencer": image.sequencer}
    if image.rejection is not None:
        return {**body, "status": "rejected", "rejection": _rejection(image.rejection)}
    return {**body, "status": "indexed", "url": image.url}


def _description(collection: str, view: View, tools: QueryTools) -> dict[str, object]:
    manifest, model = view.snapshot.manifest, view.model or tools.encoder().identity
    rejected = [{"key": key, **_rejection(why)} for key, why in view.rejections.items()]
    return {
        "name": collection,
        "rows": view.count,
        "shards": len(manifest.shards),
        "log_segments": view.snapshot.log_segments,
        "manifest_version": manifest.version,
        "model": {"id": model.id, "checksum": model.checksum, "dimension": model.dimension, "metric": model.metric},
        "rejected": rejected[:_REJECTIONS_SHOWN],
        "rejected_count": len(rejected),
        "shard_rows": [{"id": shard.id, "rows": shard.rows, "deleted": shard.deleted} for shard in manifest.shards],
    }


def _listed(name: str, tools: QueryTools) -> dict[str, object]:
    prefixes = [prefix for prefix, collection in tools.settings.collections if collection == name]
    return {"name": name, "prefixes": prefixes}


def _rejection(rejection: Rejection) -> dict[str, object]:
    at = rejection.at.isoformat() if rejection.at else None
    return {"code": rejection.code, "reason": rejection.reason, "at": at}

"""The handlers as Lambda calls them, over a bucket in memory and the real model code."""

from __future__ import annotations

import base64
import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from bucketlens.handlers import compact, ingest, query
from bucketlens.pipelines.compact import Compact
from bucketlens.pipelines.query import QueryTools
from tests.support.world import SETTINGS, World

EVENTS = Path(__file__).parents[2] / "events"
BUCKET = "bucketlens-local"
CAR, SEA = "images/red car (1).jpg", "images/sea/海+1.png"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def event(name: str) -> Any:
    """A recorded event."""
    return json.loads((EVENTS / f"{name}.json").read_text())


class Functions:
    """The three handlers over one world, and their log lines."""

    def __init__(self, world: World, **settings: Any) -> None:
        self.world = replace(world, settings=replace(SETTINGS, bucket=BUCKET, **settings))
        self.lines: list[dict[str, Any]] = []
        world = self.world
        tools = QueryTools(world.views(), world.images, lambda: world.encoder, world.settings)
        self.query = query.handler(tools, self._log)
        self.ingest = ingest.handler(world.tools(), self._log)
        self.compact = compact.handler(Compact(world.store, world.views(), world.settings, threads=1), self._log)

    def put(self, key: str, body: bytes) -> None:
        self.world.put(key, body)

    def index(self, *keys: str) -> None:
        """Have these keys looked at, by events without a sequencer."""
        records = []
        for key in keys:
            record = copy.deepcopy(event("eventbridge-created"))
            record["detail"]["object"] = {"key": key}
            records.append(message(key, record))
        assert self.ingest({"Records": records}, None) == {"batchItemFailures": []}

    def ask(self, method: str, path: str, body: object = None, **parameters: str) -> tuple[int, Any]:
        """Status and JSON of a request."""
        asked: dict[str, object] = {
            "rawPath": path,
            "queryStringParameters": parameters,
            "requestContext": {"http": {"method": method}, "stage": "$default"},
        }
        if isinstance(body, bytes):
            asked |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
            asked["headers"] = {"content-type": "image/png"}
        elif body is not None:
            asked |= {"body": body if isinstance(body, str) else json.dumps(body)}
        answer = self.query(asked, None)
        return int(str(answer["statusCode"])), json.loads(str(answer["body"]))

    def search(self, body: object) -> tuple[int, Any]:
        return self.ask("POST", "/collections/default/search", body)

    def _log(self, line: str) -> None:
        self.lines.append(json.loads(line))


def message(id: str, body: object) -> dict[str, object]:
    return {"messageId": id, "eventSource": "aws:sqs", "body": body if isinstance(body, str) else json.dumps(body)}

"""The ingest function as Lambda calls it: events in, failed messages out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.faults import FaultStore
from tests.support.functions import CAR, JSON, SEA, Functions, event, message
from tests.support.world import BLUE, RED, plain

from bucketlens.errors import Rejected, Retryable
from bucketlens.handlers import ingest


@pytest.mark.parametrize("name", ["s3-put", "eventbridge-created", "sqs-batch"])
def test_an_upload_is_indexed_whatever_way_its_event_comes(functions: Functions, name: str) -> None:
    functions.put(CAR, plain(RED))
    assert functions.ingest(event(name), None) == {"batchItemFailures": []}
    assert functions.world.found() == [CAR]
    (line,) = functions.lines
    assert (line["function"], line["images"], line["failed"]) == ("ingest", 1, {})


@pytest.mark.parametrize("name", ["s3-delete", "eventbridge-deleted"])
def test_a_deletion_is_indexed_whatever_way_its_event_comes(functions: Functions, name: str) -> None:
    functions.put(CAR, plain(RED))
    functions.ingest(event("s3-put"), None)
    functions.world.remove(CAR)
    functions.ingest(event(name), None)
    assert functions.world.found() == []


def test_a_deletion_whose_object_is_there_again_is_an_upload(functions: Functions) -> None:
    functions.put(CAR, plain(RED))
    functions.ingest(event("s3-delete"), None)
    assert functions.world.found() == [CAR]


def test_an_event_that_asks_for_nothing_is_ignored(functions: Functions) -> None:
    assert functions.ingest(event("s3-test-event"), None) == {"batchItemFailures": []}
    assert functions.lines[0]["ignored"] == 1


def test_only_the_messages_that_failed_are_named(functions: Functions) -> None:
    class Broken:
        def fetch(self, key: str, **options: object) -> object:
            if key == SEA:
                raise Retryable("Slow down.")
            return images.fetch(key, **options)  # type: ignore[arg-type]

        def etag(self, key: str) -> str | None:
            return images.etag(key)

    images = functions.world.images
    functions.put(CAR, plain(RED))
    functions.put(SEA, plain(BLUE))
    handler = ingest.handler(functions.world.tools(images=Broken()), functions._log)  # type: ignore[arg-type]
    batch = event("sqs-batch")
    sea = batch["Records"][1]["messageId"]
    batch["Records"].append(message("nonsense", "{"))
    answer = handler(batch, None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "nonsense"}, {"itemIdentifier": sea}]}
    assert functions.world.found() == [CAR]
    assert "Slow down." in functions.lines[0]["failed"][SEA]


@pytest.mark.parametrize("name", ["s3-put", "eventbridge-created"])
def test_without_a_queue_a_failure_is_raised_so_that_lambda_delivers_again(functions: Functions, name: str) -> None:
    functions.put(CAR, plain(RED))
    store = FaultStore(functions.world.store, lose_reply_at=1)
    handler = ingest.handler(functions.world.tools(store), functions._log)
    with pytest.raises(Retryable, match="1 objects could not be indexed"):
        handler(event(name), None)
    assert handler(event(name), None) == {"batchItemFailures": []}
    assert len(list(functions.world.store.list(""))) == 1


@pytest.mark.parametrize("junk", [None, [], {}, {"Records": []}, {"Records": [{"eventSource": "aws:sns"}]}, "text"])
def test_an_event_of_no_known_kind_is_refused_by_name_or_has_nothing_in_it(functions: Functions, junk: object) -> None:
    if junk == {"Records": []}:
        assert functions.ingest(junk, None) == {"batchItemFailures": []}
    else:
        with pytest.raises(Rejected, match="no event the ingest function knows"):
            functions.ingest(junk, None)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(junk=JSON, body=JSON, id=st.text(max_size=5))
def test_whatever_a_queue_delivers_is_taken_or_named_as_failed(
    filled: Functions, junk: Any, body: Any, id: str
) -> None:
    answer = filled.ingest({"Records": [message(id, body), message("m2", json.dumps(junk))]}, None)
    named = [one["itemIdentifier"] for one in answer["batchItemFailures"]]  # type: ignore[attr-defined]
    assert set(named) <= {id, "m2"}

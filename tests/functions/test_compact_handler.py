"""The compact function as Lambda calls it: on a schedule, by hand, and on events."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from tests.support.functions import CAR, Functions, event, message
from tests.support.world import BLUE, RED, World, plain

from bucketlens.errors import Retryable
from bucketlens.handlers import compact
from bucketlens.pipelines.compact import Compact
from bucketlens.store.protocol import Store
from bucketlens.table.policy import Limits


def test_compaction_reports_every_collection_and_one_can_be_chosen(world_of: Callable[[], World]) -> None:
    functions = Functions(world_of(), collections=(("images/", "default"), ("shop/", "shop")))
    functions.put(CAR, plain(RED))
    functions.put("shop/a.png", plain(BLUE))
    functions.index(CAR, "shop/a.png")
    one = functions.compact({"collection": "shop"}, None)["collections"]
    assert [(report["collection"], report["rows_written"]) for report in one] == [("shop", 1)]  # type: ignore[attr-defined]
    both = functions.compact({"source": "aws.scheduler"}, None)["collections"]
    assert [(report["collection"], report["rows_written"]) for report in both] == [("default", 1), ("shop", 0)]  # type: ignore[attr-defined]
    assert [line["function"] for line in functions.lines[1:]] == ["compact"] * 3


def test_compaction_begins_no_step_that_the_time_limit_would_end(world_of: Callable[[], World]) -> None:
    class Context:
        aws_request_id = "r"
        left_s = 200.0

        def get_remaining_time_in_millis(self) -> int:
            return int(self.left_s * 1000)

    world = world_of()
    functions = Functions(world)
    for number in range(3):
        functions.put(f"images/{number}.png", plain(RED))
        functions.index(f"images/{number}.png")
    tools = Compact(world.store, world.views(), world.settings, threads=1, limits=Limits(segments=1))
    handle, context = compact.handler(tools, lambda line: None), Context()
    (first,) = handle({}, context)["collections"]  # type: ignore[misc]
    context.left_s = 600.0
    (second,) = handle({}, context)["collections"]  # type: ignore[misc]
    assert (first["consolidated"], first["absorbed"], first["steps"]) == (3, 0, 1)
    assert (second["consolidated"], second["absorbed"], second["steps"]) == (0, 3, 1)


def test_a_collection_that_cannot_be_compacted_does_not_stop_the_others(
    world_of: Callable[[], World], tmp_path: Path
) -> None:
    functions = Functions(world_of(), collections=(("images/", "default"), ("shop/", "shop")))
    functions.world.store.create("index/default/manifest.json", b"{}")
    functions.put("shop/a.png", plain(BLUE))
    functions.index("shop/a.png")
    with pytest.raises(Exception, match="manifest cannot be read"):
        functions.compact({}, None)
    assert [(line["collection"], line.get("code")) for line in functions.lines[1:]] == [
        ("default", "bad_manifest"),
        ("shop", None),
    ]
    assert functions.ask("GET", "/collections/shop")[1]["shards"] == 1


def written(*keys: str) -> dict[str, object]:
    """A batch of the compact queue: S3 says of each key that it was written, in a message of its own."""
    batch = []
    for key in keys:
        record = copy.deepcopy(event("s3-put"))
        record["Records"][0]["s3"]["object"]["key"] = quote_plus(key)
        batch.append(message(key, record))
    return {"Records": batch}


def names(store: Store) -> set[str]:
    return {entry.key for entry in store.list("index/")}


def chosen(answer: dict[str, Any]) -> list[str]:
    return [report["collection"] for report in answer["collections"]]


def test_a_disk_that_has_no_room_for_a_shard_stops_its_collection_alone(
    world_of: Callable[[], World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions = Functions(world_of(), collections=(("images/", "default"), ("shop/", "shop")))
    functions.put(CAR, plain(RED))
    functions.index(CAR)
    (tmp_path / "taken").write_bytes(b"")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "taken"))
    with pytest.raises(Retryable) as caught:
        functions.compact({}, None)
    assert caught.value.code == "disk"
    assert "storage" in caught.value.remedy
    assert [(line["collection"], line.get("code")) for line in functions.lines[-2:]] == [
        ("default", "disk"),
        ("shop", None),
    ]
    monkeypatch.undo()
    assert functions.compact({}, None)["collections"][0]["rows_written"] == 1  # type: ignore[index]


def test_a_log_segment_that_was_written_wakes_the_compaction_of_its_collection_alone(
    world_of: Callable[[], World],
) -> None:
    functions = Functions(world_of(), collections=(("images/", "default"), ("shop/", "shop")))
    functions.put("shop/a.png", plain(BLUE))
    functions.index("shop/a.png")
    (segment,) = names(functions.world.store)
    answer = functions.compact(written(segment, segment), None)
    assert [(report["collection"], report["absorbed"]) for report in answer["collections"]] == [("shop", 1)]  # type: ignore[attr-defined]
    assert chosen(functions.compact(event("compact-batch"), None)) == ["default"]


def test_what_compaction_writes_wakes_it_once_more_and_then_never_again(functions: Functions) -> None:
    for number in range(3):
        functions.put(f"images/{number}.png", plain(RED))
        functions.index(f"images/{number}.png")
    known, runs = set[str](), 0
    while new := {key for key in names(functions.world.store) - known if key.endswith(".arrow")}:
        known |= new
        functions.compact(written(*sorted(new)), None)
        runs += 1
        assert runs <= 2, "compaction wakes itself"
    assert functions.world.found() == [f"images/{number}.png" for number in range(3)]


def test_messages_that_name_no_object_of_the_index_wake_nothing_and_are_not_delivered_again(
    functions: Functions,
) -> None:
    batch = written("images/a.jpg", "index/x", "index/UPPER/log/1-a.arrow")
    batch["Records"] += [message("junk", "{"), message("test", event("s3-test-event"))]  # type: ignore[operator]
    assert functions.compact(batch, None) == {"collections": []}
    assert functions.lines == []


def test_a_wake_up_that_fails_is_raised_so_that_the_queue_delivers_it_again(functions: Functions) -> None:
    functions.world.store.create("index/default/manifest.json", b"{}")
    with pytest.raises(Exception, match="manifest cannot be read"):
        functions.compact(event("compact-batch"), None)

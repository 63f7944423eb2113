"""Sidecars: before, after and while their image is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from tests.support.faults import Crashed, FaultStore
from tests.support.world import BLUE, RED, Meddling, World, plain

from bucketlens.model.encode import Encoder


@pytest.mark.parametrize("moments", ["before", "after", "together"])
def test_a_sidecar_s_fields_are_searchable_whenever_it_comes(world: World, moments: str) -> None:
    if moments == "before":
        world.ingest(world.put("images/a.png.json", b'{"place": "Oslo", "size": {"cm": 3}}'))
        world.ingest(world.put("images/a.png", plain(RED)))
    elif moments == "after":
        world.ingest(world.put("images/a.png", plain(RED)))
        world.compact("a")
        world.ingest(world.put("images/a.png.json", b'{"place": "Oslo", "size": {"cm": 3}}'))
    else:
        image = world.put("images/a.png", plain(RED))
        world.ingest(image, world.put("images/a.png.json", b'{"place": "Oslo", "size": {"cm": 3}}'))
    found = world.metadata("images/a.png")
    assert (found["place"], found["size.cm"]) == ("Oslo", 3)
    assert world.found() == ["images/a.png"]


def test_a_sidecar_that_changes_or_goes_takes_its_fields_along(world: World) -> None:
    world.ingest(world.put("images/a.png", plain(RED)), world.put("images/a.png.json", b'{"place": "Oslo"}'))
    world.ingest(world.put("images/a.png.json", b'{"mood": "calm"}'))
    found = world.metadata("images/a.png")
    assert (found.get("place"), found.get("mood")) == (None, "calm")
    world.ingest(world.remove("images/a.png.json"))
    assert "mood" not in world.metadata("images/a.png")
    assert world.state() == world.truth()


@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff\xfe", b"[1]", b"null", b"[" * 100_000, b'{"a": 1e999}', b'{"a": "%s"}' % (b"x" * 100_000)],
    ids=["cut", "not utf-8", "list", "null", "deep", "infinite", "long"],
)
def test_a_bad_sidecar_costs_the_image_nothing_and_says_why(world: World, body: bytes) -> None:
    report = world.ingest(world.put("images/a.png", plain(RED)), world.put("images/a.png.json", body))
    assert not report.failed
    assert world.found() == ["images/a.png"]
    if body != b'{"a": 1e999}':
        assert "images/a.png.json" in str(world.metadata("images/a.png")["sidecar_error"])
    world.ingest(world.put("images/a.png.json", b'{"place": "Oslo"}'))
    found = world.metadata("images/a.png")
    assert ("sidecar_error" in found, found["place"]) == (False, "Oslo")


def test_a_sidecar_too_large_to_read_is_named_as_the_error(world: World) -> None:
    world.ingest(world.put("images/a.png", plain(RED)), world.put("images/a.png.json", b" " * 1_000_001 + b"{}"))
    assert "1000000" in str(world.metadata("images/a.png")["sidecar_error"])
    assert world.found() == ["images/a.png"]


def test_a_sidecar_of_a_missing_image_does_nothing(world: World) -> None:
    report = world.ingest(world.put("images/a.png.json", b'{"place": "Oslo"}'))
    assert (report.written, report.failed) == ((), {})
    world.ingest(world.remove("images/a.png.json"))
    assert list(world.store.list("")) == []


RACES: dict[str, tuple[bytes | None, bytes | None]] = {
    "appears": (None, b'{"v": 2}'),
    "changes": (b'{"v": 1}', b'{"v": 2}'),
    "goes": (b'{"v": 1}', None),
}


def race(world: World, before: bytes | None, after: bytes | None) -> Callable[[], None]:
    """Sets the sidecar up, and answers what changes it and brings the change's own event at once."""
    if before is not None:
        world.put("images/a.png.json", before)

    def meddle() -> None:
        notice = world.remove("images/a.png.json") if after is None else world.put("images/a.png.json", after)
        assert not world.ingest(notice).failed

    return meddle


@pytest.mark.parametrize("case", RACES)
def test_a_sidecar_that_changes_while_its_image_is_read_wins_in_the_end(world: World, case: str) -> None:
    meddle = race(world, *RACES[case])
    notice = world.put("images/a.png", plain(RED))
    report = world.ingest(notice, images=Meddling(world, meddle))  # type: ignore[arg-type]
    assert not report.failed
    assert world.state() == world.truth()


@pytest.mark.parametrize("crash", ["before", "after"])
@pytest.mark.parametrize("case", RACES)
def test_a_crash_anywhere_in_that_race_is_made_good_by_the_redelivery(
    tmp_path: Path, encoder: Encoder, case: str, crash: Literal["before", "after"]
) -> None:
    for n in range(1, 30):
        world = World(tmp_path / f"{n}", encoder)
        meddle = race(world, *RACES[case])
        notice = world.put("images/a.png", plain(RED))
        store = FaultStore(world.store, crash_at=n, crash=crash)
        crashed = False
        try:
            world.ingest(notice, store=store, images=Meddling(world, meddle))  # type: ignore[arg-type]
        except Crashed:
            crashed = True
        if crashed:
            assert not world.ingest(notice).failed
        assert world.state() == world.truth(), f"after a crash {crash} operation {n}"
        if not crashed:
            return
    raise AssertionError("the ingest never finished")


def test_a_sidecar_that_never_stops_changing_is_given_back_to_the_queue(world: World) -> None:
    class Restless(Meddling):
        def fetch(self, key: str, *, limit: int, tags: bool = False) -> object:
            self._world.put("images/a.png.json", b'{"n": %d}' % next(numbers))
            return super().fetch(key, limit=limit, tags=tags)

    numbers = iter(range(1000))
    report = world.ingest(
        world.put("images/a.png", plain(RED)),
        world.put("images/b.png", plain(BLUE)),
        images=Restless(world, lambda: None),  # type: ignore[arg-type]
    )
    assert {notice.key for notice in report.failed} == {"images/a.png"}
    assert "keeps changing" in next(iter(report.failed.values()))

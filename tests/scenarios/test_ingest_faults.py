"""Ingest that crashes at any operation, loses a reply, or races: the redelivery makes it good."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from tests.support.faults import Crashed, FaultStore
from tests.support.world import BLUE, CORRUPT, GREEN, RED, World, plain

from bucketlens.errors import BucketlensError
from bucketlens.model.encode import Encoder
from bucketlens.records import Sequencer


@pytest.mark.parametrize("crash", ["before", "after"])
def test_a_crash_at_any_store_operation_is_made_good_by_the_redelivery(
    tmp_path: Path, encoder: Encoder, crash: Literal["before", "after"]
) -> None:
    finished = False
    n = 0
    while not finished:
        n += 1
        assert n < 60
        world = World(tmp_path / f"{n}", encoder)
        world.ingest(world.put("images/a.png", plain(RED)), world.put("images/gone.png", plain(RED)))
        batch = [
            world.put("images/a.png", plain(BLUE)),
            world.put("images/b.png", plain(GREEN)),
            world.put("images/bad.png", CORRUPT),
            world.remove("images/gone.png"),
            world.put("images/b.png.json", b'{"place": "Oslo"}'),
            replace(world.put("images/c.png", plain(RED)), sequencer=Sequencer()),
        ]
        try:
            world.ingest(*batch, store=FaultStore(world.store, crash_at=n, crash=crash))
            finished = True
        except Crashed:
            assert not world.ingest(*batch).failed
        assert world.state() == world.truth(), f"after a crash {crash} operation {n}"
    assert n > 3


@pytest.mark.parametrize("reply", ["lost", "refused"])
def test_a_lost_reply_and_a_redelivery_double_nothing(world: World, reply: Literal["lost", "refused"]) -> None:
    batch = [world.put("images/a.png", plain(RED)), world.put("images/b.png", plain(BLUE))]
    store = FaultStore(world.store, lose_reply_at=1, reply=reply)
    report = world.ingest(*batch, store=store)
    assert set(report.failed) == (set(batch) if reply == "lost" else set())
    assert not world.ingest(*batch, store=store).failed
    assert len(list(world.store.list(""))) == 1
    assert world.state() == world.truth()


def test_racing_ingests_and_a_racing_compactor_lose_nothing(world: World) -> None:
    rng = random.Random(3)
    keys = [f"images/{n}.png" for n in range(32)]
    for key in keys:
        world.put(key, plain(rng.choice((RED, GREEN, BLUE))))
    events = [world.notice(key) for key in keys for _ in range(3)]
    events += [world.put(f"{key}.json", b'{"n": 1}') for key in keys[:8]]
    events += [world.remove(key) for key in keys[28:]]
    rng.shuffle(events)

    def deliver(number: int) -> None:
        mine = events[number::16]
        for start in range(0, len(mine), 4):
            report = world.ingest(*mine[start : start + 4])
            if report.failed:
                assert not world.ingest(*report.failed).failed

    def run() -> None:
        for turn in range(12):
            try:
                world.compact(f"r{turn}")
            except BucketlensError as error:
                if error.code != "contention":
                    raise

    with ThreadPoolExecutor(17) as pool:
        futures = [pool.submit(run), *(pool.submit(deliver, number) for number in range(16))]
        for future in futures:
            future.result()
    assert world.state() == world.truth()
    world.compact("last")
    assert world.view().snapshot.segments == ()
    assert world.state() == world.truth()

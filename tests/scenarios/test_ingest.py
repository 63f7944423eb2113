"""Ingest against what queues do to events: whatever order, number and lateness, the index ends as the bucket is."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.bundle import make_bundle
from tests.support.faults import CountingStore
from tests.support.world import (
    BLUE,
    BUCKET,
    COLLECTION,
    CORRUPT,
    GREEN,
    RED,
    SETTINGS,
    Meddling,
    World,
    plain,
    tiny_encoder,
)

from bucketlens.errors import BucketlensError
from bucketlens.model.encode import Encoder
from bucketlens.queries import ByKey, ByText
from bucketlens.records import Change, Notice, Sequencer
from bucketlens.store.memory import MemoryStore

KEYS = ("images/a.png", "images/b c+d%41.png", "images/trip/海 é.jpg", "images/d.webp", "images/e")
BODIES = (plain(RED), plain(GREEN), plain(BLUE, format="JPEG"), CORRUPT)


def change(world: World, rng: random.Random) -> Notice:
    """One thing a user does, and its event."""
    key = rng.choice(KEYS)
    match rng.randrange(10):
        case 0 | 1:
            return world.remove(key)
        case 2:
            return world.put(f"{key}.json", b'{"note": %d}' % rng.randrange(3))
        case 3:
            return world.remove(f"{key}.json")
    return world.put(key, rng.choice(BODIES))


@pytest.mark.parametrize("seed", range(12))
def test_events_shuffled_doubled_and_late_end_in_the_bucket_s_state(world: World, seed: int) -> None:
    rng = random.Random(seed)
    pending: list[Notice] = []
    for step in range(50):
        notice = change(world, rng)
        if rng.random() < 0.15:
            notice = replace(notice, sequencer=Sequencer())
        pending += [notice] * rng.choice([1, 1, 2, 3])
        while pending and rng.random() < 0.3:
            rng.shuffle(pending)
            batch, pending = pending[:10], pending[10:] + pending[: rng.choice([0, 0, 2])]
            assert not world.ingest(*batch).failed
        if rng.random() < 0.1:
            world.compact(f"c{step}")
    rng.shuffle(pending)
    for start in range(0, len(pending), 10):
        assert not world.ingest(*pending[start : start + 10]).failed
    assert world.state() == world.truth()
    assert set(world.found()) == {key for key, said in world.truth().items() if said[0] == "image"}


def test_a_batch_delivered_again_writes_nothing_new(world: World) -> None:
    batch = [world.put(key, plain(RED)) for key in KEYS]
    first = world.ingest(*batch)
    before = {entry.key: entry.etag for entry in world.store.list("")}
    second = world.ingest(*reversed(batch))
    assert (len(first.written), second.written, second.repeated) == (1, (), first.written)
    assert {entry.key: entry.etag for entry in world.store.list("")} == before


def test_an_upload_is_found_by_the_next_query_and_a_deletion_is_not(world: World) -> None:
    world.ingest(world.put("images/red.png", plain(RED)), world.put("images/blue.png", plain(BLUE)))
    assert world.found("red") == ["images/red.png", "images/blue.png"]
    assert world.search(ByKey("images/red.png"), k=1).hits[0].score > 0.999
    world.ingest(world.remove("images/red.png"))
    assert world.found("red") == ["images/blue.png"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty"),
        (b"Dear diary, today I uploaded a text.", "not_an_image"),
        (CORRUPT, "corrupt_image"),
        (plain(RED)[:-30], "corrupt_image"),
        (bytes(SETTINGS.max_image_bytes + 1), "too_large"),
        (plain(RED, (200, 200)), "too_many_pixels"),
        (b"%PDF-1.7 nothing", "unsupported_format"),
    ],
)
def test_what_is_no_image_is_rejected_with_a_reason_beside_its_neighbours_and_cleared_by_a_good_version(
    world: World, body: bytes, code: str
) -> None:
    report = world.ingest(world.put("images/bad.jpg", body), world.put("images/good.png", plain(RED)))
    assert (dict(report.rejected), report.images, report.failed) == ({"images/bad.jpg": code}, 1, {})
    (why,) = world.view().rejections.values()
    assert why.code == code
    assert len(why.reason) > 20
    assert world.found() == ["images/good.png"]
    world.compact("a")
    assert world.rejected() == {"images/bad.jpg": code}
    world.ingest(world.put("images/bad.jpg", plain(BLUE)))
    assert (world.rejected(), world.found()) == ({}, ["images/good.png", "images/bad.jpg"])


@pytest.mark.parametrize("sequenced", [True, False])
@pytest.mark.parametrize("body", [CORRUPT, bytes(SETTINGS.max_image_bytes + 1)], ids=["corrupt", "too large"])
def test_a_rejected_object_that_is_deleted_is_no_longer_listed(world: World, body: bytes, sequenced: bool) -> None:
    def event(notice: Notice) -> Notice:
        return notice if sequenced else replace(notice, sequencer=Sequencer())

    world.ingest(event(world.put("images/bad.jpg", body)))
    assert [*world.rejected()] == ["images/bad.jpg"]
    world.ingest(event(world.remove("images/bad.jpg")))
    assert world.rejected() == {}


def test_overwriting_an_image_by_a_damaged_one_removes_it_from_search(world: World) -> None:
    world.ingest(world.put("images/a.png", plain(RED)))
    world.compact("a")
    world.ingest(world.put("images/a.png", CORRUPT))
    assert (world.found(), world.rejected()) == ([], {"images/a.png": "corrupt_image"})


@pytest.mark.parametrize("key", ["images/a b.png", "images/a+b.png", "images/100%41.png", "images/海/é~'(1).png"])
def test_keys_keep_every_character(world: World, key: str) -> None:
    world.ingest(world.put(key, plain(RED)))
    assert world.found() == [key]
    assert world.search(ByText("red"), k=1).hits[0].metadata["folder"] == key.rpartition("/")[0]
    world.compact("a")
    assert world.search(ByKey(key), k=1).hits[0].key == key


def test_folder_markers_other_prefixes_and_other_buckets_are_ignored(world: World) -> None:
    strange = [
        world.put("images/", b""),
        world.put("images/trip/", b""),
        world.put("images/trip/.json", b"{}"),
        world.put("elsewhere/a.png", plain(RED)),
        replace(world.put("images/a.png", plain(RED)), bucket="other"),
        world.put("images/a.png.json.json", b"{}"),
    ]
    report = world.ingest(*strange)
    assert (report.ignored, report.written, report.failed) == (len(strange), (), {})
    assert list(world.store.list("")) == []


def test_events_without_a_sequencer_bring_uploads_overwrites_and_deletions(world: World) -> None:
    def event(notice: Notice) -> Notice:
        return replace(notice, sequencer=Sequencer())

    upload = event(world.put("images/a.png", plain(RED)))
    world.ingest(upload)
    assert world.state() == world.truth()
    assert world.ingest(upload).written == (), "a redelivery writes nothing"
    world.ingest(event(world.put("images/a.png", plain(BLUE))))
    assert world.state() == world.truth()
    world.ingest(event(world.remove("images/a.png")))
    assert world.state() == world.truth() == {}
    world.compact("a")
    world.ingest(event(world.put("images/a.png", plain(GREEN))))
    assert world.state() == world.truth()


@pytest.mark.parametrize("compacted", [True, False], ids=["compacted", "only logged"])
def test_another_model_than_the_collection_s_fails_the_messages_and_writes_nothing(
    world: World, tmp_path: Path, compacted: bool
) -> None:
    world.ingest(world.put("images/a.png", plain(RED)))
    if compacted:
        world.compact("a")
    before = {entry.key: entry.etag for entry in world.store.list("")}
    other = tiny_encoder(make_bundle(tmp_path / "other", seed=9))
    notice = world.put("images/b.png", plain(BLUE))
    report = replace_encoder(world, other).ingest(notice)
    assert "tiny-0" in report.failed[notice]
    assert "tiny-9" in report.failed[notice]
    assert {entry.key: entry.etag for entry in world.store.list("")} == before
    assert not world.ingest(notice).failed


def replace_encoder(world: World, encoder: Encoder) -> World:
    """The same bucket and index, as a function with another model sees them."""
    return World(world.folder / "other", encoder, world.settings, world.store, world.images)


def test_an_unforeseen_failure_of_one_image_fails_only_its_own_messages(world: World) -> None:
    class Broken(Meddling):
        def fetch(self, key: str, *, limit: int, tags: bool = False) -> object:
            if key == "images/b.png":
                raise ZeroDivisionError("nobody thought of this")
            return super().fetch(key, limit=limit, tags=tags)

    bad = world.put("images/b.png", plain(RED))
    report = world.ingest(
        world.put("images/a.png", plain(RED)),
        bad,
        world.put("images/c.png", plain(BLUE)),
        images=Broken(world, lambda: None),  # type: ignore[arg-type]
    )
    assert dict(report.failed) == {bad: "ZeroDivisionError: nobody thought of this"}
    assert set(world.found()) == {"images/a.png", "images/c.png"}


def test_facts_that_cannot_be_stored_fail_only_their_own_image(world: World) -> None:
    bad = world.put("images/b.png", plain(RED), content_type="text/\ud800")
    report = world.ingest(world.put("images/a.png", plain(RED)), bad, world.put("images/c.png", plain(BLUE)))
    assert set(report.failed) == {bad}
    assert set(world.found()) == {"images/a.png", "images/c.png"}


def test_a_batch_is_one_conditional_put_however_many_images_it_brings(world: World) -> None:
    counting = CountingStore(world.store)
    batch = [world.put(f"images/{n}.png", plain(RED)) for n in range(30)]
    world.ingest(*batch, store=counting)
    assert counting.tally.verbs["create"] == 1
    assert sum(counting.tally.verbs.values()) <= 4
    assert counting.tally.verbs["swap"] == 0


def test_collections_of_their_own_prefix_never_meet(tmp_path: Path, encoder: Encoder) -> None:
    settings = replace(SETTINGS, collections=(("images/shop/", "shop"), ("images/", "default")))
    world = World(tmp_path, encoder, settings)
    world.ingest(world.put("images/a.png", plain(RED)), world.put("images/shop/b.png", plain(RED)))
    assert world.found() == ["images/a.png"]
    kinds = Counter(entry.key.split("/")[1] for entry in world.store.list(""))
    assert kinds == {"default": 1, "shop": 1}


def test_the_newest_of_several_events_of_a_key_names_the_row(world: World) -> None:
    first, second = world.put("images/a.png", plain(RED)), world.put("images/a.png", plain(BLUE))
    world.ingest(second, first, replace(first, change=Change.REMOVED))
    view = world.view()
    assert view.settled.log["images/a.png"].sequencer == second.sequencer
    assert (second.bucket, view.snapshot.manifest.collection) == (BUCKET, COLLECTION)


def test_a_store_that_fails_fails_every_message_of_the_batch(world: World) -> None:
    class Down(MemoryStore):
        def create(self, key: str, body: bytes) -> str:
            raise BucketlensError("The store is down.", remedy="Wait.")

    batch = [world.put("images/a.png", plain(RED)), world.put("images/b.png", plain(BLUE))]
    assert set(world.ingest(*batch, store=Down()).failed) == set(batch)

"""What is known of an image becomes fields that answers show and filters understand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from PIL import Image  # noqa: TID251
from tests.support.pictures import encoded
from tests.support.world import BLUE, RED, World, plain

from bucketlens.filters import parse
from bucketlens.queries import ByText
from bucketlens.records import Metadata, Sequencer
from bucketlens.store.memory import MemoryImages

NOON = datetime(2026, 5, 6, 12, 30, tzinfo=UTC)
KEY = "images/trips/2024 oslo/IMG.0042.JPG"


def shot() -> bytes:
    """A photograph with everything a camera writes."""
    exif = Image.Exif()
    exif.update({0x10F: "FUJIFILM", 0x110: "X-T5"})
    exif.get_ifd(0x8769).update({0x9003: "2024:05:06 07:08:09", 0x9011: "+02:00", 0xA434: "XF23mmF2"})
    exif.get_ifd(0x8825).update({1: "S", 2: (33.0, 51.0, 36.0), 3: "E", 4: (151.0, 12.0, 36.0)})
    return encoded(Image.new("RGB", (40, 30), RED), "JPEG", exif=exif)


def facts(world: World, **options: object) -> Metadata:
    """The metadata of a hit for that photograph."""
    world.images = MemoryImages(clock=lambda: NOON)
    world.ingest(world.put(KEY, shot(), content_type="image/jpeg", **options))
    (hit,) = world.search(ByText("red"), k=1).hits
    assert hit.key == KEY
    return hit.metadata


def matching(world: World, document: object) -> list[str]:
    """Keys of the images that pass a filter."""
    return sorted(hit.key for hit in world.search(ByText("red"), k=100, filter=parse(document)).hits)


@pytest.mark.parametrize("compacted", [False, True])
def test_every_built_in_fact_is_there_and_can_be_filtered_by(world: World, compacted: bool) -> None:
    found = facts(world)
    body = world.images.objects[KEY]
    assert {name: found[name] for name in found if name not in ("latitude", "longitude")} == {
        "key": KEY,
        "name": "IMG.0042.JPG",
        "folder": "images/trips/2024 oslo",
        "extension": "jpg",
        "content_type": "image/jpeg",
        "bytes": body.size,
        "width": 40,
        "height": 30,
        "format": "jpeg",
        "uploaded_at": NOON.isoformat(),
        "etag": body.etag.strip('"'),
        "taken_at": "2024-05-06T05:08:09+00:00",
        "camera": "FUJIFILM X-T5",
        "lens": "XF23mmF2",
    }
    assert found["latitude"] == pytest.approx(-33.86)
    assert found["longitude"] == pytest.approx(151.21)
    world.ingest(world.put("images/other.png", plain(BLUE)))
    if compacted:
        world.compact("a")
    for condition in (
        {"key": KEY},
        {"key": {"$in": [KEY, "images/none"]}},
        {"folder": "images/trips/2024 oslo"},
        {"extension": "jpg", "width": {"$gte": 40}, "height": {"$lt": 31}},
        {"taken_at": {"$gte": "2024-05-06T07:08:09+02:00", "$lt": "2024-05-07"}},
        {"camera": {"$exists": True}},
        {"latitude": {"$lt": 0}},
        {"uploaded_at": {"$lt": "2026-05-07"}, "format": "jpeg"},
        {"bytes": body.size},
    ):
        assert matching(world, condition) == [KEY], condition
    assert matching(world, {"key": {"$ne": KEY}}) == ["images/other.png"]


def test_user_metadata_becomes_numbers_booleans_dates_and_text(world: World) -> None:
    headers = {
        "Rating": "5",
        "price": "12.50",
        "edited": "true",
        "shown": "2024-02-29T10:00:00Z",
        "code": "007",
        "title": "Grüße 海",
    }
    found = facts(world, user_metadata=headers)
    wanted = {"rating": 5, "price": 12.5, "edited": True, "shown": "2024-02-29T10:00:00Z", "code": "007"}
    assert {name: found[name] for name in wanted} == wanted
    assert found["title"] == "Grüße 海"
    assert matching(world, {"rating": {"$gt": 4}, "edited": True, "shown": {"$lt": "2024-03-01"}}) == [KEY]
    assert matching(world, {"rating": "5"}) == [], "a comparison matches only values of its own type"
    assert matching(world, {"code": 7}) == []


def test_a_user_s_field_never_hides_a_built_in_one(world: World) -> None:
    found = facts(world, user_metadata={"width": "9", "key": "mine", "sidecar_error": "no", "place": "Oslo"})
    assert (found["width"], found["meta.width"], found["meta.key"]) == (40, 9, "mine")
    assert (found["meta.sidecar_error"], found["place"]) == ("no", "Oslo")
    assert "sidecar_error" not in found
    assert matching(world, {"meta.width": 9, "key": KEY}) == [KEY]


def test_a_sidecar_goes_before_user_metadata_and_keeps_lists_and_nesting(world: World) -> None:
    world.images = MemoryImages(clock=lambda: NOON)
    world.put(
        f"{KEY}.json", b'{"place": "Bergen", "tags": ["sea", "rain"], "size": {"cm": 3}, "etag": 1, "gone": null}'
    )
    world.ingest(world.put(KEY, shot(), user_metadata={"place": "Oslo", "mood": "calm"}))
    found = world.metadata(KEY)
    assert (found["place"], found["mood"], found["tags"], found["size.cm"]) == ("Bergen", "calm", ["sea", "rain"], 3)
    assert (found["meta.etag"], "gone" in found) == (1, False)
    assert matching(world, {"tags": "sea", "size.cm": {"$lt": 4}}) == [KEY]


def test_tags_are_read_when_asked_for_and_follow_their_own_events(world: World) -> None:
    assert "tag.team" not in facts(world, tags={"team": "news"})
    world.settings = replace(world.settings, object_tags=True)
    world.ingest(world.put("images/tagged.png", plain(RED), tags={"team": "news", "year": "2024"}))
    assert matching(world, {"tag.team": "news"}) == ["images/tagged.png"]
    assert matching(world, {"tag.year": "2024"}) == ["images/tagged.png"], "tags are text, as S3 keeps them"
    retagged = world.put("images/tagged.png", plain(RED), tags={"team": "sports"})
    world.ingest(replace(retagged, sequencer=Sequencer()))
    assert matching(world, {"tag.team": "sports"}) == ["images/tagged.png"]
    assert matching(world, {"tag.team": "news"}) == []


def test_one_field_may_hold_a_number_in_one_image_and_text_in_another(world: World) -> None:
    world.ingest(world.put("images/a.png", plain(RED), user_metadata={"size": "12"}))
    world.ingest(world.put("images/b.png", plain(RED), user_metadata={"size": "large"}))
    for nonce in ("", "a"):
        if nonce:
            world.compact(nonce)
        assert matching(world, {"size": {"$gt": 10}}) == ["images/a.png"]
        assert matching(world, {"size": "large"}) == ["images/b.png"]
        assert matching(world, {"size": {"$exists": True}}) == ["images/a.png", "images/b.png"]


def test_an_overwritten_image_keeps_no_fact_of_the_one_before(world: World) -> None:
    facts(world, user_metadata={"rating": "5"})
    world.ingest(world.put(KEY, plain(BLUE), user_metadata={"mood": "calm"}))
    found = world.metadata(KEY)
    assert "rating" not in found
    assert "camera" not in found
    assert (found["width"], found["mood"]) == (16, "calm")


def test_a_name_without_an_extension_has_none(world: World) -> None:
    world.ingest(*(world.put(f"images/{name}", plain(RED)) for name in ("plain", ".hidden", "a.tar.PNG")))
    assert [world.metadata(f"images/{name}").get("extension") for name in ("plain", ".hidden", "a.tar.PNG")] == [
        None,
        None,
        "png",
    ]

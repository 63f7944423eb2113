"""Looking at keys: a vector or a reason, nothing kept of the file, and as many pictures at work as there are cores."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.bundle import make_bundle
from tests.support.pictures import drawing, encoded, opened

from bucketlens.errors import Misconfigured
from bucketlens.model.bundle import Bundle
from bucketlens.model.encode import Encoder
from bucketlens.model.preprocess import Recipe
from bucketlens.model.room import Room
from bucketlens.pipelines.observe import Eyes, look, observe
from bucketlens.records import SourceObject, Vector
from bucketlens.settings import Settings
from bucketlens.store.memory import MemoryImages


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder(Bundle.open(make_bundle(tmp_path_factory.mktemp("bundle"))))


def eyes(images: MemoryImages, encoder: Encoder, room: int = 10**6, cores: int = 2, threads: int = 8) -> Eyes:
    return Eyes(images, encoder, Settings("pictures", threads=threads), Room(room, cores))


class Watched(Encoder):
    """Calls ``meanwhile`` in each thread that embeds."""

    def __init__(self, encoder: Encoder, meanwhile: Callable[[], object]) -> None:
        self._encoder, self._meanwhile = encoder, meanwhile

    @property
    def recipe(self) -> Recipe:
        return self._encoder.recipe

    def embed(self, prepared: np.ndarray) -> Vector:
        self._meanwhile()
        return self._encoder.embed(prepared)


def test_a_picture_becomes_its_vector_and_what_is_known_of_it(encoder: Encoder) -> None:
    images, body = MemoryImages(), encoded(drawing())
    images.put("images/a.png", body)
    seen = look(eyes(images, encoder), "images/a.png")
    assert seen.vector is not None
    assert np.array_equal(seen.vector, encoder.image(opened(body)))
    assert (seen.metadata["bytes"], seen.metadata["width"]) == (len(body), 60)


def test_what_is_no_picture_is_rejected_with_a_reason_and_what_is_gone_is_nothing(encoder: Encoder) -> None:
    images = MemoryImages()
    images.put("images/a.png", b"hello")
    refused, gone = (look(eyes(images, encoder), key) for key in ("images/a.png", "images/b.png"))
    assert refused.rejection is not None
    assert (refused.rejection.code, refused.vector, refused.facts["bytes"]) == ("not_an_image", None, 5)
    assert (gone.modified, gone.vector, gone.rejection) == (None, None, None)


def test_a_look_waits_while_others_fill_the_room(encoder: Encoder) -> None:
    images = MemoryImages()
    images.put("images/a.png", encoded(drawing((60, 40))))
    held = eyes(images, encoder, room=60 * 40)
    looking = threading.Thread(target=look, args=(held, "images/a.png"), daemon=True)
    with held.room.taken(1):
        looking.start()
        looking.join(0.2)
        assert looking.is_alive()
    looking.join(60)
    assert not looking.is_alive()


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_as_many_pictures_are_at_work_as_there_are_cores_and_two_more_are_read(encoder: Encoder, cores: int) -> None:
    read, working, most, changed = 0, 0, 0, threading.Condition()

    class Read(MemoryImages):
        def fetch(self, key: str, *, limit: int, tags: bool = False) -> SourceObject | None:
            nonlocal read
            found = super().fetch(key, limit=limit, tags=tags)
            with changed:
                read += found is not None
                changed.notify_all()
            return found

    def embedding() -> None:
        nonlocal working, most
        with changed:
            working += 1
            most = max(most, working)
            changed.notify_all()
            assert changed.wait_for(lambda: read >= cores + 2 and most >= cores, 30), "others embed, and others read"
            changed.wait_for(lambda: most > cores, 0.02)
            working -= 1

    images = Read()
    for number in range(12):
        images.put(f"images/{number}.png", encoded(drawing(seed=number)))
    failures: dict[str, str] = {}
    observe(eyes(images, Watched(encoder, embedding), cores=cores), sorted(images.objects), failures)
    assert (failures, most) == ({}, cores)


def test_pictures_are_embedded_side_by_side(encoder: Encoder) -> None:
    images, together = MemoryImages(), threading.Barrier(2, timeout=30)
    for number in range(6):
        images.put(f"images/{number}.png", encoded(drawing(seed=number)))
    failures: dict[str, str] = {}
    found = observe(eyes(images, Watched(encoder, together.wait)), sorted(images.objects), failures)
    assert (len(found), failures) == (6, {})


def test_vectors_are_the_same_to_the_bit_however_many_are_made_at_once(tmp_path: Path) -> None:
    bundle, images = Bundle.open(make_bundle(tmp_path / "tiny")), MemoryImages()
    for number in range(60):
        images.put(f"images/{number:02}.png", encoded(drawing((30 + number, 90 - number), seed=number)))
    alone = Encoder(bundle)
    failures: dict[str, str] = {}
    found = observe(eyes(images, Encoder(bundle), cores=6), sorted(images.objects), failures)
    assert failures == {}
    assert list(found) == sorted(images.objects)
    for key, seen in found.items():
        assert np.array_equal(np.asarray(seen.vector), alone.image(opened(images.objects[key].body)))


def test_files_are_not_kept_for_what_is_refused_or_fails(encoder: Encoder) -> None:
    size, good = 1_000_000, encoded(drawing((60, 40)), "JPEG")

    class Fresh(MemoryImages):
        def fetch(self, key: str, *, limit: int, tags: bool = False) -> SourceObject | None:
            found = super().fetch(key, limit=limit, tags=tags)
            return replace(found, body=found.body + bytes(size)) if found else None

    def break_down() -> None:
        raise Misconfigured("The model cannot run.")

    images = Fresh()
    for number in range(20):
        images.put(f"images/{number}.png", b"\x89PNG\r\n\x1a\n")
        images.put(f"images/{number}.jpg", good)
    failures: dict[str, str] = {}
    look(eyes(images, encoder), "images/0.jpg")
    tracemalloc.start()
    try:
        found = observe(eyes(images, Watched(encoder, break_down)), sorted(images.objects), failures)
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert {seen.rejection.code for seen in found.values() if seen.rejection} == {"corrupt_image"}
    assert (len(found), len(failures)) == (20, 20)
    assert kept < 3 * size

"""Looking at a key: what it hands over is ready for the model, and small."""

from __future__ import annotations

import threading

import numpy as np
from tests.support.pictures import drawing, encoded

from bucketlens.model.preprocess import Recipe
from bucketlens.model.room import Room
from bucketlens.pipelines.observe import Eyes, look
from bucketlens.settings import Settings
from bucketlens.store.memory import MemoryImages

RECIPE = Recipe(32, 3, (32, 32), 1 / 255, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def eyes(images: MemoryImages, room: int = 10**6) -> Eyes:
    return Eyes(images, RECIPE, Settings("pictures"), Room(room))


def test_a_picture_is_handed_over_prepared_and_without_its_bytes() -> None:
    images = MemoryImages()
    images.put("images/a.png", encoded(drawing()))
    seen = look(eyes(images), "images/a.png")
    assert seen.pixels is not None
    assert (seen.pixels.shape, seen.pixels.dtype) == ((3, 32, 32), np.float32)
    assert (seen.metadata["bytes"], seen.metadata["width"]) == (len(encoded(drawing())), 60)


def test_what_is_no_picture_is_handed_over_as_a_refusal_and_what_is_gone_as_nothing() -> None:
    images = MemoryImages()
    images.put("images/a.png", b"hello")
    refused, gone = look(eyes(images), "images/a.png"), look(eyes(images), "images/b.png")
    assert refused.refusal is not None
    assert (refused.refusal.code, refused.pixels, refused.facts["bytes"]) == ("not_an_image", None, 5)
    assert (gone.modified, gone.pixels, gone.refusal) == (None, None, None)


def test_a_look_waits_while_others_fill_the_room() -> None:
    images = MemoryImages()
    images.put("images/a.png", encoded(drawing((60, 40))))
    held = eyes(images, room=60 * 40)
    looking = threading.Thread(target=look, args=(held, "images/a.png"), daemon=True)
    with held.room.taken(1):
        looking.start()
        looking.join(0.2)
        assert looking.is_alive()
    looking.join(60)
    assert not looking.is_alive()

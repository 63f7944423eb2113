"""Bytes to what a tower reads: the same as decoding whole, at less cost, and within the room there is."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image  # noqa: TID251
from tests.support.pictures import drawing, encoded

from bucketlens.errors import UnreadableObject
from bucketlens.model.decode import decode
from bucketlens.model.prepare import prepare
from bucketlens.model.preprocess import Recipe, pixels
from bucketlens.model.room import Room

RECIPE = Recipe(32, 3, (32, 32), 1 / 255, (0.48, 0.46, 0.41), (0.27, 0.26, 0.28))
SQUASHED = Recipe((32, 48), 3, None, 1 / 255, (0.48, 0.46, 0.41), (0.27, 0.26, 0.28))
LIMIT = 10**7


def whole(body: bytes, recipe: Recipe) -> np.ndarray:
    return pixels(decode(body, max_pixels=LIMIT).image, recipe)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    size=st.tuples(st.integers(1, 700), st.integers(1, 700)),
    orientation=st.integers(1, 8),
    subsampling=st.sampled_from([0, 1, 2]),
    recipe=st.sampled_from([RECIPE, SQUASHED]),
)
def test_a_jpeg_decoded_at_a_fraction_is_the_whole_one_up_to_rounding_whatever_its_size_and_orientation(
    size: tuple[int, int], orientation: int, subsampling: int, recipe: Recipe
) -> None:
    """The last row and column of the fraction lie partly outside the picture: taken whole, they would shift it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    body = encoded(drawing(size), "JPEG", quality=92, subsampling=subsampling, exif=exif)
    made = prepare(body, recipe, max_pixels=LIMIT)
    assert (made.width, made.height) == (size if orientation < 5 else size[::-1])
    assert made.pixels.shape == (3, *recipe.shape)
    assert np.abs(made.pixels - whole(body, recipe)).mean() <= 0.01


def test_a_jpeg_is_decoded_whole_where_a_fraction_would_leave_too_little() -> None:
    for side in (191, 192, 200):
        body = encoded(drawing((side, side)), "JPEG")
        same = np.array_equal(prepare(body, RECIPE, max_pixels=LIMIT).pixels, whole(body, RECIPE))
        assert same == (side < 192)


@pytest.mark.parametrize("name", ["PNG", "WEBP", "TIFF", "GIF"])
def test_other_formats_are_what_decoding_and_resizing_make_of_them(name: str) -> None:
    body = encoded(drawing((300, 200)), name)
    made = prepare(body, RECIPE, max_pixels=LIMIT)
    assert np.array_equal(made.pixels, whole(body, RECIPE))
    assert (made.format, made.width, made.height, made.exif) == (name.lower(), 300, 200, {})


@settings(max_examples=60, deadline=None, derandomize=True)
@given(size=st.tuples(st.integers(1, 120), st.integers(1, 120)), recipe=st.sampled_from([RECIPE, SQUASHED]))
def test_a_plain_colour_stays_that_colour_at_every_size(size: tuple[int, int], recipe: Recipe) -> None:
    body = encoded(Image.new("RGB", size, (40, 90, 200)), "PNG")
    made = prepare(body, recipe, max_pixels=LIMIT).pixels
    for channel, value in enumerate((40, 90, 200)):
        level = (value / 255 - recipe.mean[channel]) / recipe.std[channel]
        np.testing.assert_allclose(made[channel], level, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (2, 3000), (1, 1), (3, 3)])
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_slivers_and_single_pixels_become_what_the_model_reads(size: tuple[int, int], name: str) -> None:
    made = prepare(encoded(drawing(size), name), RECIPE, max_pixels=LIMIT)
    assert made.pixels.shape == (3, 32, 32)
    assert np.isfinite(made.pixels).all()
    assert (made.width, made.height) == size


def test_room_is_held_while_a_picture_is_decoded_and_given_back_also_after_a_refusal() -> None:
    room, good = Room(2_400), encoded(drawing((60, 40)))
    prepare(good, RECIPE, max_pixels=LIMIT, room=room)
    with pytest.raises(UnreadableObject):
        prepare(good[:-40], RECIPE, max_pixels=LIMIT, room=room)
    waiting = threading.Thread(target=lambda: prepare(good, RECIPE, max_pixels=LIMIT, room=room), daemon=True)
    with room.taken(2_400):  # all of it is free again
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
    waiting.join(60)
    assert not waiting.is_alive()


def test_a_picture_larger_than_the_room_is_decoded_alone() -> None:
    assert prepare(encoded(drawing((60, 40))), RECIPE, max_pixels=LIMIT, room=Room(10)).width == 60


def test_pixels_in_memory_never_exceed_the_room_and_every_thread_gets_its_turn() -> None:
    room, lock = Room(100), threading.Lock()
    inside, most, done = 0, 0, 0

    def work(seed: int) -> None:
        nonlocal inside, most, done
        rng = np.random.default_rng(seed)
        for size in rng.integers(1, 130, 30).tolist():
            with room.taken(size):
                with lock:
                    inside += min(size, 100)
                    most = max(most, inside)
                time.sleep(0)
                with lock:
                    inside -= min(size, 100)
                    done += 1

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (inside, done) == (0, 180)
    assert 50 < most <= 100

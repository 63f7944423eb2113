"""Drawings: the same seed, the same picture; the demo's choice; EXIF that reads back."""

from collections import Counter
from io import BytesIO

import numpy as np
import pytest
from PIL import Image  # noqa: TID251

from bucketlens.local.drawings import KINDS, LIGHTS, STYLES, Drawing, Subject, collection, draw, draw_subject, encode

EXIF_IFD, GPS_IFD = 0x8769, 0x8825


@pytest.fixture(scope="module")
def demo() -> list[Drawing]:
    return list(collection(60))


@pytest.mark.parametrize("seed", [0, 1, 31])
def test_the_same_seed_draws_the_same_picture_with_the_same_facts(seed: int) -> None:
    one, other = draw(seed), draw(seed)
    assert one.image.tobytes() == other.image.tobytes()
    assert (one.name, one.captions, one.tags, one.taken_at, one.latitude) == (
        other.name,
        other.captions,
        other.tags,
        other.taken_at,
        other.latitude,
    )


def test_different_seeds_draw_different_pictures() -> None:
    assert len({draw(seed).image.tobytes() for seed in range(8)}) == 8


def test_a_collection_is_the_same_for_the_same_arguments_and_another_for_another_seed() -> None:
    first = [d.name for d in collection(6, seed=3)]
    assert first == [d.name for d in collection(6, seed=3)]
    one, other = next(collection(1, seed=3)), next(collection(1, seed=4))
    assert one.image.tobytes() != other.image.tobytes()


def test_sixty_pictures_show_every_kind_under_distinct_names(demo: list[Drawing]) -> None:
    assert {d.kind for d in demo} == set(KINDS)
    assert len({d.name for d in demo}) == len(demo) == 60


def test_the_demo_has_what_its_example_queries_ask_for(demo: list[Drawing]) -> None:
    seen = Counter((d.kind, d.colour) for d in demo)
    assert seen["car", "red"] >= 3
    assert seen["car", "blue"] >= 2
    assert sum(d.kind == "sunset" for d in demo) >= 3
    assert sum(d.kind == "boat" and d.count == 2 and d.light == "night" for d in demo) >= 2
    assert sum(d.kind == "bee" for d in demo) >= 3


def test_pictures_are_rgb_with_sides_from_320_to_640(demo: list[Drawing]) -> None:
    for drawing in demo:
        assert drawing.image.mode == "RGB"
        assert 320 <= min(drawing.image.size) <= max(drawing.image.size) <= 640


def test_the_vocabulary_of_a_drawing_is_closed(demo: list[Drawing]) -> None:
    for drawing in demo:
        assert drawing.colour in KINDS[drawing.kind].colours
        assert drawing.light in LIGHTS
        assert drawing.style in STYLES
        assert drawing.kind in drawing.tags


def test_captions_say_how_many_of_what_in_which_colour_and_light() -> None:
    drawing = draw_subject(Subject("car", "red", 2, "flat", "night"), seed=5, number=3)
    assert drawing.captions[:2] == ("two red cars", "two red cars at night")
    assert drawing.name.startswith("two-red-cars-03.")


def test_a_red_car_is_redder_than_a_blue_one() -> None:
    red, blue = (
        np.asarray(draw_subject(Subject("car", colour), seed=5).image, np.int16).reshape(-1, 3)
        for colour in ("red", "blue")
    )
    redness = [((p[:, 0] - p[:, 2]) > 90).mean() for p in (red, blue)]
    assert redness[0] > 0.02 > redness[1]


def test_night_is_darker_than_day() -> None:
    day, night = (np.asarray(draw_subject(Subject("tree", "green", 1, "flat", x), 5).image).mean() for x in LIGHTS[:2])
    assert night < day - 40


def test_encoded_files_are_what_their_names_promise_and_keep_the_record_in_exif(demo: list[Drawing]) -> None:
    formats = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}
    by_suffix = {d.name.rpartition(".")[2]: d for d in demo}
    assert set(by_suffix) == set(formats)
    for suffix, drawing in by_suffix.items():
        with Image.open(BytesIO(encode(drawing))) as image:
            assert image.format == formats[suffix]
            assert image.size == drawing.image.size
            exif = image.getexif()
        assert exif.get_ifd(EXIF_IFD)[0x9003] == drawing.taken_at.strftime("%Y:%m:%d %H:%M:%S")
        assert f"{exif[0x010F]} {exif[0x0110]}" == drawing.camera
        gps = exif.get_ifd(GPS_IFD)
        latitude = _degrees(gps[2]) * (1 if gps[1] == "N" else -1)
        longitude = _degrees(gps[4]) * (1 if gps[3] == "E" else -1)
        assert (latitude, longitude) == pytest.approx((drawing.latitude, drawing.longitude), abs=1e-5)


def test_the_same_drawing_encodes_to_the_same_bytes() -> None:
    assert encode(draw(4)) == encode(draw(4))


def _degrees(parts: tuple[float, float, float]) -> float:
    degrees, minutes, seconds = (float(part) for part in parts)
    return degrees + minutes / 60 + seconds / 3600

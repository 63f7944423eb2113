"""When, where and with what a picture was taken."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image  # noqa: TID251
from tests.support.pictures import drawing, encoded

from bucketlens.model.decode import decode
from bucketlens.model.exif import Exif, read_exif
from bucketlens.records import Metadata

MAKE, MODEL, DATE_TIME, ORIGINAL, DIGITIZED, OFFSET_ORIGINAL, LENS = 0x10F, 0x110, 0x132, 0x9003, 0x9004, 0x9011, 0xA434
EXIF, GPS = 0x8769, 0x8825


def block(main: dict[int, object], detail: dict[int, object], gps: dict[int, object]) -> Image.Exif:
    exif = Image.Exif()
    exif.update(main)
    exif.get_ifd(EXIF).update(detail)
    exif.get_ifd(GPS).update(gps)
    return exif


def read(
    main: dict[int, object] | None = None,
    detail: dict[int, object] | None = None,
    gps: dict[int, object] | None = None,
    name: str = "JPEG",
) -> Metadata:
    body = encoded(drawing(), name, exif=block(main or {}, detail or {}, gps or {}))
    return decode(body, max_pixels=10**6).exif


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_date_camera_lens_and_place_are_read_from_every_format_that_carries_them(name: str) -> None:
    found = read(
        {MAKE: "FUJIFILM", MODEL: "X-T5"},
        {ORIGINAL: "2024:05:06 07:08:09", OFFSET_ORIGINAL: "+02:00", LENS: "XF23mmF2 R WR"},
        {1: "S", 2: (33.0, 51.0, 36.0), 3: "E", 4: (151.0, 12.0, 36.0)},
        name,
    )
    assert found["taken_at"] == datetime(2024, 5, 6, 7, 8, 9, tzinfo=timezone(timedelta(hours=2)))
    assert (found["camera"], found["lens"]) == ("FUJIFILM X-T5", "XF23mmF2 R WR")
    assert found["latitude"] == pytest.approx(-33.86)
    assert found["longitude"] == pytest.approx(151.21)


def test_a_picture_without_exif_has_no_fields() -> None:
    assert dict(decode(encoded(drawing()), max_pixels=10**6).exif) == {}


def test_the_shutter_s_date_is_preferred_and_a_broken_one_falls_back() -> None:
    dates = {ORIGINAL: "2001:01:01 00:00:00", DIGITIZED: "2002:01:01 00:00:00"}
    main = {DATE_TIME: "2003:01:01 00:00:00"}
    assert read(main, dates)["taken_at"] == datetime(2001, 1, 1, tzinfo=UTC)
    assert read(main, dates | {ORIGINAL: "0000:00:00 00:00:00"})["taken_at"] == datetime(2002, 1, 1, tzinfo=UTC)
    assert read(main, {ORIGINAL: "    :  :     :  :  "})["taken_at"] == datetime(2003, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("offset", ["", "Z", "+99:00", "nonsense", "+00:00"])
def test_a_date_without_a_usable_offset_is_in_utc(offset: str) -> None:
    taken = read({}, {ORIGINAL: "2024:05:06 07:08:09", OFFSET_ORIGINAL: offset})["taken_at"]
    assert taken == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Canon", "Canon EOS R5", "Canon EOS R5"),
        ("NIKON CORPORATION", "NIKON D90", "NIKON D90"),
        ("Apple", "iPhone 15", "Apple iPhone 15"),
        ("Leica\0 Camera", "  M11 ", "Leica M11"),
        ("SONY", "", "SONY"),
        ("", "ILCE-7M4", "ILCE-7M4"),
    ],
)
def test_the_make_is_not_doubled_in_the_camera_s_name(make: str, model: str, camera: str) -> None:
    assert read({MAKE: make, MODEL: model})["camera"] == camera


@pytest.mark.parametrize(
    "gps",
    [
        {1: "N", 2: (10.0, 0.0, 0.0)},
        {2: (10.0, 0.0, 0.0), 4: (20.0, 0.0, 0.0)},
        {1: "N", 2: (91.0, 0.0, 0.0), 3: "E", 4: (20.0, 0.0, 0.0)},
        {1: "N", 2: (10.0, 0.0), 3: "E", 4: (20.0, 0.0, 0.0)},
        {1: "?", 2: (10.0, 0.0, 0.0), 3: "E", 4: (20.0, 0.0, 0.0)},
    ],
)
def test_half_a_place_or_an_impossible_one_is_left_out(gps: dict[int, object]) -> None:
    assert not {"latitude", "longitude"} & set(read(gps=gps))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=20))
def test_damaged_exif_never_costs_the_picture(edits: list[tuple[int, int]]) -> None:
    """Fields that survive are still of their type; the picture is always there."""
    exif = block({MAKE: "Canon", MODEL: "R5"}, {ORIGINAL: "2024:05:06 07:08:09"}, {1: "N", 2: (1.0, 2.0, 3.0)})
    damaged = bytearray(exif.tobytes())
    for place, value in edits:
        damaged[6 + place % (len(damaged) - 6)] = value
    found = decode(encoded(drawing(), "JPEG", exif=bytes(damaged)), max_pixels=10**6).exif
    assert all(isinstance(found[name], str) for name in ("camera", "lens") if name in found)
    assert "taken_at" not in found or found["taken_at"].tzinfo is not None  # type: ignore[union-attr]


@dataclass
class Unread:
    """A picture whose EXIF block nobody but Pillow has read."""

    image: Image.Image
    info: dict[str | tuple[int, int], Any] = field(default_factory=dict)

    def getexif(self) -> Image.Exif:
        return self.image.getexif()


def ours_and_pillow_s(body: bytes) -> tuple[Exif, Exif]:
    with Image.open(io.BytesIO(body)) as image:
        image.load()
        return read_exif(image), read_exif(Unread(image))


TEXT = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=30)
DATE = st.builds("{:04}:{:02}:{:02} 12:34:56".format, st.integers(1900, 2100), st.integers(0, 12), st.integers(1, 31))
PARTS = st.lists(st.floats(0, 200, width=16), min_size=1, max_size=4).map(tuple)


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    main=st.fixed_dictionaries({}, optional={MAKE: TEXT, MODEL: TEXT, DATE_TIME: DATE, 0x112: st.integers(0, 9)}),
    detail=st.fixed_dictionaries({}, optional={ORIGINAL: DATE | TEXT, OFFSET_ORIGINAL: TEXT, LENS: TEXT}),
    gps=st.fixed_dictionaries({}, optional={1: TEXT, 2: PARTS, 3: st.sampled_from("EW"), 4: PARTS}),
    order=st.sampled_from("<>"),
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=3),
)
def test_what_is_read_without_pillow_is_what_pillow_reads(
    main: dict[int, object],
    detail: dict[int, object],
    gps: dict[int, object],
    order: str,
    edits: list[tuple[int, int]],
) -> None:
    exif = block(main, detail, gps)
    exif.endian = order
    body = bytearray(exif.tobytes())
    for place, value in edits:
        body[6 + place % (len(body) - 6)] = value
    ours, theirs = ours_and_pillow_s(encoded(drawing(), "JPEG", exif=bytes(body)))
    assert ours == theirs

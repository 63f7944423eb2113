"""Bytes become upright pictures, or a clear refusal."""

from __future__ import annotations

import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image  # noqa: TID251
from tests.support.pictures import FORMATS, LIMIT, drawing, encoded, opened, pixels, transparent

from bucketlens.errors import UnreadableObject
from bucketlens.model.decode import Picture, decode

CODES = {"empty", "not_an_image", "unsupported_format", "corrupt_image", "too_many_pixels", "out_of_memory"}


def refusal(body: bytes, max_pixels: int = LIMIT) -> UnreadableObject:
    with pytest.raises(UnreadableObject) as caught:
        decode(body, max_pixels=max_pixels)
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize("name", FORMATS)
def test_every_supported_format_decodes_to_the_picture_that_was_written(name: str) -> None:
    original = drawing()
    picture = opened(encoded(original, name))
    assert (picture.format, picture.width, picture.height) == (name.lower(), 60, 40)
    assert np.abs(pixels(picture) - np.asarray(original).astype(int)).mean() < 12


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg"])
def test_tiff_decodes_whatever_its_compression(compression: str) -> None:
    assert opened(encoded(drawing(), "TIFF", compression=compression)).width == 60


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_an_animation_is_its_first_frame(name: str) -> None:
    body = encoded(
        Image.new("RGB", (8, 8), "red"), name, save_all=True, append_images=[Image.new("RGB", (8, 8), "blue")]
    )
    red, _, blue = pixels(opened(body))[4, 4]
    assert red > 200 > 60 > blue


def test_a_phone_s_multi_picture_jpeg_is_a_jpeg() -> None:
    body = encoded(drawing(), "MPO", save_all=True, append_images=[drawing(seed=1)])
    assert opened(body).format == "jpeg"


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_stands_upright_whatever_its_exif_orientation(name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    body = encoded(drawing(), name, exif=exif)
    stored = np.rot90(np.asarray(drawing()), {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0))
    upright = np.fliplr(stored) if orientation in (2, 4) else np.flipud(stored) if orientation in (5, 7) else stored
    picture = opened(body)
    assert (picture.height, picture.width) == upright.shape[:2] == picture.image.size[::-1]
    assert np.abs(pixels(picture) - upright.astype(int)).mean() < 12


def test_a_scaled_jpeg_keeps_its_orientation_and_reports_its_original_size() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = opened(encoded(drawing((600, 400)), "JPEG", exif=exif), at_least=100)
    assert (picture.width, picture.height) == (400, 600)
    assert picture.image.size == (100, 150)


@pytest.mark.parametrize("at_least", [1, 49, 50, 51, 100, 399, 400, 5000])
def test_a_scaled_jpeg_keeps_the_short_side_asked_for_where_it_has_it(at_least: int) -> None:
    small = opened(encoded(drawing((600, 400)), "JPEG"), at_least=at_least)
    assert min(small.image.size) >= min(at_least, 400)
    whole = opened(encoded(drawing((600, 400)), "JPEG")).image.resize(small.image.size, Image.Resampling.BOX)
    assert np.abs(pixels(small) - np.asarray(whole).astype(int)).mean() < 3


@pytest.mark.parametrize(
    ("body", "code", "named"),
    [
        (b"", "empty", "0 bytes"),
        (b"hello, world\n", "not_an_image", "hello"),
        ("日本語のテキスト".encode() * 200, "not_an_image", "日本"),
        (b'{"Records": []}', "not_an_image", "Records"),
        (b"BMW is a car", "not_an_image", "BMW"),
        (bytes(range(128, 200)), "not_an_image", "x80"),
        (b"8BPS\0\1" + bytes(30), "unsupported_format", "Photoshop"),
        (encoded(drawing((16, 16)), "ICO"), "unsupported_format", "ICO"),
        (encoded(drawing(), "JPEG2000"), "unsupported_format", "JPEG 2000"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40), "unsupported_format", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(40), "unsupported_format", "HEIC"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isommp41" + bytes(40), "unsupported_format", "MPEG-4"),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", "unsupported_format", "SVG"),
        (b"%PDF-1.7\n", "unsupported_format", "PDF"),
        (encoded(drawing(), "JPEG")[:100], "corrupt_image", ""),
        (b"GIF89a", "corrupt_image", ""),
    ],
)
def test_what_cannot_become_a_picture_is_refused_by_name(body: bytes, code: str, named: str) -> None:
    error = refusal(body)
    assert error.code == code
    assert named in (error.value or "")


@pytest.mark.parametrize("name", FORMATS)
def test_a_picture_with_too_many_pixels_is_refused_by_its_header(name: str) -> None:
    assert refusal(encoded(drawing(), name), max_pixels=60 * 40 - 1).code == "too_many_pixels"
    assert decode(encoded(drawing(), name), max_pixels=60 * 40).width == 60


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_000, 30_000, 100_000])
def test_a_decompression_bomb_is_refused_before_it_unfolds_and_without_a_warning(side: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert refusal(png_header(side, side), max_pixels=50_000_000).code == "too_many_pixels"


@pytest.mark.parametrize("name", FORMATS)
def test_every_prefix_of_a_file_decodes_or_is_refused(name: str) -> None:
    body = encoded(drawing(), name)
    for end in sorted({*range(64), *range(64, len(body), max(1, len(body) // 60))}):
        decodes_or_is_refused(body[:end])


SAMPLES = [encoded(drawing(), name) for name in FORMATS]
SAMPLES += [encoded(drawing(), "TIFF", compression="tiff_lzw"), encoded(drawing(), "JPEG", progressive=True)]
SAMPLES += [encoded(transparent(), "WEBP", lossless=True), encoded(drawing().convert("P"), "PNG")]
SAMPLES += [encoded(drawing().convert("I;16"), "PNG"), encoded(drawing().convert("L").convert("F"), "TIFF")]


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    sample=st.sampled_from(SAMPLES),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12),
    near=st.sampled_from([64, 400, 1 << 30]),
)
def test_any_corruption_of_a_file_decodes_or_is_refused(
    sample: bytes, edits: list[tuple[float, int]], near: int
) -> None:
    damaged = bytearray(sample)
    for place, value in edits:
        damaged[int(place * min(near, len(damaged)))] = value
    decodes_or_is_refused(bytes(damaged))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(start=st.sampled_from([b"", *(sample[:12] for sample in SAMPLES)]), rest=st.binary(max_size=200))
def test_any_bytes_at_all_decode_or_are_refused(start: bytes, rest: bytes) -> None:
    decodes_or_is_refused(start + rest)


def decodes_or_is_refused(body: bytes) -> None:
    outcome: Picture | UnreadableObject
    try:
        outcome = opened(body)
    except UnreadableObject as error:
        outcome = error
    if isinstance(outcome, Picture):
        assert outcome.image.mode == "RGB"
    else:
        assert outcome.code in CODES
        assert outcome.remedy


def test_many_threads_decode_at_once_and_leave_the_warning_filters_as_they_were() -> None:
    bodies = [encoded(drawing(seed=number), FORMATS[number % len(FORMATS)]) for number in range(14)]
    expected = [pixels(opened(body)) for body in bodies]
    before = list(warnings.filters)
    failures: list[int] = []

    def work() -> None:
        for number, body in enumerate(bodies):
            if not np.array_equal(pixels(opened(body)), expected[number]):
                failures.append(number)
            refusal(body[:50])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert list(warnings.filters) == before

"""Bytes become upright sRGB pictures over white, or a clear refusal."""

from __future__ import annotations

import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms  # noqa: TID251
from tests.support.pictures import FORMATS, drawing, encoded

from bucketlens.errors import UnreadableObject
from bucketlens.model.decode import Picture, decode

LIMIT = 1_000_000
CODES = {"empty", "not_an_image", "unsupported_format", "corrupt_image", "too_many_pixels", "out_of_memory"}


def opened(body: bytes, at_least: int | None = None) -> Picture:
    return decode(body, max_pixels=LIMIT, at_least=at_least)


def pixels(picture: Picture) -> np.ndarray:
    assert picture.image.mode == "RGB"
    return np.asarray(picture.image).astype(int)


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


def transparent() -> Image.Image:
    picture = drawing().convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    return picture


@pytest.mark.parametrize("name", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_transparency_is_laid_over_white(name: str) -> None:
    white = Image.new("RGBA", (60, 40), "white")
    expected = Image.alpha_composite(white, transparent()).convert("RGB")
    options = {"lossless": True} if name == "WEBP" else {}
    shown = opened(encoded(transparent(), name, **options))
    assert np.abs(pixels(shown) - np.asarray(expected).astype(int)).mean() < (6 if name == "AVIF" else 1)


def test_transparent_palettes_and_transparent_colours_are_white() -> None:
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.putpixel((0, 0), 1)
    for name in ("GIF", "PNG"):
        shown = pixels(opened(encoded(palette, name, transparency=0)))
        assert shown[0, 0].tolist() == [255, 0, 0]
        assert shown[3, 3].tolist() == [255, 255, 255]
    grey = pixels(opened(encoded(Image.new("L", (2, 2), 7), "PNG", transparency=7)))
    assert grey.min() == 255
    colour = pixels(opened(encoded(Image.new("RGB", (2, 2), (1, 2, 3)), "PNG", transparency=(1, 2, 3))))
    assert colour.min() == 255
    layered = pixels(opened(encoded(Image.new("LA", (2, 2), (100, 0)), "PNG")))
    assert layered.min() == 255


@pytest.mark.parametrize(("mode", "name"), [("1", "PNG"), ("L", "JPEG"), ("P", "BMP"), ("1", "TIFF"), ("L", "TIFF")])
def test_grey_one_bit_and_palette_pictures_become_rgb(mode: str, name: str) -> None:
    picture = drawing().convert(mode)
    expected = np.asarray(picture.convert("RGB")).astype(int)
    assert np.abs(pixels(opened(encoded(picture, name))) - expected).mean() < 3


@pytest.mark.parametrize(("mode", "name"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("YCbCr", "JPEG"), ("YCbCr", "TIFF")])
def test_print_and_video_colours_become_rgb(mode: str, name: str) -> None:
    """Pillow writes CMYK JPEGs as Adobe does, inverted: reading them as they lie would give the negative."""
    body = encoded(drawing().convert(mode), name)
    assert np.abs(pixels(opened(body)) - np.asarray(drawing()).astype(int)).mean() < 12


def test_lab_becomes_rgb() -> None:
    to_lab = ImageCms.profileToProfile(
        Image.new("RGB", (4, 4), (200, 40, 60)),
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
    assert np.abs(pixels(opened(encoded(to_lab, "TIFF"))) - [200, 40, 60]).max() <= 4


def ramp() -> np.ndarray:
    return np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)


@pytest.mark.parametrize("name", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_brightness(name: str) -> None:
    grey = pixels(opened(encoded(Image.fromarray(ramp()), name)))
    assert np.abs(grey[:, :, 0].reshape(-1) - np.arange(256)).max() <= 1
    dark = pixels(opened(encoded(Image.fromarray(np.full((4, 4), 2570, np.uint16)), name)))
    assert dark.max() == dark.min() == 10


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_float_tiff_is_scaled_by_the_range_its_values_lie_in(top: float) -> None:
    values = (ramp() / 65535 * top).astype(np.float32)
    grey = pixels(opened(encoded(Image.fromarray(values), "TIFF")))
    assert np.abs(grey[:, :, 0].reshape(-1) - np.arange(256)).max() <= 1


def test_floats_below_zero_and_holes_in_the_data_still_make_a_picture() -> None:
    values = np.array([[-1.0, np.nan, 1.0, np.inf]], np.float32)
    grey = pixels(opened(encoded(Image.fromarray(values[:, :3].copy()), "TIFF")))[0, :, 0]
    assert grey.tolist() == [0, 128, 255]
    assert opened(encoded(Image.fromarray(values), "TIFF")).width == 4


def test_whole_numbers_of_32_bit_are_scaled_by_the_range_they_lie_in() -> None:
    grey = pixels(opened(encoded(Image.fromarray(ramp().astype(np.int32)), "TIFF")))
    assert np.abs(grey[:, :, 0].reshape(-1) - np.arange(256)).max() <= 1


def swapped_profile() -> bytes:
    """The sRGB profile with its red and blue primaries exchanged: converting through it swaps the channels."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for at in range(132, 132 + 12 * struct.unpack(">I", profile[128:132])[0], 12):
        name = bytes(profile[at : at + 4])
        profile[at : at + 4] = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}.get(name, name)
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "BGRs".encode("utf-16-be"))


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_colours_are_converted_through_the_embedded_profile(name: str) -> None:
    body = encoded(Image.new("RGB", (16, 16), (230, 30, 60)), name, icc_profile=swapped_profile())
    red, _, blue = pixels(opened(body))[8, 8]
    assert blue > 200 > 90 > red


def test_a_profile_s_colours_are_converted_before_transparency_is_laid_over_white() -> None:
    """The white behind is sRGB already: converting it through the profile would tint it."""
    clear = Image.new("RGBA", (4, 4), (230, 30, 60, 0))
    clear.putpixel((0, 0), (230, 30, 60, 255))
    shown = pixels(opened(encoded(clear, "PNG", icc_profile=swapped_profile())))
    assert shown[3, 3].tolist() == [255, 255, 255]
    red, _, blue = shown[0, 0]
    assert blue > 200 > 90 > red


def grey_profile(gamma: float) -> bytes:
    """A monochrome display profile of version 2: white point and one curve (ICC.1:2001-04, sections 6.3 and 6.5.3)."""
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    title = b"desc" + bytes(4) + struct.pack(">I", 5) + b"grey\0" + bytes(79)
    parts, at, table = [(b"desc", title), (b"wtpt", white), (b"kTRC", curve)], 128 + 4 + 36, b""
    for name, body in parts:
        table, at = table + name + struct.pack(">II", at, len(body)), at + len(body)
    header = struct.pack(">I4sI4s4s4s", at, bytes(4), 0x02400000, b"mntr", b"GRAY", b"XYZ ")
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", len(parts)) + table + b"".join(body for _, body in parts)


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_is_converted_through_a_grey_profile(mode: str) -> None:
    picture = Image.new("L", (4, 4), 128).convert(mode)
    linear = pixels(opened(encoded(picture, "PNG", icc_profile=grey_profile(1.0))))[0, 0]
    assert np.abs(linear - 188).max() <= 2  # half the light is 188 of 255 in sRGB
    assert np.abs(pixels(opened(encoded(picture, "PNG")))[0, 0] - 128).max() <= 1


MODES = {
    "JPEG": ("L", "RGB", "CMYK", "YCbCr"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "WEBP": ("L", "RGB", "RGBA"),
    "GIF": ("1", "L", "P"),
    "BMP": ("1", "L", "P", "RGB"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F"),
    "AVIF": ("L", "RGB", "RGBA"),
}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from([(name, mode) for name, modes in MODES.items() for mode in modes]),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    orientation=st.integers(0, 9),
    profile=st.sampled_from([None, swapped_profile(), grey_profile(1.8), b"nonsense"]),
)
def test_every_format_and_mode_is_upright_rgb_of_its_own_proportions(
    kind: tuple[str, str], size: tuple[int, int], orientation: int, profile: bytes | None
) -> None:
    name, mode = kind
    options: dict[str, object] = {} if profile is None or name in ("GIF", "BMP") else {"icc_profile": profile}
    if name not in ("GIF", "BMP"):
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = orientation  # type: ignore[index]
    picture = opened(encoded(drawing(size).convert(mode), name, **options))
    upright = size[::-1] if 5 <= orientation <= 8 and "exif" in options else size
    assert (picture.width, picture.height) == picture.image.size == upright
    assert pixels(picture).shape == (*upright[::-1], 3)


def test_a_broken_profile_or_one_of_other_colours_is_ignored() -> None:
    plain = Image.new("RGB", (4, 4), (230, 30, 60))
    for profile in (b"nonsense", swapped_profile()[:200], swapped_profile().replace(b"RGB ", b"CMYK", 1)):
        assert pixels(opened(encoded(plain, "PNG", icc_profile=profile)))[0, 0].tolist() == [230, 30, 60]


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

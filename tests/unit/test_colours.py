"""Every mode, depth, profile and transparency becomes sRGB over white."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms  # noqa: TID251
from tests.support.pictures import drawing, encoded, opened, pixels, transparent


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

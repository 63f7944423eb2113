"""Pictures made in memory, and the files they make."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw  # noqa: TID251

from bucketlens.model.decode import Picture, decode

LIMIT = 1_000_000
"""Pixels that ``opened`` takes."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")


def drawing(size: tuple[int, int] = (60, 40), seed: int = 0) -> Image.Image:
    """A smooth RGB picture with one corner marked: no turn or flip of it equals another."""
    width, height = size
    colours = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    picture = Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC)
    ImageDraw.Draw(picture).rectangle((0, 0, width // 4, height // 4), fill=(255, 0, 0))
    return picture


def encoded(picture: Image.Image, format: str = "PNG", **options: object) -> bytes:  # noqa: A002
    """The bytes Pillow writes for a picture; GIF may change colours, JPEG, WebP and AVIF are lossy."""
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


def transparent() -> Image.Image:
    picture = drawing().convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    return picture


def opened(body: bytes, at_least: int | None = None) -> Picture:
    """The picture in a file of at most ``LIMIT`` pixels, as bucketlens decodes it."""
    return decode(body, max_pixels=LIMIT, at_least=at_least)


def pixels(picture: Picture) -> np.ndarray:
    """Its levels, (height, width, 3)."""
    assert picture.image.mode == "RGB"
    return np.asarray(picture.image).astype(int)

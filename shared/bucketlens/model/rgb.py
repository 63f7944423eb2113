"""Any pixel layout Pillow can load becomes 8-bit sRGB over white."""

from __future__ import annotations

import io
from contextlib import suppress
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps  # noqa: TID251

_WHITE = (255, 255, 255)
# ICC colour space (ICC.1:2022, table 19) -> the Pillow mode its transform reads.
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "LAB": "LAB"}
_BROKEN_PROFILE = (ImageCms.PyCMSError, AttributeError, LookupError, OSError, TypeError, ValueError)
# TIFF 6.0 tags.
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_WHITE_IS_ZERO, _UNSIGNED = 0, 1


def to_rgb(image: Image.Image) -> Image.Image:
    """A loaded picture as mode RGB; the picture itself when it is that already.

    Transparency is laid over white. An embedded ICC profile is converted to sRGB, and ignored when it is broken or
    describes another colour space than the pixels. Numbers wider than 8 bit are scaled by their nominal range: up to
    16 bit what the file declares, beyond that the smallest of 1 (floats only), 255, 65535 and 2^32 - 1 that holds every
    value; from smallest to largest value when some are negative or none of these ranges holds them. NaN is black.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        return _from_numbers(image)
    if image.has_transparency_data:
        return _over_white(image)
    return _srgb(image, image.info.get("icc_profile"))


def _over_white(image: Image.Image) -> Image.Image:
    layered = image if image.mode == "RGBA" else image.convert("RGBA")
    opaque = layered.convert("RGB")
    profile = image.info.get("icc_profile")
    if image.mode in ("L", "LA"):
        opaque = _srgb(image.convert("L"), profile)
    elif profile:
        opaque = _srgb(opaque, profile)
    ground = Image.new("RGB", image.size, _WHITE)
    ground.paste(opaque, mask=layered.getchannel("A"))
    return ground


def _srgb(image: Image.Image, profile: object) -> Image.Image:
    flat = image if image.mode in _SPACES.values() else image.convert("RGB")
    if isinstance(profile, bytes) and profile:
        with suppress(*_BROKEN_PROFILE):
            transform = _transform(profile, flat.mode)
            return flat if transform is None else ImageCms.applyTransform(flat, transform) or flat
    if flat.mode == "LAB":
        laboratory = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        return ImageCms.profileToProfile(flat, laboratory, ImageCms.createProfile("sRGB"), outputMode="RGB") or flat
    return flat if flat.mode == "RGB" else flat.convert("RGB")


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB; None when that would change nothing. Kept, because building one costs milliseconds and a
    camera writes the same profile into every file; used by many threads at once. Raises one of ``_BROKEN_PROFILE``."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if _SPACES.get(source.profile.xcolor_space.strip().upper()) != mode:
        raise ValueError(f"a profile of {source.profile.xcolor_space} in a picture of {mode}")
    if mode == "RGB" and (source.profile.profile_description or "").startswith("sRGB"):
        return None
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")


def _from_numbers(image: Image.Image) -> Image.Image:
    values: npt.NDArray[Any] = np.asarray(image)
    tags: Any = getattr(image, "tag_v2", {})
    if image.mode.startswith("I;16"):
        bits = int(tags.get(_BITS_PER_SAMPLE, (16,))[0])
        low, high = 0.0, float((1 << bits) - 1)
    else:
        if image.mode == "I" and tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0] == _UNSIGNED:
            values = values.view(np.uint32)
        values = np.nan_to_num(values, nan=0.0)
        low, high = _range(values, image.mode == "F")
    scaled = (np.clip(values, low, high).astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    grey = Image.fromarray(np.rint(scaled).astype(np.uint8))
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        grey = ImageOps.invert(grey)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.paste(255, mask=Image.fromarray(values == transparent))
    return grey.convert("RGB")


def _range(values: npt.NDArray[Any], floats: bool) -> tuple[float, float]:
    least, most = float(values.min()), float(values.max())
    if least >= 0:
        for nominal in (1.0, 255.0, 65535.0, 4294967295.0):
            if most <= nominal and (floats or nominal > 1):
                return 0.0, nominal
    return least, max(most, least + 1)

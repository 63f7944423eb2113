"""Pictures to the array a vision tower reads: the image processors of CLIP and SigLIP, with Pillow's resampling.

The reference is the Pillow backend of transformers: sides are truncated, not rounded, when the shortest edge is scaled;
a crop starts at the rounded-down middle; a picture smaller than the crop is padded with black before it is normalised.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bucketlens.errors import Misconfigured

if TYPE_CHECKING:
    from bucketlens.model.decode import Raster

_BICUBIC = 3
_FILTERS = range(6)  # Pillow's Resampling: nearest, lanczos, bilinear, bicubic, box, hamming
_STEPS = {"do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb"}
# Longer than this many times the crop, a resized picture is no longer made as a whole: it could be of any length.
_LONG = 8
# A JPEG decoded at a fraction keeps this many times the pixels that are left after resizing. Measured on eleven
# photographs of 1 to 4 megapixels (mean difference of the normalised result from a full decode, worst picture; 1 -
# cosine of the embedded model's vectors, worst): 2 to 3 times 0.018 and 6e-4, 3 to 4 times 0.009 and 1e-4, 4 to 6
# times 0.005 and 4e-5. That Pillow rounds to bytes after each of its two passes costs 0.004 in any case.
_SPARE = 3


@dataclass(frozen=True, slots=True)
class Recipe:
    """What happens to a picture before the model sees it, as ``preprocessor_config.json`` says.

    ``size`` is (height, width) in pixels, or the length of the shortest edge; ``crop`` is (height, width) or None.
    ``resample`` is Pillow's number of the filter. A pixel p of 0..255 becomes (p * scale - mean) / std, by channel.
    """

    size: tuple[int, int] | int
    resample: int
    crop: tuple[int, int] | None
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def read(cls, preprocessor_config: Mapping[str, object]) -> Recipe:
        """The recipe of a configuration. Raises Misconfigured, naming the field, for steps that are not known,
        contradict each other, or leave the size of the result open."""
        config = preprocessor_config
        for name, value in config.items():
            if name.startswith("do_") and name not in _STEPS and value:
                raise _refusal(name, value, "This step is not known.")
        if config.get("crop_pct") is not None:
            raise _refusal("crop_pct", config["crop_pct"], "Cropping by percentage is not known.")
        if not config.get("do_resize", True):
            raise _refusal("do_resize", False, "Pictures come in every size, so they must be resized.")
        size = _size(config)
        crop = (
            _sides("crop_size", config.get("crop_size"))
            if config.get("do_center_crop", "crop_size" in config)
            else None
        )
        if crop is None and isinstance(size, int):
            raise _refusal(
                "do_center_crop", config.get("do_center_crop"), "Resizing by the shortest edge needs a center crop."
            )
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        if config.get("do_normalize", True):
            mean, std = (
                _channels("image_mean", config.get("image_mean")),
                _channels("image_std", config.get("image_std")),
            )
            if min(std) <= 0:
                raise _refusal("image_std", config.get("image_std"), "Every value must be greater than zero.")
        scale = (
            _number("rescale_factor", config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0
        )
        resample = config.get("resample", _BICUBIC)  # both families default to bicubic
        if not isinstance(resample, int) or resample not in _FILTERS:
            raise _refusal("resample", resample, "It must be Pillow's number of a filter, 0 to 5.")
        return cls(size, resample, crop, scale, mean, std)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the result, in pixels."""
        if self.crop is not None:
            return self.crop
        assert not isinstance(self.size, int)  # noqa: S101  (``read`` refuses it)
        return self.size

    @property
    def at_least(self) -> int:
        """Short side, in pixels, that a scaled decode must keep: ``_SPARE`` times the resized one."""
        return _SPARE * (self.size if isinstance(self.size, int) else max(self.size))


@dataclass(frozen=True, slots=True)
class Frame:
    """What pixels show: a picture of ``height`` x ``width`` that lies in ``box`` of them (left, top, right, bottom)."""

    height: int
    width: int
    box: tuple[float, float, float, float]

    @classmethod
    def of(cls, image: Raster) -> Frame:
        """The frame of pixels that are the picture itself."""
        return cls(image.height, image.width, (0.0, 0.0, float(image.width), float(image.height)))


def pixels(image: Raster, recipe: Recipe, frame: Frame | None = None) -> npt.NDArray[np.float32]:
    """An RGB picture as float32 (3, height, width), channels in the order red, green, blue.

    ``frame`` says which picture ``image`` shows at reduced size: the result has the geometry of the original.
    """
    shaped = np.asarray(_shaped(image, recipe, frame or Frame.of(image)))
    made = np.empty((3, *recipe.shape), np.float32)
    for channel, levels in enumerate(_levels(recipe)):
        np.take(levels, shaped[:, :, channel], out=made[channel], mode="clip")  # "raise" would go through a buffer
    return made


@lru_cache(maxsize=4)
def _levels(recipe: Recipe) -> npt.NDArray[np.float32]:
    """(3, 256): what each byte becomes, by channel."""
    scaled = (np.arange(256, dtype=np.float64) * recipe.scale).astype(np.float32)
    mean, std = (np.array(values, np.float32)[:, None] for values in (recipe.mean, recipe.std))
    table: npt.NDArray[np.float32] = (scaled - mean) / std
    return table


def _shaped(image: Raster, recipe: Recipe, frame: Frame) -> Raster:
    height, width = resized_shape(frame.height, frame.width, recipe)
    if recipe.crop is None:
        return image.resize((width, height), recipe.resample, box=frame.box)
    tall, wide = recipe.crop
    top, left = (height - tall) // 2, (width - wide) // 2
    if max(height / tall, width / wide) <= _LONG:
        resized = image.resize((width, height), recipe.resample, box=frame.box)
        return resized.crop((left, top, left + wide, top + tall))
    return _window(image, recipe, frame, (height, width), (max(top, 0), max(left, 0)))


def _window(image: Raster, recipe: Recipe, frame: Frame, resized: tuple[int, int], corner: tuple[int, int]) -> Raster:
    """The crop of a resized picture, its outside never made: equal but for rounding, at a cost that stays small."""
    assert recipe.crop is not None  # noqa: S101
    (height, width), (top, left), (west, north, east, south) = resized, corner, frame.box
    tall, wide = min(recipe.crop[0], height), min(recipe.crop[1], width)
    across, down = (east - west) / width, (south - north) / height
    box = (west + left * across, north + top * down, west + (left + wide) * across, north + (top + tall) * down)
    inner = image.resize((wide, tall), recipe.resample, box=box)
    above, before = (tall - recipe.crop[0]) // 2, (wide - recipe.crop[1]) // 2
    return inner.crop((before, above, before + recipe.crop[1], above + recipe.crop[0]))


def resized_shape(height: int, width: int, recipe: Recipe) -> tuple[int, int]:
    """(height, width) after resizing and before cropping. The longer side is truncated to whole pixels."""
    if not isinstance(recipe.size, int):
        return recipe.size
    edge = recipe.size
    return (edge, int(edge * width / height)) if height <= width else (int(edge * height / width), edge)


def _size(config: Mapping[str, object]) -> tuple[int, int] | int:
    value = config.get("size")
    if isinstance(value, int) and not isinstance(value, bool):
        # Older files give one number, and the processor's class decides: CLIP's scales the shortest edge.
        named = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
        if named.startswith("CLIP"):
            return _whole("size", value)
        if named.startswith(("Siglip", "ViT")):
            return _sides("size", value)
        raise _refusal("size", value, "One number is ambiguous here: write shortest_edge, or height and width.")
    if isinstance(value, Mapping) and set(value) == {"shortest_edge"}:
        return _whole("size.shortest_edge", value["shortest_edge"])
    return _sides("size", value)


def _sides(name: str, value: object) -> tuple[int, int]:
    if isinstance(value, Mapping) and set(value) == {"height", "width"}:
        return _whole(f"{name}.height", value["height"]), _whole(f"{name}.width", value["width"])
    if isinstance(value, int) and not isinstance(value, bool):
        return _whole(name, value), value
    raise _refusal(name, value, "It must give height and width.")


def _whole(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= 8192:
        raise _refusal(name, value, "It must be a whole number of pixels, 1 to 8192.")
    return value


def _channels(name: str, value: object) -> tuple[float, float, float]:
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise _refusal(name, value, "It must be three numbers, for red, green and blue.")
    red, green, blue = (_number(name, item) for item in value)
    return red, green, blue


def _number(name: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise _refusal(name, value, "It must be a number.")
    return float(value)


def _refusal(name: str, value: object, reason: str) -> Misconfigured:
    return Misconfigured(
        f"preprocessor_config.json: {name} cannot be followed.",
        code="bad_preprocessor_config",
        value=f"{name}={value!r}",
        remedy=f"{reason} Use a bundle whose preprocessor is that of CLIP or SigLIP.",
    )

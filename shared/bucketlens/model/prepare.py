"""Bytes to what a vision tower reads: decode -> resize -> normalise. All that can be done ahead of the model."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bucketlens.model.decode import decode
from bucketlens.model.preprocess import Recipe, pixels
from bucketlens.model.room import Room
from bucketlens.records import Metadata


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture ready to be embedded: ``pixels`` is float32 (3, height, width) as the recipe makes it, a few hundred
    kilobytes however large the picture was; ``format``, ``width``, ``height`` and ``exif`` are those of ``Picture``."""

    pixels: npt.NDArray[np.float32]
    format: str
    width: int
    height: int
    exif: Metadata


def prepare(body: bytes, recipe: Recipe, *, max_pixels: int, room: Room | None = None) -> Prepared:
    """The picture in ``body`` as the model reads it. Safe to call from many threads.

    Holds its share of ``room`` from before its pixels are decoded until only the result is left. Raises
    UnreadableObject as ``decode`` does.
    """
    with ExitStack() as held:

        def admit(size: int) -> None:
            if room is not None:
                held.enter_context(room.taken(size))

        picture = decode(body, max_pixels=max_pixels, at_least=recipe.at_least, admit=admit)
        made = pixels(picture.image, recipe, picture.frame)
    return Prepared(made, picture.format, picture.width, picture.height, picture.exif)

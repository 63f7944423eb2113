"""How far our numbers are from those of transformers, for one export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image  # noqa: TID251

from bucketlens.model.bundle import Bundle
from bucketlens.model.decode import decode
from bucketlens.model.encode import Encoder
from bucketlens.model.preprocess import pixels
from bucketlens.model.tokenize import Words
from bucketlens.records import Vector
from tests.parity.exports import Export
from tests.parity.words import BEYOND_A_FILE, TEXTS
from tests.support.pictures import drawing, encoded

SIZES = (
    (224, 224), (256, 256), (640, 480), (480, 641), (333, 777), (225, 224), (30, 50), (1, 1), (1000, 201),
    (2500, 60), (3, 900),
)  # fmt: skip
"""(width, height): square, landscape, portrait, smaller than the model reads, and slivers."""


@dataclass(frozen=True, slots=True)
class Parity:
    """``pixels``: mean absolute difference of the normalised arrays, of the worst picture. ``scaled``: the same for
    JPEGs decoded at reduced size, as ingest does. ``tokens``: texts whose ids differ. ``images`` and ``texts``: largest
    difference of a component of the unit vectors. ``spread``: how much the vectors of different inputs differ, in
    the tower where they differ less: a tower that gives everything one vector would prove nothing."""

    pixels: float
    scaled: float
    tokens: Sequence[str]
    images: float
    texts: float
    spread: float


def measure(export: Export, variant: str = "") -> Parity:
    """All comparisons; the vectors in the precision of ``variant``, against full precision."""
    bundle = Bundle.open(export.folder, variant)
    encoder, words = Encoder(bundle), Words(bundle.tokenizer, bundle.rule)
    pictures, texts = _pictures(), texts_of(export)
    ours = [pixels(decode(encoded(one), max_pixels=10**7).image, bundle.recipe) for one in pictures]
    theirs = [export.pixels(one) for one in pictures]
    seen = [(encoder.image(decode(encoded(one), max_pixels=10**7)), export.image(one)) for one in pictures]
    read = [(encoder.text(one), export.text(one)) for one in texts]
    return Parity(
        pixels=max(float(np.abs(mine - other).mean()) for mine, other in zip(ours, theirs, strict=True)),
        scaled=scaled(export),
        tokens=[one for one in texts if words.tokens(one).ids[0].tolist() != export.ids(one)],
        images=_largest(seen),
        texts=_largest(read),
        spread=min(float(np.std([mine for mine, _ in pairs], axis=0).max()) for pairs in (seen, read)),
    )


def scaled(export: Export) -> float:
    """Mean absolute difference of the normalised arrays for JPEGs three times as large, of the worst."""
    bundle = Bundle.open(export.folder)
    return max(_scaled(export, bundle, one) for one in _pictures())


def texts_of(export: Export) -> list[str]:
    """The texts that this export's tokenizer.json can be held to."""
    return [one for one in TEXTS if export.shape.family != "siglip" or one not in BEYOND_A_FILE]


def _pictures() -> list[Image.Image]:
    return [drawing(size, seed) for seed, size in enumerate(SIZES)]


def _scaled(export: Export, bundle: Bundle, picture: Image.Image) -> float:
    body = encoded(picture.resize((picture.width * 3, picture.height * 3)), "JPEG", quality=90)
    small = decode(body, max_pixels=10**8, at_least=bundle.recipe.at_least).image
    whole = decode(body, max_pixels=10**8).image
    return float(np.abs(pixels(small, bundle.recipe) - export.pixels(whole)).mean())


def _largest(pairs: Sequence[tuple[Vector, Vector]]) -> float:
    return max(float(np.abs(mine - other).max()) for mine, other in pairs)

"""The embedded model itself, as it ships."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image  # noqa: TID251

from bucketlens.local.drawings import collection, encode
from bucketlens.model.bundle import Bundle, embedded_bundle
from bucketlens.model.decode import decode
from bucketlens.model.encode import Encoder

Floats = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(Bundle.open(embedded_bundle()))


@pytest.fixture(scope="module")
def bodies() -> list[bytes]:
    return [encode(drawing) for drawing in collection()]


@pytest.fixture(scope="module")
def originals(encoder: Encoder, bodies: list[bytes]) -> Floats:
    return vectors(encoder, bodies)


def vectors(encoder: Encoder, bodies: Iterable[bytes]) -> Floats:
    return np.stack([encoder.image(decode(body, max_pixels=10**6)) for body in bodies])


def shrunk(body: bytes, side: int) -> bytes:
    """The picture with its shorter side reduced to so many pixels."""
    image, kept = Image.open(BytesIO(body)).convert("RGB"), BytesIO()
    scale = side / min(image.size)
    size = round(image.width * scale), round(image.height * scale)
    image.resize(size, Image.Resampling.BICUBIC).save(kept, "PNG")
    return kept.getvalue()


@pytest.mark.parametrize("side", [28, 32, 43])
def test_a_copy_of_few_pixels_finds_its_original_first(
    encoder: Encoder, bodies: list[bytes], originals: Floats, side: int
) -> None:
    copies = vectors(encoder, (shrunk(body, side) for body in bodies))
    found = (copies @ originals.T).argmax(1)
    assert np.mean(found == np.arange(len(bodies))) >= 0.99

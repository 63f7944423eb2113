"""Every precision of a bundle is chosen by name, and gives what ONNX Runtime gives for one picture or text alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bucketlens.errors import Misconfigured
from bucketlens.model.bundle import Bundle
from bucketlens.model.decode import Picture, decode
from bucketlens.model.encode import Encoder
from bucketlens.model.preprocess import pixels
from bucketlens.model.tokenize import Words
from bucketlens.records import Vector
from tests.parity.conftest import Exports
from tests.support.pictures import drawing, encoded

pytestmark = pytest.mark.timeout(1200)
# name -> how far a unit vector may be from full precision, in cosine
VARIANTS = {"fp32": 1e-6, "fp16": 1e-3, "int8": 0.1, "uint8": 0.1, "quantized": 0.1, "q8": 0.1}
TEXTS = ("a photo of a cat", "", "赤い猫")


@pytest.fixture(scope="module")
def folder(exports: Exports) -> Path:
    """CLIP B/16 in every precision."""
    from tests.parity.precisions import add_precisions

    found = exports("CLIP B/16").folder
    add_precisions(found)
    return found


def picture(seed: int) -> Picture:
    return decode(encoded(drawing((300, 240), seed)), max_pixels=10**6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_vector_is_the_one_the_runtime_gives_for_this_input_alone(folder: Path, variant: str) -> None:
    import onnxruntime  # noqa: TID251

    bundle = Bundle.open(folder, variant)
    encoder, words = Encoder(bundle), Words(bundle.tokenizer, bundle.rule)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    vision, text = (
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for path in (bundle.vision, bundle.text)
    )
    seen = vision.run(None, {"pixel_values": pixels(picture(0).image, bundle.recipe)[None]})[0][0]
    assert np.abs(encoder.image(picture(0)) - unit(seen)).max() <= 1e-6
    for one in TEXTS:
        tokens = words.tokens(one)
        read = text.run(None, {"input_ids": tokens.ids, "attention_mask": tokens.mask})[0][0]
        assert np.abs(encoder.text(one) - unit(read)).max() <= 1e-6


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_vector_is_the_same_whatever_comes_before_and_after_it(folder: Path, variant: str) -> None:
    encoder = Encoder(Bundle.open(folder, variant))
    pictures = [picture(seed) for seed in range(3)]
    alone = [Encoder(Bundle.open(folder, variant)).image(pictures[1]), *encoder.images(pictures)]
    assert np.array_equal(alone[0], alone[2])
    assert np.array_equal(encoder.images(pictures[::-1])[::-1], alone[1:])


@pytest.mark.parametrize(("variant", "far"), VARIANTS.items())
def test_a_smaller_precision_stays_near_full_precision(folder: Path, variant: str, far: float) -> None:
    full, small = Encoder(Bundle.open(folder)), Encoder(Bundle.open(folder, variant))
    assert 1 - full.image(picture(0)) @ small.image(picture(0)) <= far
    for one in TEXTS:
        assert 1 - full.text(one) @ small.text(one) <= far


def test_models_of_different_precision_are_told_apart(folder: Path) -> None:
    checksums = {variant: Bundle.open(folder, variant).identity.checksum for variant in VARIANTS}
    assert len(set(checksums.values())) == 5
    assert checksums["q8"] == checksums["quantized"]


def test_a_precision_that_is_not_there_is_refused_with_those_that_are(folder: Path) -> None:
    with pytest.raises(Misconfigured, match=r"vision_model_bnb4.*vision_model_fp16"):
        Bundle.open(folder, "bnb4")


def unit(raw: Vector) -> Vector:
    vector = raw.astype(np.float64)
    return (vector / np.linalg.norm(vector)).astype(np.float32)

"""What we make of a bundle is what transformers makes of the model it was exported from."""

from __future__ import annotations

import pytest

from tests.parity.conftest import Exports
from tests.parity.shapes import SHAPES

pytestmark = pytest.mark.timeout(1200)  # the full CLIP B/32 takes most of a minute, on an idle machine


@pytest.mark.parametrize("name", [shape.name for shape in SHAPES])
def test_pixels_tokens_and_vectors_are_those_of_transformers(exports: Exports, name: str) -> None:
    from tests.parity.measure import measure

    found = measure(exports(name))
    assert found.spread > 0.01, "the towers give everything the same vector: this would prove nothing"
    assert found.tokens == []
    assert found.pixels <= 1e-3
    assert found.images <= 1e-4
    assert found.texts <= 1e-4


@pytest.mark.parametrize("name", ["CLIP B/16", "SigLIP B/16", "SigLIP 2 B/16-256", "MobileCLIP"])
def test_a_jpeg_decoded_at_reduced_size_differs_by_a_hundredth_of_a_standard_deviation_at_most(
    exports: Exports, name: str
) -> None:
    from tests.parity.measure import scaled

    assert scaled(exports(name)) <= 1e-2


def test_the_case_of_a_text_is_one_to_siglip_2_whose_tokenizer_keeps_it(exports: Exports) -> None:
    from bucketlens.model.bundle import Bundle
    from bucketlens.model.tokenize import Words

    bundle = Bundle.open(exports("SigLIP 2 B/16-256").folder)
    words = Words(bundle.tokenizer, bundle.rule)
    assert words.tokens("A Photo of a CAT").ids.tolist() == words.tokens("a photo of a cat").ids.tolist()

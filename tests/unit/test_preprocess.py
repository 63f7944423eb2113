"""Pictures to arrays, as the processors of CLIP and SigLIP make them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image  # noqa: TID251
from tests.support.pictures import drawing

from bucketlens.errors import Misconfigured
from bucketlens.model.preprocess import Recipe, pixels, resized_shape

MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
CLIP: Mapping[str, object] = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": MEAN,
    "image_processor_type": "CLIPImageProcessor",
    "image_std": STD,
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 224},
}
OLD_CLIP = {**CLIP, "size": 224, "crop_size": 224}
SIGLIP: Mapping[str, object] = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "SiglipImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size": {"height": 224, "width": 224},
}


def reference(image: Image.Image, config: Mapping[str, object]) -> np.ndarray:
    """The same steps written out one by one on arrays, in the order and precision of the Pillow backend."""
    size = config["size"]
    if isinstance(size, dict) and "shortest_edge" in size:
        edge, short, long = size["shortest_edge"], *sorted(image.size)
        longer = int(edge * long / short)
        image = image.resize(
            (edge, longer) if image.width <= image.height else (longer, edge), Image.Resampling.BICUBIC
        )
    else:
        image = image.resize((size["width"], size["height"]), Image.Resampling.BICUBIC)  # type: ignore[index]
    array = np.asarray(image)
    if config.get("do_center_crop"):
        top, left = (array.shape[0] - 224) // 2, (array.shape[1] - 224) // 2
        array = array[top : top + 224, left : left + 224]
    scaled = (array.astype(np.float64) / 255).astype(np.float32)
    mean, std = np.array(config["image_mean"], np.float32), np.array(config["image_std"], np.float32)
    return ((scaled - mean) / std).transpose(2, 0, 1)


@pytest.mark.parametrize("size", [(224, 224), (640, 480), (480, 641), (333, 777), (225, 224), (30, 50), (1000, 201)])
@pytest.mark.parametrize("config", [CLIP, SIGLIP], ids=["clip", "siglip"])
def test_the_result_is_that_of_the_steps_written_out(config: Mapping[str, object], size: tuple[int, int]) -> None:
    made = pixels(drawing(size), Recipe.read(config))
    assert (made.shape, made.dtype) == ((3, 224, 224), np.float32)
    np.testing.assert_allclose(made, reference(drawing(size), config), rtol=0, atol=1e-6)


def test_a_configuration_of_one_number_means_what_its_processor_made_of_it() -> None:
    assert Recipe.read(OLD_CLIP) == Recipe.read(CLIP)
    assert Recipe.read({**SIGLIP, "size": 224}) == Recipe.read(SIGLIP)
    assert refused({**SIGLIP, "size": 224, "image_processor_type": "NewProcessor"}) == "size"


@pytest.mark.parametrize(
    ("height", "width", "shape"),
    [
        (480, 640, (224, 298)),
        (640, 480, (298, 224)),
        (100, 100, (224, 224)),
        (3, 1000, (224, 74666)),
        (427, 640, (224, 335)),
    ],
)
def test_the_longer_side_is_truncated_to_whole_pixels(height: int, width: int, shape: tuple[int, int]) -> None:
    assert resized_shape(height, width, Recipe.read(CLIP)) == shape


def test_a_crop_larger_than_the_picture_is_padded_with_black_all_around() -> None:
    config = {**CLIP, "size": {"shortest_edge": 2}, "crop_size": {"height": 5, "width": 4}, "do_normalize": False}
    made = pixels(Image.new("RGB", (2, 2), "white"), Recipe.read(config))
    expected = np.zeros((5, 4))
    expected[2:4, 1:3] = 1
    np.testing.assert_allclose(made, np.stack([expected] * 3))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(long=st.integers(300, 4000), short=st.integers(1, 30), upright=st.booleans())
def test_a_sliver_of_a_picture_costs_no_more_than_any_other(long: int, short: int, upright: bool) -> None:
    """The resized whole could have millions of columns; only the part that is kept is made."""
    config = {**CLIP, "size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    picture = drawing((short, long) if upright else (long, short))
    recipe = Recipe.read(config)
    made = pixels(picture, recipe)
    height, width = resized_shape(picture.height, picture.width, recipe)
    top, left = (height - 32) // 2, (width - 32) // 2
    whole = picture.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + 32, top + 32))
    levels = (np.asarray(whole) / 255 - MEAN) / STD
    assert np.abs(made - levels.transpose(2, 0, 1)).max() < 0.1
    assert pixels(Image.new("RGB", (50_000, 1)), Recipe.read(CLIP)).shape == (3, 224, 224)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(size=st.tuples(st.integers(1, 600), st.integers(1, 600)), squash=st.booleans())
def test_every_picture_has_the_size_the_model_reads_and_a_crop_keeps_its_proportions(
    size: tuple[int, int], squash: bool
) -> None:
    recipe = Recipe.read(SIGLIP if squash else CLIP)
    assert pixels(Image.new("RGB", size, "white"), recipe).shape == (3, 224, 224)
    height, width = resized_shape(size[1], size[0], recipe)
    assert (height, width) == (224, 224) if squash else min(height, width) == 224
    if not squash:
        exact = max(size) * 224 / min(size)
        assert exact - 1 <= max(height, width) <= exact


def test_steps_that_are_switched_off_are_left_out() -> None:
    picture = Image.new("RGB", (10, 10), (10, 20, 30))
    raw = pixels(picture, Recipe.read({**SIGLIP, "do_normalize": False, "do_rescale": False}))
    assert raw[:, 0, 0].tolist() == [10, 20, 30]
    scaled = pixels(picture, Recipe.read({**SIGLIP, "do_normalize": False}))
    assert scaled[:, 0, 0] == pytest.approx([10 / 255, 20 / 255, 30 / 255])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"do_resize": False}, "do_resize"),
        ({"do_center_crop": False}, "do_center_crop"),
        ({"do_flip_channel_order": True}, "do_flip_channel_order"),
        ({"do_pad": True}, "do_pad"),
        ({"crop_pct": 0.9}, "crop_pct"),
        ({"size": None}, "size"),
        ({"size": {"longest_edge": 224}}, "size"),
        ({"size": {"height": 0, "width": 224}}, "size.height"),
        ({"size": {"shortest_edge": "224"}}, "size.shortest_edge"),
        ({"crop_size": {"height": 224}}, "crop_size"),
        ({"resample": 9}, "resample"),
        ({"resample": "bicubic"}, "resample"),
        ({"image_mean": None}, "image_mean"),
        ({"image_mean": [0.5]}, "image_mean"),
        ({"image_std": [1, 0, 1]}, "image_std"),
        ({"image_std": ["a", "b", "c"]}, "image_std"),
        ({"rescale_factor": float("nan")}, "rescale_factor"),
    ],
)
def test_a_configuration_that_cannot_be_followed_is_refused_by_field(change: dict[str, object], field: str) -> None:
    assert refused({**CLIP, **change}) == field


def refused(config: Mapping[str, object]) -> str:
    with pytest.raises(Misconfigured) as caught:
        Recipe.read(config)
    assert caught.value.code == "bad_preprocessor_config"
    return (caught.value.value or "").partition("=")[0]


def test_a_scaled_decode_leaves_three_times_the_pixels_the_recipe_keeps() -> None:
    assert Recipe.read(CLIP).at_least == Recipe.read(SIGLIP).at_least == 672

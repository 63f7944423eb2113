"""Pictures and words to unit vectors."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tests.support.bundle import COLOURS, make_bundle
from tests.support.pictures import drawing, encoded

import bucketlens
from bucketlens.errors import InvalidRequest, Misconfigured, UnreadableObject
from bucketlens.model.bundle import Bundle
from bucketlens.model.decode import Picture, decode
from bucketlens.model.encode import Encoder
from bucketlens.model.preprocess import pixels
from bucketlens.model.tokenize import Words


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder(Bundle.open(make_bundle(tmp_path_factory.mktemp("bundle"))))


def picture(seed: int = 0, name: str = "PNG", size: tuple[int, int] = (90, 60), **options: object) -> Picture:
    return decode(encoded(drawing(size, seed), name, **options), max_pixels=10**6)


def test_vectors_are_float32_of_the_model_s_dimension_and_of_unit_length(encoder: Encoder) -> None:
    for vector in (encoder.image(picture()), encoder.text("a red cat"), encoder.text("")):
        assert (vector.shape, vector.dtype) == ((64,), np.float32)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_the_same_picture_in_another_format_or_size_is_closer_than_another_picture(encoder: Encoder) -> None:
    mine = encoder.image(picture())
    again = encoder.image(picture(name="JPEG", size=(450, 300), quality=80))
    others = [encoder.image(picture(seed)) for seed in range(1, 12)]
    assert mine @ again > 0.99 > max(float(mine @ other) for other in others)


def test_a_colour_s_name_is_nearest_to_the_picture_of_that_colour(encoder: Encoder) -> None:
    from PIL import Image  # noqa: TID251

    plain = [
        encoder.image(decode(encoded(Image.new("RGB", (40, 40), rgb)), max_pixels=10**6)) for rgb in COLOURS.values()
    ]
    nearest = [int(np.argmax(np.stack(plain) @ encoder.text(word))) for word in COLOURS]
    assert nearest == list(range(len(COLOURS)))


def test_a_vector_does_not_depend_on_its_neighbours(encoder: Encoder) -> None:
    pictures = [picture(seed) for seed in range(4)]
    alone = [encoder.image(one) for one in pictures]
    assert np.array_equal(encoder.images(pictures), alone)
    assert np.array_equal(encoder.images(pictures[::-1])[::-1], alone)
    assert encoder.images([]) == []


def test_a_scaled_decode_gives_nearly_the_same_vector(encoder: Encoder) -> None:
    body = encoded(drawing((1200, 800)), "JPEG", quality=90)
    whole = decode(body, max_pixels=10**7)
    scaled = decode(body, max_pixels=10**7, at_least=encoder.recipe.at_least)
    assert min(scaled.image.size) == 100
    assert encoder.image(whole) @ encoder.image(scaled) > 0.9999


def test_half_precision_inputs_and_outputs_are_handled(encoder: Encoder, tmp_path: Path) -> None:
    half = Encoder(Bundle.open(make_bundle(tmp_path, half=True)))
    assert half.image(picture()) @ encoder.image(picture()) > 0.9999
    assert half.text("red").dtype == np.float32


def test_many_threads_share_one_encoder(tmp_path: Path) -> None:
    bundle = Bundle.open(make_bundle(tmp_path))
    expected = Encoder(bundle).image(picture()), Encoder(bundle).text("red")
    shared, wrong = Encoder(bundle), []

    def work() -> None:
        for _ in range(5):
            if not np.array_equal(shared.image(picture()), expected[0]):
                wrong.append("image")
            if not np.array_equal(shared.text("red"), expected[1]):
                wrong.append("text")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def replace(path: Path, name: str, change: np.ndarray) -> None:
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(change.astype(np.float32), name))
    onnx.save(model, path)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_vector_without_direction_is_refused_rather_than_stored(tmp_path: Path, value: float) -> None:
    folder = make_bundle(tmp_path)
    for tower in ("vision", "text"):
        replace(folder / "onnx" / f"{tower}_model.onnx", "projection", np.zeros((192, 64)))
        replace(folder / "onnx" / f"{tower}_model.onnx", "bias", np.full(64, value))
    encoder = Encoder(Bundle.open(folder))
    with pytest.raises(UnreadableObject) as seen:
        encoder.image(picture())
    with pytest.raises(InvalidRequest) as read:
        encoder.text("red")
    assert seen.value.code == read.value.code == "no_vector"


def renamed(path: Path, old: str, new: str) -> None:
    model = onnx.load(path)
    for port in (*model.graph.input, *model.graph.output):
        port.name = new if port.name == old else port.name
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
    onnx.save(model, path)


@pytest.mark.parametrize("name", ["pooler_output", "anything_flat"])
def test_outputs_of_other_exports_are_found(encoder: Encoder, tmp_path: Path, name: str) -> None:
    folder = make_bundle(tmp_path)
    renamed(folder / "onnx" / "vision_model.onnx", "image_embeds", name)
    renamed(folder / "onnx" / "text_model.onnx", "text_embeds", name)
    other = Encoder(Bundle.open(folder))
    assert np.array_equal(other.image(picture()), encoder.image(picture()))
    assert np.array_equal(other.text("red"), encoder.text("red"))


def test_the_attention_mask_is_optional(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path)
    path = folder / "onnx" / "text_model.onnx"
    model = onnx.load(path)
    model.graph.input.remove(next(port for port in model.graph.input if port.name == "attention_mask"))
    one = helper.make_tensor("one", onnx.TensorProto.INT64, [1], [1])
    ones = [
        helper.make_node("Shape", ["input_ids"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["attention_mask"], value=one),
    ]
    nodes = [*ones, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)
    assert Encoder(Bundle.open(folder)).text("red").shape == (64,)


def test_a_graph_that_asks_for_more_than_there_is_names_the_file(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path)
    renamed(folder / "onnx" / "text_model.onnx", "attention_mask", "position_ids")
    with pytest.raises(Misconfigured, match=r"text_model\.onnx.*position_ids"):
        Encoder(Bundle.open(folder)).text("red")


def test_a_graph_the_runtime_cannot_load_names_the_file(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path)
    model = onnx.load(folder / "onnx" / "vision_model.onnx")
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, folder / "onnx" / "vision_model.onnx")
    encoder = Encoder(Bundle.open(folder))
    for _ in range(2):
        with pytest.raises(Misconfigured, match=r"vision_model\.onnx"):
            encoder.image(picture())
    assert encoder.text("red").shape == (64,)


def test_an_offline_optimised_bundle_gives_the_same_vectors(encoder: Encoder, tmp_path: Path) -> None:
    folder = make_bundle(tmp_path)
    config = (folder / "config.json").read_text(encoding="utf-8")
    (folder / "config.json").write_text(config.replace('"bucketlens": {', '"bucketlens": {"optimized": true, '))
    bundle = Bundle.open(folder)
    assert bundle.optimized
    assert Encoder(bundle).image(picture()) @ encoder.image(picture()) > 0.999999


def test_nothing_heavy_is_imported_before_the_first_vector(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path)
    script = f"""
import sys
from pathlib import Path
from bucketlens.model.bundle import Bundle
from bucketlens.model.encode import Encoder
encoder = Encoder(Bundle.open(Path({str(folder)!r})))
assert not {{"PIL", "onnxruntime", "tokenizers"}} & set(sys.modules)
encoder.text("red")
assert "PIL" not in sys.modules
"""
    source = str(Path(bucketlens.__file__).parents[1])
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env={"PYTHONPATH": source}
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


@pytest.mark.parametrize("tower", ["vision", "text"])
def test_a_query_loads_only_the_tower_it_needs(tmp_path: Path, tower: str) -> None:
    bundle = Bundle.open(make_bundle(tmp_path))
    encoder = Encoder(bundle)
    (bundle.vision if tower == "text" else bundle.text).unlink()  # loading it would fail
    for _ in range(2):
        assert (encoder.text("red") if tower == "text" else encoder.image(picture())).shape == (64,)
    with pytest.raises(Misconfigured):
        encoder.load("vision" if tower == "text" else "text")


def test_mobileclip_s_files_are_enough_although_they_call_it_a_clip_and_say_little_else(tmp_path: Path) -> None:
    """As its repositories have them: not normalised, and texts padded with "!" to 77 that the tower sees."""
    folder = make_bundle(tmp_path, dimension=512, image_size=256)
    end = {"__type": "AddedToken", "content": "[EOS]", "lstrip": False, "normalized": True, "rstrip": False}
    files: dict[str, dict[str, object]] = {
        "config.json": {"model_type": "clip", "transformers.js_config": {"dtype": {"vision_model": "fp32"}}},
        "preprocessor_config.json": {
            "crop_size": {"height": 256, "width": 256},
            "do_center_crop": True,
            "do_convert_rgb": True,
            "do_normalize": False,
            "do_rescale": True,
            "do_resize": True,
            "feature_extractor_type": "CLIPFeatureExtractor",
            "image_processor_type": "CLIPFeatureExtractor",
            "resample": 2,
            "rescale_factor": 0.00392156862745098,
            "size": {"shortest_edge": 256},
        },
        "tokenizer_config.json": {
            "eos_token": end,
            "model_max_length": 77,
            "pad_token": "!",
            "tokenizer_class": "CLIPTokenizer",
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    bundle = Bundle.open(folder)
    ids = Words(bundle.tokenizer, bundle.rule).tokens("red").ids
    assert bundle.identity.dimension == 512
    assert ids.shape == (1, 77)
    assert set(ids[0, 3:].tolist()) == {bundle_vocabulary(folder)["!"]}
    seen = pixels(decode(encoded(drawing((300, 400))), max_pixels=10**6).image, bundle.recipe)
    assert seen.shape == (3, 256, 256)
    assert 0 <= seen.min() < 0.1 < 0.9 < seen.max() <= 1
    assert Encoder(bundle).text("red").shape == Encoder(bundle).image(picture()).shape == (512,)


def bundle_vocabulary(folder: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    return found

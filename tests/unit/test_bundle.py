"""Bundles are read, checked and told apart."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from tests.support.bundle import edit, make_bundle, rename

from bucketlens.errors import Misconfigured
from bucketlens.model.bundle import Bundle, embedded_bundle, embedded_places
from bucketlens.model.onnx_header import read_ports
from bucketlens.model.tokenize import TextRule


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "tiny", dimension=24)


def refusal(folder: Path, variant: str = "") -> str:
    with pytest.raises(Misconfigured) as caught:
        Bundle.open(folder, variant)
    assert caught.value.remedy
    return str(caught.value)


def test_a_bundle_says_who_it_is_and_how_it_wants_its_inputs(folder: Path) -> None:
    bundle = Bundle.open(folder)
    assert (bundle.identity.id, bundle.identity.dimension, bundle.identity.metric) == ("tiny-0", 24, "cosine")
    assert bundle.recipe.shape == (32, 32)
    assert bundle.rule == TextRule(limit=16, padded=False, pad_id=0)
    assert not bundle.optimized


def test_the_id_is_the_project_s_own_then_the_name_of_origin_then_the_folder(folder: Path) -> None:
    edit(folder, "config.json", bucketlens=None, _name_or_path="openai/clip-vit-base-patch32")
    assert Bundle.open(folder).identity.id == "openai/clip-vit-base-patch32"
    edit(folder, "config.json", _name_or_path=None)
    assert Bundle.open(folder).identity.id == "tiny"


@pytest.mark.parametrize(
    "name",
    ["config.json", "preprocessor_config.json", "tokenizer.json", "onnx/vision_model.onnx", "onnx/text_model.onnx"],
)
def test_a_missing_or_empty_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    assert name in refusal(folder)
    (folder / name).unlink()
    assert name in refusal(folder)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_a_file_that_is_not_json_is_named(folder: Path, name: str) -> None:
    for content in ("{", "[]", "[" * 100_000):
        (folder / name).write_text(content, encoding="utf-8")
        assert name in refusal(folder)


@pytest.mark.parametrize(
    "content", [b"version https://git-lfs.github.com/spec/v1\n", b"\x08\x08", bytes(range(256)), b"\xff" * 40]
)
def test_a_file_that_is_no_onnx_model_is_refused(folder: Path, content: bytes) -> None:
    (folder / "onnx" / "vision_model.onnx").write_bytes(content)
    assert "vision_model.onnx" in refusal(folder)


def test_a_truncated_onnx_model_is_refused_or_says_the_same(folder: Path) -> None:
    path = folder / "onnx" / "text_model.onnx"
    whole, ports = path.read_bytes(), read_ports(path)
    for end in range(1, len(whole), len(whole) // 80):
        path.write_bytes(whole[:end])
        try:
            assert read_ports(path) == ports
        except Misconfigured as error:
            assert error.code == "bad_model"  # noqa: PT017


def test_the_checksum_changes_with_every_file_that_decides_a_vector_and_with_nothing_else(folder: Path) -> None:
    first = Bundle.open(folder).identity.checksum
    (folder / "README.md").write_text("a card", encoding="utf-8")
    (folder / "onnx" / "vision_model_fp16.onnx").write_bytes(b"another variant")
    assert Bundle.open(folder).identity.checksum == first
    seen = {first}
    for path in sorted(folder.glob("*.json")):
        path.write_text(path.read_text(encoding="utf-8") + " ", encoding="utf-8")
        seen.add(Bundle.open(folder).identity.checksum)
    for name in ("vision_model", "text_model"):
        model = onnx.load(folder / "onnx" / f"{name}.onnx")
        model.doc_string = "changed"
        onnx.save(model, folder / "onnx" / f"{name}.onnx")
        seen.add(Bundle.open(folder).identity.checksum)
    (folder / "onnx" / "vision_model.onnx_data").write_bytes(b"weights kept outside")
    seen.add(Bundle.open(folder).identity.checksum)
    assert len(seen) == 7


def test_the_same_bundle_in_two_folders_has_one_checksum(tmp_path: Path) -> None:
    one, other = make_bundle(tmp_path / "one"), make_bundle(tmp_path / "other")
    assert Bundle.open(one).identity == Bundle.open(other).identity
    assert Bundle.open(make_bundle(tmp_path / "third", seed=1)).identity != Bundle.open(one).identity


def test_a_variant_is_taken_by_name_by_configuration_or_because_it_is_the_only_one(folder: Path) -> None:
    rename(folder, "_int8", copy=True)
    assert Bundle.open(folder).vision.name == "vision_model.onnx"
    assert Bundle.open(folder, "int8").vision.name == "vision_model_int8.onnx"
    edit(folder, "config.json", bucketlens={"variant": "int8"})
    assert Bundle.open(folder).text.name == "text_model_int8.onnx"
    edit(folder, "config.json", bucketlens=None)
    rename(folder, "_int8")
    assert Bundle.open(folder).text.name == "text_model_int8.onnx"


def test_a_choice_between_variants_is_not_guessed(folder: Path) -> None:
    rename(folder, "_int8", copy=True)
    rename(folder, "_fp16")
    assert "fp16, int8" in refusal(folder)
    assert "onnx/vision_model_q4.onnx" in refusal(folder, "q4")


def test_the_dimension_is_the_graph_s_and_a_contradiction_is_refused(folder: Path) -> None:
    edit(folder, "config.json", projection_dim=None)
    assert Bundle.open(folder).identity.dimension == 24
    edit(folder, "config.json", projection_dim=512)
    assert "[24, 512]" in refusal(folder)


def open_axes(path: Path) -> None:
    model = onnx.load(path)
    for port in model.graph.output:
        port.type.tensor_type.shape.dim[1].dim_param = "dimension"
    onnx.save(model, path)


def test_the_dimension_is_configured_where_the_graph_leaves_it_open(folder: Path) -> None:
    open_axes(folder / "onnx" / "vision_model.onnx")
    open_axes(folder / "onnx" / "text_model.onnx")
    assert Bundle.open(folder).identity.dimension == 24
    edit(folder, "config.json", projection_dim=None, model_type="another")
    assert "bucketlens.dimension" in refusal(folder)
    edit(folder, "config.json", bucketlens={"dimension": 24})
    assert Bundle.open(folder).identity.dimension == 24


@pytest.mark.parametrize(
    ("config", "dimension", "limit"),
    [
        ({"model_type": "clip"}, 512, 77),
        ({"model_type": "siglip"}, 768, 64),
        ({"model_type": "siglip2"}, 768, 64),
        ({"model_type": "siglip", "vision_config": {"hidden_size": 1152}}, 1152, 64),
    ],
)
def test_a_configuration_saved_without_its_defaults_means_those_of_its_family(
    folder: Path, config: dict[str, object], dimension: int, limit: int
) -> None:
    open_axes(folder / "onnx" / "vision_model.onnx")
    open_axes(folder / "onnx" / "text_model.onnx")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 1000000000000000019884624838656}')
    bundle = Bundle.open(folder)
    assert (bundle.identity.dimension, bundle.rule.limit) == (dimension, limit)


def test_a_recipe_that_makes_other_pixels_than_the_tower_reads_is_refused(folder: Path) -> None:
    edit(folder, "preprocessor_config.json", crop_size={"height": 64, "width": 64})
    assert "(64, 64)" in refusal(folder)


def test_the_token_limit_is_the_model_s_or_the_tokenizer_s_whichever_is_less_and_never_a_guess(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 512}')
    assert Bundle.open(folder).rule.limit == 16
    (folder / "tokenizer_config.json").unlink()
    edit(folder, "config.json", text_config=None, model_type="another")
    assert "max_position_embeddings" in refusal(folder)
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 1000000000000000019884624838656}')
    assert "max_position_embeddings" in refusal(folder)
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 12}')
    assert Bundle.open(folder).rule.limit == 12


def test_siglip_and_graphs_of_fixed_length_get_padded_texts(folder: Path) -> None:
    edit(folder, "config.json", model_type="siglip")
    assert Bundle.open(folder).rule == TextRule(16, padded=True, pad_id=0, masked=False)
    edit(folder, "config.json", model_type="clip")
    model = onnx.load(folder / "onnx" / "text_model.onnx")
    for port in model.graph.input:
        port.type.tensor_type.shape.dim[1].dim_value = 9
    onnx.save(model, folder / "onnx" / "text_model.onnx")
    assert Bundle.open(folder).rule == TextRule(9, padded=True, pad_id=0)


def test_the_embedded_bundle_is_the_first_of_its_places_that_holds_one() -> None:
    there = [place for place in embedded_places() if (place / "config.json").is_file()]
    if there:
        assert embedded_bundle() == there[0]
    else:
        with pytest.raises(Misconfigured, match="MODEL_URI"):
            embedded_bundle()

"""A model bundle small enough to make inside a test, and meaningful enough to search with.

The picture tower averages the pixels over an 8 x 8 grid and projects the grid at random: similar pictures get similar
vectors. The text tower averages token rows through the *same* projection, and the row of a colour word is the grid of a
plain picture of that colour: the text "red" lands next to a red picture. Same arguments, same bytes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors  # noqa: TID251

GRID = 8
FEATURES = 3 * GRID * GRID
TOKEN_LIMIT = 16
SPECIAL = ("[PAD]", "[UNK]", "[BOS]", "[EOS]")
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 30, 30),
    "green": (30, 180, 50),
    "blue": (30, 60, 220),
    "yellow": (240, 220, 40),
    "black": (5, 5, 5),
    "white": (250, 250, 250),
    "orange": (250, 140, 20),
    "purple": (130, 40, 160),
}
"""Words whose text vector is close to the picture vector of this plain RGB colour."""

Array = npt.NDArray[np.float32]


def make_bundle(folder: Path, dimension: int = 64, image_size: int = 32, seed: int = 0, half: bool = False) -> Path:
    """Write a bundle into ``folder`` (made if missing) and return it. Its model id is ``tiny-<seed>``.

    ``image_size`` must be a multiple of 8. ``half`` makes ``pixel_values`` and the outputs float16. Takes milliseconds.
    """
    if image_size % GRID:
        raise ValueError(f"image_size {image_size} is not a multiple of {GRID}")
    rng = np.random.default_rng(seed)
    projection = (rng.standard_normal((FEATURES, dimension)) / np.sqrt(FEATURES)).astype(np.float32)
    bias = (0.05 * rng.standard_normal(dimension)).astype(np.float32)
    vocabulary = _vocabulary()
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    _write_json(folder / "config.json", _config(dimension, image_size, seed, len(vocabulary)))
    _write_json(folder / "preprocessor_config.json", _recipe(image_size))
    _tokenizer(vocabulary).save(str(folder / "tokenizer.json"))
    onnx.save(_vision(projection, bias, image_size, half), folder / "onnx" / "vision_model.onnx")
    onnx.save(_text(_token_rows(vocabulary, rng), projection, bias, half), folder / "onnx" / "text_model.onnx")
    return folder


def edit(folder: Path, name: str, **changes: object) -> None:
    """Change fields of a JSON file of a bundle; None removes one."""
    content = json.loads((folder / name).read_text(encoding="utf-8"))
    content.update(changes)
    kept = {key: value for key, value in content.items() if value is not None}
    (folder / name).write_text(json.dumps(kept), encoding="utf-8")


def rename(folder: Path, suffix: str, copy: bool = False) -> None:
    """Give the towers without suffix one, or copies of them."""
    for tower in ("vision", "text"):
        source, target = folder / "onnx" / f"{tower}_model.onnx", folder / "onnx" / f"{tower}_model{suffix}.onnx"
        shutil.copy(source, target) if copy else source.rename(target)


def _config(dimension: int, image_size: int, seed: int, tokens: int) -> dict[str, object]:
    return {
        "model_type": "clip",
        "projection_dim": dimension,
        "bucketlens": {"id": f"tiny-{seed}"},
        "text_config": {"max_position_embeddings": TOKEN_LIMIT, "vocab_size": tokens, "pad_token_id": 0},
        "vision_config": {"image_size": image_size},
    }


def _recipe(image_size: int) -> dict[str, object]:
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": image_size},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": image_size, "width": image_size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }


def _vocabulary() -> dict[str, int]:
    characters = "abcdefghijklmnopqrstuvwxyz0123456789.,!?-"
    tokens = [*SPECIAL, *COLOURS, *characters, *(f"##{character}" for character in characters)]
    return {token: number for number, token in enumerate(tokens)}


def _tokenizer(vocabulary: dict[str, int]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=SPECIAL[1]))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\s+"), "removed")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[BOS] $A [EOS]", special_tokens=[("[BOS]", vocabulary["[BOS]"]), ("[EOS]", vocabulary["[EOS]"])]
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def _token_rows(vocabulary: dict[str, int], rng: np.random.Generator) -> Array:
    rows = 0.3 * rng.standard_normal((len(vocabulary), FEATURES))
    rows[: len(SPECIAL)] = 0
    rows[vocabulary["[UNK]"]] = 0.3 * rng.standard_normal(FEATURES)
    for word, colour in COLOURS.items():
        rows[vocabulary[word]] = np.repeat(np.array(colour) / 127.5 - 1, GRID * GRID)
    return rows.astype(np.float32)


def _vision(projection: Array, bias: Array, image_size: int, half: bool) -> onnx.ModelProto:
    cell = image_size // GRID
    nodes = [
        helper.make_node("Cast", ["pixel_values"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("AveragePool", ["pixels"], ["grid"], kernel_shape=[cell, cell], strides=[cell, cell]),
        helper.make_node("Flatten", ["grid"], ["features"]),
    ]
    pixels = helper.make_tensor_value_info("pixel_values", _float(half), ["batch", 3, image_size, image_size])
    return _model("image_embeds", nodes, [pixels], projection, bias, half, {})


def _text(rows: Array, projection: Array, bias: Array, half: bool) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Gather", ["rows", "input_ids"], ["tokens"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["weights"]),
        helper.make_node("Mul", ["tokens", "weights"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "sequence"], ["total"], keepdims=0),
        helper.make_node("ReduceSum", ["weights", "sequence"], ["count"], keepdims=0),
        helper.make_node("Div", ["total", "count"], ["features"]),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask")
    ]
    constants: dict[str, npt.NDArray[np.generic]] = {
        "rows": rows,
        "last": np.array([-1], np.int64),
        "sequence": np.array([1], np.int64),
    }
    return _model("text_embeds", nodes, inputs, projection, bias, half, constants)


def _model(
    output: str,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    projection: Array,
    bias: Array,
    half: bool,
    constants: Mapping[str, npt.NDArray[np.generic]],
) -> onnx.ModelProto:
    head = [
        helper.make_node("Gemm", ["features", "projection", "bias"], ["embeds"]),
        helper.make_node("Cast", ["embeds"], [output], to=_float(half)),
    ]
    graph = helper.make_graph(
        nodes + head,
        output,
        inputs,
        [helper.make_tensor_value_info(output, _float(half), ["batch", projection.shape[1]])],
        [numpy_helper.from_array(v, k) for k, v in {**constants, "projection": projection, "bias": bias}.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def _float(half: bool) -> int:
    return int(TensorProto.FLOAT16 if half else TensorProto.FLOAT)


def _write_json(path: Path, value: dict[str, object]) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")

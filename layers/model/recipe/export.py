"""Write the bundle from a training run: `python export.py --run FOLDER --bundle FOLDER`.

The layout is that of the ONNX repositories for transformers.js, so that a full-sized CLIP can take its place.
"""

import argparse
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from network import DIMENSION, MAX_TOKENS, MEAN, STD, ImageTower, Projection, TextTower, TwoTowers
from pictures import SIDE
from tokenizers import Tokenizer
from torch import Tensor, nn
from words import PAD, START, UNKNOWN

MODEL_ID = "bucketlens-mini-1"


def main() -> None:
    ask = argparse.ArgumentParser()
    ask.add_argument("--run", type=Path, required=True, help="the --out folder of train.py")
    ask.add_argument("--bundle", type=Path, required=True)
    given = ask.parse_args()
    tokenizer = Tokenizer.from_file(str(given.run / "tokenizer.json"))
    kept = torch.load(given.run / "model.pt", weights_only=True, map_location="cpu")
    weights: dict[str, Tensor] = kept["average"]
    model = TwoTowers(tokenizer.get_vocab_size(), len(weights["classify.bias"]))
    model.grow(weights["image.project.meanings"])
    model.load_state_dict(weights)
    model.eval()
    graphs = given.bundle / "onnx"
    graphs.mkdir(parents=True, exist_ok=True)
    projection = model.image.project
    assert isinstance(projection, Projection)
    _fold(model.image, projection.linear, projection.recognise)
    _fold(model.text, model.text.project)
    pixels = torch.randn(2, 3, SIDE, SIDE)
    _write(model.image, (pixels,), graphs / "vision_model.onnx", {"pixel_values": {0: "batch"}}, "image_embeds")
    ids = torch.tensor([[2, 5, 6, 0], [2, 7, 8, 9]])
    asked = {"input_ids": {0: "batch", 1: "sequence"}, "attention_mask": {0: "batch", 1: "sequence"}}
    _write(model.text, (ids, (ids != 0).long()), graphs / "text_model.onnx", asked, "text_embeds")
    shutil.copyfile(given.run / "tokenizer.json", given.bundle / "tokenizer.json")
    for name, value in (("config", _config(tokenizer, kept)), ("preprocessor_config", _preprocessor())):
        (given.bundle / f"{name}.json").write_text(json.dumps(value, indent=2) + "\n")


def _fold(tower: ImageTower | TextTower, *projections: nn.Linear) -> None:
    """Work the centring into what follows it: the same function with one operator less."""
    centre = tower.centre
    assert isinstance(centre, nn.BatchNorm1d)
    assert centre.running_mean is not None
    assert centre.running_var is not None
    with torch.no_grad():
        scale = centre.weight / (centre.running_var + centre.eps).sqrt()
        for project in projections:
            project.bias += project.weight @ (centre.bias - centre.running_mean * scale)
            project.weight *= scale
    tower.centre = nn.Identity()  # type: ignore[assignment]


def _write(
    tower: nn.Module, example: tuple[Tensor, ...], path: Path, axes: dict[str, dict[int, str]], output: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            tower,
            example,
            str(path),
            input_names=list(axes),
            output_names=[output],
            dynamic_axes={**axes, output: {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )
    onnx.checker.check_model(str(path), full_check=True)


def _config(tokenizer: Tokenizer, kept: dict[str, Any]) -> dict[str, object]:
    return {
        "model_type": "bucketlens-mini",
        "projection_dim": DIMENSION,
        "text_config": {
            "max_position_embeddings": MAX_TOKENS,
            "vocab_size": tokenizer.get_vocab_size(),
            "pad_token_id": tokenizer.token_to_id(PAD),
            "bos_token_id": tokenizer.token_to_id(START),
            "unk_token_id": tokenizer.token_to_id(UNKNOWN),
        },
        "vision_config": {"image_size": SIDE, "num_channels": 3},
        "bucketlens": {
            "id": MODEL_ID,
            "normalized": True,
            "metric": "cosine",
            "trained_minutes": round(kept["spent"] / 60, 1),
            "trained_steps": kept["step"],
            "trained_pictures": kept["seen"],
        },
    }


def _preprocessor() -> dict[str, object]:
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": SIDE},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": SIDE, "width": SIDE},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(MEAN),
        "image_std": list(STD),
    }


if __name__ == "__main__":
    main()

"""Bundles of real architectures with random weights, made here and now, and the models they were exported from."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from PIL import Image  # noqa: TID251

from tests.parity.shapes import Shape
from tests.parity.words import write_clip, write_gemma, write_siglip

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Export:
    """A bundle in ``folder``, and what transformers makes of the same inputs."""

    shape: Shape
    folder: Path
    model: torch.nn.Module
    processor: Any
    tokenizer: Any

    def pixels(self, picture: Image.Image) -> Array:
        """(3, height, width) as the image processor makes them."""
        made: Array = self.processor(images=picture, return_tensors="np")["pixel_values"][0]
        return made

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, padded as the documentation of the family says."""
        padded = self.shape.family != "clip"
        limit = 77 if self.shape.family in ("clip", "mobileclip") else 64
        encoded = self.tokenizer(text, truncation=True, max_length=limit, padding="max_length" if padded else False)
        return [int(number) for number in encoded["input_ids"]]

    def image(self, picture: Image.Image) -> Array:
        """The unit vector of a picture."""
        return self._unit(_picture_features(self.model, torch.from_numpy(self.pixels(picture)[None])))

    def text(self, text: str) -> Array:
        """The unit vector of a text."""
        return self._unit(_text_features(self.model, torch.tensor([self.ids(text)])))

    @staticmethod
    def _unit(features: torch.Tensor) -> Array:
        vector = features.detach().numpy().reshape(-1).astype(np.float64)
        return (vector / np.linalg.norm(vector)).astype(np.float32)


def make(shape: Shape, folder: Path) -> Export:
    """Write the bundle of an architecture; the same weights every time. Seconds, and 50 to 600 MB of disk."""
    (folder / "onnx").mkdir(parents=True)
    _tokenizer_files(shape, folder)
    vocabulary = len(json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"])
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = _configuration(shape, vocabulary)
    model = _model(shape, config).eval()
    with torch.no_grad():  # fresh weights are so small that all pictures look alike: make them differ
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    _write(folder / "preprocessor_config.json", shape.preprocessor)
    _write(folder / "config.json", _published(shape, config))
    _export(shape, model, folder)
    return Export(shape, folder, model, _processor(shape), _tokenizer(shape, folder))


def _tokenizer_files(shape: Shape, folder: Path) -> None:
    if shape.family == "siglip":
        write_siglip(folder)
    elif shape.family == "siglip2":
        write_gemma(folder)
    else:
        write_clip(folder, pad="!" if shape.family == "mobileclip" else "<|endoftext|>")


def _configuration(shape: Shape, vocabulary: int) -> Any:
    text = {"vocab_size": vocabulary, **shape.text}
    if shape.family.startswith("siglip"):
        return transformers.SiglipConfig(text_config=text, vision_config=dict(shape.vision))
    # 2 is what OpenAI's configurations say: the end token is then the one with the largest number.
    text = {**text, "eos_token_id": 2, "max_position_embeddings": 77}
    vision = {"num_hidden_layers": 1, "hidden_size": 64, "num_attention_heads": 1, **shape.vision}
    return transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=shape.dimension)


def _model(shape: Shape, config: Any) -> torch.nn.Module:
    if shape.family == "mobileclip":
        return _Convolutional(config, shape.dimension)
    return transformers.SiglipModel(config) if shape.family.startswith("siglip") else transformers.CLIPModel(config)


def _published(shape: Shape, config: Any) -> Mapping[str, object]:
    full: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    if shape.family == "mobileclip":
        return {"model_type": "clip", "transformers.js_config": {"dtype": {"vision_model": "fp32"}}}
    if not shape.diff:
        return full
    plain = json.loads(type(config)().to_json_string(use_diff=False))
    kept = {name: value for name, value in full.items() if name == "model_type" or value != plain.get(name)}
    for tower in ("text_config", "vision_config"):
        kept[tower] = {name: value for name, value in full[tower].items() if value != plain[tower].get(name)}
    return kept


def _processor(shape: Shape) -> Any:
    kind = (
        transformers.SiglipImageProcessorPil
        if shape.family.startswith("siglip")
        else transformers.CLIPImageProcessorPil
    )
    return kind(**{name: value for name, value in shape.preprocessor.items() if not name.endswith(("_type", "_class"))})


def _tokenizer(shape: Shape, folder: Path) -> Any:
    kinds = {"siglip": transformers.SiglipTokenizer, "siglip2": transformers.Siglip2Tokenizer}
    return kinds.get(shape.family, transformers.CLIPTokenizer).from_pretrained(str(folder))


class _Convolutional(torch.nn.Module):
    """Depthwise convolutions with batch normalisation, and a text tower that sees its padding: MobileCLIP's kind."""

    def __init__(self, config: Any, dimension: int) -> None:
        super().__init__()
        layers: list[torch.nn.Module] = []
        for before, after in ((3, 32), (32, 64), (64, 128), (128, 256)):
            layers += [
                torch.nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
                torch.nn.BatchNorm2d(after),
                torch.nn.GELU(),
                torch.nn.Conv2d(after, after, 7, padding=3, groups=after, bias=False),
            ]
        for layer in layers:
            if isinstance(layer, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(layer.weight)
        self.seen = torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        self.seen_out = torch.nn.Linear(256, dimension, bias=False)
        width = config.text_config.hidden_size
        self.words = torch.nn.Embedding(config.text_config.vocab_size, width)
        self.places = torch.nn.Parameter(torch.randn(77, width))
        self.layer = torch.nn.Sequential(torch.nn.LayerNorm(width), torch.nn.Linear(width, width), torch.nn.GELU())
        self.read_out = torch.nn.Linear(width, dimension)

    def get_image_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(n, 3, 256, 256) to (n, dimension)."""
        made: torch.Tensor = self.seen_out(self.seen(pixel_values))
        return made

    def get_text_features(self, input_ids: torch.Tensor) -> torch.Tensor:
        """(n, 77) to (n, dimension)."""
        made: torch.Tensor = self.read_out(self.layer(self.words(input_ids) + self.places).mean(1))
        return made


def _picture_features(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return _tensor(model.get_image_features(pixel_values=pixels))


def _text_features(model: Any, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return _tensor(model.get_text_features(input_ids=ids))


def _tensor(features: Any) -> torch.Tensor:
    tensor: torch.Tensor = getattr(features, "pooler_output", features)
    return tensor


class _Vision(torch.nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return _tensor(self.model.get_image_features(pixel_values=pixel_values))


class _Text(torch.nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        more = {} if attention_mask is None else {"attention_mask": attention_mask}
        return _tensor(self.model.get_text_features(input_ids=input_ids, **more))


def _export(shape: Shape, model: torch.nn.Module, folder: Path) -> None:
    """SigLIP's outputs are ``pooler_output``, CLIP's are named embeds; MobileCLIP's text has a fixed length."""
    edge = shape.vision["image_size"]
    siglip, fixed = shape.family.startswith("siglip"), shape.family == "mobileclip"
    ids = torch.randint(3, 100, (2, 77 if fixed else 64 if siglip else 9))
    inputs = [ids] if siglip or fixed else [ids, torch.ones_like(ids)]
    text = _Text(model), inputs, ("input_ids", "attention_mask")[: len(inputs)], not fixed
    vision = _Vision(model), [torch.rand(2, 3, edge, edge)], ("pixel_values",), False
    for tower, output, (module, examples, names, open_) in (("vision", "image", vision), ("text", "text", text)):
        output = "pooler_output" if siglip else f"{output}_embeds"
        _save(module, examples, names, output, open_, folder / "onnx" / f"{tower}_model.onnx")


def _save(
    module: torch.nn.Module,
    examples: Sequence[torch.Tensor],
    names: Sequence[str],
    output: str,
    open_: bool,
    path: Path,
) -> None:
    axes = {0: "batch", 1: "sequence"} if open_ else {0: "batch"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is the older one, on purpose, and says so on every line
        torch.onnx.export(
            module.eval(),
            tuple(examples),
            str(path),
            input_names=list(names),
            output_names=[output],
            dynamic_axes={**dict.fromkeys(names, axes), output: {0: "batch"}},
            dynamo=False,
            opset_version=17,
        )


def _write(path: Path, value: Mapping[str, object]) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")

"""A model bundle on disk: the folder layout of ONNX repositories made for transformers.js.

    config.json   preprocessor_config.json   tokenizer.json   [tokenizer_config.json]
    onnx/vision_model[_<variant>].onnx   onnx/text_model[_<variant>].onnx   (and their external data beside them)

This project adds one optional object to config.json, ``"bucketlens"``: ``id`` (the model's name), ``variant`` (which
precision to use), ``dimension`` (where the graph leaves it open), ``padded`` (whether every text is padded to the
limit, where the family does not say), ``optimized`` (the graphs were optimised offline).
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import bucketlens
from bucketlens import keys
from bucketlens.errors import Misconfigured
from bucketlens.model.fetch import fetch_bundle
from bucketlens.model.onnx_header import Ports, embedding_output, read_ports
from bucketlens.model.preprocess import Recipe
from bucketlens.model.tokenize import TextRule
from bucketlens.model.variant import tower_suffix
from bucketlens.model.vet import vet
from bucketlens.records import ModelIdentity

__all__ = ["Bundle", "embedded_bundle", "embedded_places", "fetch_bundle"]

CONFIG, PREPROCESSOR, TOKENIZER, TOKENIZER_CONFIG = (
    "config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"
)  # fmt: skip
# What an absent length of a vector means: the defaults of transformers' CLIPConfig.projection_dim and of
# SiglipVisionConfig.hidden_size (SigLIP does not project). Configurations are saved without their defaults.
_DIMENSIONS = {"clip": 512, "siglip": 768, "siglip2": 768}


@dataclass(frozen=True, slots=True)
class Bundle:
    """A complete bundle. ``vision`` and ``text`` are ONNX files, ``tokenizer`` is tokenizer.json.

    ``identity.checksum`` covers the names and bytes of every file that decides a vector, in the chosen variant.
    ``optimized`` says that the graphs need no further optimisation when they are loaded.
    """

    folder: Path
    identity: ModelIdentity
    vision: Path
    text: Path
    tokenizer: Path
    recipe: Recipe
    rule: TextRule
    optimized: bool

    @classmethod
    def open(cls, folder: Path, variant: str = "") -> Bundle:
        """Read and check a bundle; costs one reading of its files, and starts no runtime.

        ``variant`` is the suffix of the ONNX files without its underscore, or transformers.js' name of a precision.
        Without one, the variant that config.json names is taken, else the files without suffix, else the only variant
        there. Raises Misconfigured, naming the file or the field at fault; graphs that ask for more than ``vet`` allows
        are refused.
        """
        config, recipe = _object(folder, CONFIG), Recipe.read(_object(folder, PREPROCESSOR))
        ours = _inner(config, "bucketlens")
        suffix = _suffix(folder, variant or str(ours.get("variant") or ""))
        vision, text = (_file(folder, f"onnx/{tower}_model{suffix}.onnx") for tower in ("vision", "text"))
        tokenizer = _file(folder, TOKENIZER)
        seeing, reading = read_ports(vision), read_ports(text)
        outside = {*vet(vision, folder), *vet(text, folder)}
        _check_pixels(seeing, recipe, vision)
        name = ours.get("id") or config.get("_name_or_path") or folder.resolve().name
        identity = ModelIdentity(
            id=str(name),
            checksum=_checksum(folder, vision, text, outside),
            dimension=_dimension(config, seeing, reading, folder),
        )
        rule = _text_rule(folder, config, reading)
        return cls(folder, identity, vision, text, tokenizer, recipe, rule, bool(ours.get("optimized")))


def embedded_places() -> tuple[Path, ...]:
    """Where the embedded default may lie, best first: a Lambda layer, the installed package, a checkout."""
    package = Path(bucketlens.__file__).resolve().parent
    return Path("/opt/model"), package / "embedded", package.parents[1] / "layers" / "model" / "bundle"


def embedded_bundle() -> Path:
    """The folder of the embedded default. Raises Misconfigured when this installation has none."""
    places = embedded_places()
    found = next((place for place in places if (place / CONFIG).is_file()), None)
    if found is None:
        raise Misconfigured(
            "The embedded model is not installed.",
            code="no_model",
            value=", ".join(map(str, places)),
            remedy="Deploy the model layer, or set MODEL_URI to a folder or an s3:// prefix.",
        )
    return found


def _suffix(folder: Path, wanted: str) -> str:
    return tower_suffix((path.name for path in (folder / "onnx").glob("*.onnx")), wanted, str(folder))


def _file(folder: Path, name: str) -> Path:
    path = folder / name
    if path.is_file() and path.stat().st_size:
        return path
    present = sorted(str(other.relative_to(folder)) for other in folder.rglob("*.onnx"))
    raise Misconfigured(
        f"The model bundle has no {name}{', or it is empty' if path.exists() else ''}.",
        code="incomplete_bundle",
        value=str(folder),
        remedy=f"A bundle needs {CONFIG}, {PREPROCESSOR}, {TOKENIZER} and both towers in onnx/"
        + (f"; found {', '.join(present)}." if present else "."),
    )


def _object(folder: Path, name: str) -> Mapping[str, object]:
    try:
        value = json.loads(_file(folder, name).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise _bad(folder, name, f"It is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise _bad(folder, name, "It must hold a JSON object.")
    return value


def _inner(config: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = config.get(name)
    return value if isinstance(value, dict) else {}


def _check_pixels(seeing: Ports, recipe: Recipe, vision: Path) -> None:
    shape = seeing.inputs.get("pixel_values")
    if shape is None:
        raise _bad(vision, "pixel_values", f"The picture tower has other inputs: {', '.join(seeing.inputs)}.")
    for graph, made in zip(shape[-2:], recipe.shape, strict=False):
        if graph is not None and graph != made:
            raise _bad(vision, PREPROCESSOR, f"It makes {recipe.shape} pixels, the tower reads {shape[-2:]}.")


def _dimension(config: Mapping[str, object], seeing: Ports, reading: Ports, folder: Path) -> int:
    towers = (seeing.outputs, "image_embeds", "vision"), (reading.outputs, "text_embeds", "text")
    found: set[int] = set()
    for outputs, preferred, tower in towers:
        name = embedding_output(outputs, preferred)
        if name is None:
            raise _bad(folder, f"onnx/{tower}_model", f"No output is an embedding: {', '.join(outputs)}.")
        found |= {length for length in outputs[name][-1:] if length is not None}
    declared = _inner(config, "bucketlens").get("dimension") or config.get("projection_dim")
    found |= {declared} if isinstance(declared, int) and declared > 0 else set()
    found = found or _implied(config)
    if len(found) != 1:
        seen = f"The towers and config.json say {sorted(found)}" if found else "Neither graph nor config.json says it"
        raise _bad(
            folder, "dimension", f"{seen}: set bucketlens.dimension or projection_dim to the length of a vector."
        )
    return found.pop()


def _implied(config: Mapping[str, object]) -> set[int]:
    family = str(config.get("model_type", ""))
    hidden = _inner(config, "vision_config").get("hidden_size") if family.startswith("siglip") else None
    length = hidden if isinstance(hidden, int) else _DIMENSIONS.get(family)
    return set() if length is None else {length}


def _text_rule(folder: Path, config: Mapping[str, object], reading: Ports) -> TextRule:
    ids = reading.inputs.get("input_ids")
    if ids is None:
        raise _bad(folder, "input_ids", f"The text tower has other inputs: {', '.join(reading.inputs)}.")
    extra = _object(folder, TOKENIZER_CONFIG) if (folder / TOKENIZER_CONFIG).is_file() else {}
    return TextRule.read(config, extra, ids[-1] if ids else None, str(folder))


def _checksum(folder: Path, vision: Path, text: Path, outside: set[Path]) -> str:
    beside = {part for tower in (vision, text) for part in tower.parent.glob(f"{tower.name}*")}
    towers = sorted(beside | outside)
    names = [folder / name for name in (CONFIG, PREPROCESSOR, TOKENIZER)]
    names += [folder / TOKENIZER_CONFIG] if (folder / TOKENIZER_CONFIG).is_file() else []
    lines = [f"{path.relative_to(folder).as_posix()} {_digest(path)}\n" for path in (*names, *towers)]
    return keys.digest("".join(lines).encode())


def _digest(path: Path) -> str:
    if not path.stat().st_size:
        return keys.digest(b"")
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body,
        memoryview(body) as view,
    ):
        return keys.digest(view)


def _bad(where: Path, field: str, remedy: str) -> Misconfigured:
    return Misconfigured(
        f"The model bundle's {field} is not usable.", code="bad_bundle", value=str(where), remedy=remedy
    )

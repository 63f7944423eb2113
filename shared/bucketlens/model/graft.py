"""A new bundle whose graphs end in a matrix: how what was learned on stored vectors reaches new pictures and words.

Needs the ``onnx`` package (extra ``tune``). Towers need not normalise before the matrix: length changes no direction.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from bucketlens.errors import Misconfigured
from bucketlens.model.bundle import CONFIG, PREPROCESSOR, TOKENIZER, TOKENIZER_CONFIG, Bundle
from bucketlens.model.onnx_header import embedding_output, read_ports
from bucketlens.projection import Matrix

_MATRIX = "bucketlens_adapter"


def graft(bundle: Bundle, matrix: Matrix, folder: Path, id: str) -> Bundle:
    """Write the bundle with ``matrix`` (d, d) behind both towers into ``folder``, and open it.

    The folder must not exist: it appears complete or not at all. Raises Misconfigured when ``onnx`` is missing, the
    folder is there, or a graph has no single embedding output.
    """
    if folder.exists():
        raise Misconfigured("The folder for the new model exists.", value=str(folder), remedy="Name one that does not.")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "onnx").mkdir(parents=True)
    for name in (PREPROCESSOR, TOKENIZER, TOKENIZER_CONFIG):
        if (bundle.folder / name).exists():
            shutil.copyfile(bundle.folder / name, partial / name)
    config = json.loads((bundle.folder / CONFIG).read_text("utf-8"))
    ours = {**config.get("bucketlens", {}), "id": id, "dimension": int(matrix.shape[1])}
    (partial / CONFIG).write_text(json.dumps({**config, "bucketlens": ours}, indent=2), "utf-8")
    for path, output in ((bundle.vision, "image_embeds"), (bundle.text, "text_embeds")):
        _graft_tower(path, output, matrix, partial / "onnx" / path.name)
    Bundle.open(partial)
    partial.rename(folder)
    return Bundle.open(folder)


def _graft_tower(path: Path, preferred: str, matrix: Matrix, target: Path) -> None:
    onnx = _onnx()
    name = embedding_output(read_ports(path).outputs, preferred)
    if name is None:
        raise Misconfigured("This tower has no single embedding output.", code="bad_model", value=str(path))
    model = onnx.load(str(path))
    graph = model.graph
    output = next(info for info in graph.output if info.name == name)
    kind = output.type.tensor_type.elem_type
    weights = f"{_MATRIX}_{len(graph.initializer)}"
    inner = f"{weights}_input"
    for node in graph.node:
        node.output[:] = [inner if one == name else one for one in node.output]
        node.input[:] = [inner if one == name else one for one in node.input]
    stored = np.asarray(matrix, dtype=onnx.helper.tensor_dtype_to_np_dtype(kind))
    graph.initializer.append(onnx.numpy_helper.from_array(stored, weights))
    graph.node.append(onnx.helper.make_node("MatMul", [inner, weights], [name], name=weights))
    onnx.checker.check_model(model)
    onnx.save(model, str(target))


def _onnx() -> Any:
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise Misconfigured(
            "Changing a model needs the onnx package.", remedy="pip install 'bucketlens[tune]'"
        ) from error
    return onnx

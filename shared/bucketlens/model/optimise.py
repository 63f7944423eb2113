"""Graphs optimised offline, so that a cold start only maps them. The other user of ONNX Runtime beside ``encode``.

Operators are fused once and for all (level "extended", which is the same for every CPU; layouts are left alone), and
the weights move into a file of their own, which the runtime maps instead of copying.
"""

from __future__ import annotations

import json
import mmap
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bucketlens.errors import Corrupt, Misconfigured
from bucketlens.model.bundle import Bundle
from bucketlens.model.encode import Encoder
from bucketlens.model.provenance import NEEDED, OPTIONAL, Provenance, variant_of

if TYPE_CHECKING:
    from bucketlens.model.decode import Picture

EXACT, COARSE = 1e-5, 1e-3
"""The largest difference of a component, in single precision and in any smaller one."""
_NOISY, _NOISIEST = 2.0, 1e-2
_COARSE_OPERATORS = (b"MatMulInteger", b"ConvInteger", b"DynamicQuantizeLinear", b"QLinear", b"MatMulNBits")
_SMALL = "1024"  # bytes: smaller constants stay in the graph


@dataclass(frozen=True, slots=True)
class Optimised:
    """What came out: the bundle, and how far its vectors are from the original's (the largest component)."""

    bundle: Bundle
    difference: float
    tolerance: float


def optimise(source: Bundle, into: Path, pictures: Sequence[Picture], texts: Sequence[str]) -> Optimised:
    """Write an optimised copy of ``source``'s variant into ``into``, which must not exist.

    It is kept only when every picture and text has the vector it had before, within ``EXACT``, or ``COARSE`` for
    quantised and half precision towers. Quantised activations are rounded, so a last bit may become a step: where the
    original itself differs by more between the runtime's levels of optimisation, twice that is allowed, and never more
    than 0.01. It is another model to an index: the checksum differs. Raises Misconfigured
    when there is nothing to do or ONNX Runtime cannot, Corrupt when the vectors differ.
    """
    if source.optimized:
        raise Misconfigured("This bundle is optimised already.", value=str(source.folder), remedy="Use it as it is.")
    if into.exists():
        raise Misconfigured("The folder exists.", code="folder_in_use", value=str(into), remedy="Name another --into.")
    into.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".optimising-", dir=into.parent))
    try:
        _write(source, staging)
        made = Bundle.open(staging, variant_of(source.vision))
        difference = _difference(source, made, pictures, texts)
        tolerance = EXACT
        if _is_coarse(source):
            noise = _difference(source, replace(source, optimized=True), pictures, texts)  # the same graph, as it is
            tolerance = max(COARSE, min(_NOISY * noise, _NOISIEST))
        if not difference <= tolerance:
            raise Corrupt(
                f"The optimised model's vectors differ by {difference:.1e}; {tolerance:.0e} is allowed.",
                code="vectors_differ",
                value=str(source.folder),
                remedy="Use the bundle as it is, and report this model.",
            )
        staging.chmod(0o755)
        staging.rename(into)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Optimised(Bundle.open(into, variant_of(source.vision)), difference, tolerance)


def bare_run(bundle: Bundle, threads: int = 1) -> Callable[[npt.NDArray[np.float32]], object]:
    """The picture tower as ONNX Runtime alone runs it, with its default options: what the product is compared with.

    Takes ``pixel_values``, float32 (1, 3, height, width).
    """
    import onnxruntime  # noqa: TID251

    ort: Any = onnxruntime
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(str(bundle.vision), options, providers=["CPUExecutionProvider"])
    half = session.get_inputs()[0].type == "tensor(float16)"
    return lambda pixels: session.run(
        None, {"pixel_values": pixels.astype(np.float16 if half else np.float32, copy=False)}
    )


def start_runtime() -> None:
    """Import ONNX Runtime, as the first vector of a process would otherwise."""
    import onnxruntime  # noqa: F401, TID251


def _write(source: Bundle, folder: Path) -> None:
    (folder / "onnx").mkdir()
    for name in (*NEEDED, *OPTIONAL):
        if (source.folder / name).is_file():
            shutil.copyfile(source.folder / name, folder / name)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    ours: Mapping[str, object] = config.get("bucketlens") or {}
    config["bucketlens"] = {**ours, "id": source.identity.id, "optimized": True}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for graph in (source.vision, source.text):
        _fuse(graph, folder / "onnx" / graph.name)
    known = Provenance.read(source.folder)
    origin = dict(known.source) if known else {"model": source.identity.id}
    origin["optimised_from"] = source.identity.checksum
    Provenance.of(folder, origin, variant_of(source.vision)).write(folder)


def _fuse(graph: Path, target: Path) -> None:
    import onnxruntime  # noqa: TID251
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # noqa: TID251

    ort: Any = onnxruntime
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(target)
    names = "session.optimized_model_external_initializers"
    options.add_session_config_entry(f"{names}_file_name", f"{target.name}_data")
    options.add_session_config_entry(f"{names}_min_size_in_bytes", _SMALL)
    try:
        ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except (state.Fail, state.InvalidArgument, state.InvalidGraph, state.NotImplemented, RuntimeError) as error:
        raise Misconfigured(
            "ONNX Runtime cannot optimise this model.",
            code="bad_model",
            value=f"{graph}: {error}",
            remedy="Use the bundle as it is, or another export.",
        ) from error


def _is_coarse(bundle: Bundle) -> bool:
    if variant_of(bundle.vision) not in ("", "fp32"):
        return True
    return any(_mentions(graph, name) for graph in (bundle.vision, bundle.text) for name in _COARSE_OPERATORS)


def _mentions(graph: Path, operator: bytes) -> bool:
    with graph.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body:
        return body.find(operator) >= 0


def _difference(before: Bundle, after: Bundle, pictures: Sequence[Picture], texts: Sequence[str]) -> float:
    old, new = Encoder(before), Encoder(after)
    pairs = [(old.image(picture), new.image(picture)) for picture in pictures]
    pairs += [(old.text(text), new.text(text)) for text in texts]
    return max(float(np.abs(one - other).max()) for one, other in pairs)

"""What an ONNX file may ask of this machine, checked before a runtime sees it.

A bundle may come from anywhere. Its graph may only use operators that ONNX Runtime itself ships, and may read its
weights only from files inside its bundle. Field numbers: onnx.proto (ONNX 1.23).
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from bucketlens.errors import Misconfigured
from bucketlens.model.onnx_header import mapped
from bucketlens.model.wire import BYTES, VARINT, Span, fields, string

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc"})
"""Operator sets that are allowed: the standards and ONNX Runtime's own (the last two appear in graphs it saves)."""

# message -> {field: message inside}; only the ways that lead to a node or a tensor.
_INSIDE: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto", 6: "GraphProto", 10: "TensorProto", 11: "GraphProto",
        22: "SparseTensorProto", 23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
}  # fmt: skip
_OPERATOR, _DOMAIN = 4, 7  # of a NodeProto
_EXTERNAL_DATA, _DATA_LOCATION, _EXTERNAL = 13, 14, 1  # of a TensorProto
_ENTRY_KEY, _ENTRY_VALUE = 1, 2


def vet(path: Path, bundle: Path) -> tuple[Path, ...]:
    """The files outside ``path`` that hold weights of its graph, sorted; all lie inside the folder ``bundle``.

    Walks every graph, nested ones and functions included, and reads no weights. Raises Misconfigured: ``unsafe_model``
    for an operator of another domain than ``DOMAINS`` and for a location that leaves the bundle (absolute, with ``..``,
    through a link), ``incomplete_bundle`` for a file that is missing, ``bad_model`` for bytes that are no ONNX model.
    """
    locations: set[str] = set()
    with mapped(path) as body:
        waiting: list[tuple[str, Span]] = [("ModelProto", (0, len(body)))]
        while waiting:
            message, span = waiting.pop()
            if message == "TensorProto":
                locations |= _locations(body, span)
                continue
            inside = _INSIDE[message]
            for field, kind, at, stop in fields(body, *span):
                if kind != BYTES:
                    continue
                if field in inside:
                    waiting.append((inside[field], (at, stop)))
                elif message == "NodeProto" and field == _DOMAIN:
                    _check_domain(path, str(body[at:stop], "utf-8"), string(body, span, _OPERATOR))
    return tuple(_inside(path, location, bundle) for location in sorted(locations))


def _locations(body: memoryview, tensor: Span) -> set[str]:
    found: set[str] = set()
    external = False
    for field, kind, at, stop in fields(body, *tensor):
        if (field, kind, at) == (_DATA_LOCATION, VARINT, _EXTERNAL):
            external = True
        elif (field, kind) == (_EXTERNAL_DATA, BYTES) and string(body, (at, stop), _ENTRY_KEY) == "location":
            found.add(string(body, (at, stop), _ENTRY_VALUE))
    return found or ({""} if external else set())


def _check_domain(path: Path, domain: str, operator: str) -> None:
    if domain not in DOMAINS:
        raise Misconfigured(
            "This model asks for operators that ONNX Runtime does not ship.",
            code="unsafe_model",
            value=f"{path}: {domain}::{operator}",
            remedy="Export it with the operators of ai.onnx, ai.onnx.ml and com.microsoft only.",
        )


def _inside(path: Path, location: str, bundle: Path) -> Path:
    """Where weights lie. Windows' separators and drives are refused too: the same bundle must be safe everywhere."""
    posix, windows = PurePosixPath(location), PureWindowsPath(location)
    strays = posix.is_absolute() or windows.drive or windows.root or ".." in windows.parts or "\0" in location
    weights = path.parent / location
    if not location or strays or not weights.resolve().is_relative_to(bundle.resolve()):
        raise Misconfigured(
            "This model reads its weights from outside its bundle.",
            code="unsafe_model",
            value=f"{path}: {location!r}",
            remedy="Put the file beside the model, as a file and not as a link, and export with its bare name.",
        )
    if not weights.is_file():
        raise Misconfigured(
            "The model bundle lacks a file with weights.",
            code="incomplete_bundle",
            value=f"{path}: {location!r}",
            remedy="Fetch the bundle again, with the files that belong to the variant.",
        )
    return weights

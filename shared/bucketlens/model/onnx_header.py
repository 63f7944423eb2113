"""Names and shapes of an ONNX graph's inputs and outputs, without loading it.

Opening a bundle must not cost a runtime's start, so this walks the protobuf and skips the weights. Field numbers:
onnx.proto, messages ModelProto, GraphProto, ValueInfoProto, TypeProto and TensorShapeProto (ONNX 1.23).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bucketlens.errors import Misconfigured
from bucketlens.model.wire import VARINT, Span, fields, messages, string

Shape = tuple[int | None, ...]
"""Lengths of the axes; None where the graph leaves one open."""

_MODEL_GRAPH, _GRAPH_INPUT, _GRAPH_OUTPUT = 7, 11, 12
_INFO_NAME, _INFO_TYPE, _TYPE_TENSOR, _TENSOR_SHAPE, _SHAPE_AXIS, _AXIS_LENGTH = 1, 2, 1, 2, 1, 1


@dataclass(frozen=True, slots=True)
class Ports:
    """Inputs and outputs of a graph by name, in its order."""

    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]


@contextmanager
def mapped(path: Path) -> Iterator[memoryview]:
    """The bytes of an ONNX file, to be walked inside the block.

    Raises Misconfigured (``bad_model``) when the file is empty or the walk meets bytes that are no protobuf.
    """
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as bytes_,
            memoryview(bytes_) as body,
        ):
            yield body
    except (ValueError, IndexError) as error:
        raise _not_onnx(path, str(error)) from error


def read_ports(path: Path) -> Ports:
    """The ports of the graph in a file. Raises Misconfigured when the file is no ONNX model."""
    inputs: dict[str, Shape] = {}
    outputs: dict[str, Shape] = {}
    with mapped(path) as body:
        for graph in messages(body, (0, len(body)), _MODEL_GRAPH):
            inputs.update(_port(body, span) for span in messages(body, graph, _GRAPH_INPUT))
            outputs.update(_port(body, span) for span in messages(body, graph, _GRAPH_OUTPUT))
    if not outputs:
        raise _not_onnx(path, "it has no graph with outputs")
    return Ports(inputs, outputs)


def embedding_output(outputs: Mapping[str, Shape], preferred: str) -> str | None:
    """The output that is the embedding: ``preferred``, ``pooler_output``, the only one with two axes, or None."""
    for name in (preferred, "pooler_output"):
        if name in outputs:
            return name
    flat = [name for name, shape in outputs.items() if len(shape) == 2]
    return flat[0] if len(flat) == 1 else None


def _port(body: memoryview, info: Span) -> tuple[str, Shape]:
    spans = [info]
    for field in (_INFO_TYPE, _TYPE_TENSOR, _TENSOR_SHAPE, _SHAPE_AXIS):
        spans = [inner for span in spans for inner in messages(body, span, field)]
    return string(body, info, _INFO_NAME), tuple(_length(body, axis) for axis in spans)


def _length(body: memoryview, axis: Span) -> int | None:
    lengths = [value for field, kind, value, _ in fields(body, *axis) if (field, kind) == (_AXIS_LENGTH, VARINT)]
    return lengths[-1] if lengths and lengths[-1] > 0 else None


def _not_onnx(path: Path, reason: str) -> Misconfigured:
    return Misconfigured(
        "This file is not a complete ONNX model.",
        code="bad_model",
        value=f"{path}: {reason}",
        remedy="Fetch the bundle again; a Git LFS pointer instead of the file looks like this too.",
    )

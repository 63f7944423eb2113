"""Names and shapes of an ONNX graph's inputs and outputs, without loading it.

Opening a bundle must not cost a runtime's start, so this walks the protobuf and skips the weights. Field numbers:
onnx.proto, messages ModelProto, GraphProto, ValueInfoProto, TypeProto and TensorShapeProto (ONNX 1.23).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bucketlens.errors import Misconfigured

Shape = tuple[int | None, ...]
"""Lengths of the axes; None where the graph leaves one open."""

_MODEL_GRAPH, _GRAPH_INPUT, _GRAPH_OUTPUT = 7, 11, 12
_INFO_NAME, _INFO_TYPE, _TYPE_TENSOR, _TENSOR_SHAPE, _SHAPE_AXIS, _AXIS_LENGTH = 1, 2, 1, 2, 1, 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Ports:
    """Inputs and outputs of a graph by name, in its order."""

    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]


def read_ports(path: Path) -> Ports:
    """The ports of the graph in a file. Raises Misconfigured when the file is no ONNX model."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            inputs: dict[str, Shape] = {}
            outputs: dict[str, Shape] = {}
            with memoryview(mapped) as body:
                for start, end in _messages(body, 0, len(body), _MODEL_GRAPH):
                    inputs.update(_port(body, *span) for span in _messages(body, start, end, _GRAPH_INPUT))
                    outputs.update(_port(body, *span) for span in _messages(body, start, end, _GRAPH_OUTPUT))
    except (ValueError, IndexError) as error:
        raise _not_onnx(path, str(error)) from error
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


def _port(body: memoryview, start: int, end: int) -> tuple[str, Shape]:
    name, axes = "", []
    for at, stop in _messages(body, start, end, _INFO_NAME):
        name = bytes(body[at:stop]).decode("utf-8")
    spans = [(start, end)]
    for field in (_INFO_TYPE, _TYPE_TENSOR, _TENSOR_SHAPE, _SHAPE_AXIS):
        spans = [inner for span in spans for inner in _messages(body, *span, field)]
    for at, stop in spans:
        lengths = [
            value for field, kind, value, _ in _fields(body, at, stop) if (field, kind) == (_AXIS_LENGTH, _VARINT)
        ]
        axes.append(lengths[-1] if lengths and lengths[-1] > 0 else None)
    return name, tuple(axes)


def _messages(body: memoryview, start: int, end: int, wanted: int) -> Iterator[tuple[int, int]]:
    return ((at, stop) for field, kind, at, stop in _fields(body, start, end) if (field, kind) == (wanted, _BYTES))


def _fields(body: memoryview, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(field, wire type, value, 0) of each number, (field, wire type, start, end) of each length-delimited field."""
    while at < end:
        tag, at = _varint(body, at)
        field, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(body, at)
            yield field, kind, value, 0
        elif kind == _BYTES:
            length, at = _varint(body, at)
            if at + length > end:
                raise ValueError("a field reaches beyond its message")
            yield field, kind, at, at + length
            at += length
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind} is not protobuf")


def _varint(body: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number is longer than 64 bit")


def _not_onnx(path: Path, reason: str) -> Misconfigured:
    return Misconfigured(
        "This file is not a complete ONNX model.",
        code="bad_model",
        value=f"{path}: {reason}",
        remedy="Fetch the bundle again; a Git LFS pointer instead of the file looks like this too.",
    )

"""The other precisions of a bundle, made from its fp32 files with the tools that repositories are made with."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: TID251
from onnxruntime.transformers import float16  # noqa: TID251


def add_precisions(folder: Path) -> None:
    """Write ``_fp16``, ``_int8``, ``_uint8`` and ``_quantized`` beside both towers; the last two differ."""
    for tower in ("vision", "text"):
        whole = folder / "onnx" / f"{tower}_model.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numbers too small for half precision become its smallest
            half = float16.convert_float_to_float16(onnx.load(whole), keep_io_types=True)
        onnx.save(half, folder / "onnx" / f"{tower}_model_fp16.onnx")
        unsigned, mixed = (folder / "onnx" / f"{tower}_model_{name}.onnx" for name in ("uint8", "quantized"))
        quantize_dynamic(whole, unsigned, weight_type=QuantType.QUInt8)
        quantize_dynamic(whole, mixed, weight_type=QuantType.QUInt8, per_channel=True)
    add_int8(folder)


def add_int8(folder: Path) -> None:
    """Write ``_int8`` beside both towers.

    ONNX Runtime's CPU kernels have no signed 8-bit convolution, so it is left in single precision.
    """
    for tower in ("vision", "text"):
        whole = folder / "onnx" / f"{tower}_model.onnx"
        quantize_dynamic(
            whole,
            whole.with_name(f"{tower}_model_int8.onnx"),
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
        )

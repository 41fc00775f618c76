"""Small ONNX files made by hand: one layer, with its weights and inputs stored in any type."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["make_linear", "make_operator"]

_OPSET = 18
_IR_VERSION = 10


def make_operator(
    path: Path,
    operator: str = "Relu",
    *,
    dtype: int = TensorProto.FLOAT,
    shape: tuple[str | int | None, ...] = ("batch", 3),
) -> Path:
    """Write a file with one operator that keeps shape and type."""
    node = helper.make_node(operator, ["input"], ["output"], name="the_node")
    return _save(path, [node], [], dtype=dtype, shapes=(shape, shape))


def make_linear(
    path: Path,
    *,
    sizes: tuple[int, int] = (64, 8),
    weights: str = "fp32",
    activations: str = "fp32",
    batch: str | int = "batch",
) -> Path:
    """Write `input @ weights`, all weights 1.

    Args:
        path: The file.
        sizes: Features that go in and come out.
        weights: How they are stored: fp32, fp16 or bf16 behind a Cast, int8 behind a
            DequantizeLinear.
        activations: fp32, or int8 or uint8 of scale 1/64 around the layer.
        batch: The first dimension.
    """
    nodes, initializers = [], []
    if weights == "fp32":
        initializers.append(numpy_helper.from_array(np.ones(sizes, np.float32), "weights"))
    elif weights == "int8":
        initializers += _quantization("weights", TensorProto.INT8, 1.0)
        stored = np.ones(sizes, np.int8)
        initializers.append(numpy_helper.from_array(stored, "weights_quantized"))
        nodes.append(_dequantize("weights_quantized", "weights", "weights"))
    else:
        half = TensorProto.FLOAT16 if weights == "fp16" else TensorProto.BFLOAT16
        ones = np.ones(sizes, np.float32).flatten()
        initializers.append(helper.make_tensor("weights_half", half, sizes, ones))
        nodes.append(helper.make_node("Cast", ["weights_half"], ["weights"], to=TensorProto.FLOAT))
    source = "input"
    if activations != "fp32":
        kind = TensorProto.INT8 if activations == "int8" else TensorProto.UINT8
        initializers += _quantization("input", kind, 1 / 64)
        parameters = ["input", "input_scale", "input_zero"]
        nodes.append(helper.make_node("QuantizeLinear", parameters, ["input_quantized"]))
        nodes.append(_dequantize("input_quantized", "input", "input_back"))
        source = "input_back"
    nodes.append(helper.make_node("MatMul", [source, "weights"], ["output"]))
    shapes = ((batch, sizes[0]), (batch, sizes[1]))
    return _save(path, nodes, initializers, dtype=TensorProto.FLOAT, shapes=shapes)


def _quantization(name: str, dtype: int, scale: float) -> list[onnx.TensorProto]:
    return [
        helper.make_tensor(f"{name}_scale", TensorProto.FLOAT, [], [scale]),
        helper.make_tensor(f"{name}_zero", dtype, [], [0]),
    ]


def _dequantize(source: str, name: str, target: str) -> onnx.NodeProto:
    return helper.make_node("DequantizeLinear", [source, f"{name}_scale", f"{name}_zero"], [target])


def _save(
    path: Path,
    nodes: list[onnx.NodeProto],
    initializers: list[onnx.TensorProto],
    *,
    dtype: int,
    shapes: tuple[tuple[str | int | None, ...], tuple[str | int | None, ...]],
) -> Path:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("input", dtype, shapes[0])],
        [helper.make_tensor_value_info("output", dtype, shapes[1])],
        initializers,
    )
    opset = helper.make_opsetid("", _OPSET)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION), path)
    return path

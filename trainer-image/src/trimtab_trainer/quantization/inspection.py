"""What a quantized ONNX file really holds, read back from the file itself.

Called after quantization, by the stages and by tests; it believes nothing that was asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import NodeProto, TensorProto

from trimtab_trainer.quantization.layers import find_layer_nodes

__all__ = ["QuantizedFile", "inspect_quantized"]

_DTYPE_NAMES: Mapping[int, str] = {
    TensorProto.FLOAT: "fp32",
    TensorProto.DOUBLE: "fp64",
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
    TensorProto.INT8: "int8",
    TensorProto.UINT8: "uint8",
}
_WIDE = frozenset({"fp32", "fp64"})
_FLOAT_ACTIVATIONS = "fp32"


@dataclass(frozen=True, slots=True)
class QuantizedFile:
    """Layers and types of a file."""

    path: Path
    quantized_layers: tuple[str, ...]
    """Names of the layers whose weights have 8 or 16 bits, in order of the graph."""
    float_layers: tuple[str, ...]
    """Names of the layers that were left as they were."""
    weight_dtypes: tuple[str, ...]
    """The types stored for the quantized layers, such as int8; of all layers where none is
    quantized; sorted."""
    activation_dtypes: tuple[str, ...]
    """Likewise of the inputs that they compute with, such as uint8 or fp32."""


def inspect_quantized(path: Path) -> QuantizedFile:
    """Read which layers of an ONNX file are narrow, and in which types they are computed.

    Args:
        path: An ONNX file, quantized by any technique or not at all.

    Returns:
        Layers by the names that `layers` gives them.

    Raises:
        OSError: The file cannot be read.
    """
    graph = onnx.load(path).graph
    producers = {name: node for node in graph.node for name in node.output}
    stored = {tensor.name: tensor.data_type for tensor in graph.initializer}
    found: dict[str, list[tuple[str, str]]] = {}
    for entry in find_layer_nodes(graph):
        weights = _DTYPE_NAMES.get(entry.weight.data_type, "other")
        activations = _find_activation_dtype(entry.node, producers, stored)
        found.setdefault(entry.layer, []).append((weights, activations))
    quantized = {
        layer: types
        for layer, types in found.items()
        if not any(weights in _WIDE for weights, _ in types)
    }
    types = [pair for pairs in (quantized or found).values() for pair in pairs]
    return QuantizedFile(
        path=path,
        quantized_layers=tuple(quantized),
        float_layers=tuple(layer for layer in found if layer not in quantized),
        weight_dtypes=tuple(sorted({weights for weights, _ in types})),
        activation_dtypes=tuple(sorted({activations for _, activations in types})),
    )


def _find_activation_dtype(
    node: NodeProto, producers: Mapping[str, NodeProto], stored: Mapping[str, int]
) -> str:
    producer = producers.get(node.input[0])
    if producer is None:
        return _FLOAT_ACTIVATIONS
    match producer.op_type:
        case "DynamicQuantizeLinear":
            return "uint8"
        case "DequantizeLinear" | "QuantizeLinear":
            # The zero point has the stored type; without one it is uint8.
            zero_point = "".join(producer.input[2:3])
            return _DTYPE_NAMES.get(stored.get(zero_point, TensorProto.UINT8), "other")
        case _:
            return _FLOAT_ACTIVATIONS

"""What a quantized ONNX file really holds, read back from the file itself.

Called after quantization and by tests; it believes nothing that was asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import NodeProto, TensorProto

__all__ = ["COMPUTE_OPERATORS", "QuantizedFile", "inspect_quantized"]

COMPUTE_OPERATORS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""The operators that hold nearly all weights and all but a little of the work."""

_DTYPE_NAMES: Mapping[int, str] = {TensorProto.INT8: "int8", TensorProto.UINT8: "uint8"}


@dataclass(frozen=True, slots=True)
class QuantizedFile:
    """Layers and types of a quantized file."""

    path: Path
    quantized_layers: tuple[str, ...]
    """Names of the layers that take 8-bit weights and 8-bit activations, in order of the graph."""
    float_layers: tuple[str, ...]
    """Names of the layers that were left as they were."""
    weight_dtypes: tuple[str, ...]
    """The types found among the quantized layers, such as int8; sorted."""
    activation_dtypes: tuple[str, ...]
    """Likewise of their inputs, such as uint8."""


def inspect_quantized(path: Path) -> QuantizedFile:
    """Read which layers of a file in QDQ format are quantized, and to what.

    Args:
        path: An ONNX file.

    Returns:
        Layers by the name of their weights without `.weight`, else of their node.

    Raises:
        OSError: The file cannot be read.
    """
    graph = onnx.load(path).graph
    dtypes = {tensor.name: tensor.data_type for tensor in graph.initializer}
    sources = {node.output[0]: node for node in graph.node if node.op_type.startswith("Dequantize")}
    layers = [node for node in graph.node if node.op_type in COMPUTE_OPERATORS]
    found = {_name_layer(node, sources): _find_dtypes(node, sources, dtypes) for node in layers}
    pairs = [pair for pair in found.values() if pair is not None]
    return QuantizedFile(
        path=path,
        quantized_layers=tuple(name for name, pair in found.items() if pair is not None),
        float_layers=tuple(name for name, pair in found.items() if pair is None),
        weight_dtypes=tuple(sorted({weights for _, weights in pairs})),
        activation_dtypes=tuple(sorted({activations for activations, _ in pairs})),
    )


def _name_layer(node: NodeProto, sources: Mapping[str, NodeProto]) -> str:
    source = sources.get(node.input[1])
    weights = node.input[1] if source is None else source.input[0].removesuffix("_quantized")
    return weights.removesuffix(".weight") if weights.endswith(".weight") else node.name


def _find_dtypes(
    node: NodeProto, sources: Mapping[str, NodeProto], dtypes: Mapping[str, int]
) -> tuple[str, str] | None:
    # Activations and weights; both come from DequantizeLinear, whose third input, the zero point,
    # has the stored type.
    pair = [sources.get(name) for name in node.input[:2]]
    names = [_DTYPE_NAMES.get(dtypes.get(each.input[2], 0), "") for each in pair if each]
    return (names[0], names[1]) if len(names) == len(pair) and all(names) else None

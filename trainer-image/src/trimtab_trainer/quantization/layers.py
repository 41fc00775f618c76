"""The layers with weights of an ONNX graph, by the names of the modules that they came from.

Called by every technique and by the inspection. A layer is a convolution or a matrix product with
constant weights; its name is that of the weights without their last part, so that patterns over
module names mean the same in a model and in its files.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import GraphProto, NodeProto, TensorProto

from trimtab_trainer.models.globs import name_layers

__all__ = [
    "COMPUTE_OPERATORS",
    "NARROW_SUFFIX",
    "LayerNode",
    "check_kept",
    "describe_exception",
    "find_layer_nodes",
    "list_layers",
    "name_weights",
    "restore_weight_names",
]

COMPUTE_OPERATORS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""The operators that hold nearly all weights and all but a little of the work."""

NARROW_SUFFIX = "_quantized"
"""What follows the name of weights that are stored in fewer bits, as ONNX Runtime has it."""

_INTEGER_OPERATORS = frozenset({"ConvInteger", "MatMulInteger"})
_WIDENING_OPERATORS = frozenset({"Cast", "DequantizeLinear"})
_FEWEST_DIMENSIONS = 2


@dataclass(frozen=True, slots=True)
class LayerNode:
    """A node with weights; a layer that is called twice has two nodes."""

    layer: str
    """Name of the module, or of the node where nothing tells the module."""
    node: NodeProto
    weight: TensorProto
    """The weights as they are stored, which may be narrower than what the node takes."""


def list_layers(path: Path) -> tuple[str, ...]:
    """Return the names of the layers of an ONNX file, in order of the graph, without repeats.

    Raises:
        OSError: The file cannot be read.
    """
    nodes = find_layer_nodes(onnx.load(path).graph)
    return tuple(dict.fromkeys(entry.layer for entry in nodes))


def find_layer_nodes(graph: GraphProto) -> list[LayerNode]:
    """Return the nodes with constant weights, in order of the graph.

    Weights may be float, or narrow and widened by a node of their own, or 8-bit as an integer
    product takes them.
    """
    stored = {tensor.name: tensor for tensor in graph.initializer}
    widened = _trace_widening(graph.node, stored)
    return [
        LayerNode(_name_layer(node, weight.name), node, weight)
        for node in graph.node
        if node.op_type in COMPUTE_OPERATORS | _INTEGER_OPERATORS
        and (weight := stored.get(widened.get(node.input[1], node.input[1]))) is not None
        and len(weight.dims) >= _FEWEST_DIMENSIONS
    ]


def check_kept(nodes: Sequence[LayerNode], keep_float: Collection[str]) -> None:
    """Raise where a layer that shall stay float is none of these.

    Raises:
        ValueError: A name is unknown.
    """
    known = dict.fromkeys(entry.layer for entry in nodes)
    unknown = sorted(set(keep_float) - known.keys())
    if unknown:
        raise ValueError(
            f"keep_float must name layers of the file but {unknown} are not: {[*known]}"
        )


def describe_exception(keep_float: Collection[str]) -> str:
    """Return ` besides LAYER, LAYER` where layers stay float on purpose, else nothing."""
    return f" besides {name_layers(sorted(keep_float))}" if keep_float else ""


def name_weights(model: onnx.ModelProto) -> frozenset[str]:
    """Name weights after their node where they have no module's name; the model is changed.

    So the layer keeps its name when a runtime merges the node with others.

    Returns:
        The names of all weights.
    """
    weights = {entry.weight.name: entry for entry in find_layer_nodes(model.graph)}
    renamed = {
        name: f"{entry.layer}.weight"
        for name, entry in weights.items()
        if _name_owner(name) != entry.layer
    }
    final = _rename_tensors(model.graph, renamed)
    return frozenset(final.get(name, name) for name in weights)


def restore_weight_names(model: onnx.ModelProto, known: Collection[str]) -> None:
    """Give weights that a runtime replaced the names of those that they came from.

    A runtime that folds a batch normalization writes new weights under a longer name, one for each
    use of shared ones.

    Args:
        model: Changed in place.
        known: The names before.
    """
    renamed = {}
    for entry in find_layer_nodes(model.graph):
        name = entry.weight.name
        origins = [each for each in known if each in name]
        if name not in known and origins:
            renamed[name] = max(origins, key=len)
    _rename_tensors(model.graph, renamed)


def _trace_widening(
    nodes: Sequence[NodeProto], stored: Mapping[str, TensorProto]
) -> dict[str, str]:
    """Return from which stored tensors others come by widening alone."""
    widened: dict[str, str] = {}
    for node in nodes:
        if node.op_type in _WIDENING_OPERATORS and node.input[0] in stored:
            widened[node.output[0]] = node.input[0]
        elif node.op_type == "Mul" and node.input[0] in widened and node.input[1] in stored:
            widened[node.output[0]] = widened[node.input[0]]
    return widened


def _name_layer(node: NodeProto, weight: str) -> str:
    return _name_owner(weight) or node.name or node.output[0]


def _name_owner(tensor: str) -> str:
    return tensor.removesuffix(NARROW_SUFFIX).rpartition(".")[0]


def _rename_tensors(graph: GraphProto, wanted: Mapping[str, str]) -> dict[str, str]:
    taken = {tensor.name for tensor in graph.initializer} - wanted.keys()
    final = {}
    for old, new in wanted.items():
        final[old] = _make_unique(new, taken)
        taken.add(final[old])
    for tensor in graph.initializer:
        tensor.name = final.get(tensor.name, tensor.name)
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = final.get(name, name)
    return final


def _make_unique(name: str, taken: Collection[str]) -> str:
    unique, number = name, 2
    while unique in taken:
        # The part after the last dot, so that the layer's name stays.
        unique, number = f"{name}@{number}", number + 1
    return unique

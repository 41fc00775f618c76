"""Which parts of an ONNX graph get 8 bits and which stay float32.

Called by the quantization seam before and after the runtime inserts its nodes; it knows the ONNX
format and no runtime.
"""

from collections.abc import Collection

import onnx
from onnx import NodeProto, TensorProto, helper, shape_inference

from trimtab_trainer.quantization.layers import COMPUTE_OPERATORS

__all__ = [
    "choose_operators",
    "find_input_side_nodes",
    "list_activations",
    "protect_float_layers",
    "restore_float_output",
]

_PASSING_OPERATORS = frozenset(
    {
        *("Relu", "Clip", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "Resize"),
        *("Concat", "Split", "Slice", "Pad"),
        *("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze"),
    }
)
"""They hand on what a layer gave to the next one, so 8 bits stay 8 bits."""

_COMBINING_OPERATORS = frozenset({"Add", "Mul"})

_CLIPPING_OPERATORS = frozenset({"Relu", "Clip"})

_SCORE_OPERATORS = frozenset({"Gemm", "MatMul", "Add"})


def choose_operators(model: onnx.ModelProto) -> frozenset[str]:
    """Return the types of the nodes that get 8 bits.

    Normalizations, softmax and other functions stay float: they have no integer kernels, or none
    that save time. Sums and products of activations are worth 8 bits between convolutions; in a
    transformer, which a layer normalization tells, they are its residual stream and its GELU, where
    8 bits cost accuracy and save nothing.
    """
    operators = COMPUTE_OPERATORS | _PASSING_OPERATORS
    is_transformer = any(node.op_type == "LayerNormalization" for node in model.graph.node)
    return operators if is_transformer else operators | _COMBINING_OPERATORS


def find_input_side_nodes(model: onnx.ModelProto) -> frozenset[str]:
    """Return the names of the nodes that no layer with weights comes before.

    They expand channels, resize and normalize; 8 bits there would cost accuracy and save nothing.

    Args:
        model: Nodes in topological order, as ONNX demands; one without a name cannot be told.
    """
    reached: set[str] = set()
    skipped = set()
    for node in model.graph.node:
        if node.op_type in COMPUTE_OPERATORS or reached.intersection(node.input):
            reached.update(node.output)
        elif node.name:
            skipped.add(node.name)
    return frozenset(skipped)


def list_activations(
    model: onnx.ModelProto, operators: Collection[str], skipped: Collection[str]
) -> list[str]:
    """Return the float32 tensors, weights apart, that these operators take or give.

    Args:
        model: The graph before quantization.
        operators: Types of the nodes that count.
        skipped: Names of nodes that do not.

    Returns:
        Names in order of the graph, without repeats.
    """
    graph = shape_inference.infer_shapes(model).graph
    float_values = {
        value.name
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.elem_type == TensorProto.FLOAT
    }
    float_values -= {tensor.name for tensor in graph.initializer}
    nodes = [n for n in graph.node if n.op_type in operators and n.name not in skipped]
    names = dict.fromkeys(name for node in nodes for name in (*node.input, *node.output))
    return [name for name in names if name in float_values]


def restore_float_output(
    quantized: onnx.ModelProto, *, original: onnx.ModelProto
) -> onnx.ModelProto:
    """Take the 8 bits off the scores where the last layer is linear.

    256 levels for the scores make ties and clip the surest answers, and the 8-bit kernels of
    linear layers give float32 at no cost. Elsewhere the last two nodes may stand for an activation
    function (ReLU becomes a range that begins at zero), so they stay.

    Args:
        quantized: A graph in QDQ format, changed in place.
        original: The same graph before.

    Returns:
        The quantized graph.
    """
    graph = quantized.graph
    for output in graph.output:
        if _find_producer(original, output.name).op_type not in _SCORE_OPERATORS:
            continue
        dequantize = _find_producer(quantized, output.name)
        if dequantize.op_type != "DequantizeLinear":
            continue
        quantize = _find_producer(quantized, dequantize.input[0])
        scores = quantize.input[0]
        graph.node.remove(quantize)
        graph.node.remove(dequantize)
        for node in graph.node:
            _rename(node, scores, output.name)
    _drop_unused_weights(graph)
    return quantized


def protect_float_layers(model: onnx.ModelProto, layers: Collection[str]) -> None:
    """Keep ONNX Runtime from quantizing layers that shall stay float.

    Where a float layer lies between a DequantizeLinear and a QuantizeLinear, the runtime rounds its
    weights to int8 at load, with one scale for all (its transformer WeightBiasQuantization). A
    leaky ReLU of slope 1 parts them: it changes nothing, and later it becomes part of the layer.

    Args:
        model: A graph in QDQ format, changed in place.
        layers: Names of nodes.
    """
    graph = model.graph
    nodes = []
    for node in graph.node:
        nodes.append(node)
        output = node.output[0] if node.output else ""
        if node.name in layers and _leads_to_rounding(graph, output):
            node.output[0] = f"{output}_float"
            guard = f"{node.name}_float"
            nodes.append(
                helper.make_node("LeakyRelu", [node.output[0]], [output], name=guard, alpha=1.0)
            )
    del graph.node[:]
    graph.node.extend(nodes)


def _leads_to_rounding(graph: onnx.GraphProto, tensor: str) -> bool:
    takers = [node for node in graph.node if tensor in node.input]
    if len(takers) == 1 and takers[0].op_type in _CLIPPING_OPERATORS:
        return _leads_to_rounding(graph, takers[0].output[0])
    return len(takers) == 1 and takers[0].op_type == "QuantizeLinear"


def _find_producer(model: onnx.ModelProto, tensor: str) -> NodeProto:
    producer: NodeProto = next(node for node in model.graph.node if tensor in node.output)
    return producer


def _rename(node: NodeProto, old: str, new: str) -> None:
    for names in (node.input, node.output):
        for position, name in enumerate(names):
            if name == old:
                names[position] = new


def _drop_unused_weights(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    unused = [tensor for tensor in graph.initializer if tensor.name not in used]
    for tensor in unused:
        graph.initializer.remove(tensor)

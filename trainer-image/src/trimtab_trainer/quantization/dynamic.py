"""ONNX files with 8-bit linear layers whose input ranges are taken at each inference.

Called by stage quantize with an exported file. Convolutions stay float32: their integer kernels
with dynamic ranges are several times slower than float ones.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from trimtab_api.v1alpha1.quantize import ActivationDtype
from trimtab_trainer.errors import OperatorUnsupportedError
from trimtab_trainer.models.globs import name_layers
from trimtab_trainer.quantization.inspection import QuantizedFile, inspect_quantized
from trimtab_trainer.quantization.layers import (
    NARROW_SUFFIX,
    LayerNode,
    check_kept,
    find_layer_nodes,
    name_weights,
)
from trimtab_trainer.quantization.narrow_weights import find_channel_axis, quantize_weight
from trimtab_trainer.storage.filesystem import atomic_write

__all__ = ["quantize_dynamic"]

_MATRIX_DIMENSIONS = 2
_LARGEST_LEVEL = 127.0
_SMALLEST_SCALE = float(np.finfo(np.float32).tiny)
_PLAIN_PRODUCT = {"alpha": 1.0, "beta": 1.0, "transA": 0}


def quantize_dynamic(
    source: Path,
    target: Path,
    *,
    activations: ActivationDtype = ActivationDtype.UINT8,
    per_channel: bool = True,
    keep_float: Collection[str] = (),
) -> QuantizedFile:
    """Compute linear layers as integer products with int8 weights.

    A layer becomes DynamicQuantizeLinear (for int8: a symmetric range by the largest magnitude),
    MatMulInteger, and a multiplication by both scales, which ONNX Runtime fuses into one kernel.

    Args:
        source: An exported float32 file.
        target: Where the quantized file goes; it appears only when it is complete.
        activations: uint8 or int8.
        per_channel: One scale per output of the weights instead of one per layer.
        keep_float: Names of layers that stay as they are.

    Returns:
        What the target holds, read back from it.

    Raises:
        OperatorUnsupportedError: No linear layer can be quantized.
        ValueError: A layer to keep is unknown, or the type of activations has not 8 bits.
        OSError: The file system refuses.
    """
    model = onnx.load(source)
    name_weights(model)
    nodes = find_layer_nodes(model.graph)
    check_kept(nodes, keep_float)
    graph = _DynamicGraph(model.graph, activations, per_channel=per_channel)
    for entry in nodes:
        if entry.layer not in keep_float and _is_plain_product(entry):
            graph.replace(entry)
    if not graph.replaced:
        raise OperatorUnsupportedError(
            f"{source.name} must have a linear layer with finite float32 weights for dynamic"
            f" quantization but its layers are {name_layers(entry.layer for entry in nodes)}"
        )
    graph.finish()
    atomic_write(target, model.SerializeToString())
    return inspect_quantized(target)


def _is_plain_product(entry: LayerNode) -> bool:
    attributes = {each.name: helper.get_attribute_value(each) for each in entry.node.attribute}
    return (
        entry.node.op_type in {"Gemm", "MatMul"}
        and entry.weight.data_type == TensorProto.FLOAT
        and len(entry.weight.dims) == _MATRIX_DIMENSIONS
        and all(attributes.get(name, value) == value for name, value in _PLAIN_PRODUCT.items())
    )


class _DynamicGraph:
    """Collects what takes the place of nodes; activations and weights are quantized once each."""

    def __init__(
        self, graph: GraphProto, activations: ActivationDtype, *, per_channel: bool
    ) -> None:
        if activations not in {ActivationDtype.UINT8, ActivationDtype.INT8}:
            raise ValueError(f"activations must be uint8 or int8 but are {activations}")
        self._graph = graph
        self._is_signed = activations is ActivationDtype.INT8
        self._per_channel = per_channel
        self._seen: set[str] = set()
        self.replaced: dict[str, list[NodeProto]] = {}
        """Output of a node → the nodes that give it now."""

    def replace(self, entry: LayerNode) -> None:
        weight, node = entry.weight.name, entry.node
        if weight not in self._seen and not self._store_weight(entry):
            return
        self._seen.add(weight)
        value, output = node.input[0], node.output[0]
        has_bias = len(node.input) > _MATRIX_DIMENSIONS and node.input[2] != ""
        product = f"{output}_product" if has_bias else output
        inputs = [f"{value}_narrow", weight + NARROW_SUFFIX]
        if not self._is_signed:
            inputs.append(f"{value}_zero_point")
        self.replaced[output] = [
            *self._narrow(value),
            helper.make_node("MatMulInteger", inputs, [f"{output}_int32"], name=node.name),
            helper.make_node("Cast", [f"{output}_int32"], [f"{output}_sum"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{value}_scale", f"{weight}_scale"], [f"{output}_scale"]),
            helper.make_node("Mul", [f"{output}_sum", f"{output}_scale"], [product]),
        ]
        if has_bias:
            bias = helper.make_node("Add", [product, node.input[2]], [output])
            self.replaced[output].append(bias)

    def finish(self) -> None:
        nodes = [
            each
            for node in self._graph.node
            for each in self.replaced.get(node.output[0] if node.output else "", [node])
        ]
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        used = {name for node in nodes for name in node.input}
        for tensor in [each for each in self._graph.initializer if each.name not in used]:
            self._graph.initializer.remove(tensor)

    def _store_weight(self, entry: LayerNode) -> bool:
        name = entry.weight.name
        values = numpy_helper.to_array(entry.weight)
        if find_channel_axis(entry.node, values.ndim) == 0:
            values = np.ascontiguousarray(values.T)
        narrow = quantize_weight(values, axis=1, per_channel=self._per_channel)
        if narrow is None:
            return False
        scales = narrow.scales.reshape(-1 if self._per_channel else ())
        self._graph.initializer.extend(
            [
                numpy_helper.from_array(narrow.levels, name + NARROW_SUFFIX),
                numpy_helper.from_array(scales, f"{name}_scale"),
            ]
        )
        return True

    def _narrow(self, value: str) -> Iterator[NodeProto]:
        if value in self._seen:
            return
        self._seen.add(value)
        narrow, scale, zero = f"{value}_narrow", f"{value}_scale", f"{value}_zero_point"
        if not self._is_signed:
            yield helper.make_node("DynamicQuantizeLinear", [value], [narrow, scale, zero])
            return
        self._add_constants()
        yield helper.make_node("Abs", [value], [f"{value}_magnitude"])
        yield helper.make_node(
            "ReduceMax", [f"{value}_magnitude"], [f"{value}_largest"], keepdims=0
        )
        yield helper.make_node("Div", [f"{value}_largest", "int8_levels"], [f"{value}_step"])
        yield helper.make_node("Max", [f"{value}_step", "int8_smallest_scale"], [scale])
        yield helper.make_node("QuantizeLinear", [value, scale, "int8_zero_point"], [narrow])

    def _add_constants(self) -> None:
        constants = {
            "int8_levels": np.float32(_LARGEST_LEVEL),
            "int8_smallest_scale": np.float32(_SMALLEST_SCALE),
            "int8_zero_point": np.int8(0),
        }
        for name, value in constants.items():
            if name not in self._seen:
                self._seen.add(name)
                self._graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))

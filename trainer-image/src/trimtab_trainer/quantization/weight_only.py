"""ONNX files whose weights have 8 or 16 bits while everything is computed in float32.

Called by stage quantize with an exported file. The narrow weights are widened by a node before
their layer; what that costs in time is the runtime's affair and is measured elsewhere.
"""

from collections.abc import Callable, Collection
from pathlib import Path

import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from trimtab_api.v1alpha1.quantize import WeightDtype
from trimtab_trainer.errors import OperatorUnsupportedError
from trimtab_trainer.quantization.inspection import QuantizedFile, inspect_quantized
from trimtab_trainer.quantization.layers import (
    NARROW_SUFFIX,
    LayerNode,
    check_kept,
    describe_exception,
    find_layer_nodes,
    name_weights,
)
from trimtab_trainer.quantization.narrow_weights import (
    cast_weight,
    find_channel_axis,
    quantize_weight,
)
from trimtab_trainer.storage.filesystem import atomic_write

__all__ = ["cast_weights", "quantize_weights"]

Stored = tuple[list[TensorProto], list[NodeProto]]
"""What takes the place of weights: tensors, and nodes that give the weights' name again."""


def quantize_weights(
    source: Path, target: Path, *, per_channel: bool = True, keep_float: Collection[str] = ()
) -> QuantizedFile:
    """Store the weights of layers as int8, each followed by a Cast and a Mul with its scales.

    ONNX Runtime computes these two once, when it loads the file, and then runs as fast as the
    float32 file; a DequantizeLinear it would compute at each inference. OpenVINO takes both for
    compressed weights.

    Args:
        source: An exported float32 file.
        target: Where the quantized file goes; it appears only when it is complete.
        per_channel: One scale per output channel instead of one per layer.
        keep_float: Names of layers that stay as they are.

    Returns:
        What the target holds, read back from it.

    Raises:
        OperatorUnsupportedError: No layer can be quantized.
        ValueError: A layer to keep is unknown.
        OSError: The file system refuses.
    """

    def store(entry: LayerNode) -> Stored | None:
        name, values = entry.weight.name, numpy_helper.to_array(entry.weight)
        axis = find_channel_axis(entry.node, values.ndim)
        weights = quantize_weight(values, axis=axis, per_channel=per_channel)
        if weights is None:
            return None
        narrow = numpy_helper.from_array(weights.levels, name + NARROW_SUFFIX)
        scales = numpy_helper.from_array(weights.scales, f"{name}_scale")
        wide = f"{name}_levels"
        product = helper.make_node("Mul", [wide, scales.name], [name], name=f"{name}_Mul")
        return [narrow, scales], [_cast_to_float(narrow.name, wide), product]

    return _write(source, target, store, keep_float=keep_float)


def cast_weights(
    source: Path, target: Path, *, dtype: WeightDtype, keep_float: Collection[str] = ()
) -> QuantizedFile:
    """Store the weights of layers in 16 bits, each followed by a Cast to float32.

    Biases and normalizations stay float32. Weights outside the range of fp16 stay as they are.

    Args:
        source: An exported float32 file.
        target: Where the file goes; it appears only when it is complete.
        dtype: fp16 or bf16.
        keep_float: Names of layers that stay as they are.

    Returns:
        What the target holds, read back from it.

    Raises:
        OperatorUnsupportedError: No layer can be cast.
        ValueError: A layer to keep is unknown, or the type has not 16 bits.
        OSError: The file system refuses.
    """

    def store(entry: LayerNode) -> Stored | None:
        name = entry.weight.name
        narrow = cast_weight(name + NARROW_SUFFIX, numpy_helper.to_array(entry.weight), dtype)
        return None if narrow is None else ([narrow], [_cast_to_float(narrow.name, name)])

    return _write(source, target, store, keep_float=keep_float)


def _cast_to_float(narrow: str, wide: str) -> NodeProto:
    return helper.make_node("Cast", [narrow], [wide], name=f"{wide}_Cast", to=TensorProto.FLOAT)


def _write(
    source: Path,
    target: Path,
    store: Callable[[LayerNode], Stored | None],
    *,
    keep_float: Collection[str],
) -> QuantizedFile:
    model = onnx.load(source)
    name_weights(model)
    nodes = find_layer_nodes(model.graph)
    check_kept(nodes, keep_float)
    kept = {entry.weight.name for entry in nodes if entry.layer in keep_float}
    replaced = {
        name: stored
        for name, entry in {entry.weight.name: entry for entry in nodes}.items()
        if name not in kept
        and entry.weight.data_type == TensorProto.FLOAT
        and (stored := store(entry)) is not None
    }
    if not replaced:
        raise OperatorUnsupportedError(
            f"{source.name} must have a layer with finite float32 weights that may become narrow"
            f" but has none{describe_exception(keep_float)}"
        )
    _replace(model.graph, replaced)
    atomic_write(target, model.SerializeToString())
    return inspect_quantized(target)


def _replace(graph: onnx.GraphProto, replaced: dict[str, Stored]) -> None:
    tensors = [tensor for tensor in graph.initializer if tensor.name not in replaced]
    nodes: list[NodeProto] = []
    for added, widening in replaced.values():
        tensors.extend(added)
        nodes.extend(widening)
    nodes.extend(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(tensors)
    graph.node.extend(nodes)

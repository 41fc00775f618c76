"""How much each layer's quantization alone changes what a network gives.

Called by stage quantize when a static file misses a limit; what follows from the figures is
decided in `fallback`. One session serves all layers: the graph can round the input, the weights
and the output of a layer to 8 bits, and is told at each run for which layer it shall.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from trimtab_trainer.quantization.layers import LayerNode, find_layer_nodes
from trimtab_trainer.quantization.narrow_weights import find_channel_axis, quantize_weight
from trimtab_trainer.quantization.onnx_runtime import GraphRunner
from trimtab_trainer.quantization.ranges import Range
from trimtab_trainer.quantization.static import StaticCalibration, split_batches

__all__ = ["LayerError", "measure_layers"]

Floats = NDArray[np.float32]
Switches = dict[str, Floats]
"""Initializer → what a run puts in its place."""

_LEVELS = 255
_CLIPPING_OPERATORS = frozenset({"Relu", "Clip"})


@dataclass(frozen=True, slots=True)
class LayerError:
    """What 8 bits in one layer alone do."""

    layer: str
    error: float
    """Squared error of the network's output, as a share of the squared output."""


def measure_layers(
    calibration: StaticCalibration, *, per_channel: bool, samples: int = 16, threads: int = 1
) -> Iterator[LayerError]:
    """Measure layer by layer, in order of the graph; one run over the samples each.

    The per-layer analysis of Nagel et al., "A white paper on neural network quantization", 2021,
    section 3.5: only one layer is quantized at a time, here with its weights and the activations
    next to it.

    Args:
        calibration: Of the float32 file.
        per_channel: As the quantized file has it.
        samples: How many calibration samples are looked at.
        threads: Threads of the runtime.

    Yields:
        One entry for each layer.
    """
    model, switches = _add_switches(calibration, per_channel=per_channel)
    runner = GraphRunner(model, threads)
    source, output = model.graph.input[0].name, model.graph.output[0].name
    batches = list(split_batches(model, calibration.samples[:samples]))

    def run(given: Switches) -> Floats:
        outputs = [runner.run([output], {source: batch, **given}) for batch in batches]
        return np.concatenate([values for (values,) in outputs]).astype(np.float64)

    expected = run({})
    scale = float(np.square(expected).sum()) or 1.0
    for layer, given in switches.items():
        yield LayerError(layer, float(np.square(run(given) - expected).sum()) / scale)


def _add_switches(
    calibration: StaticCalibration, *, per_channel: bool
) -> tuple[onnx.ModelProto, dict[str, Switches]]:
    """Return a graph whose initializers can be replaced, and by what for each layer."""
    model = onnx.ModelProto()
    model.CopyFrom(calibration.model)
    graph = model.graph
    ranges = {
        name: seen for name, seen in calibration.ranges.items() if name != graph.output[0].name
    }
    switches: dict[str, Switches] = {}
    switched: dict[str, str] = {}
    for entry in find_layer_nodes(graph):
        given = switches.setdefault(entry.layer, {})
        given.update(_round_weights(entry, per_channel=per_channel))
        for tensor in {entry.node.input[0], _find_result(graph, entry.node)} & ranges.keys():
            switched[tensor] = f"{tensor}_switch"
            given[switched[tensor]] = np.ones((), np.float32)
    for tensor, switch in switched.items():
        _add_constants(graph, tensor, ranges[tensor])
        graph.initializer.append(numpy_helper.from_array(np.zeros((), np.float32), switch))
    _insert_switches(graph, switched)
    _open(graph, {name for given in switches.values() for name in given})
    return model, switches


def _round_weights(entry: LayerNode, *, per_channel: bool) -> Switches:
    values = numpy_helper.to_array(entry.weight)
    axis = find_channel_axis(entry.node, values.ndim)
    rounded = quantize_weight(values, axis=axis, per_channel=per_channel)
    return {} if rounded is None else {entry.weight.name: rounded.widen()}


def _find_result(graph: GraphProto, node: NodeProto) -> str:
    # Where clipping follows alone, what it gives is what gets 8 bits.
    output: str = node.output[0]
    takers = [each for each in graph.node if output in each.input]
    is_clipped = len(takers) == 1 and takers[0].op_type in _CLIPPING_OPERATORS
    clipped: list[str] = [*takers[0].output] if is_clipped else [output]
    return clipped[0]


def _add_constants(graph: GraphProto, tensor: str, seen: Range) -> None:
    # Zero must have a level of its own, as everywhere in ONNX.
    lowest, highest = min(seen.lowest, 0.0), max(seen.highest, 0.0)
    scale = np.float32((highest - lowest) / _LEVELS or 1.0)
    zero_point = np.uint8(np.clip(np.rint(-lowest / scale), 0, _LEVELS))
    constants = {f"{tensor}_scale": scale, f"{tensor}_zero_point": zero_point}
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))


def _insert_switches(graph: GraphProto, switched: Mapping[str, str]) -> None:
    nodes = [each for value in graph.input for each in _make_switch(value.name, switched)]
    for node in graph.node:
        for position, name in enumerate(node.input):
            if name in switched:
                node.input[position] = f"{name}_switched"
        nodes.append(node)
        nodes.extend(each for name in node.output for each in _make_switch(name, switched))
    del graph.node[:]
    graph.node.extend(nodes)


def _make_switch(tensor: str, switched: Mapping[str, str]) -> Iterator[NodeProto]:
    """Yield nodes for tensor + switch · (rounded tensor - tensor)."""
    if tensor not in switched:
        return
    rounding = [f"{tensor}_scale", f"{tensor}_zero_point"]
    levels, rounded, change = f"{tensor}_levels", f"{tensor}_rounded", f"{tensor}_change"
    yield helper.make_node("QuantizeLinear", [tensor, *rounding], [levels])
    yield helper.make_node("DequantizeLinear", [levels, *rounding], [rounded])
    yield helper.make_node("Sub", [rounded, tensor], [f"{tensor}_error"])
    yield helper.make_node("Mul", [f"{tensor}_error", switched[tensor]], [change])
    yield helper.make_node("Add", [tensor, change], [f"{tensor}_switched"])


def _open(graph: GraphProto, names: Collection[str]) -> None:
    # An initializer that is also an input is a default, which a run may replace.
    for tensor in graph.initializer:
        if tensor.name in names:
            value = helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.dims)
            graph.input.append(value)

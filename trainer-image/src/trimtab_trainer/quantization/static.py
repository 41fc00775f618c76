"""Static quantization of ONNX files: 8-bit weights, and activations in ranges found beforehand.

Called by stage quantize. A file is calibrated once; any number of quantized files, with other
layers kept in float, are then written from what was found. Which samples are looked at is decided
in `calibration`, which ranges are taken from their values in `ranges`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from trimtab_api.v1alpha1.quantize import ActivationDtype, CalibrationMethod
from trimtab_trainer.errors import CalibrationInvalidError, OperatorUnsupportedError
from trimtab_trainer.quantization.graph import (
    choose_operators,
    find_input_side_nodes,
    list_activations,
    protect_float_layers,
    restore_float_output,
)
from trimtab_trainer.quantization.inspection import QuantizedFile, inspect_quantized
from trimtab_trainer.quantization.layers import (
    check_kept,
    describe_exception,
    find_layer_nodes,
    name_weights,
    restore_weight_names,
)
from trimtab_trainer.quantization.narrow_weights import read_integer
from trimtab_trainer.quantization.onnx_runtime import GraphRunner, insert_qdq, prepare_graph
from trimtab_trainer.quantization.ranges import Extremes, Range, choose_range, count_magnitudes
from trimtab_trainer.storage.filesystem import staged

__all__ = ["Batch", "StaticCalibration", "calibrate", "split_batches", "write_static"]

Batch = NDArray[np.float32]

_SAMPLES_PER_RUN = 8
"""All activations of a run are held at once: 100 MB a sample for a ResNet-50 at 224x224."""


@dataclass(frozen=True, slots=True)
class StaticCalibration:
    """A graph that is ready for quantization, with the ranges of its activations."""

    source: str
    """Name of the float32 file."""
    model: onnx.ModelProto
    """The graph with everything folded that can be; not to be changed."""
    ranges: Mapping[str, Range]
    """By tensor."""
    skipped: frozenset[str]
    """Names of the nodes on the input side, which stay float."""
    samples: Batch
    """What the ranges were found on, shape (N, …) with N ≥ 1."""


def calibrate(
    source: Path,
    batches: Iterable[Batch],
    *,
    method: CalibrationMethod,
    percentile: float,
    threads: int = 1,
) -> StaticCalibration:
    """Prepare a file and find the ranges of its activations.

    Batch normalization is folded into the layers before. Nothing before the first layer with
    weights (channel expansion, resizing, normalization) gets a range.

    Args:
        source: An exported float32 file with one input and one output.
        batches: Calibration inputs of shape (N, …), float32.
        method: How ranges come from the values seen.
        percentile: Share of values covered, in percent; for Percentile.
        threads: Threads of the runtime while it looks at the samples.

    Raises:
        CalibrationInvalidError: There is no sample, they are all one value, or one of them, or an
            activation on them, is not finite.
        OperatorUnsupportedError: The file has no layer with weights, or an unknown operator.
        OSError: The file cannot be read.
    """
    samples = _join_samples(batches)
    model = onnx.load(source)
    names = name_weights(model)
    if not names:
        raise OperatorUnsupportedError(
            f"{source.name} must have a convolution or a linear layer with constant weights for"
            " static quantization but has none"
        )
    model = prepare_graph(model)
    restore_weight_names(model, names)
    name_weights(model)
    skipped = find_input_side_nodes(model)
    activations = list_activations(model, choose_operators(model), skipped)
    observer = _Observer(model, activations, samples, threads)
    ranges = observer.choose_ranges(method, percentile)
    return StaticCalibration(source.name, model, ranges, skipped, samples)


def write_static(
    calibration: StaticCalibration,
    target: Path,
    *,
    activations: ActivationDtype = ActivationDtype.UINT8,
    per_channel: bool = True,
    keep_float: Collection[str] = (),
) -> QuantizedFile:
    """Write a file with int8 weights and 8-bit activations in QDQ format.

    Signed weights with unsigned activations, at full range, are what ONNX Runtime's fast x86
    kernels take. The input and the scores at the end stay float32, and the batch stays free. The
    target appears under its name only when it is complete.

    Args:
        calibration: Of the float32 file.
        target: Where the quantized file goes.
        activations: uint8 or int8.
        per_channel: One scale per output channel of the weights instead of one per layer.
        keep_float: Names of layers whose weights and sums stay float32. An activation stays so
            only where no quantized layer gives or takes it.

    Returns:
        What the target holds, read back from it.

    Raises:
        OperatorUnsupportedError: No layer can be quantized.
        ValueError: A layer to keep is unknown, or the type of activations has not 8 bits.
        OSError: The file system refuses.
    """
    nodes = find_layer_nodes(calibration.model.graph)
    check_kept(nodes, keep_float)
    kept = {
        entry.node.name
        for entry in nodes
        if entry.layer in keep_float or (per_channel and _is_grouped_transposed(entry.node))
    }
    quantized = insert_qdq(
        calibration.model,
        calibration.ranges,
        activations=activations,
        per_channel=per_channel,
        operators=choose_operators(calibration.model),
        skipped=calibration.skipped | kept,
    )
    restored = restore_float_output(quantized, original=calibration.model)
    protect_float_layers(restored, kept)
    with staged(target) as temporary:
        temporary.write_bytes(restored.SerializeToString())
        found = inspect_quantized(temporary)
        if not found.quantized_layers:
            raise OperatorUnsupportedError(
                f"{calibration.source} must have a layer that can be quantized but has none"
                f"{describe_exception(keep_float)}"
            )
    return replace(found, path=target)


def _is_grouped_transposed(node: onnx.NodeProto) -> bool:
    # The groups share channels of the weights, so scales per channel do not fit the bias.
    return node.op_type == "ConvTranspose" and read_integer(node, "group", 1) > 1


def split_batches(model: onnx.ModelProto, samples: Batch) -> Iterator[Batch]:
    """Yield the samples in parts that are small enough to hold all their activations.

    A graph with a fixed batch gets parts of this size; the last one is filled up by repetition.
    """
    fixed = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    size = fixed or _SAMPLES_PER_RUN
    for start in range(0, len(samples), size):
        part = samples[start : start + size]
        yield np.resize(part, (fixed or len(part), *part.shape[1:]))


def _join_samples(batches: Iterable[Batch]) -> Batch:
    parts = [batch for batch in batches if batch.size > 0]
    if not parts:
        raise CalibrationInvalidError("calibration needs at least one sample but there is none")
    samples = np.concatenate(parts)
    lowest, highest = float(samples.min()), float(samples.max())
    if not np.isfinite([lowest, highest]).all():
        raise CalibrationInvalidError(
            f"calibration samples must be finite but lie between {lowest} and {highest}"
        )
    if lowest == highest:
        raise CalibrationInvalidError(
            f"calibration samples must differ but every value is {lowest:g}"
        )
    return samples


class _Observer:
    """Looks at every activation that will get a range."""

    def __init__(
        self, model: onnx.ModelProto, names: Sequence[str], samples: Batch, threads: int
    ) -> None:
        self._runner = GraphRunner(_expose(model, names), threads)
        self._model = model
        self._names = names
        self._samples = samples

    def choose_ranges(self, method: CalibrationMethod, percentile: float) -> dict[str, Range]:
        extremes = {name: Extremes(np.inf, -np.inf) for name in self._names}
        for values in self._run():
            extremes = {name: extremes[name].widen(values[name]) for name in self._names}
        _check_finite(extremes)
        counts = {name: np.zeros(1, np.int64) for name in self._names}
        for values in self._run() if method is not CalibrationMethod.MIN_MAX else ():
            for name in self._names:
                counts[name] = counts[name] + count_magnitudes(
                    values[name], extremes[name].magnitude
                )
        return {
            name: choose_range(method, extremes[name], counts[name], percentile=percentile)
            for name in self._names
        }

    def _run(self) -> Iterator[dict[str, Batch]]:
        source = self._model.graph.input[0].name
        for batch in split_batches(self._model, self._samples):
            outputs = self._runner.run(self._names, {source: batch})
            yield dict(zip(self._names, outputs, strict=True))


def _check_finite(extremes: Mapping[str, Extremes]) -> None:
    for name, seen in extremes.items():
        if not np.isfinite(seen.magnitude):
            raise CalibrationInvalidError(
                f"activations must be finite on calibration samples but {name} reaches"
                f" {seen.lowest}…{seen.highest}"
            )


def _expose(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    known = {value.name for value in exposed.graph.output}
    for name in names:
        if name not in known:
            exposed.graph.output.append(onnx.ValueInfoProto(name=name))
    return exposed

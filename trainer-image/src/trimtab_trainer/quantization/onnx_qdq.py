"""SEAM: ONNX Runtime's static quantization to QDQ, with ranges that are chosen here.

Called by stage quantize with an exported file. The runtime prepares the graph, runs it for the
values and inserts the QuantizeLinear and DequantizeLinear nodes; which samples it sees is decided
in `calibration`, which ranges are taken from them in `ranges`, whether the result is kept by the
caller.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime import quantization as ort_quantization
from onnxruntime.quantization import calibrate, registry
from onnxruntime.quantization.shape_inference import quant_pre_process

from trimtab_api.v1alpha1.quantize import CalibrationMethod
from trimtab_trainer.errors import UserError
from trimtab_trainer.quantization.graph import (
    find_input_side_nodes,
    list_activations,
    restore_float_output,
)
from trimtab_trainer.quantization.inspection import QuantizedFile, inspect_quantized
from trimtab_trainer.quantization.ranges import Extremes, Range, choose_range, count_magnitudes
from trimtab_trainer.storage.filesystem import staged

__all__ = ["quantize_static"]

Batch = NDArray[np.float32]

_SAMPLES_PER_RUN = 8
"""All activations of a run are held at once: 100 MB a sample for a ResNet-50 at 224x224."""

_OPERATORS = frozenset(registry.QLinearOpsRegistry) | frozenset(registry.QDQRegistry)


def quantize_static(
    source: Path,
    target: Path,
    *,
    batches: Iterable[Batch],
    method: CalibrationMethod,
    percentile: float,
    per_channel: bool,
    threads: int = 1,
) -> QuantizedFile:
    """Quantize weights to int8 and activations to uint8.

    Signed weights with unsigned activations, at full range, are what ONNX Runtime's fast x86
    kernels take. Batch normalization is folded into the layers before. The input side (channel
    expansion, resizing, normalization), the input and the scores at the end stay float32, and the
    batch stays free. The target appears under its name only when it is complete.

    Args:
        source: An exported float32 file with one input and one output.
        target: Where the quantized file goes.
        batches: Calibration inputs of shape (N, …), float32.
        method: How ranges come from the values seen.
        percentile: Share of values covered, in percent; for Percentile.
        per_channel: One scale per output channel of the weights instead of one per layer.
        threads: Threads of the runtime while it looks at the samples.

    Returns:
        What the target holds, read back from it.

    Raises:
        UserError: There is no calibration sample, they are all one value, or one of them, or an
            activation on them, is not finite.
    """
    samples = _check_samples(list(batches))
    with TemporaryDirectory(prefix="trimtab-quantize-") as folder, _silence():
        prepared, cache = Path(folder, "prepared.onnx"), Path(folder, "ranges.json")
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        model = onnx.load(prepared)
        skipped = find_input_side_nodes(model)
        names = list_activations(model, _OPERATORS, skipped)
        observer = _Observer(model, names, samples, threads)
        _write_ranges(cache, observer.choose_ranges(method, percentile))
        with staged(target) as temporary:
            ort_quantization.quantize_static(
                prepared,
                temporary,
                calibration_cache_path=cache,
                activation_type=ort_quantization.QuantType.QUInt8,
                weight_type=ort_quantization.QuantType.QInt8,
                per_channel=per_channel,
                reduce_range=False,
                op_types_to_quantize=sorted(_OPERATORS),
                nodes_to_exclude=sorted(skipped),
            )
            onnx.save(restore_float_output(onnx.load(temporary), original=model), temporary)
    return inspect_quantized(target)


def _check_samples(batches: Sequence[Batch]) -> Sequence[Batch]:
    values = [batch for batch in batches if batch.size > 0]
    if not values:
        raise UserError("calibration needs at least one sample but there is none")
    lowest = min(float(batch.min()) for batch in values)
    highest = max(float(batch.max()) for batch in values)
    if not np.isfinite([lowest, highest]).all():
        raise UserError(
            f"calibration samples must be finite but lie between {lowest} and {highest}"
        )
    if lowest == highest:
        raise UserError(f"calibration samples must differ but every value is {lowest:g}")
    return values


@contextmanager
def _silence() -> Iterator[None]:
    # ONNX Runtime writes advice for its own command line to the root logger.
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


class _Observer:
    """Runs the unoptimized graph and looks at every activation that will get a range."""

    def __init__(
        self, model: onnx.ModelProto, names: Sequence[str], samples: Sequence[Batch], threads: int
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Fusions would hide activations from us.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = onnxruntime.InferenceSession(
            _expose(model, names).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name
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
        for batch in self._samples:
            for start in range(0, len(batch), _SAMPLES_PER_RUN):
                inputs = {self._input: batch[start : start + _SAMPLES_PER_RUN]}
                outputs = self._session.run(list(self._names), inputs)
                yield dict(zip(self._names, outputs, strict=True))


def _check_finite(extremes: Mapping[str, Extremes]) -> None:
    for name, seen in extremes.items():
        if not np.isfinite(seen.magnitude):
            raise UserError(
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


def _write_ranges(cache: Path, ranges: Mapping[str, Range]) -> None:
    data = {
        name: (np.float32(chosen.lowest), np.float32(chosen.highest))
        for name, chosen in ranges.items()
    }
    method = calibrate.CalibrationMethod.MinMax
    calibrate.save_tensors_data(calibrate.TensorsData(method, data), cache)

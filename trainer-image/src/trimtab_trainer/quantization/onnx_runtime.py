"""SEAM: ONNX Runtime as the preparer, runner and quantizer of a graph.

Called by static quantization and by the measurement of layers. The runtime optimizes a graph, runs
it for the values of its tensors and inserts QuantizeLinear and DequantizeLinear nodes; what is
quantized, and to which ranges, is decided by the callers.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime import quantization as ort_quantization
from onnxruntime.quantization import calibrate
from onnxruntime.quantization.shape_inference import quant_pre_process

from trimtab_api.v1alpha1.quantize import ActivationDtype
from trimtab_trainer.errors import OperatorUnsupportedError
from trimtab_trainer.quantization.ranges import Range

__all__ = ["GraphRunner", "insert_qdq", "prepare_graph"]

_LONGEST_CAUSE = 200

_ACTIVATION_TYPES = {
    ActivationDtype.UINT8: ort_quantization.QuantType.QUInt8,
    ActivationDtype.INT8: ort_quantization.QuantType.QInt8,
}


def prepare_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold batch normalizations and constants, in operators that every runtime knows.

    Raises:
        OperatorUnsupportedError: The runtime does not know an operator.
    """
    with TemporaryDirectory(prefix="trimtab-prepare-") as folder, _runtime_call():
        source, prepared = Path(folder, "source.onnx"), Path(folder, "prepared.onnx")
        onnx.save(model, source)
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        return onnx.load(prepared)


class GraphRunner:
    """Runs a graph as it is written: fusions would hide tensors from us."""

    def __init__(self, model: onnx.ModelProto, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        with _runtime_call():
            self._session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )

    def run(
        self, tensors: Sequence[str], inputs: Mapping[str, NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """Return the values of graph outputs, in this order."""
        values: list[NDArray[np.float32]] = self._session.run(list(tensors), dict(inputs))
        return values


def insert_qdq(
    model: onnx.ModelProto,
    ranges: Mapping[str, Range],
    *,
    activations: ActivationDtype,
    per_channel: bool,
    operators: Collection[str],
    skipped: Collection[str],
) -> onnx.ModelProto:
    """Put 8-bit weights and activations into a graph, in QDQ format.

    Args:
        model: A prepared graph, left as it is.
        ranges: Of every activation that is quantized.
        activations: uint8 or int8; weights are symmetric int8 at full range.
        per_channel: One scale per output channel of the weights instead of one per layer.
        operators: Types of the nodes that get 8 bits.
        skipped: Names of those that stay float.

    Raises:
        OperatorUnsupportedError: The runtime cannot quantize the graph.
        ValueError: The type of activations has not 8 bits.
    """
    if activations not in _ACTIVATION_TYPES:
        raise ValueError(f"activations must be uint8 or int8 but are {activations}")
    with TemporaryDirectory(prefix="trimtab-quantize-") as folder, _runtime_call():
        source, cache, target = (
            Path(folder, name) for name in ("source.onnx", "ranges.json", "target.onnx")
        )
        onnx.save(model, source)
        _write_ranges(cache, ranges)
        ort_quantization.quantize_static(
            source,
            target,
            calibration_cache_path=cache,
            activation_type=_ACTIVATION_TYPES[activations],
            weight_type=ort_quantization.QuantType.QInt8,
            per_channel=per_channel,
            reduce_range=False,
            op_types_to_quantize=sorted(operators),
            nodes_to_exclude=sorted(skipped),
        )
        return onnx.load(target)


@contextmanager
def _runtime_call() -> Iterator[None]:
    # ONNX Runtime writes advice for its own command line to the root logger.
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        cause = " ".join(str(error).split())[:_LONGEST_CAUSE]
        raise OperatorUnsupportedError(
            f"the graph must hold operators that ONNX Runtime can quantize but: {cause}"
        ) from error
    finally:
        logging.disable(before)


def _write_ranges(cache: Path, ranges: Mapping[str, Range]) -> None:
    data = {
        name: (np.float32(chosen.lowest), np.float32(chosen.highest))
        for name, chosen in ranges.items()
    }
    method = calibrate.CalibrationMethod.MinMax
    calibrate.save_tensors_data(calibrate.TensorsData(method, data), cache)

"""SEAM: ONNX Runtime inference, as a runner."""

import re
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from typing_extensions import override

from trimtab_api.v1alpha1.goals import TargetDevice
from trimtab_trainer.benchmarking.runners._base import AbstractRunner, RunnerInput, describe_cause
from trimtab_trainer.errors import ExportFailedError

__all__ = ["OnnxRunner"]

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
}
_REFUSED_OPERATOR = re.compile(
    r"(?:In Node, \(\"[^\"]*\", |Could not find an implementation for |of operator \()(\w+)"
)


class OnnxRunner(AbstractRunner):
    """One file in a session of its own."""

    def __init__(self, path: Path, *, threads: int, device: TargetDevice) -> None:
        """Load the file.

        Args:
            path: An ONNX file with one input and one output.
            threads: Threads inside an operator; operators run one after another.
            device: CUDA is used where this build of the runtime has it.

        Raises:
            ExportFailedError: The runtime refuses the file; names the operator where it tells.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads spin while a run lasts, as they do by default: without that, p50 of two threads
        # is 20 to 90 % higher and jumps. They stop at its end: sessions that take turns would
        # slow each other down by threads that spin on.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=_choose_providers(device)
            )
        except Exception as error:
            raise ExportFailedError(_describe_refusal(path, error)) from error
        given = self._session.get_inputs()[0]
        # A session falls back by itself where a provider cannot start.
        on_cuda = self._session.get_providers()[0] == _CUDA
        super().__init__(
            RunnerInput(
                name=given.name,
                shape=tuple(size if isinstance(size, int) else None for size in given.shape),
                dtype=_DTYPES.get(given.type, given.type),
            ),
            TargetDevice.CUDA if on_cuda else TargetDevice.CPU,
        )

    @override
    def run(self, inputs: NDArray[np.generic]) -> NDArray[np.generic]:
        try:
            outputs: list[NDArray[np.generic]] = self._session.run(None, {self._input.name: inputs})
        except Exception as error:
            raise ExportFailedError(f"ONNX Runtime fails: {describe_cause(error)}") from error
        return outputs[0]


def _choose_providers(device: TargetDevice) -> list[str]:
    wanted = [_CUDA, _CPU] if device is TargetDevice.CUDA else [_CPU]
    available = onnxruntime.get_available_providers()
    return [name for name in wanted if name in available]


def _describe_refusal(path: Path, error: Exception) -> str:
    match = _REFUSED_OPERATOR.search(str(error))
    operator = f"operator {match[1]} of " if match else ""
    return f"ONNX Runtime refuses {operator}{path.name}: {describe_cause(error)}"

"""SEAM: ONNX Runtime inference, as a plain callable.

Called by evaluation and parity with torch tensors and by the measuring process with arrays. It
does not import torch itself: the measuring process shall hold the runtime and the model only.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from trimtab_trainer.errors import ExportFailedError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["OnnxRunner"]

_INPUT_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}
_REFUSED_OPERATOR = re.compile(
    r"(?:In Node, \(\"[^\"]*\", |Could not find an implementation for |of operator \()(\w+)"
)
_LONGEST_CAUSE = 200


class OnnxRunner:
    """One file in a session of its own; calls are safe from one thread at a time."""

    def __init__(self, path: Path, threads: int) -> None:
        """Load the file.

        Args:
            path: An ONNX file with one input and one output.
            threads: Threads inside an operator; operators run one after another.

        Raises:
            ExportFailedError: The runtime refuses the file; names the operator where it tells.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Sessions that take turns must not slow each other down by threads that spin on.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ExportFailedError(_describe_refusal(path, error)) from error
        self._input = self._session.get_inputs()[0]

    def __call__(self, inputs: "Tensor") -> "Tensor":
        """Return the output for inputs of shape (N, …), on the device of the inputs.

        Raises:
            ExportFailedError: The runtime cannot run the file on these inputs.
        """
        return inputs.new_tensor(self.run(inputs.numpy(force=True)))

    def run(self, inputs: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return the output for inputs of shape (N, …).

        Raises:
            ExportFailedError: The runtime cannot run the file on these inputs.
        """
        try:
            outputs: list[NDArray[np.generic]] = self._session.run(None, {self._input.name: inputs})
        except Exception as error:
            raise ExportFailedError(f"ONNX Runtime fails: {_describe_cause(error)}") from error
        return outputs[0]

    def make_inputs(self, batch_size: int) -> NDArray[np.generic]:
        """Return a batch that the file takes: random in 0…1, the same at every call; integers 0.

        Raises:
            ExportFailedError: A dimension besides the batch is free, or the type is another one.
        """
        shape, dtype = self._input.shape[1:], _INPUT_DTYPES.get(self._input.type)
        if dtype is None or not all(isinstance(size, int) for size in shape):
            raise ExportFailedError(
                f"input {self._input.name} must have fixed sizes besides the batch and a type among"
                f" {sorted(_INPUT_DTYPES)} but is {self._input.type} of shape {self._input.shape}"
            )
        if np.issubdtype(dtype, np.integer):
            return np.zeros((batch_size, *shape), dtype)
        return np.random.default_rng(0).random((batch_size, *shape)).astype(dtype)


def _describe_refusal(path: Path, error: Exception) -> str:
    match = _REFUSED_OPERATOR.search(str(error))
    operator = f"operator {match[1]} of " if match else ""
    return f"ONNX Runtime refuses {operator}{path.name}: {_describe_cause(error)}"


def _describe_cause(error: Exception) -> str:
    return " ".join(str(error).split())[:_LONGEST_CAUSE]

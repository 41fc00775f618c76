"""What a runner is: one exported file, loaded into its runtime, as a callable.

Evaluation and parity call it with torch tensors, the measuring process with arrays. Nothing here
imports torch at its start: the measuring process shall hold one runtime and the model only.
"""

import importlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trimtab_api.v1alpha1.goals import TargetDevice
from trimtab_trainer.errors import ExportFailedError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["AbstractRunner", "RunnerInput", "describe_cause"]

_FLOATS = frozenset({"float32", "float64"})
_INTEGERS = frozenset({"int32", "int64"})
_LONGEST_CAUSE = 200


@dataclass(frozen=True, slots=True)
class RunnerInput:
    """The one input of a file."""

    name: str
    shape: tuple[int | None, ...]
    """The batch first; None = free."""
    dtype: str
    """In NumPy's words, such as float32; a type that NumPy lacks in the runtime's."""


class AbstractRunner(ABC):
    """One file in a runtime of its own; calls are safe from one thread at a time."""

    def __init__(self, given: RunnerInput, device: TargetDevice) -> None:
        """Note what the file takes and where it really runs."""
        self._input = given
        self.device = device
        """Where the runtime computes, which is the CPU where it has nothing else."""

    @abstractmethod
    def run(self, inputs: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return the output for inputs of shape (N, …), with the N that the file takes.

        Raises:
            ExportFailedError: The runtime cannot run the file on these inputs.
        """

    def __call__(self, inputs: "Tensor") -> "Tensor":
        """Return the output for inputs of shape (N, …), on the device of the inputs.

        A file that takes a fixed number of samples runs as often as it takes; its last batch is
        filled up with copies of the last sample.

        Raises:
            ExportFailedError: The runtime cannot run the file on these inputs.
        """
        outputs = self._run_in_pieces(inputs.numpy(force=True))
        output: Tensor = importlib.import_module("torch").from_numpy(outputs)
        return output.to(inputs.device)

    def make_inputs(self, batch_size: int) -> NDArray[np.generic]:
        """Return a batch that the file takes: random in 0…1, the same at every call; integers 0.

        Raises:
            ExportFailedError: The file takes another batch size, a dimension besides the batch
                is free, or the type is another one.
        """
        name, (batch, *shape), dtype = self._input.name, self._input.shape, self._input.dtype
        sizes = [size for size in shape if size is not None]
        if dtype not in _FLOATS | _INTEGERS or len(sizes) < len(shape):
            raise ExportFailedError(
                f"input {name} must have fixed sizes besides the batch and a type among "
                f"{sorted(_FLOATS | _INTEGERS)} but is {dtype} of shape {self._input.shape}"
            )
        if batch not in {None, batch_size}:
            raise ExportFailedError(
                f"input {name} takes {batch} samples at once but {batch_size} were asked for"
            )
        if dtype in _INTEGERS:
            return np.zeros((batch_size, *sizes), dtype)
        return np.random.default_rng(0).random((batch_size, *sizes)).astype(dtype)

    def _run_in_pieces(self, inputs: NDArray[np.generic]) -> NDArray[np.generic]:
        size = self._input.shape[0]
        if size is None or len(inputs) == size:
            return self.run(inputs)
        padding = np.repeat(inputs[-1:], -len(inputs) % size, axis=0)
        pieces = np.split(np.concatenate([inputs, padding]), (len(inputs) + len(padding)) // size)
        return np.concatenate([self.run(piece) for piece in pieces])[: len(inputs)]


def describe_cause(error: Exception) -> str:
    """Return the text of a runtime's error in one short line."""
    return " ".join(str(error).split())[:_LONGEST_CAUSE]

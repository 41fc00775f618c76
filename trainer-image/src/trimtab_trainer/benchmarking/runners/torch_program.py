"""Programs of torch.export, as a runner."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram
from torch.export.passes import move_to_device_pass
from typing_extensions import override

from trimtab_api.v1alpha1.goals import TargetDevice
from trimtab_trainer.benchmarking.runners._base import AbstractRunner, RunnerInput, describe_cause
from trimtab_trainer.errors import ExportFailedError
from trimtab_trainer.torch_kernels import limit_kernels

__all__ = ["TorchProgramRunner"]


class TorchProgramRunner(AbstractRunner):
    """One program; PyTorch's threads are those of the whole process."""

    def __init__(self, path: Path, *, threads: int, device: TargetDevice) -> None:
        """Load the file.

        Args:
            path: A .pt2 file with one input and one output.
            threads: Threads inside an operator, for everything in this process.
            device: CUDA is used where there is one.

        Raises:
            ExportFailedError: PyTorch refuses the file.
        """
        limit_kernels()
        torch.set_num_threads(threads)
        actual = device if torch.cuda.is_available() else TargetDevice.CPU
        try:
            # Opened here, since torch answers a file that is not there as it does a broken one.
            with path.open("rb") as file:
                program = torch.export.load(file)
            given = _describe_input(program)
            if actual is not TargetDevice.CPU:
                # Also moves what the program makes by itself, which `module().to` would not.
                program = move_to_device_pass(program, actual.value)
            self._module = program.module()
        except Exception as error:
            raise ExportFailedError(
                f"PyTorch refuses {path.name}: {describe_cause(error)}"
            ) from error
        super().__init__(given, actual)

    @override
    def run(self, inputs: NDArray[np.generic]) -> NDArray[np.generic]:
        try:
            with torch.inference_mode():
                output = self._module(torch.from_numpy(inputs).to(self.device.value))
            outputs: NDArray[np.generic] = output.numpy(force=True)
        except Exception as error:
            raise ExportFailedError(f"PyTorch fails: {describe_cause(error)}") from error
        return outputs


def _describe_input(program: ExportedProgram) -> RunnerInput:
    name = str(program.graph_signature.user_inputs[0])
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    value = values[name]
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"input {name} must be a tensor but is {type(value).__name__}")
    return RunnerInput(
        name=name,
        # A free size is a symbol such as s77.
        shape=tuple(int(size) if str(size).isdecimal() else None for size in value.shape),
        dtype=str(value.dtype).removeprefix("torch."),
    )

"""Which runtime takes a file: chosen by its suffix.

Called by whoever runs an exported file. Only the runtime that is needed is imported: the others
would cost time, and memory that the measuring process would count.
"""

import importlib
from pathlib import Path

from trimtab_api.v1alpha1.goals import TargetDevice
from trimtab_trainer.benchmarking.runners._base import AbstractRunner

__all__ = ["open_runner"]

_RUNNERS = {
    ".onnx": ("onnx_session", "OnnxRunner"),
    ".pt2": ("torch_program", "TorchProgramRunner"),
    ".xml": ("openvino_model", "OpenVinoRunner"),
}


def open_runner(
    path: Path, *, threads: int, device: TargetDevice = TargetDevice.CPU
) -> AbstractRunner:
    """Load a file into its runtime.

    Args:
        path: An .onnx, .pt2 or .xml file with one input and one output.
        threads: Threads inside an operator; operators run one after another. PyTorch has one
            such number per process, which this sets.
        device: Where to compute if the runtime can; `runner.device` tells where it does.

    Raises:
        ExportFailedError: The runtime refuses the file; names the operator where it tells.
        ValueError: No runtime takes files of this suffix.
    """
    if path.suffix not in _RUNNERS:
        raise ValueError(f"a file to run must be one of {sorted(_RUNNERS)} but is {path.name}")
    module, name = _RUNNERS[path.suffix]
    found = importlib.import_module(f"trimtab_trainer.benchmarking.runners.{module}")
    runner: AbstractRunner = getattr(found, name)(path, threads=threads, device=device)
    return runner

"""OpenVINO inference, as a runner; the library comes through its seam."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from trimtab_api.v1alpha1.goals import TargetDevice
from trimtab_trainer.benchmarking.runners._base import AbstractRunner, RunnerInput
from trimtab_trainer.errors import ExportFailedError
from trimtab_trainer.openvino_library import describe_error, load_openvino, read_precision

__all__ = ["OpenVinoRunner"]


class OpenVinoRunner(AbstractRunner):
    """One IR, compiled for this machine, in a request of its own."""

    def __init__(self, path: Path, *, threads: int, device: TargetDevice) -> None:
        """Load the file and compile it for the type that it says.

        Args:
            path: The .xml file of an IR with one input and one output.
            threads: Threads inside an operator; operators run one after another.
            device: OpenVINO knows no CUDA, so this is the CPU whatever is asked for.

        Raises:
            ExportFailedError: OpenVINO refuses the file.
        """
        del device
        core = load_openvino().Core()
        try:
            model = core.read_model(path)
            settings = {
                "INFERENCE_PRECISION_HINT": read_precision(model).value,
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
                # The measuring process has chosen its CPUs already.
                "ENABLE_CPU_PINNING": False,
            }
            self._request = core.compile_model(model, "CPU", settings).create_infer_request()
        except Exception as error:
            raise ExportFailedError(
                f"OpenVINO refuses {path.name}: {describe_error(error)}"
            ) from error
        given = model.input(0)
        super().__init__(
            RunnerInput(
                name=given.any_name,
                shape=tuple(
                    size.get_length() if size.is_static else None for size in given.partial_shape
                ),
                dtype=str(np.dtype(given.element_type.to_dtype())),
            ),
            TargetDevice.CPU,
        )

    @override
    def run(self, inputs: NDArray[np.generic]) -> NDArray[np.generic]:
        try:
            # Sharing checks the shape first: with one thread OpenVINO loses errors of the run.
            found = self._request.infer([inputs], share_inputs=True)
            outputs: NDArray[np.generic] = found[0]
        except Exception as error:
            raise ExportFailedError(f"OpenVINO fails: {describe_error(error)}") from error
        return outputs

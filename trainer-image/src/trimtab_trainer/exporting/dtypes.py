"""Which types weights and activations have in an exported file, read back from the file itself.

Called by the stages for the report; it believes nothing that was asked for. ONNX files are read
where they are quantized, by `quantization.inspection`.
"""

from pathlib import Path

from trimtab_trainer.exporting.artifact import FileDtypes
from trimtab_trainer.exporting.openvino_ir import inspect_ir
from trimtab_trainer.exporting.torch_program import inspect_program

__all__ = ["inspect_dtypes"]

_READERS = {".pt2": inspect_program, ".xml": inspect_ir}


def inspect_dtypes(path: Path) -> FileDtypes:
    """Return the types in a .pt2 file or an OpenVINO IR.

    Raises:
        ExportFailedError: The file's runtime refuses it.
        OSError: It cannot be read.
        ValueError: It has another suffix.
    """
    reader = _READERS.get(path.suffix)
    if reader is None:
        raise ValueError(f"types are read from {sorted(_READERS)} files but this is {path.name}")
    return reader(path)

"""From an ONNX file to an OpenVINO IR, an .xml file with its .bin beside it, and back to its types.

Called by the stages for targets that run OpenVINO, with float files and with quantized ones. It
converts what ONNX holds and leaves to OpenVINO how that is computed; whether the outputs still
agree is left to `parity`.
"""

import re
import tempfile
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from trimtab_trainer.errors import ExportFailedError
from trimtab_trainer.exporting.artifact import (
    ExportedFile,
    FileDtypes,
    artifact_files,
    describe_file,
)
from trimtab_trainer.openvino_library import (
    InferencePrecision,
    describe_error,
    load_openvino,
    note_precision,
    read_precision,
)
from trimtab_trainer.storage.filesystem import atomic_write, remove

__all__ = ["IrWeights", "convert_openvino", "inspect_ir"]

_DTYPE_NAMES = {"f64": "fp64", "f32": "fp32", "f16": "fp16", "i8": "int8", "u8": "uint8"}
_PRECISION_NAMES = {InferencePrecision.F32: "fp32", InferencePrecision.BF16: "bf16"}
_COMPUTE_OPERATORS = frozenset(
    {
        "Convolution",
        "ConvolutionBackpropData",
        "GroupConvolution",
        "GroupConvolutionBackpropData",
        "MatMul",
    }
)
_DEQUANTIZING_OPERATORS = frozenset({"Convert", "Multiply", "Subtract"})
_RESHAPING_OPERATORS = frozenset({"Reshape", "Transpose", "Squeeze", "Unsqueeze"})
_UNSUPPORTED_OPERATOR = re.compile(r"No conversion rule found for operations: (\S+)")


class IrWeights(StrEnum):
    """How float weights are stored; weights of 8 bits stay as they are."""

    FP32 = "fp32"
    FP16 = "fp16"


def convert_openvino(
    source_onnx: Path,
    path: Path,
    *,
    weights: IrWeights,
    precision: InferencePrecision,
) -> ExportedFile:
    """Write an ONNX file as OpenVINO IR.

    The .xml file appears under its name only when it and its .bin are complete, and says how it
    must be run: `trimtab/inference_precision` in its `rt_info`.

    Args:
        source_onnx: The file to convert.
        path: Where the .xml file goes; the .bin lies beside it.
        weights: How float weights are stored.
        precision: The type that float layers must be computed in.

    Returns:
        The artifact with hash and sizes over both files.

    Raises:
        ExportFailedError: OpenVINO refuses the file; names the operators that it does not know.
        ValueError: The path does not end in .xml.
    """
    if path.suffix != ".xml":
        raise ValueError(f"an OpenVINO IR must be named *.xml but is named {path.name}")
    openvino = load_openvino()
    # Through a folder of this machine: OpenVINO hides the error of a full disk.
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "model.xml"
        try:
            model = openvino.Core().read_model(source_onnx)
            note_precision(model, precision)
            openvino.save_model(model, written, compress_to_fp16=weights is IrWeights.FP16)
        except Exception as error:
            raise ExportFailedError(_describe_refusal(source_onnx, error)) from error
        # Without its .xml a .bin is nothing, so an older one goes first and the new one comes last.
        remove(path)
        for target, part in reversed(
            list(zip(artifact_files(path), artifact_files(written), strict=True))
        ):
            atomic_write(target, part.read_bytes())
    return describe_file(path)


def inspect_ir(path: Path) -> FileDtypes:
    """Read the types of weights and activations back from an IR.

    Float layers compute in the type that the file says.

    Args:
        path: The .xml file.

    Raises:
        ExportFailedError: OpenVINO refuses the file.
    """
    try:
        model = load_openvino().Core().read_model(path)
        pairs = set(_find_dtypes(model, _PRECISION_NAMES[read_precision(model)]))
    except Exception as error:
        raise ExportFailedError(_describe_refusal(path, error)) from error
    return FileDtypes(
        weight_dtypes=tuple(sorted({weights for weights, _ in pairs})),
        activation_dtypes=tuple(sorted({activations for _, activations in pairs})),
    )


def _find_dtypes(model: Any, float_dtype: str) -> Iterator[tuple[str, str]]:
    for layer in model.get_ops():
        if layer.get_type_name() not in _COMPUTE_OPERATORS:
            continue
        operands = [layer.input_value(index) for index in range(2)]
        stored = [_find_stored_dtype(operand) for operand in operands]
        for operand, weights in zip(reversed(operands), stored, strict=True):
            if weights is not None:
                yield weights, _find_quantized_dtype(operand) or float_dtype


def _find_stored_dtype(value: Any) -> str | None:
    # Weights are constants behind what decompresses and reshapes them.
    node = value.get_node()
    while node.get_type_name() in _DEQUANTIZING_OPERATORS | _RESHAPING_OPERATORS:
        value = node.input_value(0)
        node = value.get_node()
    return _name_dtype(value) if node.get_type_name() == "Constant" else None


def _find_quantized_dtype(value: Any) -> str | None:
    # Quantized activations were converted to 8 bits and back right before the layer.
    node = value.get_node()
    while node.get_type_name() in _DEQUANTIZING_OPERATORS:
        if (name := _name_dtype(value)) in {"int8", "uint8"}:
            return name
        value = node.input_value(0)
        node = value.get_node()
    return None


def _name_dtype(value: Any) -> str:
    name: str = value.get_element_type().to_string()
    return _DTYPE_NAMES.get(name, name)


def _describe_refusal(path: Path, error: Exception) -> str:
    match = _UNSUPPORTED_OPERATOR.search(str(error))
    operators = f"operator {match[1].strip()} of " if match else ""
    return f"OpenVINO refuses {operators}{path.name}: {describe_error(error)}"

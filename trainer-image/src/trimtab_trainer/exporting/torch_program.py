"""From a torch module to a .pt2 file, a program of torch.export, and back to its types.

Called by the stages for targets that run PyTorch. The file runs with torch alone, on the device
that its reader moves it to. Whether the outputs still agree is left to `parity`.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import Node

from trimtab_trainer.errors import ExportFailedError
from trimtab_trainer.exporting.artifact import ExportedFile, FileDtypes, describe_file
from trimtab_trainer.exporting.tracing import describe_cause, silenced, trace_network
from trimtab_trainer.storage.filesystem import atomic_write

__all__ = ["export_pt2", "inspect_program"]

_DTYPE_NAMES = {
    torch.float64: "fp64",
    torch.float32: "fp32",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.int8: "int8",
    torch.uint8: "uint8",
}
_COMPUTE_OPERATORS = frozenset(
    {
        "addmm",
        "bmm",
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
        "convolution",
        "linear",
        "matmul",
        "mm",
    }
)
_RESHAPING_OPERATORS = frozenset(
    {
        "_to_copy",
        "flatten",
        "permute",
        "reshape",
        "squeeze",
        "t",
        "to",
        "transpose",
        "unsqueeze",
        "view",
    }
)
_MATRIX = 2


def export_pt2(
    model: nn.Module, *, example: Tensor, path: Path, batch: int | None = None
) -> ExportedFile:
    """Write the model, as it is in evaluation mode, as a program of torch.export.

    The file appears under its name only when it is complete. It holds neither the example nor
    notes about source files; the same model and shape give the same bytes. The given model is not
    changed.

    Args:
        model: Takes one tensor, returns one tensor.
        example: An input of shape (N, …), with N ≥ 2 for a free batch; only its shape and dtype
            matter.
        path: Where the file goes; its folder exists.
        batch: Number of samples that the file takes; None = any number.

    Returns:
        The file with its hash and sizes.

    Raises:
        ExportFailedError: The model cannot be traced or stored; names the module or the cause.
        ValueError: The example holds too few samples.
    """
    program = trace_network(model, example, batch=batch)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    program.example_inputs = None
    # Through memory: the archive notes the name of a file, which is a random one until it is
    # complete, and torch hides the error of a full disk.
    content = io.BytesIO()
    try:
        with silenced():
            torch.export.save(program, content)
    except Exception as error:
        raise ExportFailedError(f"pt2 export: {describe_cause(error)}") from error
    atomic_write(path, content.getvalue())
    return describe_file(path)


def inspect_program(path: Path) -> FileDtypes:
    """Read the types of weights and activations back from a .pt2 file.

    Raises:
        ExportFailedError: PyTorch refuses the file.
        OSError: It cannot be read.
    """
    content = io.BytesIO(path.read_bytes())
    try:
        with silenced():
            program = torch.export.load(content)
    except Exception as error:
        raise ExportFailedError(f"PyTorch refuses {path.name}: {describe_cause(error)}") from error
    pairs = set(_find_dtypes(program))
    return FileDtypes(
        weight_dtypes=tuple(sorted({weights for weights, _ in pairs})),
        activation_dtypes=tuple(sorted({activations for _, activations in pairs})),
    )


def _find_dtypes(program: ExportedProgram) -> Iterator[tuple[str, str]]:
    signature = program.graph_signature
    stored = signature.inputs_to_parameters.keys() | signature.inputs_to_buffers.keys()
    for node in program.graph.nodes:
        if _name_operator(node) not in _COMPUTE_OPERATORS:
            continue
        sources = {operand: _find_source(operand) for operand in node.all_input_nodes}
        weights = [
            source
            for source in sources.values()
            if source.name in stored and source.meta["val"].ndim >= _MATRIX
        ]
        for activations, source in sources.items():
            if weights and source.name not in stored:
                yield _name_dtype(weights[0]), _name_dtype(activations)


def _find_source(node: Node) -> Node:
    while _name_operator(node) in _RESHAPING_OPERATORS:
        node = node.all_input_nodes[0]
    return node


def _name_operator(node: Node) -> str:
    # Such as aten.conv2d.default.
    parts = str(node.target).split(".")
    return parts[1] if node.op == "call_function" and parts[0] == "aten" else ""


def _name_dtype(node: Node) -> str:
    dtype = node.meta["val"].dtype
    return _DTYPE_NAMES.get(dtype, str(dtype).removeprefix("torch."))

"""From a torch module to one self-contained ONNX file.

Called by the stages for the baseline and for every candidate. The module carries its own input
handling (channel expansion, resizing, normalization), so the file takes what the loader gives.
Whether the outputs still agree is left to `parity`, what the file costs to `benchmarking`.
"""

import re
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from trimtab_trainer.errors import ExportFailedError
from trimtab_trainer.exporting.artifact import ExportedFile, describe_file
from trimtab_trainer.exporting.tracing import (
    describe_cause,
    find_calling_module,
    silenced,
    trace_network,
)
from trimtab_trainer.storage.filesystem import atomic_write

__all__ = ["export_onnx"]

_INPUT = "input"
_OUTPUT = "output"
_NAMED_VALUE = re.compile(r"%(\w+)")
_UNSUPPORTED_OPERATOR = re.compile(r"OpOverload\(op='([\w.]+)'")


def export_onnx(
    model: nn.Module, *, example: Tensor, path: Path, opset: int, batch: int | None = None
) -> ExportedFile:
    """Write the model, as it is in evaluation mode, as ONNX.

    The file has one input "input" and one output "output" and holds its weights. It appears
    under its name only when it is complete. Notes of the tracer about source files are left out
    of it. The given model is not changed.

    Args:
        model: Takes one tensor, returns one tensor.
        example: An input of shape (N, …), with N ≥ 2 for a free batch; only its shape and dtype
            matter.
        path: Where the file goes; its folder exists.
        opset: Version of the ONNX operator set.
        batch: Number of samples that the file takes; None = any number.

    Returns:
        The file with its hash and sizes.

    Raises:
        ExportFailedError: The model cannot be traced or converted; names operator and module
            where the exporter tells them.
        ValueError: The example holds too few samples.
    """
    program = trace_network(model, example, batch=batch)
    graph = _convert(program, opset)
    _name_batch_dimension(graph)
    _name_weights(graph.graph, program)
    _drop_source_notes(graph)
    atomic_write(path, graph.SerializeToString())
    return describe_file(path)


def _convert(program: ExportedProgram, opset: int) -> onnx.ModelProto:
    try:
        with silenced(), torch.no_grad():
            converted = torch.onnx.export(
                program,
                input_names=[_INPUT],
                output_names=[_OUTPUT],
                opset_version=opset,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:
        raise ExportFailedError(_describe_conversion_failure(program, error, opset)) from error
    if converted is None:
        raise ExportFailedError("ONNX export: the exporter returned no graph")
    return converted.model_proto


def _describe_conversion_failure(program: ExportedProgram, error: Exception, opset: int) -> str:
    match = _UNSUPPORTED_OPERATOR.search(str(error))
    if match is None:
        return f"ONNX export: conversion to opset {opset} failed: {describe_cause(error)}"
    operator = match[1]
    return (
        f"ONNX export: operator {operator} of module {find_calling_module(program, operator)} "
        f"has no counterpart in opset {opset}; expected operators that ONNX knows"
    )


def _name_batch_dimension(graph: onnx.ModelProto) -> None:
    symbol = graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*graph.graph.input, *graph.graph.output, *graph.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if symbol and dim.dim_param == symbol:
                dim.dim_param = "batch"


def _name_weights(graph: onnx.GraphProto, program: ExportedProgram) -> None:
    """Give weights that the exporter transposed, and numbered, their names back.

    Patterns over the names of modules find layers by them.
    """
    parameters = program.graph_signature.inputs_to_parameters
    taken = {tensor.name for tensor in graph.initializer}
    renamed: dict[str, str] = {}
    for node in graph.node:
        weight = node.input[1] if node.op_type in {"Gemm", "MatMul"} else ""
        if weight not in taken or "." in weight:
            continue
        notes = {note.key: note.value for note in node.metadata_props}
        words = _NAMED_VALUE.findall(notes.get("pkg.torch.onnx.fx_node", ""))
        names = [parameters[word] for word in words if word in parameters]
        found = [name for name in names if program.state_dict[name].ndim > 1 and name not in taken]
        if found:
            renamed[weight] = found[0]
            taken.add(found[0])
    for tensor in graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = renamed.get(name, name)


def _drop_source_notes(graph: onnx.ModelProto) -> None:
    # The exporter notes stack traces with the paths of this machine at every node and value.
    parts = (graph.graph.node, graph.graph.value_info, graph.graph.initializer)
    ends = (graph.graph.input, graph.graph.output)
    for part in (entry for group in (*parts, *ends) for entry in group):
        del part.metadata_props[:]
    del graph.graph.metadata_props[:]

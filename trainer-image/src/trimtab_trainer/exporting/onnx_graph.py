"""From a torch module to one self-contained ONNX file with a dynamic batch.

Called by the stages for the baseline and for every candidate. The module carries its own input
handling (channel expansion, resizing, normalization), so the file takes what the loader gives.
Whether the outputs still agree is left to `parity`, what the file costs to `benchmarking`.
"""

import copy
import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from traceback import walk_tb

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from trimtab_trainer.errors import ExportFailedError
from trimtab_trainer.exporting.artifact import ExportedFile, describe_file
from trimtab_trainer.storage.filesystem import atomic_write

__all__ = ["export_onnx"]

_INPUT = "input"
_OUTPUT = "output"
_SMALLEST_EXAMPLE = 2
"""The tracer takes a batch of one for a constant."""

_NOISY_LOGGERS = ("torch", "onnxscript", "onnx_ir")
_UNSUPPORTED_OPERATOR = re.compile(r"OpOverload\(op='([\w.]+)'")
_ADVICE = re.compile(r"For more information, run with \S+|\n\n.*", re.DOTALL)
_LONGEST_CAUSE = 180


def export_onnx(model: nn.Module, *, example: Tensor, path: Path, opset: int) -> ExportedFile:
    """Write the model, as it is in evaluation mode, as ONNX.

    The file has one input "input" and one output "output", both with a free first dimension, and
    holds its weights. It appears under its name only when it is complete. Notes of the tracer
    about source files are left out of it. The given model is not changed.

    Args:
        model: Takes one tensor, returns one tensor.
        example: An input of shape (N, …) with N ≥ 2; only its shape and dtype matter.
        path: Where the file goes; its folder exists.
        opset: Version of the ONNX operator set.

    Returns:
        The file with its hash and sizes.

    Raises:
        ExportFailedError: The model cannot be traced or converted; names operator and module
            where the exporter tells them.
        ValueError: The example holds fewer than two samples.
    """
    if len(example) < _SMALLEST_EXAMPLE:
        raise ValueError(f"the example must hold at least 2 samples but holds {len(example)}")
    network = copy.deepcopy(model).cpu().eval()
    with _silence(), torch.no_grad():
        program = _trace(network, example.cpu())
        graph = _convert(program, opset)
    _check_signature(graph)
    _name_batch_dimension(graph)
    _drop_source_notes(graph)
    atomic_write(path, graph.SerializeToString())
    return describe_file(path)


@contextmanager
def _silence() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _NOISY_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        # The tracer prints the graph that it has so far when it fails.
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _trace(network: nn.Module, example: Tensor) -> ExportedProgram:
    try:
        return torch.export.export(network, (example,), dynamic_shapes=({0: Dim("batch")},))
    except Exception as error:
        raise ExportFailedError(
            f"ONNX export: module {_find_raising_module(network, error)} cannot be traced with a "
            f"free batch size: {_describe_cause(error)}"
        ) from error


def _find_raising_module(network: nn.Module, error: BaseException) -> str:
    names = {id(module): name or type(module).__name__ for name, module in network.named_modules()}
    innermost = names[id(network)]
    for frame, _ in walk_tb(error.__traceback__):
        innermost = names.get(id(frame.f_locals.get("self")), innermost)
    return innermost


def _convert(program: ExportedProgram, opset: int) -> onnx.ModelProto:
    try:
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
        return f"ONNX export: conversion to opset {opset} failed: {_describe_cause(error)}"
    operator = match[1]
    return (
        f"ONNX export: operator {operator} of module {_find_calling_module(program, operator)} "
        f"has no counterpart in opset {opset}; expected operators that ONNX knows"
    )


def _find_calling_module(program: ExportedProgram, operator: str) -> str:
    # The exporter names the operator after decomposition (prims.bessel_j0), the traced graph
    # the one that the model called (aten.special_bessel_j0): their last words agree.
    word = operator.rsplit(".", maxsplit=1)[-1]
    for node in program.graph.nodes:
        if word in str(node.target):
            stack = node.meta.get("nn_module_stack", {})
            path = [name for name, _ in stack.values()]
            return path[-1] if path and path[-1] else "(root)"
    return "(unknown)"


def _describe_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(_ADVICE.sub("", str(error)).split())
    return f"{type(error).__name__}: {text}"[:_LONGEST_CAUSE]


def _check_signature(graph: onnx.ModelProto) -> None:
    outputs = list(graph.graph.output)
    if len(outputs) != 1:
        raise ExportFailedError(
            f"ONNX export: the model must return one tensor but returns {len(outputs)}"
        )
    for value in (*graph.graph.input, *outputs):
        shape = value.type.tensor_type.shape.dim
        if not shape or not shape[0].dim_param:
            raise ExportFailedError(
                f"ONNX export: the first dimension of {value.name} must be the free batch size but "
                f"its shape is {[dim.dim_param or dim.dim_value for dim in shape]}"
            )


def _name_batch_dimension(graph: onnx.ModelProto) -> None:
    symbol = graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*graph.graph.input, *graph.graph.output, *graph.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == symbol:
                dim.dim_param = "batch"


def _drop_source_notes(graph: onnx.ModelProto) -> None:
    # The exporter notes stack traces with the paths of this machine at every node and value.
    parts = (graph.graph.node, graph.graph.value_info, graph.graph.initializer)
    ends = (graph.graph.input, graph.graph.output)
    for part in (entry for group in (*parts, *ends) for entry in group):
        del part.metadata_props[:]
    del graph.graph.metadata_props[:]

"""From a torch module to a program of torch.export: the first step of every format.

Called by the exporters to ONNX and pt2. What a program becomes is left to them; here it is made
sure that it takes one tensor and returns one, and that a failure names module and cause.
"""

import copy
import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from traceback import walk_tb

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from trimtab_trainer.errors import ExportFailedError

__all__ = ["describe_cause", "find_calling_module", "silenced", "trace_network"]

_SMALLEST_EXAMPLE = 2
"""The tracer takes a batch of one for a constant."""

_NOISY_LOGGERS = ("torch", "onnxscript", "onnx_ir")
_ADVICE = re.compile(r"For more information, run with \S+|\n\n.*", re.DOTALL)
_LONGEST_CAUSE = 180


def trace_network(model: nn.Module, example: Tensor, *, batch: int | None) -> ExportedProgram:
    """Trace a model in evaluation mode on the CPU; the given one is not changed.

    Args:
        model: Takes one tensor, returns one tensor.
        example: An input of shape (N, …); only its shape and dtype matter, N ≥ 2 with a free
            batch.
        batch: Number of samples that the program takes; None = any number.

    Returns:
        The program, with a first dimension that is free or `batch`, for input and output.

    Raises:
        ExportFailedError: It cannot be traced, or returns something else.
        ValueError: The example holds too few samples.
    """
    smallest = 1 if batch else _SMALLEST_EXAMPLE
    if len(example) < smallest:
        raise ValueError(
            f"the example must hold at least {smallest} samples but holds {len(example)}"
        )
    network = copy.deepcopy(model).cpu().eval()
    inputs = torch.cat([example[:1].cpu()] * batch) if batch else example.cpu()
    with silenced(), torch.no_grad():
        try:
            shapes = None if batch else ({0: Dim("batch")},)
            program = torch.export.export(network, (inputs,), dynamic_shapes=shapes)
        except Exception as error:
            kind = f"a batch size of {batch}" if batch else "a free batch size"
            raise ExportFailedError(
                f"export: module {_find_raising_module(network, error)} cannot be traced with "
                f"{kind}: {describe_cause(error)}"
            ) from error
    _check_output(program)
    return program


@contextmanager
def silenced() -> Iterator[None]:
    """Keep warnings, log lines and what tracers print about a failure from the user."""
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


def find_calling_module(program: ExportedProgram, operator: str) -> str:
    """Return the qualified name of the module that calls an operator, given as aten.name."""
    # Exporters name the operator after decomposition (prims.bessel_j0), the traced graph the
    # one that the model called (aten.special_bessel_j0): their last words agree.
    word = operator.rsplit(".", maxsplit=1)[-1]
    for node in program.graph.nodes:
        if word in str(node.target):
            stack = node.meta.get("nn_module_stack", {})
            path = [name for name, _ in stack.values()]
            return path[-1] if path and path[-1] else "(root)"
    return "(unknown)"


def describe_cause(error: BaseException) -> str:
    """Return type and text of the first error of a chain, in one short line."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(_ADVICE.sub("", str(error)).split())
    return f"{type(error).__name__}: {text}"[:_LONGEST_CAUSE]


def _find_raising_module(network: nn.Module, error: BaseException) -> str:
    names = {id(module): name or type(module).__name__ for name, module in network.named_modules()}
    innermost = names[id(network)]
    for frame, _ in walk_tb(error.__traceback__):
        innermost = names.get(id(frame.f_locals.get("self")), innermost)
    return innermost


def _check_output(program: ExportedProgram) -> None:
    results = program.graph_signature.user_outputs
    if len(results) != 1 or program.call_spec.out_spec.type is not None:
        kind = program.call_spec.out_spec.type or Tensor
        raise ExportFailedError(
            f"export: the model must return one tensor but returns {len(results)} in a "
            f"{kind.__name__}"
        )
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    output, given = (
        values.get(str(names[0])) for names in (results, program.graph_signature.user_inputs)
    )
    shape = tuple(output.shape) if isinstance(output, Tensor) else ()
    expected = given.shape[0] if isinstance(given, Tensor) else None
    if not shape or str(shape[0]) != str(expected):
        raise ExportFailedError(
            "export: the first dimension of the output must be the batch, as that of the input "
            f"is ({expected}), but its shape is ({', '.join(map(str, shape))})"
        )

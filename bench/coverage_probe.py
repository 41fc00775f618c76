"""One network of the coverage benchmark, from its constructor to the runtime, in this process.

Started by `bench.coverage` as a program of its own, so that neither a crash nor a hang nor a lack
of memory touches the other networks. It takes a request as JSON and prints a line of JSON for
each thing it learns; what is missing in the end is left to the parent.
"""

import json
import resource
import sys
import tempfile
import warnings
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import assert_never

import torch
from torch import nn
from torch.nn import functional

from bench.torch_pruning_steps import prune_in_steps
from trimtab_api.v1alpha1.prune import Allocation, Granularity, Importance
from trimtab_trainer.benchmarking.runners import open_runner
from trimtab_trainer.exporting.onnx_graph import export_onnx
from trimtab_trainer.exporting.parity import compare_outputs
from trimtab_trainer.models.profile import count_flops, count_parameters
from trimtab_trainer.models.torchvision_networks import (
    TORCHVISION,
    build_torchvision,
    find_size_rule,
)
from trimtab_trainer.pruning.allocation import make_uniform_path
from trimtab_trainer.pruning.cutter import PruneSettings
from trimtab_trainer.pruning.granularity import find_prunable

__all__ = ["MARK", "Step", "Way", "examine"]

MARK = "fact: "
"""How a line begins that tells something; libraries print too."""

_SEED = 1
_CLASSES = 1000
_SAMPLES = 8
"""Batch statistics of fewer make the gradients of a deep untrained network overflow."""
_SMALLEST_SIZE = 64
"""Below it, little more than the first layers would see more than one pixel."""
_OPSET = 18
_LEAST_SAVED = 0.1
"""Share of the parameters that must be gone, or a network does not count as smaller. Of the FLOPs
any share will do: on images so small, windows and borders that are padded take most of some."""
_TOLERANCE = 1e-3
"""Largest difference between file and model, as a share of the largest output."""
_LONGEST_REASON = 160

_SETTINGS = PruneSettings(
    importance=Importance.L2,
    allocation=Allocation.UNIFORM,
    granularity=Granularity.STRUCTURES,
    ignore_layers=(),
    layer_ratios={},
    max_layer_ratio=0.8,
    round_to=1,
    seed=_SEED,
)


class Way(StrEnum):
    """Who prunes."""

    TRIMTAB = "trimtab"
    TORCH_PRUNING = "torch-pruning"


class Step(StrEnum):
    """What a network goes through, in this order."""

    BUILD = "build"
    PRUNE = "prune"
    RUN = "run"
    TRAIN = "train"
    EXPORT = "export"
    COMPARE = "compare"
    DONE = "done"


def examine(network: str, *, way: Way, ratio: float) -> None:
    """Take a network through all steps, telling each as it begins.

    Args:
        network: As torchvision names it.
        way: Who prunes.
        ratio: Share of the channels of each layer.

    Raises:
        Exception: Whatever a step raises.
    """
    torch.set_num_threads(1)
    torch.manual_seed(_SEED)
    tell("step", Step.BUILD)
    size = find_size_rule(f"{TORCHVISION}{network}").fit(_SMALLEST_SIZE)
    model = build_torchvision(network, size=size, num_classes=_CLASSES, args={}).eval()
    example = torch.rand(_SAMPLES, 3, size, size)
    tell("size", size)
    dense = count_cost(model, example)
    tell("step", Step.PRUNE)
    model = prune(model, example, way, ratio)
    tell("step", Step.RUN)
    check_savings(dense, count_cost(model, example))
    check_outputs(model, example)
    tell("step", Step.TRAIN)
    train_once(model, example)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pruned.onnx")
        tell("step", Step.EXPORT)
        export_onnx(model, example=example, path=path, opset=_OPSET)
        tell("step", Step.COMPARE)
        compare_with_file(model, example, path)
    tell("step", Step.DONE)


def tell(key: str, value: float | str) -> None:
    """Print a fact at once, so that it is known whatever happens next."""
    print(f"{MARK}{json.dumps({key: value})}", flush=True)


def prune(model: nn.Module, example: torch.Tensor, way: Way, ratio: float) -> nn.Module:
    """Return a model without this share of the channels of each layer, cut in one step."""
    match way:
        case Way.TRIMTAB:
            prunable = find_prunable(model, example, _SETTINGS)
            widths = make_uniform_path(prunable.layers)(ratio)
            return prunable.shrink(widths, prunable.score(_measure_no_losses)).model
        case Way.TORCH_PRUNING:
            for _ in prune_in_steps(model, example, ratio=ratio, steps=1):
                pass
            return model
        case _:
            assert_never(way)


def _measure_no_losses(_: nn.Module) -> Iterator[torch.Tensor]:
    yield from ()


def count_cost(model: nn.Module, example: torch.Tensor) -> tuple[int, int]:
    """Return parameters and FLOPs of a sample."""
    return count_parameters(model), count_flops(model, example)


def check_savings(dense: tuple[int, int], pruned: tuple[int, int]) -> None:
    """Tell what was saved.

    Raises:
        ValueError: It is too little.
    """
    params, flops = (1 - left / before for left, before in zip(pruned, dense, strict=True))
    tell("params_saved", params)
    tell("flops_saved", flops)
    if params < _LEAST_SAVED or flops <= 0:
        raise ValueError(
            f"at least {_LEAST_SAVED:.0%} of the parameters, and some FLOPs, must go but"
            f" {params:.1%} and {flops:.1%} went"
        )


@torch.no_grad()
def check_outputs(model: nn.Module, example: torch.Tensor) -> None:
    """Run a model.

    Raises:
        ValueError: It does not give finite scores for every class.
    """
    outputs = model(example)
    if outputs.shape != (_SAMPLES, _CLASSES) or not outputs.isfinite().all():
        raise ValueError(f"finite scores for {_CLASSES} classes must come out of the cut network")


def train_once(model: nn.Module, example: torch.Tensor) -> None:
    """Take a step of training, as fine-tuning would, and leave the model in evaluation mode.

    Its normalizations take the statistics of this batch: with those that they begin with, the
    activations of a deep untrained network fade to zero, and every file would agree.
    """
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            module.momentum = 1.0
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    labels = torch.arange(_SAMPLES)
    model.train()
    torch.autograd.backward(functional.cross_entropy(model(example), labels))
    optimizer.step()
    model.eval()


def compare_with_file(model: nn.Module, example: torch.Tensor, path: Path) -> None:
    """Run the file beside its model.

    Raises:
        ExportFailedError: The runtime refuses it.
        ValueError: Its outputs are others.
    """
    runner = open_runner(path, threads=1)
    parity = compare_outputs(model, runner, [example], tolerance=torch.inf)
    error = parity.max_abs_error / parity.max_abs_output
    if not error <= _TOLERANCE:
        raise ValueError(
            f"file and model must agree within {_TOLERANCE:g} of the largest output but differ"
            f" by {error:.2g}"
        )
    tell("error", error)


def main() -> None:
    """Read a request from the first argument and examine its network."""
    request = json.loads(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_DATA, (request["memory_bytes"], resource.RLIM_INFINITY))
    # How a program ends that raises: by one line that the parent understands.
    sys.excepthook = tell_reason
    warnings.simplefilter("ignore")
    examine(request["network"], way=Way(request["way"]), ratio=request["ratio"])


def tell_reason(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Print why the program ends."""
    del traceback
    tell("reason", f"{kind.__name__}: {' '.join(str(error).split())}"[:_LONGEST_REASON])


if __name__ == "__main__":
    main()

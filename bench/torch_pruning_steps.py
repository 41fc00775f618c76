"""Torch-Pruning as its documentation shows it: group magnitudes, the same share of every layer.

The rival of the benchmarks of compression and of coverage. Nothing of ours takes part in it.
"""

import warnings
from collections.abc import Iterator

import torch
import torch_pruning
from torch import nn

__all__ = ["prune_in_steps"]


def prune_in_steps(
    model: nn.Module, example: torch.Tensor, *, ratio: float, steps: int
) -> Iterator[int]:
    """Cut a model in place and pause after each step, for fine-tuning.

    The importance is the group norm of Fang et al., DepGraph, CVPR 2023; the layer that gives the
    output is named as one to ignore, which is left to the user there.

    Args:
        model: On the CPU, in any mode; it must return scores of shape (N, classes).
        example: A batch of inputs, shape (N, …).
        ratio: Share of the channels of each layer that is gone in the end.
        steps: Into how many equal parts that is cut.

    Yields:
        The number of each step, counted from 1.
    """
    model.eval()
    with warnings.catch_warnings():
        # It tells which parameters outside of layers it will cut; that is its affair.
        warnings.simplefilter("ignore", UserWarning)
        pruner = torch_pruning.pruner.BasePruner(
            model,
            example,
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=ratio,
            iterative_steps=steps,
            ignored_layers=[_find_output_layer(model, example)],
            # By default the batch would be unpacked into positional arguments.
            forward_fn=lambda traced, batch: traced(batch),
        )
    for step in range(1, steps + 1):
        pruner.step()
        yield step


def _find_output_layer(model: nn.Module, example: torch.Tensor) -> nn.Module:
    with torch.no_grad():
        classes = model(example).shape[1]
    found = [
        layer
        for layer in model.modules()
        if (isinstance(layer, nn.Linear) and layer.out_features == classes)
        or (isinstance(layer, nn.Conv2d) and layer.out_channels == classes)
    ]
    if not found:
        raise ValueError(f"a layer of the model must give its {classes} scores but none does")
    return found[-1]

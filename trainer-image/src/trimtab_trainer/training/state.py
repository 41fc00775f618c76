"""All that a training is between two steps: enough to go on as if it had never stopped.

Made and taken by the training loop, stored by `series.py`. Only tensors and JSON-able values, so
that nothing of it ever has to be executed to be read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from trimtab_trainer.errors import CheckpointRefusedError

__all__ = [
    "TrainingState",
    "capture_model",
    "capture_optimizer",
    "restore_model",
    "restore_optimizer",
    "select",
]


@dataclass(frozen=True, slots=True)
class TrainingState:
    """A training between two steps."""

    epoch: int
    """Epochs done."""
    tensors: Mapping[str, torch.Tensor]
    """Weights, buffers, the optimizer's sums and the generators of chance, on the CPU."""
    facts: Mapping[str, Any]
    """Everything else, as JSON-able values."""


def select(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return the tensors whose names begin with a prefix, by the rest of their names."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def capture_model(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return copies of weights and buffers by name."""
    return {name: _copy(tensor) for name, tensor in model.state_dict().items()}


def restore_model(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Set weights and buffers.

    Raises:
        CheckpointRefusedError: They are another network's; nothing was set.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise CheckpointRefusedError(
                f"{name} must have shape {wanted.get(name)} but has {found.get(name)} in the"
                " checkpoint, which is another network's"
            )
    model.load_state_dict(dict(tensors))


def capture_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return copies of what an optimizer keeps, as `<number of the weight>.<name>`."""
    return {
        f"{number}.{name}": _copy(value)
        for number, kept in optimizer.state_dict()["state"].items()
        for name, value in kept.items()
        if isinstance(value, torch.Tensor)  # sums that were never needed are None
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]
) -> None:
    """Set what an optimizer keeps; its rates are not touched.

    Raises:
        CheckpointRefusedError: A sum is of a weight that the optimizer does not have.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    kept: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        if not number.isdecimal() or int(number) >= len(weights):
            raise CheckpointRefusedError(
                f"the optimizer's {key} must be of one of {len(weights)} weights; the checkpoint is"
                " another network's"
            )
        weight = weights[int(number)]
        # In the weight's layout, because fused optimizers walk over both at once.
        like = weight if tensor.shape == weight.shape else tensor
        kept.setdefault(int(number), {})[name] = torch.empty_like(like).copy_(tensor)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": kept, "param_groups": groups})


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)

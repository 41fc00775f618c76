"""What a network is trained for: the loss of a batch, and the metrics that score it.

Used by training and evaluation, also on outputs of exported files. Metrics of a batch are means
over its samples; whoever averages batches weights them by samples.
Shapes: N samples, K classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from typing_extensions import override

from trimtab_api.v1alpha1.model import Task
from trimtab_trainer.data.user_code import blame_user_code, import_entrypoint
from trimtab_trainer.errors import UserError

__all__ = ["AbstractTask", "Classification", "UserTask", "build_task"]

_TOP = 5


class AbstractTask(ABC):
    """Loss and metrics of a batch."""

    @abstractmethod
    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return what training makes small: a scalar that has a gradient."""

    @abstractmethod
    def metrics(self, output: torch.Tensor, target: torch.Tensor) -> Mapping[str, float]:
        """Return the batch's metrics by name."""


class Classification(AbstractTask):
    """Cross entropy over logits; accuracy and top-5 accuracy are fractions in 0…1."""

    @override
    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(output, target)

    @override
    def metrics(self, output: torch.Tensor, target: torch.Tensor) -> Mapping[str, float]:
        values = {
            "accuracy": _share_correct(output, target, 1),
            "loss": float(self.loss(output, target)),
        }
        if output.shape[1] > _TOP:  # with five classes every guess is among the first five
            values["top5_accuracy"] = _share_correct(output, target, _TOP)
        return values


class UserTask(AbstractTask):
    """An object of the user's code, whose results are checked before they are used."""

    def __init__(self, reference: str, wrapped: Any, code_dir: Path | None) -> None:
        self._name = f"task.entrypoint {reference}"
        self._wrapped = wrapped
        self._code_dir = code_dir

    @override
    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        with blame_user_code(f"loss of {self._name}", self._code_dir):
            loss = self._wrapped.loss(output, target)
        if not isinstance(loss, torch.Tensor) or loss.ndim != 0:
            got = tuple(loss.shape) if isinstance(loss, torch.Tensor) else type(loss).__name__
            raise UserError(f"loss of {self._name} must be a scalar tensor but is {got}")
        return loss

    @override
    def metrics(self, output: torch.Tensor, target: torch.Tensor) -> Mapping[str, float]:
        with blame_user_code(f"metrics of {self._name}", self._code_dir):
            values = self._wrapped.metrics(output, target)
            return {str(name): float(value) for name, value in values.items()}


def build_task(task: Task, code_dir: Path | None) -> AbstractTask:
    """Return the task that the manifest names.

    Raises:
        UserError: The entry point is missing or raises, or its object lacks loss or metrics.
    """
    if task.entrypoint is None:
        return Classification()
    what = f"task.entrypoint {task.entrypoint}"
    function = import_entrypoint(task.entrypoint, code_dir)
    if not callable(function):
        raise UserError(f"{what} must be callable but is {type(function).__name__}")
    with blame_user_code(what, code_dir):
        wrapped = function()
    for name in ("loss", "metrics"):
        if not callable(getattr(wrapped, name, None)):
            raise UserError(f"{what} must return an object with method {name} but has none")
    return UserTask(task.entrypoint, wrapped, code_dir)


def _share_correct(output: torch.Tensor, target: torch.Tensor, guesses: int) -> float:
    best = output.topk(guesses, dim=1).indices
    return float((best == target.unsqueeze(1)).any(dim=1).double().mean())

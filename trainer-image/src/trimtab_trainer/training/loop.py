"""Training and evaluation: epochs of seeded batches, and metrics weighted by samples.

Called by the stages for trials, the final training and fine-tuning, and for exported files, which
are evaluated by the same function. Placement, early stopping and checkpoints are the callers'.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from trimtab_trainer.data._base import AbstractSplit, DataBundle
from trimtab_trainer.errors import DivergedError
from trimtab_trainer.models.task import AbstractTask
from trimtab_trainer.training.optimizers import build_optimizer
from trimtab_trainer.training.precision import autocast, read_cpu_flags, resolve_dtype
from trimtab_trainer.training.recipe import Recipe

__all__ = ["EpochResult", "evaluate", "train"]

_CHECK_EVERY = 16
"""Steps between looks at the loss: on a GPU each look waits for the device."""
_SEEDS = 2**32
"""torch's generator on a CPU looks at the low 32 bits of a seed only."""
_STRIDE = 2654435761
"""Knuth's odd multiplier: the epochs of neighbouring seeds share no order."""


@dataclass(frozen=True, slots=True)
class EpochResult:
    """What an epoch led to."""

    epoch: int
    """1…epochs."""
    epochs: int
    metrics: Mapping[str, float]
    """Over the validation split, and `train_loss`, the mean over the epoch's samples."""
    seconds: float
    """Time spent in training and evaluation."""


def train(
    model: nn.Module, *, data: DataBundle, task: AbstractTask, recipe: Recipe, seed: int
) -> Generator[EpochResult, None, None]:
    """Train a model in place on the device where it is, and report each epoch as it ends.

    Every epoch visits every training sample once, in an order that depends on seed and epoch
    only. Closing the iterator ends the training; the model is then in evaluation mode.

    Args:
        model: The model, in any mode.
        data: Training is on `train`, metrics are over `validation`.
        task: Loss and metrics.
        recipe: Length, optimizer, schedule and precision.
        seed: Seed of the order of samples; other chance (dropout) is torch's global generator.

    Raises:
        DivergedError: Loss or a validation metric is NaN or infinite; a loss is noticed within
            16 steps.
    """
    samples = len(data.train)
    per_epoch = len(_batch_sizes(samples, recipe.batch_size))
    total = recipe.count_steps(per_epoch)
    epochs = math.ceil(total / per_epoch)
    trainer = _Trainer(model, task, recipe, total)
    try:
        for epoch in range(epochs):
            start = time.perf_counter()
            batches = _shuffle(samples, recipe.batch_size, seed=seed, epoch=epoch)
            loss = trainer.run_epoch(data.train, batches[: total - epoch * per_epoch])
            metrics = {**evaluate(model, data.validation, task), "train_loss": loss}
            _refuse_divergence(metrics, f"epoch {epoch + 1}")
            yield EpochResult(epoch + 1, epochs, metrics, time.perf_counter() - start)
    finally:
        model.eval()


def evaluate(
    forward: Callable[[torch.Tensor], torch.Tensor],
    split: AbstractSplit,
    task: AbstractTask,
    *,
    batch_size: int = 256,
) -> dict[str, float]:
    """Return a task's metrics over a split: means of the batches, weighted by samples.

    Args:
        forward: A model (run in evaluation mode, which is undone, on its device) or any function
            of a batch of inputs, such as an exported file's runner.
        split: The samples, taken in order.
        task: The metrics.
        batch_size: Samples per batch.
    """
    if isinstance(forward, nn.Module) and forward.training:
        forward.eval()
        try:
            return evaluate(forward, split, task, batch_size=batch_size)
        finally:
            forward.train()
    device = _device_of(forward) if isinstance(forward, nn.Module) else torch.device("cpu")
    sums: defaultdict[str, float] = defaultdict(float)
    with torch.inference_mode():
        for indices in torch.split(torch.arange(len(split)), batch_size):
            inputs, targets = split.batch(indices)
            outputs = forward(inputs.to(device))
            for name, value in task.metrics(outputs, targets.to(device)).items():
                sums[name] += value * len(indices)
    return {name: value / len(split) for name, value in sums.items()}


class _Trainer:
    """A model on its way: optimizer, precision and the number of steps done."""

    def __init__(self, model: nn.Module, task: AbstractTask, recipe: Recipe, total: int) -> None:
        self._model = model
        self._task = task
        self._recipe = recipe
        self._total = total
        self._step = 0
        self._optimizer = build_optimizer(model, recipe)
        self._device = _device_of(model)
        self._dtype = resolve_dtype(recipe.dtype, self._device.type, read_cpu_flags())

    def run_epoch(self, split: AbstractSplit, batches: Sequence[torch.Tensor]) -> float:
        """Train on these batches of indices and return the mean loss over their samples."""
        self._model.train()
        summed = torch.zeros((), device=self._device)
        for number, indices in enumerate(batches, start=1):
            summed += self._run_step(*split.batch(indices)) * len(indices)
            if number % _CHECK_EVERY == 0 or number == len(batches):
                # A loss that is not finite stays in the sum, so none is missed between looks.
                _refuse_divergence({"training loss": float(summed)}, f"step {self._step}")
        return float(summed) / sum(len(indices) for indices in batches)

    def _run_step(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        for group in self._optimizer.param_groups:
            group["lr"] = self._recipe.learning_rate_at(self._step, self._total)
        with autocast(self._dtype, self._device.type):
            outputs = self._model(inputs.to(self._device))
        # The loss is computed in fp32: sums over classes and samples lose too much in bf16.
        loss = self._task.loss(outputs.float(), targets.to(self._device))
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        self._optimizer.step()
        self._step += 1
        return loss.detach()


def _device_of(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def _batch_sizes(samples: int, batch_size: int) -> list[int]:
    """Full batches and a last one of the rest.

    A rest of one sample joins the batch before it, because batch normalization refuses to train
    on a single value.
    """
    full, rest = divmod(samples, batch_size)
    sizes = [batch_size] * full
    if rest == 1 and sizes:
        sizes[-1] += 1
    elif rest:
        sizes.append(rest)
    return sizes


def _shuffle(samples: int, batch_size: int, *, seed: int, epoch: int) -> Sequence[torch.Tensor]:
    generator = torch.Generator().manual_seed((seed + epoch * _STRIDE) % _SEEDS)
    order = torch.randperm(samples, generator=generator)
    return torch.split(order, _batch_sizes(samples, batch_size))


def _refuse_divergence(values: Mapping[str, float], when: str) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise DivergedError(f"{name} must be a finite number but is {value} at {when}")

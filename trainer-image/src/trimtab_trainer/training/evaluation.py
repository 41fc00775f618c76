"""Evaluation: a task's metrics over a split, weighted by samples.

Called by the training loop after each epoch and by the stages, also for exported files, so that
every figure is counted alike.
"""

from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from trimtab_trainer.data._base import AbstractSplit
from trimtab_trainer.models.task import AbstractTask
from trimtab_trainer.training.distributed import Team, sum_over

__all__ = ["device_of", "evaluate", "evaluate_in_batches"]

Forward = Callable[[torch.Tensor], torch.Tensor]

_ALONE = Team()
_BATCH_SIZE = 256


def evaluate(
    forward: Forward,
    split: AbstractSplit,
    task: AbstractTask,
    *,
    batch_size: int = _BATCH_SIZE,
    team: Team = _ALONE,
) -> dict[str, float]:
    """Return a task's metrics over a split: means of the batches, weighted by samples.

    Args:
        forward: A model (run in evaluation mode, which is undone, on its device) or any function
            of a batch of inputs, such as an exported file's runner.
        split: The samples, taken in order.
        task: The metrics.
        batch_size: Samples per batch.
        team: Whose members take a range of the samples each; all get the same result.
    """
    batches = evaluate_in_batches(forward, split, task, batch_size=batch_size, team=team)
    while True:
        try:
            next(batches)
        except StopIteration as end:
            metrics: dict[str, float] = end.value
            return metrics


def evaluate_in_batches(
    forward: Forward,
    split: AbstractSplit,
    task: AbstractTask,
    *,
    batch_size: int = _BATCH_SIZE,
    team: Team = _ALONE,
) -> Generator[None, None, dict[str, float]]:
    """Do what `evaluate` does, with a pause after each batch."""
    device = device_of(forward) if isinstance(forward, nn.Module) else torch.device("cpu")
    sums: defaultdict[str, float] = defaultdict(float)
    with _evaluation_mode(forward):
        for indices in torch.split(_own_samples(len(split), team), batch_size):
            inputs, targets = split.batch(indices)
            # Not held over the pause, because it would hold for the caller too.
            with torch.inference_mode():
                outputs = forward(inputs.to(device))
                metrics = task.metrics(outputs, targets.to(device))
            for name, value in metrics.items():
                sums[name] += value * len(indices)
            yield
    if team.size > 1 and len(split) >= team.size:
        values = torch.tensor(list(sums.values()), dtype=torch.float64, device=device)
        sums.update(zip(sums, sum_over(team, values).tolist(), strict=True))
    return {name: value / len(split) for name, value in sums.items()}


@contextmanager
def _evaluation_mode(forward: Forward) -> Iterator[None]:
    if not (isinstance(forward, nn.Module) and forward.training):
        yield
        return
    forward.eval()
    try:
        yield
    finally:
        forward.train()


def device_of(model: nn.Module) -> torch.device:
    """Return where a model's weights are; the CPU for one without any."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def _own_samples(samples: int, team: Team) -> torch.Tensor:
    """Return a member's range; of fewer samples than members, each member takes all."""
    everything = torch.arange(samples)
    return everything if samples < team.size else everything.tensor_split(team.size)[team.rank]

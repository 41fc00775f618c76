"""Work of stage prune: the whole schedule in one slot, beside the loaded data.

Yields each layer that is measured, each epoch of fine-tuning and each step; leaves a checkpoint
whose metadata holds the cuts, so that the narrow network can be built again.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from trimtab_api.reports import CurvePoint, PrunedLayerReport
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.prune import Prune
from trimtab_trainer.data._base import AbstractSplit, DataBundle
from trimtab_trainer.data.subset import choose_subset
from trimtab_trainer.ledger import Ledger
from trimtab_trainer.models.globs import WRAPPER_PREFIX
from trimtab_trainer.models.profile import count_flops, count_parameters
from trimtab_trainer.models.task import AbstractTask
from trimtab_trainer.pruning.amounts import Counters
from trimtab_trainer.pruning.cuts import render_cuts
from trimtab_trainer.pruning.iteration import (
    PrunedModel,
    PruneTools,
    StepResult,
    prune_iteratively,
)
from trimtab_trainer.pruning.sensitivity import LayerCurve, LayerScanned, Reading
from trimtab_trainer.stages._bench import CUTS_KEY, Bench, make_example
from trimtab_trainer.stages._compressible import make_amount, make_settings
from trimtab_trainer.stages._fit import make_recipe
from trimtab_trainer.storage.patience import StorageTrouble, patiently
from trimtab_trainer.training.checkpoint import save_checkpoint
from trimtab_trainer.training.evaluation import device_of
from trimtab_trainer.training.loop import EpochResult, evaluate, train

__all__ = ["PruneEvent", "Tuned", "prune_checkpoint"]

_MICRO_BATCH = 8
"""Samples per gradient of Taylor and Fisher: squares of gradients need few at a time."""

_LOSS = "loss of the task"


@dataclass(frozen=True, slots=True)
class Tuned:
    """One epoch of fine-tuning."""

    step: int
    """1…steps."""
    epoch: EpochResult


PruneEvent = LayerScanned | Tuned | StepResult


@dataclass(frozen=True, slots=True)
class _WithLoss(AbstractTask):
    """A task whose metrics hold its loss, too, whatever it calls its own."""

    task: AbstractTask

    @override
    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.task.loss(output, target)

    @override
    def metrics(self, output: torch.Tensor, target: torch.Tensor) -> Mapping[str, float]:
        loss = float(self.task.loss(output, target))
        return {**self.task.metrics(output, target), _LOSS: loss}


@dataclass(frozen=True, slots=True)
class _Calibration(AbstractSplit):
    """Samples of the training split on which layers are measured and gradients taken."""

    split: AbstractSplit
    indices: torch.Tensor

    @override
    def __len__(self) -> int:
        return len(self.indices)

    @override
    def batch(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.split.batch(self.indices[indices])


@dataclass(frozen=True, slots=True)
class _Tools:
    """What the pruning loop asks for, with the data and the recipe of a job."""

    spec: Spec
    prune: Prune
    data: DataBundle
    task: AbstractTask
    calibration: AbstractSplit
    ledger: Ledger
    shrinks: int

    def losses(self, model: nn.Module) -> Iterable[torch.Tensor]:
        """Yield the mean losses of micro-batches of the calibration samples."""
        device = device_of(model)
        for indices in torch.split(torch.arange(len(self.calibration)), _MICRO_BATCH):
            inputs, targets = self.calibration.batch(indices)
            yield self.task.loss(model(inputs.to(device)), targets.to(device))

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Return the metrics of a model: of the validation split, and static ones."""
        return {**evaluate(model, self.data.validation, self.task), **self._count(model)}

    def _count(self, model: nn.Module) -> dict[str, float]:
        example = make_example(self.data).to(device_of(model))
        return {
            "params": float(count_parameters(model)),
            "flops": float(count_flops(model, example)),
        }

    def probe(self, model: nn.Module) -> Reading:
        """Return how a model does on the calibration samples."""
        metrics = evaluate(model, self.calibration, _WithLoss(self.task))
        if self.ledger.metric not in metrics:
            metrics |= self._count(model)
        return Reading(drop=self.ledger.drop(metrics[self.ledger.metric]), loss=metrics[_LOSS])

    def finetune(self, model: nn.Module, step: int, hold: Callable[[], None]) -> Iterator[Tuned]:
        """Train after a step with the recipe of train but for length and rate."""
        train_spec = self.spec.stages.train
        if train_spec is None or self.prune.finetune.epochs == 0:
            return
        recipe = make_recipe(self.spec, shrinks=self.shrinks)
        recipe = replace(
            recipe,
            # This process does alone what the workers of a trial do together.
            accumulate_steps=recipe.accumulate_steps * train_spec.num_workers,
            epochs=self.prune.finetune.epochs,
            steps=None,
            learning_rate=self.prune.finetune.learning_rate or train_spec.learning_rate,
        )
        # Each step sees the samples in another order than the training and the steps before.
        for epoch in train(
            model,
            data=self.data,
            task=self.task,
            recipe=recipe,
            seed=self.spec.seed + step,
            after_step=hold,
        ):
            yield Tuned(step, epoch)


def prune_checkpoint(
    bench: Bench,
    *,
    spec: Spec,
    checkpoint: Path | None,
    folder: Path,
    ledger: Ledger,
    allowance: float | None,
    shrinks: int,
    threads: int,
) -> Generator[PruneEvent | StorageTrouble, None, dict[str, Any]]:
    """Prune the model of a checkpoint inside an allowance.

    Args:
        bench: The slot's.
        spec: Expanded, with stages.prune.
        checkpoint: The dense weights; None = as the manifest gives them.
        folder: Where the pruned checkpoint goes, if any step is kept.
        ledger: The baseline that drops are counted against.
        allowance: Largest drop; None without a budget.
        shrinks: How many times the micro-batches of fine-tuning are halved.
        threads: Threads to compute with.

    Returns:
        `step`, the last one that was kept, and `layers`, a PrunedLayerReport of each.

    Raises:
        UserError: The network cannot be cut as asked.
    """
    torch.set_num_threads(threads)
    prune = spec.stages.prune
    if prune is None or prune.amount is None:
        raise ValueError("only a spec with an expanded stages.prune can be pruned")
    data, task = bench.data(spec), bench.task(spec)
    example = make_example(data).to(bench.device(spec))
    tools = _Tools(spec, prune, data, task, _calibrate(spec, prune, data), ledger, shrinks)
    events = prune_iteratively(
        bench.stored_model(spec, checkpoint),
        example=example,
        amount=make_amount(prune.amount),
        steps=prune.schedule.steps,
        curve=prune.schedule.curve,
        scan_ratios=prune.sensitivity.ratios,
        settings=make_settings(prune, spec.seed),
        tools=PruneTools(
            counters=Counters(count_parameters, lambda model: count_flops(model, example)),
            losses=tools.losses,
            probe=tools.probe,
            finetune=tools.finetune,
            evaluate=tools.evaluate,
            is_within_budget=lambda metrics: ledger.is_within(metrics[ledger.metric], allowance),
        ),
    )
    curves: list[LayerCurve] = []
    pruned = yield from _keep_curves(events, curves)
    if pruned.step:
        metadata = {CUTS_KEY: render_cuts(pruned.cuts)}
        yield from patiently(lambda: save_checkpoint(folder, pruned.model, metadata=metadata))
    return {"step": pruned.step, "layers": _report_layers(pruned, curves)}


def _calibrate(spec: Spec, prune: Prune, data: DataBundle) -> AbstractSplit:
    subset = choose_subset(len(data.train), prune.sensitivity.samples, spec.seed)
    return _Calibration(data.train, subset.indices)


def _keep_curves(
    events: Generator[PruneEvent, None, PrunedModel], curves: list[LayerCurve]
) -> Generator[PruneEvent, None, PrunedModel]:
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            pruned: PrunedModel = end.value
            return pruned
        if isinstance(event, LayerScanned):
            curves.append(event.curve)
        yield event


def _report_layers(
    pruned: PrunedModel, curves: Iterable[LayerCurve]
) -> tuple[PrunedLayerReport, ...]:
    points = {
        curve.layer: tuple(
            CurvePoint(ratio=point.ratio, drop=point.drop, loss_increase=point.loss_increase)
            for point in curve.points
        )
        for curve in curves
    }
    return tuple(
        PrunedLayerReport(
            layer=outcome.layer.removeprefix(WRAPPER_PREFIX),
            kind=outcome.kind,
            before=outcome.before,
            after=outcome.after,
            curve=points.get(outcome.layer, ()),
        )
        for outcome in pruned.layers
    )

"""Prune step by step: remove, fine-tune, evaluate, and undo the step that breaks the budget.

Called by the prune stage, which hands in data, fine-tuning, evaluation and the verdict. A
generator, so that the caller sees progress and can store each step.
"""

import copy
import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import nn

from trimtab_api.v1alpha1.prune import Allocation, Curve, Granularity
from trimtab_trainer.errors import DivergedError
from trimtab_trainer.models.profile import measure_sparsity
from trimtab_trainer.pruning.allocation import Path, make_path
from trimtab_trainer.pruning.amounts import Amount, Counters
from trimtab_trainer.pruning.budget import find_target
from trimtab_trainer.pruning.cuts import Cut
from trimtab_trainer.pruning.cutter import PruneSettings
from trimtab_trainer.pruning.granularity import find_prunable
from trimtab_trainer.pruning.prunable import AbstractPrunable, PrunableLayer
from trimtab_trainer.pruning.saliency import Losses
from trimtab_trainer.pruning.schedule import plan_progress
from trimtab_trainer.pruning.sensitivity import (
    LayerCurve,
    LayerScanned,
    Probe,
    scan_sensitivity,
)

__all__ = [
    "LayerOutcome",
    "PruneTools",
    "PrunedModel",
    "StepResult",
    "prune_iteratively",
]

EventT = TypeVar("EventT")


@dataclass(frozen=True, slots=True)
class PruneTools(Generic[EventT]):
    """What the loop asks of its caller, who has the data."""

    counters: Counters
    """How models are counted."""
    losses: Losses
    """Losses of calibration samples; asked by Taylor and Fisher, before each step."""
    probe: Probe
    """Evaluates trials; asked by allocation Sensitivity, before the first step."""
    finetune: Callable[[nn.Module, int, Callable[[], None]], Iterator[EventT]]
    """Trains a model in place in a step; what it yields is passed on. It calls the third argument
    after each step of its optimizer."""
    evaluate: Callable[[nn.Module], Mapping[str, float]]
    """Metrics of a model."""
    is_within_budget: Callable[[Mapping[str, float]], bool]
    """The verdict on such metrics."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step after its fine-tuning."""

    step: int
    """1…steps."""
    steps: int
    """Number of steps planned."""
    ratio: float
    """Share of all units, or of all weights that may be masked, that is gone after the step."""
    params: int
    """Parameters of the model; with granularity Weights those that are zero too."""
    flops: int
    """FLOPs of one sample."""
    sparsity: float
    """Share of the weights that are zero."""
    metrics: Mapping[str, float]
    """What the evaluation gave after fine-tuning; empty where fine-tuning diverged."""
    kept: bool
    """False: the step broke the budget or diverged, and was undone; none follows."""
    cuts: tuple[Cut, ...]
    """All physical cuts since the dense model, this step's included."""


@dataclass(frozen=True, slots=True)
class LayerOutcome:
    """One layer, with what is coupled to it, before and after pruning."""

    layer: str
    """Its name."""
    kind: Granularity
    """What is counted: Neurons, Filters or Weights."""
    before: int
    """Parts of the dense model."""
    after: int
    """Parts that are left."""


@dataclass(frozen=True, slots=True)
class PrunedModel:
    """What is left in the end."""

    model: nn.Module
    """The last model inside the budget; a copy of the dense one when no step was kept."""
    cuts: tuple[Cut, ...]
    """Its physical cuts since the dense model."""
    step: int
    """The last step kept; 0 when none was."""
    layers: tuple[LayerOutcome, ...]
    """Every layer that could lose parts, in order of the network."""


def prune_iteratively(
    model: nn.Module,
    *,
    example: torch.Tensor,
    amount: Amount,
    steps: int,
    curve: Curve,
    scan_ratios: Sequence[float],
    settings: PruneSettings,
    tools: PruneTools[EventT],
) -> Generator[LayerScanned | EventT | StepResult, None, PrunedModel]:
    """Prune a model in steps, and return the last one that the verdict lets stand.

    How many parts each layer ends with is planned once, on the dense model; which ones go is
    chosen anew in each step. A step that rounding leaves without anything to remove is passed
    over, without a result.

    Args:
        model: the dense model; left as it is.
        example: an input batch, shape (N, ...).
        amount: what shall be gone in the end.
        steps: number of steps, at least 1.
        curve: how much of it goes in which step.
        scan_ratios: shares of a layer that allocation Sensitivity tries, ascending.
        settings: which parts may go, and how they are chosen.
        tools: what the caller does.

    Yields:
        Each layer that is scanned, then the events of each fine-tuning and the result of its step.

    Raises:
        UserError: the model cannot be pruned, or not as far as the amount asks for.
        DivergedError: the loss of calibration samples is not finite.
    """
    dense = find_prunable(model, example, settings)
    scores = dense.score(tools.losses)
    curves = yield from _scan(dense, scores, scan_ratios, settings=settings, tools=tools)
    path = _plan_path(dense, scores, curves, amount=amount, settings=settings, tools=tools)
    counters = tools.counters
    target = find_target(dense, path, amount=amount, settings=settings, counters=counters)
    best, last = dense, 0
    for step, progress in enumerate(plan_progress(steps, curve), start=1):
        widths = {
            layer.name: _plan_step(layer, target[layer.name], progress) for layer in dense.layers
        }
        if widths == best.widths:
            continue
        if best is not dense:
            scores = best.score(tools.losses)
        candidate = best.shrink(widths, scores)
        metrics = yield from _finetune(candidate, step, tools)
        kept = metrics is not None and tools.is_within_budget(metrics)
        gone = 1 - sum(widths.values()) / sum(dense.widths.values())
        yield _sum_up(candidate, counters, (step, steps), gone, metrics=metrics, kept=kept)
        if not kept:
            break
        best, last = candidate, step
    return _conclude(dense, best, last)


def _sum_up(
    candidate: AbstractPrunable,
    counters: Counters,
    place: tuple[int, int],
    gone: float,
    *,
    metrics: Mapping[str, float] | None,
    kept: bool,
) -> StepResult:
    step, steps = place
    return StepResult(
        step=step,
        steps=steps,
        ratio=gone,
        params=counters.params(candidate.model),
        flops=counters.flops(candidate.model),
        sparsity=measure_sparsity(candidate.model),
        metrics=metrics or {},
        kept=kept,
        cuts=candidate.cuts,
    )


def _scan(
    dense: AbstractPrunable,
    scores: Mapping[str, torch.Tensor],
    scan_ratios: Sequence[float],
    *,
    settings: PruneSettings,
    tools: PruneTools[EventT],
) -> Generator[LayerScanned, None, list[LayerCurve]]:
    curves: list[LayerCurve] = []
    if settings.allocation is Allocation.SENSITIVITY:
        for scanned in scan_sensitivity(dense, scan_ratios, scores=scores, probe=tools.probe):
            yield scanned
            curves.append(scanned.curve)
    return curves


def _plan_path(
    dense: AbstractPrunable,
    scores: Mapping[str, torch.Tensor],
    curves: Sequence[LayerCurve],
    *,
    amount: Amount,
    settings: PruneSettings,
    tools: PruneTools[EventT],
) -> Path:
    layers = {layer.name: layer for layer in dense.layers}

    def measure_cost(layer: PrunableLayer) -> float:
        kept = layer.keep(1.0)
        if kept == layer.width:
            return 0.0
        widths = dense.widths | {layer.name: kept}
        saved = dense.reduction(amount.kind, widths, tools.counters)
        return saved / (1 - kept / layer.width)

    return make_path(
        dense.layers,
        settings.allocation,
        importance=settings.importance,
        scores=scores,
        curves=curves,
        costs={curve.layer: measure_cost(layers[curve.layer]) for curve in curves},
    )


def _plan_step(layer: PrunableLayer, target: int, progress: float) -> int:
    share = progress * (1 - target / layer.width)
    return max(target, layer.keep(share))


def _finetune(
    candidate: AbstractPrunable, step: int, tools: PruneTools[EventT]
) -> Generator[EventT, None, Mapping[str, float] | None]:
    """Return the metrics afterwards; None where training diverged or one is not finite."""
    try:
        yield from tools.finetune(candidate.model, step, candidate.hold)
    except DivergedError:
        return None
    metrics = tools.evaluate(candidate.model)
    return metrics if all(map(math.isfinite, metrics.values())) else None


def _conclude(dense: AbstractPrunable, best: AbstractPrunable, step: int) -> PrunedModel:
    widths = best.widths
    return PrunedModel(
        model=best.model if step else copy.deepcopy(dense.model),
        cuts=best.cuts,
        step=step,
        layers=tuple(
            LayerOutcome(layer.name, layer.kind, layer.width, widths[layer.name])
            for layer in dense.layers
        ),
    )

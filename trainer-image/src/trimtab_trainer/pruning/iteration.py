"""Prune step by step: cut, fine-tune, evaluate, and undo the step that breaks the budget.

Called by the prune stage, which hands in fine-tuning, evaluation and the verdict. A generator, so
that the caller sees progress and can store each step.
"""

import copy
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from trimtab_api.v1alpha1.prune import Curve
from trimtab_trainer.pruning.budget import Amount, Counters, CutTarget, find_target
from trimtab_trainer.pruning.cuts import Cut, merge_cuts
from trimtab_trainer.pruning.cutter import (
    PruneSettings,
    cut_to,
    find_cuttable_groups,
    plan_widths,
)
from trimtab_trainer.pruning.groups import ChannelGroup
from trimtab_trainer.pruning.schedule import plan_ratios

__all__ = ["PrunedModel", "StepResult", "prune_iteratively"]

EventT = TypeVar("EventT")


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step after its fine-tuning."""

    step: int
    """1…steps."""
    steps: int
    """Number of steps planned."""
    ratio: float
    """Share of the channels that was to go up to this step."""
    params: int
    """Parameters left."""
    flops: int
    """FLOPs of one sample that are left."""
    metrics: Mapping[str, float]
    """What the evaluation gave after fine-tuning."""
    kept: bool
    """False: the step broke the budget and was undone; none follows."""
    cuts: tuple[Cut, ...]
    """All cuts since the dense model, this step's included."""


@dataclass(frozen=True, slots=True)
class PrunedModel:
    """What is left in the end."""

    model: nn.Module
    """The smallest model inside the budget; a copy of the dense one when no step was kept."""
    cuts: tuple[Cut, ...]
    """Its cuts since the dense model; empty when no step was kept."""
    step: int
    """The last step kept; 0 when none was."""


def prune_iteratively(
    model: nn.Module,
    *,
    example: torch.Tensor,
    amount: Amount,
    steps: int,
    curve: Curve,
    settings: PruneSettings,
    counters: Counters,
    finetune: Callable[[nn.Module, int], Iterator[EventT]],
    evaluate: Callable[[nn.Module], Mapping[str, float]],
    is_within_budget: Callable[[Mapping[str, float]], bool],
) -> Generator[EventT | StepResult, None, PrunedModel]:
    """Cut a model down in steps, and return the last one that the verdict lets stand.

    A step that rounding leaves without anything to cut is passed over, without a result.

    Args:
        model: the dense model; left as it is.
        example: an input batch, shape (N, ...).
        amount: what shall be gone in the end.
        steps: number of steps, at least 1.
        curve: how the share of channels grows over the steps.
        settings: which channels may go.
        counters: how models are counted.
        finetune: trains a model in place in a step; what it yields is passed on.
        evaluate: metrics of a model.
        is_within_budget: the verdict on such metrics.

    Yields:
        The events of each fine-tuning, then the result of its step.

    Raises:
        UserError: the model cannot be cut, or not as far as the amount asks for.
    """
    groups = find_cuttable_groups(model, example, settings)
    target = find_target(model, groups, amount=amount, settings=settings, counters=counters)
    widths = plan_widths(groups, 0.0, settings)
    best = PrunedModel(copy.deepcopy(model), cuts=(), step=0)
    for step, share in enumerate(plan_ratios(target.ratio, steps=steps, curve=curve), start=1):
        previous, widths = widths, _plan_step(groups, share, settings, target)
        if widths == previous:
            continue
        candidate = _cut_copy(best, step, example=example, widths=widths, settings=settings)
        yield from finetune(candidate.model, step)
        kept = is_within_budget(metrics := evaluate(candidate.model))
        yield StepResult(
            step=step,
            steps=steps,
            ratio=share,
            params=counters.params(candidate.model),
            flops=counters.flops(candidate.model),
            metrics=metrics,
            kept=kept,
            cuts=candidate.cuts,
        )
        if not kept:
            break
        best = candidate
    return best


def _cut_copy(
    previous: PrunedModel,
    step: int,
    *,
    example: torch.Tensor,
    widths: Mapping[str, int],
    settings: PruneSettings,
) -> PrunedModel:
    model = copy.deepcopy(previous.model)
    cuts = cut_to(model, example=example, widths=widths, settings=settings)
    return PrunedModel(model, merge_cuts(previous.cuts, cuts), step)


def _plan_step(
    groups: Sequence[ChannelGroup], share: float, settings: PruneSettings, target: CutTarget
) -> dict[str, int]:
    planned = plan_widths(groups, share, settings)
    return {root: max(width, target.widths[root]) for root, width in planned.items()}

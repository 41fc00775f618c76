"""Prune step by step: cut, fine-tune, evaluate, and undo the step that breaks the budget.

Called by the prune stage, which hands in fine-tuning, evaluation and the verdict. A generator, so
that the caller sees progress and can store each step.
"""

import copy
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from trimtab_api.v1alpha1.prune import Curve
from trimtab_trainer.pruning.budget import Amount, Counters, find_ratio
from trimtab_trainer.pruning.cuts import Cut, merge_cuts
from trimtab_trainer.pruning.cutter import (
    PruneSettings,
    cut_to,
    find_cuttable_groups,
    plan_widths,
)
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
    """Cut a model down in steps, each followed by fine-tuning and a verdict.

    A step that rounding leaves without anything to cut is passed over, without a result.

    Args:
        model: the dense model; left as it is.
        example: an input batch, shape (N, ...).
        amount: what shall be gone in the end.
        steps: number of steps, at least 1.
        curve: how the share of channels grows over the steps.
        settings: which channels may go.
        counters: how models are counted.
        finetune: trains a model in place in step 1…steps; what it yields is passed on.
        evaluate: metrics of a model.
        is_within_budget: tells from the metrics whether a step may stand.

    Yields:
        The events of each fine-tuning, then the result of its step.

    Returns:
        The last model that was kept.

    Raises:
        UserError: the model cannot be cut, or not as far as the amount asks for.
    """
    ratio = find_ratio(model, example=example, amount=amount, settings=settings, counters=counters)
    groups = find_cuttable_groups(model, example, settings)
    widths = plan_widths(groups, 0.0, settings)
    best = PrunedModel(copy.deepcopy(model), cuts=(), step=0)
    for step, share in enumerate(plan_ratios(ratio, steps=steps, curve=curve), start=1):
        previous, widths = widths, plan_widths(groups, share, settings)
        if widths == previous:
            continue
        candidate = copy.deepcopy(best.model)
        new_cuts = cut_to(candidate, example=example, widths=widths, settings=settings)
        cuts = merge_cuts(best.cuts, new_cuts)
        yield from finetune(candidate, step)
        metrics = evaluate(candidate)
        kept = is_within_budget(metrics)
        yield StepResult(
            step=step,
            steps=steps,
            ratio=share,
            params=counters.params(candidate),
            flops=counters.flops(candidate),
            metrics=metrics,
            kept=kept,
            cuts=cuts,
        )
        if not kept:
            break
        best = PrunedModel(candidate, cuts=cuts, step=step)
    return best

"""How far to prune: the uniform channel ratio that reaches an amount.

Called by `iteration`, and by the preflight so that an amount out of reach fails before any
training. Measures by trial cuts of copies; fine-tuning and accuracy are `iteration`'s.
"""

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

import torch
from torch import nn

from trimtab_trainer.errors import UserError
from trimtab_trainer.pruning.cuts import replay_cuts
from trimtab_trainer.pruning.cutter import (
    PruneSettings,
    find_cuttable_groups,
    plan_cuts,
    plan_widths,
)
from trimtab_trainer.pruning.groups import ChannelGroup

__all__ = ["Amount", "AmountKind", "Counters", "find_ratio"]

_RESOLUTION = 2**-10


class AmountKind(StrEnum):
    """What an amount is a fraction of; the values are the field names of `prune.amount`."""

    RATIO = "ratio"
    PARAMS_REDUCTION = "paramsReduction"
    FLOPS_REDUCTION = "flopsReduction"


@dataclass(frozen=True, slots=True)
class Amount:
    """How much to remove."""

    kind: AmountKind
    value: float
    """Fraction removed, above 0 and below 1."""


@dataclass(frozen=True, slots=True)
class Counters:
    """How the cost of a model is counted."""

    params: Callable[[nn.Module], int]
    """Number of parameters."""
    flops: Callable[[nn.Module], int]
    """FLOPs of one sample."""


def find_ratio(
    model: nn.Module,
    *,
    example: torch.Tensor,
    amount: Amount,
    settings: PruneSettings,
    counters: Counters,
) -> float:
    """Find the share of channels to remove from every layer so that the amount is reached.

    For a reduction: the smallest share that removes at least the amount, within 1/1024, by
    bisection over trial cuts; cost falls in steps because widths are rounded, and never rises
    with the share. Values of weights do not matter: an untrained model gives the same answer.

    Args:
        model: the dense model; left as it is.
        example: an input batch, shape (N, ...).
        amount: what shall be removed.
        settings: how widths are rounded and which layers stay.
        counters: how the model is counted.

    Raises:
        UserError: nothing can be cut, or not as much as the amount asks for.
    """
    groups = find_cuttable_groups(model, example, settings)
    match amount.kind:
        case AmountKind.RATIO:
            return _check_ratio(amount.value, groups, settings)
        case AmountKind.PARAMS_REDUCTION:
            count = counters.params
        case AmountKind.FLOPS_REDUCTION:
            count = counters.flops
        case _:
            assert_never(amount.kind)
    dense_count = count(model)

    @functools.cache
    def measure_reduction(widths: tuple[tuple[str, int], ...]) -> float:
        trial = copy.deepcopy(model)
        replay_cuts(trial, plan_cuts(trial, groups, dict(widths), settings.importance))
        return 1 - count(trial) / dense_count

    def reduction_at(ratio: float) -> float:
        return measure_reduction(tuple(plan_widths(groups, ratio, settings).items()))

    if (most := reduction_at(1.0)) < amount.value:
        raise UserError(
            f"prune.amount.{amount.kind} is {amount.value}, but at most {most:.3f} can be reached "
            f"with maxLayerRatio {settings.max_layer_ratio}, roundTo {settings.round_to} and "
            f"ignoreLayers {list(settings.ignore_layers)}"
        )
    return _bisect(reduction_at, amount.value)


def _bisect(reduction_at: Callable[[float], float], target: float) -> float:
    low, high = 0.0, 1.0
    while high - low > _RESOLUTION:
        middle = (low + high) / 2
        if reduction_at(middle) >= target:
            high = middle
        else:
            low = middle
    return high


def _check_ratio(ratio: float, groups: Sequence[ChannelGroup], settings: PruneSettings) -> float:
    if plan_widths(groups, ratio, settings) == plan_widths(groups, 0.0, settings):
        raise UserError(
            f"prune.amount.ratio is {ratio}, which removes no channel: roundTo is "
            f"{settings.round_to} and the layers that may be cut have the widths "
            f"{sorted({group.width for group in groups})}"
        )
    return ratio

"""How far to prune: the widths that reach an amount.

Called by `iteration`, and by the preflight so that an amount out of reach fails before any
training. Measures by trial cuts of copies; fine-tuning and accuracy are `iteration`'s.
"""

import bisect
import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from torch import nn

from trimtab_trainer.errors import UserError
from trimtab_trainer.pruning.cuts import replay_cuts
from trimtab_trainer.pruning.cutter import (
    PruneSettings,
    plan_cuts,
    plan_widths,
)
from trimtab_trainer.pruning.groups import ChannelGroup

__all__ = ["Amount", "AmountKind", "Counters", "CutTarget", "find_target"]

_RATIO_STEPS = 1024


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


@dataclass(frozen=True, slots=True)
class CutTarget:
    """Where pruning shall end."""

    ratio: float
    """Share of the channels that is to go from every layer."""
    widths: Mapping[str, int]
    """Channels that stay of each group, by its root."""


def find_target(
    model: nn.Module,
    groups: Sequence[ChannelGroup],
    *,
    amount: Amount,
    settings: PruneSettings,
    counters: Counters,
) -> CutTarget:
    """Find the widths that reach an amount, with the same share of channels gone everywhere.

    A reduction is found by bisection over trial cuts: cost falls in steps because widths are
    rounded, and never rises with the share. Of the last such step only as many groups, from
    the output on, are cut as it takes to remove at least the amount. Values of weights do not
    matter: an untrained model gives the same answer.

    Args:
        model: the dense model; left as it is.
        groups: of this model, from `find_cuttable_groups`.
        amount: what shall be removed.
        settings: how widths are rounded and how far they may fall.
        counters: how the model is counted.

    Raises:
        UserError: no channel would go, or the amount is out of reach.
    """
    match amount.kind:
        case AmountKind.RATIO:
            return _take_ratio(amount.value, groups, settings)
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

    def reduction_of(widths: Mapping[str, int]) -> float:
        return measure_reduction(tuple(widths.items()))

    if (most := reduction_of(plan_widths(groups, 1.0, settings))) < amount.value:
        raise UserError(
            f"prune.amount.{amount.kind} is {amount.value}, but at most {most:.3f} can be reached "
            f"with maxLayerRatio {settings.max_layer_ratio}, roundTo {settings.round_to} and "
            f"ignoreLayers {list(settings.ignore_layers)}"
        )
    return _search_target(groups, settings, lambda widths: reduction_of(widths) >= amount.value)


def _search_target(
    groups: Sequence[ChannelGroup],
    settings: PruneSettings,
    is_reached: Callable[[Mapping[str, int]], bool],
) -> CutTarget:
    def widths_at(index: int) -> dict[str, int]:
        return plan_widths(groups, index / _RATIO_STEPS, settings)

    # Index 0 cuts nothing and never reaches an amount.
    index = bisect.bisect_left(
        range(_RATIO_STEPS), x=True, lo=1, key=lambda index: is_reached(widths_at(index))
    )
    before, after = widths_at(index - 1), widths_at(index)

    def cut_last(number: int) -> dict[str, int]:
        return {
            root: (after if position >= len(after) - number else before)[root]
            for position, root in enumerate(after)
        }

    number = bisect.bisect_left(
        range(len(groups)), x=True, key=lambda number: is_reached(cut_last(number))
    )
    return CutTarget(index / _RATIO_STEPS, cut_last(number))


def _take_ratio(ratio: float, groups: Sequence[ChannelGroup], settings: PruneSettings) -> CutTarget:
    widths = plan_widths(groups, ratio, settings)
    if widths == plan_widths(groups, 0.0, settings):
        raise UserError(
            f"prune.amount.ratio is {ratio}, which removes no channel: roundTo is "
            f"{settings.round_to} and the layers that may be cut have the widths "
            f"{sorted({group.width for group in groups})}"
        )
    return CutTarget(ratio, widths)

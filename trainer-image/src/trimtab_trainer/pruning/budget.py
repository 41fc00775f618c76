"""How far to prune: the widths that reach an amount.

Called by `iteration`, and by the preflight so that an amount out of reach fails before any
training. Measures by trial cuts of copies; fine-tuning and accuracy are `iteration`'s.
"""

import bisect
import functools
from collections.abc import Callable, Mapping

import torch
from torch import nn

from trimtab_api.v1alpha1.prune import Allocation
from trimtab_trainer.errors import UserError
from trimtab_trainer.pruning.allocation import Path, make_uniform_path
from trimtab_trainer.pruning.amounts import Amount, AmountKind, Counters
from trimtab_trainer.pruning.cutter import PruneSettings
from trimtab_trainer.pruning.granularity import find_prunable
from trimtab_trainer.pruning.prunable import AbstractPrunable

__all__ = ["check_amount", "find_target"]

_SHARE_STEPS = 1024
# Sums of exact fractions differ by float rounding only below this.
_ROUNDING = 1e-9


def check_amount(
    model: nn.Module,
    example: torch.Tensor,
    *,
    amount: Amount,
    settings: PruneSettings,
    counters: Counters,
) -> None:
    """Check that a model can be pruned as far as asked, whatever its weights are.

    Every allocation ends where all limits are met, so that one of them can speak for all.

    Args:
        model: dense, trained or not; left as it is.
        example: an input batch, shape (N, ...).
        amount: what shall be removed.
        settings: what may go, and how far.
        counters: how models are counted.

    Raises:
        UserError: the model cannot be read, a pattern matches nothing, or the amount is out of
            reach.
    """
    prunable = find_prunable(model, example, settings)
    path = make_uniform_path(prunable.layers)
    find_target(prunable, path, amount=amount, settings=settings, counters=counters)


def find_target(
    prunable: AbstractPrunable,
    path: Path,
    *,
    amount: Amount,
    settings: PruneSettings,
    counters: Counters,
) -> dict[str, int]:
    """Find the widths along a path that reach an amount.

    A reduction is found by bisection over trial cuts: cost falls in steps because widths are
    whole numbers, and never rises along a path. Of the last such step only as many layers, from
    the output on, are cut as it takes to remove at least the amount. A ratio is taken from each
    layer alike by Uniform; the other allocations remove that share of all parts together, or
    what rounding leaves of it.

    Args:
        prunable: the dense model.
        path: how the amount is spread over the layers.
        amount: what shall be removed.
        settings: the allocation, and what errors name.
        counters: how models are counted.

    Returns:
        Parts that stay of each layer, by its name.

    Raises:
        UserError: nothing would go, or the amount is out of reach.
    """
    is_ratio = amount.kind is AmountKind.RATIO
    if is_ratio and amount.value > settings.max_layer_ratio:
        raise UserError(
            f"prune.amount.ratio is {amount.value}, but no layer may lose more than "
            f"prune.maxLayerRatio, which is {settings.max_layer_ratio}"
        )
    if is_ratio and settings.allocation is Allocation.UNIFORM:
        return _require_loss(prunable, path(amount.value), amount, settings)

    @functools.cache
    def measure_reduction(widths: tuple[tuple[str, int], ...]) -> float:
        return prunable.reduction(amount.kind, dict(widths), counters)

    def reduction_of(widths: Mapping[str, int]) -> float:
        return measure_reduction(tuple(widths.items()))

    ends = _require_loss(prunable, path(1.0), amount, settings)
    if (most := reduction_of(ends)) < amount.value and not is_ratio:
        raise UserError(
            f"prune.amount.{amount.kind} is {amount.value}, but at most {most:.3f} can be reached "
            f"with {_name_limits(settings)}"
        )
    wanted = min(amount.value, most) - _ROUNDING
    return _search(path, lambda widths: reduction_of(widths) >= wanted)


def _search(path: Path, is_reached: Callable[[Mapping[str, int]], bool]) -> dict[str, int]:
    def widths_at(index: int) -> dict[str, int]:
        return path(index / _SHARE_STEPS)

    index = bisect.bisect_left(
        range(_SHARE_STEPS), x=True, key=lambda index: is_reached(widths_at(index))
    )
    if index == 0:
        return widths_at(0)  # Layers with a fixed share remove as much by themselves.
    before, after = widths_at(index - 1), widths_at(index)

    def cut_last(number: int) -> dict[str, int]:
        return {
            name: (after if position >= len(after) - number else before)[name]
            for position, name in enumerate(after)
        }

    number = bisect.bisect_left(
        range(len(after)), x=True, key=lambda number: is_reached(cut_last(number))
    )
    return cut_last(number)


def _require_loss(
    prunable: AbstractPrunable, widths: dict[str, int], amount: Amount, settings: PruneSettings
) -> dict[str, int]:
    if widths == prunable.widths:
        raise UserError(
            f"prune.amount.{amount.kind} is {amount.value}, which removes nothing: the layers that "
            f"may be cut have the widths {sorted(set(widths.values()))} with "
            f"{_name_limits(settings)}"
        )
    return widths


def _name_limits(settings: PruneSettings) -> str:
    return (
        f"maxLayerRatio {settings.max_layer_ratio}, roundTo {settings.round_to}, "
        f"ignoreLayers {list(settings.ignore_layers)} and "
        f"layerRatios {dict(settings.layer_ratios)}"
    )

"""Allocation: how an amount is spread over the layers of a model.

Called by `iteration` and `budget`. Each allocation is a path: a share between 0 and 1 in, how much
of every layer goes out. Further along a path nothing grows back. How far to go is `budget`'s.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import torch

from trimtab_api.v1alpha1.prune import Allocation, Importance
from trimtab_trainer.pruning.importance import GRADIENT_MEASURES
from trimtab_trainer.pruning.prunable import PrunableLayer
from trimtab_trainer.pruning.sensitivity import LayerCurve, Segment, find_segments

__all__ = ["Path", "make_path", "make_uniform_path"]

Path = Callable[[float], dict[str, int]]
"""Share → parts that stay of each layer, by its name."""

_Shares = Callable[[float], Mapping[str, float]]


def make_uniform_path(layers: Sequence[PrunableLayer]) -> Path:
    """Return the path that takes the same share of every layer.

    Args:
        layers: all that may lose parts.
    """
    return _make_path(layers, lambda share: {layer.name: share for layer in layers})


def make_path(
    layers: Sequence[PrunableLayer],
    allocation: Allocation,
    *,
    importance: Importance,
    scores: Mapping[str, torch.Tensor],
    curves: Sequence[LayerCurve],
    costs: Mapping[str, float],
) -> Path:
    """Return the path of an allocation; layers with a fixed share lose that on every path.

    Global ranks the parts of all layers together. Taylor and Fisher estimate one and the same
    loss, so their scores are compared as they are (Molchanov et al., CVPR 2019); those of other
    measures are divided by the Euclidean norm of their layer first (Molchanov et al., Pruning
    Convolutional Neural Networks for Resource Efficient Inference, ICLR 2017).

    Sensitivity buys at a growing price: at each point every layer is cut up to where one more
    part of the cost would be saved at more loss than the price allows. Such equal slopes have
    the least loss of all ways to save as much, if losses of layers add up (Shoham and Gersho,
    Efficient bit allocation for an arbitrary set of quantizers, 1988).

    Args:
        layers: all that may lose parts.
        allocation: how to spread.
        importance: the measure of the scores.
        scores: of the parts, by name of the layer; for Global.
        curves: measured sensitivities; for Sensitivity.
        costs: fraction of the model's cost that the whole of a layer is, by its name; for
            Sensitivity.
    """
    free = [layer for layer in layers if layer.fixed_share is None]
    match allocation:
        case Allocation.UNIFORM:
            return make_uniform_path(layers)
        case Allocation.GLOBAL:
            return _make_path(layers, _spread_globally(free, importance, scores))
        case Allocation.SENSITIVITY:
            return _make_path(layers, _spread_by_price(free, curves, costs))
        case _:
            assert_never(allocation)


def _make_path(layers: Sequence[PrunableLayer], shares_at: _Shares) -> Path:
    def widths_at(share: float) -> dict[str, int]:
        shares = shares_at(share)
        return {
            layer.name: layer.keep(
                shares[layer.name] if layer.fixed_share is None else layer.fixed_share
            )
            for layer in layers
        }

    return widths_at


def _spread_globally(
    layers: Sequence[PrunableLayer], importance: Importance, scores: Mapping[str, torch.Tensor]
) -> _Shares:
    # Only as many as may go compete, so that the end of the path is where every limit is met.
    lowest = [
        _normalize(scores[layer.name], importance).sort().values[: layer.width - layer.keep(1.0)]
        for layer in layers
    ]
    ranking = torch.cat(lowest).sort().values if lowest else torch.empty(0)

    def shares_at(share: float) -> Mapping[str, float]:
        counts = _count_lowest(lowest, ranking, round(share * len(ranking)))
        return {
            layer.name: count / layer.width for layer, count in zip(layers, counts, strict=True)
        }

    return shares_at


def _normalize(scores: torch.Tensor, importance: Importance) -> torch.Tensor:
    if importance in GRADIENT_MEASURES:
        return scores
    # A layer of zeros stays one.
    norm = scores.square().sum().sqrt().clamp_min(torch.finfo(scores.dtype).tiny)
    return scores / norm


def _count_lowest(lowest: Sequence[torch.Tensor], ranking: torch.Tensor, number: int) -> list[int]:
    """Return how many of the lowest `number` scores each layer has; ties go to the first layers."""
    if number == 0:
        return [0] * len(lowest)
    threshold = ranking[number - 1]
    counts = [int(torch.searchsorted(scores, threshold)) for scores in lowest]
    left = number - sum(counts)
    for index, scores in enumerate(lowest):
        ties = int(torch.searchsorted(scores, threshold, right=True)) - counts[index]
        counts[index] += min(ties, left)
        left -= min(ties, left)
    return counts


@dataclass(frozen=True, slots=True)
class _Purchase:
    layer: str
    segment: Segment
    saved: float
    """Fraction of the model's cost that this part of the layer is."""

    @property
    def price(self) -> float:
        return self.segment.loss / self.saved if self.saved > 0 else float("inf")


def _spread_by_price(
    layers: Sequence[PrunableLayer], curves: Sequence[LayerCurve], costs: Mapping[str, float]
) -> _Shares:
    most = {layer.name: 1 - layer.keep(1.0) / layer.width for layer in layers}
    purchases = [
        _Purchase(curve.layer, segment, costs[curve.layer] * (segment.end - segment.start))
        for curve in curves
        if most.get(curve.layer)
        for segment in find_segments(curve.points, most[curve.layer])
    ]
    # Prices of one layer's segments ascend, so that sorting keeps their order.
    purchases.sort(key=lambda purchase: purchase.price)
    total = sum(purchase.saved for purchase in purchases)

    def shares_at(share: float) -> Mapping[str, float]:
        shares = dict.fromkeys(most, 0.0)
        if share >= 1:
            return most
        budget = share * total
        for purchase in purchases:
            if budget <= 0:
                break
            part = min(1.0, budget / purchase.saved) if purchase.saved > 0 else 1.0
            start, end = purchase.segment.start, purchase.segment.end
            shares[purchase.layer] = start + part * (end - start)
            budget -= purchase.saved
        return shares

    return shares_at

"""Sensitivity: what pruning one layer alone costs, measured, and the prices that follow from it.

Called by `iteration` before the first step; the prices are used by `allocation`. Which samples a
trial is evaluated on is the caller's.
"""

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from trimtab_api.v1alpha1.prune import Granularity
from trimtab_trainer.pruning.prunable import AbstractPrunable, PrunableLayer
from trimtab_trainer.pruning.schedule import plan_width

__all__ = [
    "CurvePoint",
    "LayerCurve",
    "LayerScanned",
    "Probe",
    "Reading",
    "Segment",
    "find_segments",
    "scan_sensitivity",
]

_RUINED = 1e6
"""Stands for a loss that is no finite number."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a probe finds out about a model."""

    drop: float
    """By how much the primary metric is worse than any fixed reference, in its unit."""
    loss: float
    """Mean loss of the task."""


Probe = Callable[[nn.Module], Reading]
"""Evaluates a model on samples that are the same at every call."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What it costs to remove a share of one layer, without fine-tuning."""

    ratio: float
    """Share of the layer's parts that was removed for the trial."""
    drop: float
    """By how much the primary metric gets worse, in its unit; negative where better."""
    loss_increase: float
    """By how much the loss grows; negative where it falls."""


@dataclass(frozen=True, slots=True)
class LayerCurve:
    """The sensitivity of one layer."""

    layer: str
    """Its name."""
    kind: Granularity
    """What its parts are."""
    points: tuple[CurvePoint, ...]
    """By ratio, ascending; empty where no part can go."""


@dataclass(frozen=True, slots=True)
class LayerScanned:
    """Progress: one more layer is measured."""

    curve: LayerCurve
    done: int
    """Layers measured, this one included."""
    total: int
    """Layers to measure."""


def scan_sensitivity(
    prunable: AbstractPrunable,
    ratios: Sequence[float],
    *,
    scores: Mapping[str, torch.Tensor],
    probe: Probe,
) -> Generator[LayerScanned, None, None]:
    """Measure each layer alone, after Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017.

    A trial removes the lowest scores of one layer from a copy of the model, for good: that costs
    little beside its evaluation, and is right also where norms look at all channels together.
    Layers with a fixed share are left out. It can be ended after any layer.

    Args:
        prunable: the dense model; left as it is.
        ratios: shares to try, ascending, above 0 and below 1; a layer always keeps one part.
        scores: of the parts, by name of the layer.
        probe: how models are evaluated.
    """
    layers = [layer for layer in prunable.layers if layer.fixed_share is None]
    reference = probe(prunable.model)
    for done, layer in enumerate(layers, start=1):
        # Rounding to fewer trials than ratios leaves each share once.
        widths = dict.fromkeys(_trial_width(layer, ratio) for ratio in ratios)
        points = tuple(
            _try_width(prunable, layer, width, scores=scores, probe=probe, reference=reference)
            for width in widths
            if width < layer.width
        )
        yield LayerScanned(LayerCurve(layer.name, layer.kind, points), done, len(layers))


def _trial_width(layer: PrunableLayer, ratio: float) -> int:
    # The limits of the plan do not bind a trial: its curve shows what lies beyond them.
    return plan_width(layer.width, ratio, max_layer_ratio=1.0, round_to=1)


def _try_width(
    prunable: AbstractPrunable,
    layer: PrunableLayer,
    width: int,
    *,
    scores: Mapping[str, torch.Tensor],
    probe: Probe,
    reference: Reading,
) -> CurvePoint:
    reading = probe(prunable.shrink(prunable.widths | {layer.name: width}, scores).model)
    return CurvePoint(
        ratio=1 - width / layer.width,
        drop=_bound(reading.drop - reference.drop),
        loss_increase=_bound(reading.loss - reference.loss),
    )


def _bound(value: float) -> float:
    return min(value, _RUINED) if math.isfinite(value) else _RUINED


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a curve along which each further part costs as much as the one before."""

    start: float
    """Share removed where it begins."""
    end: float
    """Share removed where it ends, above `start`."""
    loss: float
    """By how much the loss grows from start to end, at least 0."""


def find_segments(points: Sequence[CurvePoint], most: float) -> tuple[Segment, ...]:
    """Return the lower convex hull of a curve of losses, made to begin at 0 and never to fall.

    What was measured beyond `most` is left out; where less was measured, the curve goes on as it
    ends.

    Args:
        points: measured, by ratio, ascending.
        most: largest share that may go, above 0.

    Returns:
        Segments from 0 to `most`, each steeper than the one before; none of a curve without points.
    """
    if not points:
        return ()
    corners = [(0.0, 0.0)]
    for point in points:
        corners.append((point.ratio, max(point.loss_increase, corners[-1][1])))
    hull: list[tuple[float, float]] = []
    for corner in _end_at(corners, most):
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) >= _slope(hull[-1], corner):
            hull.pop()
        hull.append(corner)
    return tuple(Segment(start[0], end[0], end[1] - start[1]) for start, end in pairwise(hull))


def _end_at(corners: list[tuple[float, float]], most: float) -> list[tuple[float, float]]:
    inside = [corner for corner in corners if corner[0] < most]
    beyond = [corner for corner in corners if corner[0] >= most]
    before, after = (inside[-1], beyond[0]) if beyond else (corners[-2], corners[-1])
    last = before[1] + _slope(before, after) * (most - before[0])
    return [*inside, (most, last)]


def _slope(start: tuple[float, float], end: tuple[float, float]) -> float:
    return (end[1] - start[1]) / (end[0] - start[0])

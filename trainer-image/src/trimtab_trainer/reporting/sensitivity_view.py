"""What the HTML report shows of the layers' sensitivity: which curves, on which scale. Pure.

Called by `html`; the curves are drawn by `charts.sensitivity`, the figures of every layer stand in
the table of `pruning_view`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from trimtab_api.reports import PrunedLayerReport
from trimtab_api.wording import render_share
from trimtab_trainer.reporting.charts.sensitivity import LayerPlot
from trimtab_trainer.reporting.drops import render_drop, scale_drop
from trimtab_trainer.reporting.pruning_view import cut_share, shorten_name

__all__ = ["PlotGroup", "list_plot_groups"]

_SHOWN = 12
_LETTERS = 24
# An axis is at least this long, so that noise of a harmless layer does not look like a cliff.
_LEAST_SPAN = 1e-6


@dataclass(frozen=True, slots=True)
class PlotGroup:
    """Layers whose curves share an axis."""

    title: str
    domain: tuple[float, float]
    plots: tuple[LayerPlot, ...]


def list_plot_groups(layers: Sequence[PrunedLayerReport], metric: str) -> list[PlotGroup]:
    """Return the curves to show: all, or the 12 most and the 12 least sensitive layers.

    Args:
        layers: In order of the network; those without a curve are left out.
        metric: The primary metric.
    """
    measured = [layer for layer in layers if layer.curve]
    ranked = sorted(measured, key=_mean_drop, reverse=True)
    if len(ranked) <= 2 * _SHOWN:
        groups = {"Every layer, the most sensitive first": ranked}
    else:
        groups = {
            f"The {_SHOWN} most sensitive layers": ranked[:_SHOWN],
            f"The {_SHOWN} least sensitive layers": ranked[-_SHOWN:],
        }
    return [_build_group(title, group, metric) for title, group in groups.items() if group]


def _mean_drop(layer: PrunedLayerReport) -> tuple[float, float]:
    """Rank by what the trial cuts cost on average: the largest alone often ends at chance."""
    points = layer.curve
    return (
        sum(point.drop for point in points) / len(points),
        sum(point.loss_increase for point in points) / len(points),
    )


def _build_group(title: str, layers: Sequence[PrunedLayerReport], metric: str) -> PlotGroup:
    plots = tuple(_build_plot(layer, metric) for layer in layers)
    drops = [drop for plot in plots for _, drop in plot.points]
    low = min(drops)
    return PlotGroup(title, (low, max(*drops, low + _LEAST_SPAN)), plots)


def _build_plot(layer: PrunedLayerReport, metric: str) -> LayerPlot:
    curve = [(0.0, 0.0), *((point.ratio, point.drop) for point in layer.curve)]
    cut = cut_share(layer)
    cost = _interpolate(curve, cut)
    return LayerPlot(
        name=shorten_name(layer.layer, _LETTERS),
        full_name=layer.layer,
        points=tuple((share, scale_drop(metric, drop)) for share, drop in curve),
        cut=cut,
        cost=scale_drop(metric, cost),
        note=f"cut by {render_share(cut)}: {render_drop(metric, cost)}" if cut else "not cut",
    )


def _interpolate(curve: Sequence[tuple[float, float]], share: float) -> float:
    """Return a curve's value between its points; beyond the last one, that of the last one."""
    return next(_values_between(curve, share), curve[-1][1])


def _values_between(curve: Sequence[tuple[float, float]], share: float) -> Iterator[float]:
    for (left, low), (right, high) in pairwise(curve):
        if left <= share <= right:
            yield low + (high - low) * (share - left) / (right - left)

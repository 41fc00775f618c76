"""What the HTML report says about pruning: how, in which steps, what is left of layers. Pure.

Called by `html`; measured curves are `sensitivity_view`'s.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from trimtab_api.reports import PrunedLayerReport, PruneStepReport, RunReport
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.prune import Allocation, Amount, Granularity, Importance, Prune
from trimtab_api.wording import render_change, render_count, render_metric, render_share
from trimtab_trainer.reporting.drops import render_drop

__all__ = [
    "LayerBar",
    "LayerRow",
    "PruningView",
    "StepRow",
    "build_pruning",
    "cut_share",
    "shorten_name",
]

_MINUS, _ARROW, _ELLIPSIS = "\N{MINUS SIGN}", "\N{RIGHTWARDS ARROW}", "…"
_LETTERS = 27
# More bars than these stand in the table alone.
_MOST_BARS = 64
_GRANULARITIES = {
    Granularity.WEIGHTS: "single weights, which become zero",
    Granularity.NEURONS: "neurons and attention heads",
    Granularity.FILTERS: "filters",
    Granularity.STRUCTURES: "filters, neurons and attention heads",
}
_IMPORTANCES = {
    Importance.L1: "L1 norm of the weights",
    Importance.L2: "L2 norm of the weights",
    Importance.TAYLOR: "change of the loss to first order (Taylor)",
    Importance.FISHER: "change of the loss to second order (Fisher)",
    Importance.RANDOM: "chance",
}
_ALLOCATIONS = {
    Allocation.UNIFORM: "the same share of every layer",
    Allocation.GLOBAL: "the least important of all layers together",
    Allocation.SENSITIVITY: "where trial cuts of single layers cost least",
}


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step of the pruning schedule."""

    step: int
    cells: tuple[str, ...]
    kept: bool


@dataclass(frozen=True, slots=True)
class LayerBar:
    """A layer before and after, as a bar."""

    name: str
    full_name: str
    width: float
    """Percent of the widest layer."""
    kept: float
    """Percent of the layer."""
    counts: str
    change: str


@dataclass(frozen=True, slots=True)
class LayerRow:
    """A layer in the table of all."""

    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PruningView:
    """The section about pruning."""

    method: Mapping[str, str]
    """What is cut, by which measure, how spread, how much."""
    step_columns: tuple[str, ...]
    steps: tuple[StepRow, ...]
    summary: str
    """How many layers lost something; empty where that is not known."""
    counted: str
    """What the bars count."""
    bars: tuple[LayerBar, ...]
    columns: tuple[str, ...]
    rows: tuple[LayerRow, ...]
    """All layers, with the drops of their trial cuts."""


def build_pruning(report: RunReport, spec: Spec) -> PruningView | None:
    """Return what there is to say about pruning; None where nothing was pruned.

    Args:
        report: The run.
        spec: Its expanded spec.
    """
    prune = spec.stages.prune
    if prune is None or not (report.prune_steps or report.pruned_layers):
        return None
    metric = spec.objectives[0].metric
    layers = report.pruned_layers
    measured = any(layer.curve for layer in layers)
    ratios = prune.sensitivity.ratios if measured else ()
    widest = max((layer.before for layer in layers), default=1)
    zeroed = prune.granularity is Granularity.WEIGHTS
    return PruningView(
        method=_describe_method(prune),
        step_columns=("weights zero",) if zeroed else ("channels cut", "params", "FLOPs"),
        steps=tuple(_list_steps(report, metric, zeroed=zeroed)),
        summary=_sum_up(layers),
        counted="weights that are not zero" if zeroed else "channels",
        bars=tuple(_build_bar(layer, widest) for layer in layers[:_MOST_BARS]),
        columns=(
            "kind",
            "before",
            "after",
            "cut",
            *(f"drop at {render_share(ratio)}" for ratio in ratios),
        ),
        rows=tuple(_build_row(layer, ratios, metric) for layer in layers),
    )


def _describe_method(prune: Prune) -> dict[str, str]:
    steps = prune.schedule.steps
    return {
        "cut": _GRANULARITIES[prune.granularity],
        "chosen by": _IMPORTANCES[prune.importance],
        "spread": _ALLOCATIONS[prune.allocation],
        "asked": _describe_amount(prune.amount, prune.granularity),
        "steps": f"{steps}, {prune.schedule.curve.lower()}" if steps > 1 else "1",
    }


def _describe_amount(amount: Amount | None, granularity: Granularity) -> str:
    if amount is None:
        return "nothing"
    if amount.params_reduction is not None:
        return f"{render_share(amount.params_reduction)} of the parameters"
    if amount.flops_reduction is not None:
        return f"{render_share(amount.flops_reduction)} of the FLOPs"
    things = "weights" if granularity is Granularity.WEIGHTS else "channels"
    return f"{render_share(amount.ratio or 0)} of the {things}"


def _list_steps(report: RunReport, metric: str, *, zeroed: bool) -> Iterator[StepRow]:
    reference = report.baseline.metrics.get(metric) if report.baseline else None
    for step in report.prune_steps:
        value = step.metrics.get(metric)
        change = None if value is None or reference is None else value - reference
        quality = render_metric(metric, value), render_change(metric, change)
        yield StepRow(step.step, (*_describe_cut(step, zeroed=zeroed), *quality), step.kept)


def _describe_cut(step: PruneStepReport, *, zeroed: bool) -> tuple[str, ...]:
    if zeroed:
        return (render_share(step.sparsity),)
    return (
        render_share(step.ratio),
        render_metric("params", step.params),
        render_metric("flops", step.flops),
    )


def _sum_up(layers: Sequence[PrunedLayerReport]) -> str:
    if not layers:
        return ""
    cut = [layer for layer in layers if layer.after < layer.before]
    if not cut:
        return f"None of {len(layers)} layers lost anything."
    most = max(cut, key=cut_share)
    return (
        f"{len(cut)} of {len(layers)} layers lost something; most: {most.layer}, {_change(most)}."
    )


def cut_share(layer: PrunedLayerReport) -> float:
    """Return the share of a layer that is gone, 0…1."""
    return 1 - layer.after / layer.before if layer.before else 0.0


def _change(layer: PrunedLayerReport) -> str:
    share = cut_share(layer)
    return f"{_MINUS}{render_share(share)}" if share else "±0"


def _build_bar(layer: PrunedLayerReport, widest: int) -> LayerBar:
    before, after = render_count(layer.before), render_count(layer.after)
    cut = layer.after < layer.before
    return LayerBar(
        name=shorten_name(layer.layer, _LETTERS),
        full_name=layer.layer,
        width=100 * layer.before / widest,
        kept=100 * (1 - cut_share(layer)),
        counts=f"{before} {_ARROW} {after}" if cut else before,
        change=_change(layer) if cut else "",
    )


def shorten_name(name: str, letters: int) -> str:
    """Return a name with its middle left out where it is too long; its end tells most."""
    if len(name) <= letters:
        return name
    tail = 2 * letters // 3
    return name[: letters - tail - 1] + _ELLIPSIS + name[-tail:]


def _build_row(layer: PrunedLayerReport, ratios: Sequence[float], metric: str) -> LayerRow:
    counts = f"{layer.before:,}", f"{layer.after:,}", _change(layer)
    drops = (_find_drop(layer, ratio, metric) for ratio in ratios)
    return LayerRow(layer.layer, (layer.kind.lower(), *counts, *drops))


def _find_drop(layer: PrunedLayerReport, ratio: float, metric: str) -> str:
    """Return the drop of the trial cut nearest to a share; a layer is cut by whole units."""
    near = min(layer.curve, key=lambda point: abs(point.ratio - ratio), default=None)
    if near is None or abs(near.ratio - ratio) * layer.before > 1:
        return "\N{EN DASH}"
    return render_drop(metric, near.drop)

"""report.html: one self-contained page about a run, complete, failed or half-way.

Called by the journal whenever it writes the report. Nothing is fetched when the page is opened:
styles and charts are inside. What is said is decided by the modules named `*_view`.
"""

import json
from collections.abc import Sequence

import jinja2

from trimtab_api.reports import RunReport
from trimtab_api.selection import metric_direction
from trimtab_api.v1alpha1.goals import Direction
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import BudgetStatus, TargetState, TargetStatus
from trimtab_api.verdict import describe_unreached_goal
from trimtab_trainer.reporting.budget_view import (
    describe_budget,
    explain_budget,
    list_budget_bars,
    visible_sample,
)
from trimtab_trainer.reporting.charts.budget import draw_budget
from trimtab_trainer.reporting.charts.sensitivity import LayerPlot, draw_layer
from trimtab_trainer.reporting.charts.targets import CandidatePoint, draw_candidates
from trimtab_trainer.reporting.charts.training import draw_epochs, draw_loss_scale
from trimtab_trainer.reporting.drops import name_drop_axis
from trimtab_trainer.reporting.files_view import list_candidate_files, list_file_columns
from trimtab_trainer.reporting.numerics_view import describe_numerics, list_scale_points
from trimtab_trainer.reporting.pruning_view import build_pruning
from trimtab_trainer.reporting.run_view import (
    build_headline,
    describe_recovery,
    list_facts,
    list_stage_rows,
    make_rows,
)
from trimtab_trainer.reporting.scales import choose_style
from trimtab_trainer.reporting.search_charts import Chart, draw_search
from trimtab_trainer.reporting.search_view import build_search
from trimtab_trainer.reporting.sensitivity_view import PlotGroup, list_plot_groups
from trimtab_trainer.reporting.target_overview import list_target_rows
from trimtab_trainer.reporting.target_view import build_target, list_points, worst_allowed

__all__ = ["render_html"]

_COSTS = {"latency_p50_ms": "median latency (ms)", "size_mib": "size (MiB)"}
_TEMPLATE = "report.html.j2"


def render_html(report: RunReport) -> str:
    """Return the report of a run as an HTML page.

    Args:
        report: Of any run; sections without content are left out.
    """
    spec = Spec.model_validate(report.spec)
    metric = spec.objectives[0].metric
    direction = metric_direction(metric, spec.objectives)
    targets = [
        (build_target(report, spec, target), _draw_target(report, target, metric, direction))
        for target in report.status.targets
    ]
    budget = report.status.budget
    return _load_template().render(
        report=report,
        metric=metric,
        headline=build_headline(report),
        lead=targets[0][0].sentence,
        unreached=describe_unreached_goal(report),
        facts=list_facts(report),
        budget=describe_budget(report, direction),
        budget_notes=explain_budget(report, direction),
        budget_chart=_draw_budget(budget, direction) if budget else "",
        budget_samples=bool(budget and visible_sample(budget)),
        recovery=describe_recovery(report),
        overview=list_target_rows(report, spec) if len(targets) > 1 else (),
        targets=targets,
        files=list_candidate_files(report, spec),
        file_columns=list_file_columns(spec),
        search=build_search(report, spec),
        charts_of_search=draw_search(report, spec),
        training=_draw_training(report, metric),
        numerics=describe_numerics(report),
        loss_scale=_draw_loss_scale(report),
        pruning=build_pruning(report, spec),
        sensitivity=_draw_sensitivity(report, metric),
        drop_axis=name_drop_axis(metric, direction),
        stage_rows=list(list_stage_rows(report.status.stages)),
        data_rows=list(make_rows(report.data)),
        environment_rows=list(make_rows(report.environment)),
        spec_text=json.dumps(report.spec, indent=2, ensure_ascii=False),
    )


def _load_template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("trimtab_trainer", "reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(_TEMPLATE)


def _draw_target(
    report: RunReport, target: TargetStatus, metric: str, direction: Direction
) -> list[Chart]:
    """Return the plots of quality against cost; none below two candidates with figures."""
    if target.state is TargetState.UNMEASURED:
        return []
    limit = worst_allowed(report, metric, direction)
    charts = []
    for cost, label in _COSTS.items():
        points = list_points(report, target, cost=cost, metric=metric, direction=direction)
        if len(points) > 1:
            svg = draw_candidates(
                points, cost=label, metric=metric, style=choose_style(metric), limit=limit
            )
            charts.append(Chart(svg, _describe_lines(points, metric, limit)))
    return charts


def _describe_lines(points: Sequence[CandidatePoint], metric: str, limit: float | None) -> str:
    """Return what the lines of a plot mean, of those that are drawn."""
    parts = []
    if sum(point.on_front for point in points) > 1:
        parts.append("Dotted: no candidate is better in both.")
    if limit is not None:
        parts.append(f"Dashed: the worst {metric} that the budget allows.")
    return " ".join(parts)


def _draw_budget(budget: BudgetStatus, direction: Direction) -> str:
    metric = budget.metric
    return draw_budget(
        list_budget_bars(budget),
        title=name_drop_axis(metric, direction),
        sample=visible_sample(budget),
    )


def _draw_sensitivity(
    report: RunReport, metric: str
) -> list[tuple[PlotGroup, list[tuple[LayerPlot, str]]]]:
    return [
        (group, [(plot, draw_layer(plot, domain=group.domain)) for plot in group.plots])
        for group in list_plot_groups(report.pruned_layers, metric)
    ]


def _draw_training(report: RunReport, metric: str) -> list[str]:
    def follow(name: str) -> list[tuple[int, float]]:
        return [
            (epoch.epoch, epoch.metrics[name]) for epoch in report.training if name in epoch.metrics
        ]

    quality = {f"{metric} (validation)": follow(metric)} if metric != "loss" else {}
    losses = {"training": follow("train_loss"), "validation": follow("loss")}
    charts = []
    for label, curves in ((metric, quality), ("loss", losses)):
        known = {name: pairs for name, pairs in curves.items() if pairs}
        if known:
            charts.append(draw_epochs(known, label=label, style=choose_style(label)))
    return charts


def _draw_loss_scale(report: RunReport) -> str:
    points = list_scale_points(report.training)
    scales = {point.scale for point in points}
    # What never changed is said in words.
    return draw_loss_scale(points) if len(scales) > 1 else ""

"""report.html: one self-contained page about a run, complete, failed or half-way.

Called by the journal whenever it writes the report. Nothing is fetched when the page is opened:
styles and charts are inside. What is said is decided by the modules named `*_view`.
"""

import json

import jinja2

from trimtab_api.reports import RunReport
from trimtab_api.selection import metric_direction
from trimtab_api.v1alpha1.goals import Direction
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import TargetStatus
from trimtab_trainer.reporting.charts.targets import draw_candidates
from trimtab_trainer.reporting.charts.training import draw_epochs, draw_loss_scale
from trimtab_trainer.reporting.numerics_view import describe_numerics, list_scale_points
from trimtab_trainer.reporting.run_view import (
    build_headline,
    describe_budget,
    describe_recovery,
    list_facts,
    list_prune_rows,
    list_stage_rows,
    make_rows,
)
from trimtab_trainer.reporting.scales import choose_style
from trimtab_trainer.reporting.search_charts import draw_search
from trimtab_trainer.reporting.search_view import build_search
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
    return _load_template().render(
        report=report,
        metric=metric,
        headline=build_headline(report),
        facts=list_facts(report),
        budget=describe_budget(report),
        recovery=describe_recovery(report),
        targets=[
            (build_target(report, spec, target), _draw_target(report, target, metric, direction))
            for target in report.status.targets
        ],
        search=build_search(report, spec),
        charts_of_search=draw_search(report, spec),
        training=_draw_training(report, metric),
        numerics=describe_numerics(report),
        loss_scale=_draw_loss_scale(report),
        prune_rows=list(list_prune_rows(report, metric)),
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
) -> list[str]:
    """Return the plots of quality against cost; none below two candidates."""
    limit = worst_allowed(report, metric, direction)
    charts = []
    for cost, label in _COSTS.items():
        points = list_points(report, target, cost=cost, metric=metric, direction=direction)
        if len(points) > 1:
            charts.append(
                draw_candidates(
                    points, cost=label, metric=metric, style=choose_style(metric), limit=limit
                )
            )
    return charts


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

"""Draws the charts of the section on the search, and says below each what it shows.

Called by `html`. A chart that would show nothing is left out; where there are more trials or
parameters than one can read, the most telling ones are drawn and the caption says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from trimtab_api.reports import RunReport, TrialReport
from trimtab_api.selection import metric_direction
from trimtab_api.v1alpha1.goals import Direction, Objective
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import TrialState
from trimtab_api.wording import render_share
from trimtab_trainer.reporting.charts.canvas import NARROW, WIDE, TrialMark, ValueRange
from trimtab_trainer.reporting.charts.history import draw_curves, draw_history, draw_timeline
from trimtab_trainer.reporting.charts.space import FrontPoint, draw_front, draw_parallel, draw_slice
from trimtab_trainer.reporting.scales import ParameterScale, build_scales, choose_style
from trimtab_trainer.reporting.search_view import order_parameters
from trimtab_trainer.reporting.trial_points import (
    find_range,
    last_value,
    list_curves,
    list_front,
    list_history,
    list_lines,
    list_slice,
    make_timeline,
    mark_trial,
    shown_range,
    thin_out,
)

__all__ = ["Chart", "SearchCharts", "draw_search"]

_SLICES, _AXES = 6, 8
_POINTS, _LINES, _CURVES = 500, 250, 120
_BEYOND = "Hollow triangles in the strip:"
_VALUELESS = "Those without a value stand in the strip."
_TELLING = 3
"""Trials with a value below which a chart of the space tells nothing."""


@dataclass(frozen=True, slots=True)
class Chart:
    """An SVG and what it shows."""

    svg: str
    caption: str


@dataclass(frozen=True, slots=True)
class SearchCharts:
    """The charts of a search; None or empty where there is nothing to show."""

    history: Chart | None
    slices: tuple[str, ...]
    slices_caption: str
    legend: tuple[TrialMark, ...]
    """What the marks of the slices mean."""
    parallel: Chart | None
    curves: Chart | None
    fronts: tuple[Chart, ...]
    timeline: Chart | None


@dataclass(frozen=True, slots=True)
class _Drawing:
    """What all charts of a search look at."""

    report: RunReport
    spec: Spec
    best: int | None
    scales: dict[str, ParameterScale]

    @property
    def primary(self) -> Objective:
        return self.spec.objectives[0]

    @property
    def known(self) -> list[TrialReport]:
        """Return this job's trials and the earlier job's that have a value or had one."""
        metric = self.primary.metric
        trials = (*self.report.trials, *self.report.cached_trials)
        return [trial for trial in trials if last_value(trial, metric) is not None]


def draw_search(report: RunReport, spec: Spec) -> SearchCharts:
    """Return the charts of a report's search."""
    search, best = spec.stages.search, report.status.best
    parameters = (search.parameters or ()) if search else ()
    scales = build_scales(parameters)
    ordered = {name: scales[name] for name in order_parameters(report, list(scales))}
    drawing = _Drawing(report, spec, best.trial if best else None, ordered)
    slices = _draw_slices(drawing)
    return SearchCharts(
        history=_draw_history(drawing),
        slices=slices,
        slices_caption=_describe_slices(drawing),
        legend=_list_marks(drawing),
        parallel=_draw_parallel(drawing),
        curves=_draw_curves(drawing),
        fronts=_draw_fronts(drawing),
        timeline=_draw_timeline(report.trials),
    )


def _draw_history(drawing: _Drawing) -> Chart | None:
    points = list_history(drawing.report.trials, drawing.primary)
    values = [point.value for point in points if point.value is not None]
    if not values:
        return None
    metric = drawing.primary.metric
    limits = shown_range(drawing.known, drawing.primary)
    earlier = [trial for trial in drawing.known if trial.state is TrialState.CACHED]
    svg = draw_history(
        points,
        metric=metric,
        style=choose_style(metric),
        limits=limits,
        earlier=shown_range(earlier, drawing.primary).best if earlier else None,
    )
    parts = ["Each trial, and the best so far."]
    if any(point.mark is TrialMark.LIMITED for point in points):
        parts.append("One inside the limits is better than any over them.")
    if any(point.mark is TrialMark.STOPPED for point in points):
        parts.append("Trials that were stopped early stand at their last value.")
    beyond = sum(limits.clamp(value) != value for value in values)
    if beyond:
        parts.append(f"{_BEYOND} {beyond} with values worse than the axis shows.")
    if len(values) < len(points):
        parts.append("Those without a value stand in the strip, too." if beyond else _VALUELESS)
    return Chart(svg, " ".join(parts))


def _draw_slices(drawing: _Drawing) -> tuple[str, ...]:
    known = drawing.known
    if len(known) < _TELLING:
        return ()
    metric = drawing.primary.metric
    limits = shown_range(known, drawing.primary)
    shown = thin_out(known, _POINTS, drawing.primary)
    return tuple(
        draw_slice(points, scale.axis, metric=metric, style=choose_style(metric), limits=limits)
        for scale in list(drawing.scales.values())[:_SLICES]
        if (points := list_slice(shown, scale, metric, drawing.best))
    )


def _describe_slices(drawing: _Drawing) -> str:
    parts = [_describe_hidden(drawing, _SLICES)]
    parts.append("The axes span the whole space, and later trials are darker.")
    if drawing.known:
        limits = shown_range(drawing.known, drawing.primary)
        values = [last_value(trial, drawing.primary.metric) for trial in drawing.known]
        if any(value is not None and limits.clamp(value) != value for value in values):
            parts.append(f"{_BEYOND} values worse than the axis shows.")
    if len(drawing.known) > _POINTS:
        parts.append(
            f"Of {len(drawing.known)} trials, the best {_POINTS // 4} and an even sample are drawn."
        )
    return " ".join(filter(None, parts))


def _describe_hidden(drawing: _Drawing, shown: int) -> str:
    if len(drawing.scales) <= shown:
        return ""
    kind = "most important" if drawing.report.importance else "first"
    return f"The {shown} {kind} of {len(drawing.scales)} parameters."


def _list_marks(drawing: _Drawing) -> tuple[TrialMark, ...]:
    present = {mark_trial(trial) for trial in drawing.known}
    return tuple(mark for mark in TrialMark if mark in present)


def _draw_parallel(drawing: _Drawing) -> Chart | None:
    scales = list(drawing.scales.values())[:_AXES]
    axes, lines = list_lines(drawing.report.trials, scales, drawing.spec.objectives, most=_LINES)
    if len(lines) < _TELLING or not scales:
        return None
    full = sum(trial.state is TrialState.SUCCEEDED for trial in drawing.report.trials)
    parts = ["Each line is a trial that ran to its end."]
    if full > len(lines):
        parts.append(f"Of {full}, the best {_LINES // 4} and an even sample are drawn.")
    parts.append(_describe_hidden(drawing, _AXES))
    return Chart(draw_parallel(axes, lines), " ".join(filter(None, parts)))


def _draw_curves(drawing: _Drawing) -> Chart | None:
    metric = _find_followed(drawing)
    if metric is None:
        return None
    followed = [trial for trial in drawing.report.trials if list_curves([trial], metric, None)]
    thinned = thin_out(followed, _CURVES, drawing.primary)
    curves = list_curves(thinned, metric, drawing.best)
    values = [value for curve in curves for _, value in curve.values]
    limits = ValueRange(max(values), min(values))
    if len(curves) >= _TELLING:
        limits = find_range(values, metric_direction(metric, drawing.spec.objectives))
    caption = f"{metric} after each epoch of each trial."
    if len(followed) > len(thinned):
        caption = (
            f"{metric} after each epoch: the best {_CURVES // 4} of {len(followed)} trials, and an"
            " even sample of the others."
        )
    if any(curve.mark is TrialMark.STOPPED for curve in curves):
        caption += " A dot ends those that were stopped early."
    svg = draw_curves(curves, metric=metric, style=choose_style(metric), limits=limits)
    return Chart(svg, caption)


def _find_followed(drawing: _Drawing) -> str | None:
    """Return the metric that was judged after each epoch, else an objective that has curves."""
    search = drawing.spec.stages.search
    stopping = search.early_stopping if search else None
    wanted = [stopping.metric] if stopping and stopping.metric else []
    wanted += [objective.metric for objective in drawing.spec.objectives]
    known = {
        name
        for trial in drawing.report.trials
        for epoch in trial.intermediate
        for name in epoch.metrics
    }
    return next((name for name in wanted if name in known), None)


def _draw_fronts(drawing: _Drawing) -> tuple[Chart, ...]:
    primary, *others = drawing.spec.objectives
    charts = []
    for other in others:
        points = list_front(drawing.report.trials, other, primary)
        if len(points) < _TELLING:
            continue
        limits = _frame_front(points, primary)
        svg = draw_front(
            points,
            NARROW if len(others) > 1 else WIDE,
            x=(other.metric, choose_style(other.metric)),
            y=(primary.metric, choose_style(primary.metric)),
            limits=limits,
        )
        caption = "Each trial that ran to its end."
        if any(limits.clamp(point.y) != point.y for point in points):
            caption += f" {_BEYOND} values worse than the axis shows."
        charts.append(Chart(svg, caption))
    return tuple(charts)


def _frame_front(points: Sequence[FrontPoint], primary: Objective) -> ValueRange:
    """Return the values worth showing, with the whole front among them."""
    limits = find_range([point.y for point in points], primary.direction)
    shown = [limits.worst, *(point.y for point in points if point.on_front)]
    rises = primary.direction is Direction.MAXIMIZE
    return ValueRange(limits.best, min(shown) if rises else max(shown))


def _draw_timeline(trials: Sequence[TrialReport]) -> Chart | None:
    if len(trials) <= 1:
        return None
    timeline = make_timeline(trials)
    svg = draw_timeline(timeline.spans, timeline.starts, slots=timeline.slots)
    attempts = f", {len(timeline.starts)} starts of the run one after the other"
    return Chart(
        svg,
        f"Trials in {timeline.slots} slot{'s' if timeline.slots > 1 else ''}"
        f"{attempts if len(timeline.starts) > 1 else ''}; epochs take "
        f"{render_share(timeline.busy)} of their time. Lighter: what a trial took beyond its"
        " epochs, mostly the start of its worker.",
    )

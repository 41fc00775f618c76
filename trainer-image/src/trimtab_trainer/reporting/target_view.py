"""What the HTML report says about one target: tiles, candidates, limits, points to plot. Pure.

Called by `html`; the template only places it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from trimtab_api.metrics import KNOWN_METRICS, metric_key
from trimtab_api.reports import CandidateReport, RunReport
from trimtab_api.selection import Margin, describe_constraint, find_margins
from trimtab_api.techniques import takes
from trimtab_api.v1alpha1.export import ExportFormat
from trimtab_api.v1alpha1.goals import Direction, Target
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import TargetState, TargetStatus
from trimtab_api.verdict import describe_pick, find_outcome, shipped_for
from trimtab_api.wording import (
    render_change,
    render_count,
    render_metric,
    render_scalar,
    render_share,
    render_times,
)
from trimtab_trainer.reporting.candidate_table import (
    CandidateRow,
    Column,
    build_row,
    list_columns,
)
from trimtab_trainer.reporting.charts.targets import CandidatePoint
from trimtab_trainer.reporting.choice_view import ChoiceRow, list_choices
from trimtab_trainer.reporting.target_overview import (
    describe_device,
    describe_target,
    find_target,
)
from trimtab_trainer.reporting.technique_words import RUNTIMES

__all__ = [
    "LimitRow",
    "TargetView",
    "Tile",
    "build_target",
    "list_points",
    "worst_allowed",
]

_ARROW = "\N{RIGHTWARDS ARROW}"
_MINUS = "\N{MINUS SIGN}"
_LEAST_CONTENTION = 0.0005


@dataclass(frozen=True, slots=True)
class Tile:
    """A headline figure."""

    value: str
    label: str
    note: str


@dataclass(frozen=True, slots=True)
class LimitRow:
    """A limit and how far the shipped candidate is from it."""

    limit: str
    reached: str
    margin: str
    met: bool


@dataclass(frozen=True, slots=True)
class TargetView:
    """A section of the report."""

    name: str
    description: str
    sentence: str
    tiles: tuple[Tile, ...]
    columns: tuple[Column, ...]
    rows: tuple[CandidateRow, ...]
    choices: tuple[ChoiceRow, ...]
    limits: tuple[LimitRow, ...]
    limits_of: str
    """The candidate that the limits are about."""
    limiting: str
    unmeasured: bool
    """Whether the run ended without figures on it."""
    note: str
    """How it was measured."""


def build_target(report: RunReport, spec: Spec, target: TargetStatus) -> TargetView:
    """Return what there is to say about a target; parts of it are empty for an unfinished run."""
    metric, wanted = spec.objectives[0].metric, find_target(spec, target.name)
    shipped = shipped_for(report, target)
    baseline = report.baseline.metrics if report.baseline else {}
    margins = find_margins(shipped.metrics, baseline, spec, target.name) if shipped else ()
    form = takes(wanted.runtime) if wanted.runtime else ExportFormat.ONNX
    unmeasured = target.state is TargetState.UNMEASURED
    shown = () if unmeasured else report.candidates
    return TargetView(
        name=target.name,
        description=_describe(wanted),
        sentence=describe_pick(report, target, metric),
        tiles=tuple(_tiles(report, shipped, target.name, metric)) if shipped else (),
        columns=tuple(list_columns(metric)),
        rows=tuple(build_row(report, spec, entry, target, form) for entry in shown),
        choices=tuple(list_choices(report, spec, target, form)),
        limits=tuple(_limit(margin) for margin in margins),
        limits_of=shipped.id if shipped else "",
        limiting=target.limiting_constraint or "",
        unmeasured=unmeasured,
        note="" if unmeasured else _describe_measurement(report, wanted, target),
    )


def list_points(
    report: RunReport, target: TargetStatus, *, cost: str, metric: str, direction: Direction
) -> list[CandidatePoint]:
    """Return the measured candidates as points of quality against cost.

    Args:
        report: The run.
        target: Where the cost was measured.
        cost: A metric of the target that is better when smaller.
        metric: The primary metric.
        direction: Which way it improves.
    """
    key = metric_key(cost, target.name)
    known = [c for c in report.candidates if key in c.metrics and metric in c.metrics]
    sign = 1 if direction is Direction.MAXIMIZE else -1
    place = {entry.id: (-entry.metrics[key], sign * entry.metrics[metric]) for entry in known}
    return [
        CandidatePoint(
            name=entry.id,
            cost=entry.metrics[key],
            quality=entry.metrics[metric],
            outcome=find_outcome(report, entry, target),
            on_front=not any(_dominates(other, place[entry.id]) for other in place.values()),
        )
        for entry in known
    ]


def _dominates(other: tuple[float, float], mine: tuple[float, float]) -> bool:
    return other != mine and all(a >= b for a, b in zip(other, mine, strict=True))


def worst_allowed(report: RunReport, metric: str, direction: Direction) -> float | None:
    """Return the worst value of the primary metric that the accuracy budget allows."""
    budget = report.status.budget
    if budget is None or report.baseline is None or metric not in report.baseline.metrics:
        return None
    sign = -1 if direction is Direction.MAXIMIZE else 1
    return report.baseline.metrics[metric] + sign * budget.allowed


def _describe(target: Target) -> str:
    parts = [str(target.profile)] if target.profile else []
    parts.append(describe_target(target))
    if target.prefer:
        parts.append(f"prefers {target.prefer.lower()}")
    return ", ".join(part for part in parts if part)


def _describe_measurement(report: RunReport, wanted: Target, target: TargetStatus) -> str:
    key = metric_key("contention", target.name)
    shares = [entry.metrics[key] for entry in report.candidates if key in entry.metrics]
    runtime = f" in {RUNTIMES[wanted.runtime]}" if wanted.runtime else ""
    where = f" on {target.node}" if target.node else ""
    parts = [f"Measured side by side{runtime}{where}"]
    stand_in = describe_device(wanted, target)
    if stand_in:
        parts.append(stand_in)
    elif target.proxy:
        parts.append("the machine of the run, which stands for the target")
    # What rounds to nothing is not worth a word.
    if max(shares, default=0.0) >= _LEAST_CONTENTION:
        parts.append(
            f"other programs took up to {render_share(max(shares), digits=1)} of the processor"
        )
    return "; ".join(parts)


def _tiles(report: RunReport, shipped: CandidateReport, target: str, metric: str) -> Iterator[Tile]:
    before = report.baseline.metrics if report.baseline else {}
    after = shipped.metrics
    if report.baseline and shipped.digest == report.baseline.digest:
        yield Tile(render_metric(metric, after.get(metric)), f"{metric} on validation", "baseline")
        before = {}
    size, p50 = metric_key("size_mib", target), metric_key("latency_p50_ms", target)
    if after.get(size) and size in before:
        value, label = _compare(before[size], after[size], "smaller", "larger")
        yield Tile(value, label, _span(size, before, after))
    if after.get(p50) and p50 in before:
        value, label = _compare(before[p50], after[p50], "faster, median", "slower, median")
        yield Tile(value, label, _span(p50, before, after))
    if metric in after and metric in before:
        change = render_change(metric, after[metric] - before[metric])
        label = f"{metric} on validation"
        yield Tile(change, label, _span(metric, before, after))
    tested = report.baseline.test_metrics if report.baseline else {}
    if metric in shipped.test_metrics:
        value = render_metric(metric, shipped.test_metrics[metric])
        note = f"baseline {render_metric(metric, tested.get(metric))}"
        yield Tile(value, f"{metric} on test", note)


def _compare(before: float, after: float, better: str, worse: str) -> tuple[str, str]:
    if after > before:
        return render_times(after / before), worse
    return render_times(before / after), better


def _span(key: str, before: Mapping[str, float], after: Mapping[str, float]) -> str:
    metric = key.partition("@")[0]
    return f"{render_metric(metric, before[key])} {_ARROW} {render_metric(metric, after[key])}"


def _limit(margin: Margin) -> LimitRow:
    return LimitRow(
        limit=describe_constraint(margin.constraint, margin.target),
        reached="not measured" if margin.value is None else _figure(margin, margin.value),
        margin="" if margin.value is None else _figure(margin, margin.margin),
        met=margin.met,
    )


def _figure(margin: Margin, value: float) -> str:
    """Render a value in the unit of its limit: that of the metric, points, or a share of it."""
    metric, kind = margin.constraint.metric, margin.constraint.chosen()
    known = KNOWN_METRICS.get(metric)
    if kind.endswith("ratio"):
        text = render_share(value, digits=1)
    elif kind in {"max", "min"}:
        text = render_metric(metric, value)
    elif known is not None and known.unit == "fraction":
        text = f"{100 * value:.2f} points"
    elif known is not None and known.unit == "count":
        text = render_count(value)
    else:
        text = render_scalar(value)
    return text.replace("-", _MINUS)

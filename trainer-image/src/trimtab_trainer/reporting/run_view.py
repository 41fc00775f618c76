"""What the HTML report says about the run: verdict, search, training, pruning, stages. Pure.

Called by `html`; what belongs to one target is `target_view`'s.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trimtab_api.metrics import KNOWN_METRICS
from trimtab_api.reports import RunReport, TrialReport
from trimtab_api.v1alpha1.goals import Direction
from trimtab_api.v1alpha1.status import StageStatus
from trimtab_api.verdict import Verdict, find_verdict
from trimtab_api.wording import (
    render_change,
    render_metric,
    render_scalar,
    render_seconds,
)
from trimtab_trainer.reporting.charts import TrialPoint

__all__ = [
    "Headline",
    "PruneRow",
    "StageRow",
    "TrialRow",
    "build_headline",
    "describe_budget",
    "is_percent",
    "list_facts",
    "list_history",
    "list_prune_rows",
    "list_stage_rows",
    "list_trial_rows",
    "make_rows",
]

_SHOWN_TRIALS = 50
_FLOPS_PER_MAC = 2
_TITLES = {
    Verdict.GOALS_MET: ("Goals met", "good"),
    Verdict.GOALS_MISSED: ("Goals missed", "warn"),
    Verdict.FAILED: ("Failed", "bad"),
    Verdict.UNFINISHED: ("Not finished", "open"),
}


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict at the top."""

    title: str
    tone: str
    """A CSS class."""
    message: str


@dataclass(frozen=True, slots=True)
class StageRow:
    """A stage in the table of stages."""

    name: str
    state: str
    time: str
    message: str


@dataclass(frozen=True, slots=True)
class PruneRow:
    """A step of the pruning schedule."""

    step: int
    ratio: str
    params: str
    macs: str
    quality: str
    change: str
    kept: bool


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A trial in the table of trials."""

    number: int
    value: str
    state: str
    parameters: tuple[str, ...]
    seconds: str
    message: str


def build_headline(report: RunReport) -> Headline:
    """Return the verdict in a word and what the status says to it."""
    verdict = find_verdict(report.status)
    title, tone = _TITLES[verdict]
    message = report.status.message or ""
    if verdict is Verdict.UNFINISHED and report.status.stage:
        message = f"stopped or still running in stage {report.status.stage}"
    return Headline(title, tone, "" if verdict is Verdict.GOALS_MET else message)


def is_percent(metric: str) -> bool:
    """Return whether a metric is a fraction that people read as percent."""
    known = KNOWN_METRICS.get(metric)
    return known is not None and known.unit == "fraction"


def list_facts(report: RunReport) -> dict[str, str]:
    """Return what fits into a line under the title."""
    status = report.status
    facts = {"started": (status.start_time or "").replace("T", " ").replace("Z", " UTC")}
    time = _elapsed(status.start_time, status.completion_time)
    if time:
        facts["took"] = time
    if status.attempt and status.attempt > 1:
        facts["attempt"] = str(status.attempt)
    if status.trials and status.trials.total:
        facts["trials"] = status.trials.summary
    if status.precision:
        facts["precision"] = status.precision.dtype
    return {name: value for name, value in facts.items() if value}


def _elapsed(start: str | None, end: str | None) -> str:
    if start is None or end is None:
        return ""
    return render_seconds(
        (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    )


def describe_budget(report: RunReport) -> str:
    """Return the accuracy budget in a sentence; empty without one."""
    budget = report.status.budget
    if budget is None:
        return ""
    spent = [
        f"{stage} spent {_points(budget.metric, drop)}" for stage, drop in budget.spent.items()
    ]
    parts = [
        f"Budget: {budget.metric} may drop by {_points(budget.metric, budget.allowed)}",
        *spent,
        f"{_points(budget.metric, budget.remaining)} left",
    ]
    sample = _points(budget.metric, budget.resolution)
    note = f" (one validation sample is {sample})" if budget.resolution else ""
    return "; ".join(parts) + note


def _points(metric: str, value: float) -> str:
    return f"{100 * value:.2f} points" if is_percent(metric) else render_scalar(value)


def list_history(
    trials: Sequence[TrialReport], metric: str, direction: Direction
) -> list[TrialPoint]:
    """Return trials by number with the best value up to each."""
    better = max if direction is Direction.MAXIMIZE else min
    best: float | None = None
    points = []
    for trial in sorted(trials, key=lambda entry: entry.number):
        value = trial.values.get(metric)
        if value is not None:
            best = value if best is None else better(best, value)
        points.append(TrialPoint(trial.number, value, best))
    return points


def list_trial_rows(
    trials: Sequence[TrialReport], names: Sequence[str], metric: str, direction: Direction
) -> list[TrialRow]:
    """Return the best trials first, those without a value last, fifty at most.

    Args:
        trials: Ended trials.
        names: Parameters, in the order of the columns.
        metric: The primary metric.
        direction: Which way it improves.
    """
    sign = -1 if direction is Direction.MAXIMIZE else 1

    def rank(trial: TrialReport) -> tuple[bool, float, int]:
        value = trial.values.get(metric)
        return value is None, 0.0 if value is None else sign * value, trial.number

    return [_trial_row(trial, names, metric) for trial in sorted(trials, key=rank)[:_SHOWN_TRIALS]]


def _trial_row(trial: TrialReport, names: Sequence[str], metric: str) -> TrialRow:
    failure = trial.failure
    return TrialRow(
        number=trial.number,
        value=render_metric(metric, trial.values.get(metric)),
        state=trial.state.lower(),
        parameters=tuple(render_scalar(trial.parameters.get(name, "")) for name in names),
        seconds=render_seconds(trial.seconds),
        message=f"{failure.failure_class}: {failure.message}" if failure else "",
    )


def list_prune_rows(report: RunReport, metric: str) -> Iterator[PruneRow]:
    """Yield the steps of the pruning schedule."""
    reference = report.baseline.metrics.get(metric) if report.baseline else None
    for step in report.prune_steps:
        value = step.metrics.get(metric)
        change = None if value is None or reference is None else value - reference
        yield PruneRow(
            step=step.step,
            ratio=f"{step.ratio:.0%}",
            params=render_metric("params", step.params),
            macs=render_metric("flops", step.flops / _FLOPS_PER_MAC),
            quality=render_metric(metric, value),
            change=render_change(metric, change),
            kept=step.kept,
        )


def list_stage_rows(stages: Sequence[StageStatus]) -> Iterator[StageRow]:
    """Yield the stages in their order."""
    for stage in stages:
        reason = f", {stage.reason}" if stage.reason else ""
        yield StageRow(
            name=stage.name,
            state=f"{stage.state}{reason}",
            time=_elapsed(stage.start_time, stage.completion_time),
            message=stage.message,
        )


def make_rows(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested plain data as rows of a name and a text."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from make_rows(value, f"{prefix}{name} ")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{name}", ", ".join(str(item) for item in value)
        else:
            yield f"{prefix}{name}", render_scalar(value)

"""What the HTML report says about the search: how it went, what matters, each trial. Pure.

Called by `html`; the points of the charts are `trial_points`'.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trimtab_api.metrics import KNOWN_METRICS, MetricScope
from trimtab_api.reports import ImportanceReport, RunReport, TrialReport
from trimtab_api.v1alpha1.goals import Objective
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.search import Search, Surrogate
from trimtab_api.v1alpha1.status import TrialState
from trimtab_api.wording import render_metric, render_scalar, render_seconds, render_share
from trimtab_trainer.reporting.trial_points import last_value, rank_trial
from trimtab_trainer.reporting.trial_words import count_things, describe_violations, name_state

__all__ = [
    "ImportanceRow",
    "ImportanceView",
    "SearchView",
    "TrialRow",
    "build_search",
    "order_parameters",
]

_SHOWN_TRIALS, _SHOWN_WITHOUT = 50, 10
"""Rows of the table: trials with a value, and without one."""
_SHOWN_IMPORTANCES = 12
_NOISE_SAMPLES = 3
"""Trials that differ by no more validation samples may differ by chance."""
_SURROGATES = {Surrogate.TPE: "TPE", Surrogate.GAUSSIAN_PROCESS: "Gaussian process"}


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A trial in the table of trials."""

    name: str
    values: tuple[str, ...]
    """One per objective."""
    state: str
    is_best: bool
    parameters: tuple[str, ...]
    seconds: str
    message: str


@dataclass(frozen=True, slots=True)
class ImportanceRow:
    """A parameter and its share of an objective's variation."""

    name: str
    percent: str
    width: float
    """Of its bar, percent of the longest one."""


@dataclass(frozen=True, slots=True)
class ImportanceView:
    """The parameters by their importance for one objective."""

    metric: str
    rows: tuple[ImportanceRow, ...]
    doubt: str
    """Why the ranking says little; empty where it may be believed."""


@dataclass(frozen=True, slots=True)
class SearchView:
    """The section on the search."""

    method: str
    outcome: str
    best_title: str
    best_rows: tuple[tuple[str, str], ...]
    failures: tuple[str, ...]
    importance: tuple[ImportanceView, ...]
    objectives: tuple[str, ...]
    parameters: tuple[str, ...]
    rows: tuple[TrialRow, ...]
    total: int
    """Trials of this job and of the earlier one."""


def build_search(report: RunReport, spec: Spec) -> SearchView:
    """Return what there is to say about the search."""
    trials = (*report.trials, *report.cached_trials)
    objectives = [objective.metric for objective in spec.objectives]
    names = tuple(dict.fromkeys(name for trial in trials for name in trial.parameters))
    best = report.status.best
    number = best.trial if best else None
    shown = _choose_rows(trials, spec.objectives[0])
    return SearchView(
        method=_describe_method(spec.stages.search, spec.objectives[0]),
        outcome=_describe_outcome(report),
        best_title=f"trial {best.trial}: {objectives[0]} {render_metric(objectives[0], best.value)}"
        if best
        else "",
        best_rows=tuple((entry.name, render_scalar(entry.value)) for entry in best.parameters)
        if best
        else (),
        failures=tuple(_list_failures(report)),
        importance=tuple(
            _view_importance(entry, _doubt_ranking(report, entry.metric))
            for entry in report.importance
            if entry.shares
        ),
        objectives=tuple(objectives),
        parameters=names,
        rows=tuple(_trial_row(trial, names, objectives, best=number) for trial in shown),
        total=len(trials),
    )


def _choose_rows(trials: Sequence[TrialReport], primary: Objective) -> list[TrialReport]:
    """Return the best trials first, and some of those without a value last."""
    ranked = sorted(trials, key=lambda trial: rank_trial(trial, primary))
    rated = [trial for trial in ranked if last_value(trial, primary.metric) is not None]
    return [*rated[:_SHOWN_TRIALS], *ranked[len(rated) :][:_SHOWN_WITHOUT]]


def order_parameters(report: RunReport, names: Sequence[str]) -> list[str]:
    """Return parameters by their importance for the primary objective; as given where unknown."""
    shares = report.importance[0].shares if report.importance else {}
    return sorted(names, key=lambda name: -shares.get(name, 0.0))


def _describe_method(search: Search | None, primary: Objective) -> str:
    if search is None:
        return ""
    parts = [_name_algorithm(search), f"{search.parallel_trials} at once"]
    stopping = search.early_stopping
    if stopping is not None:
        rule = {"asha": "ASHA", "hyperband": "Hyperband", "median": "the median rule"}
        metric = stopping.metric or primary.metric
        parts.append(f"early stopping by {rule[stopping.chosen()]} on {metric}")
    start = search.warm_start
    if start.points:
        parts.append(f"{count_things(len(start.points), 'point')} given")
    if start.from_job:
        parts.append(f"results of {start.from_job} known")
    return ", ".join(parts)


def _name_algorithm(search: Search) -> str:
    bayesian = search.algorithm.bayesian
    if bayesian is not None:
        return f"Bayesian with {_SURROGATES[bayesian.surrogate]}"
    return "grid" if search.algorithm.grid is not None else "random"


def _describe_outcome(report: RunReport) -> str:
    words = {state: state.lower() for state in TrialState} | {TrialState.STOPPED: "stopped early"}
    counts = Counter(trial.state for trial in report.trials)
    parts = [f"{counts[state]} {word}" for state, word in words.items() if counts[state]]
    succeeded = [trial for trial in report.trials if trial.state is TrialState.SUCCEEDED]
    limited = sum(bool(trial.violations) for trial in succeeded)
    if limited:
        parts.append(f"{limited} of the succeeded over a limit")
    again = sum(bool(trial.retries) for trial in report.trials)
    if again:
        parts.append(f"{again} ran again after a failure")
    if report.cached_trials:
        parts.append(f"{len(report.cached_trials)} known from an earlier job")
    return ", ".join(parts)


def _list_failures(report: RunReport) -> Iterator[str]:
    for entry in report.status.failures:
        trials = count_things(entry.count, "trial")
        yield f"{trials} ended with {entry.failure_class}: {entry.last_message}"


def _doubt_ranking(report: RunReport, metric: str) -> str:
    """Return why the trials' values are too much alike to be explained; empty if they are not."""
    resolution = _find_resolution(report, metric)
    trials = (*report.trials, *report.cached_trials)
    values = [trial.values[metric] for trial in trials if metric in trial.values]
    if not resolution or not values:
        return ""
    samples = round((max(values) - min(values)) / resolution)
    if samples > _NOISE_SAMPLES:
        return ""
    apart = count_things(samples, "validation sample")
    return f"The trials differ by {apart}: this ranking is weak."


def _find_resolution(report: RunReport, metric: str) -> float:
    """Return what one validation sample is worth in a metric; 0 where that is not known."""
    budget = report.status.budget
    if budget is not None and budget.metric == metric:
        return budget.resolution
    known, samples = KNOWN_METRICS.get(metric), report.data.get("samples", {}).get("validation")
    if not samples or known is None or known.scope is not MetricScope.VALIDATION:
        return 0.0
    return 1 / samples if known.unit == "fraction" else 0.0


def _view_importance(entry: ImportanceReport, doubt: str) -> ImportanceView:
    ranked = sorted(entry.shares.items(), key=lambda pair: -pair[1])[:_SHOWN_IMPORTANCES]
    longest = ranked[0][1] or 1.0
    rows = (
        ImportanceRow(name, render_share(share), round(100 * share / longest, 1))
        for name, share in ranked
    )
    return ImportanceView(entry.metric, tuple(rows), doubt)


def _trial_row(
    trial: TrialReport, names: Sequence[str], objectives: Sequence[str], *, best: int | None
) -> TrialRow:
    earlier = trial.state is TrialState.CACHED
    return TrialRow(
        name=f"earlier {trial.number}" if earlier else str(trial.number),
        values=tuple(render_metric(name, last_value(trial, name)) for name in objectives),
        state=name_state(trial),
        is_best=trial.number == best and not earlier,
        parameters=tuple(render_scalar(trial.parameters.get(name, "")) for name in names),
        seconds=render_seconds(trial.seconds),
        message="; ".join(_list_remarks(trial)),
    )


def _list_remarks(trial: TrialReport) -> Iterator[str]:
    if trial.failure is not None:
        yield f"{trial.failure.failure_class}: {trial.failure.message}"
    for violation in describe_violations(trial):
        yield f"over the limit: {violation}"
    for retry in trial.retries:
        yield f"ran again after {retry.failure_class} ({retry.action}): {retry.message}"

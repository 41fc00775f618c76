"""Events of a run as lines of text. Pure.

The plain reporter prints all of them, the live one those that stay above its bars.
"""

from collections.abc import Mapping
from typing import assert_never

from trimtab_api.metrics import metric_key
from trimtab_api.reports import CandidateReport, TrialReport
from trimtab_api.stages import StageState
from trimtab_api.v1alpha1._types import Scalar
from trimtab_api.v1alpha1.status import TrialState
from trimtab_api.wording import render_metric, render_scalar, render_seconds
from trimtab_cli.rendering.run_state import RunState
from trimtab_trainer.reporting._base import (
    CandidateMeasured,
    Event,
    NewBest,
    RunResumed,
    StageEnded,
    StageProgress,
    StageStarted,
    TrialEnded,
    TrialProgress,
    TrialStarted,
    WarningRaised,
)

__all__ = ["describe_event", "describe_parameters"]

_SHOWN_ON_TARGET = ("size_mib", "latency_p50_ms", "speedup")


def describe_event(event: Event, state: RunState, *, metric: str, now: float) -> str | None:
    """Return an event in one line; None for one that says nothing new.

    Args:
        event: What happened.
        state: The run after it.
        metric: The primary metric.
        now: Seconds on the state's clock.
    """
    line: str | None = None
    match event:
        case RunResumed(trials, attempt):
            line = f"going on with attempt {attempt}: {trials} trials are done already"
        case StageStarted(stage, total):
            line = f"{stage}: started" + (f", {total} trials" if total else "")
        case StageProgress():
            line = _describe_progress(event, metric)
        case StageEnded():
            line = _describe_end(event)
        case TrialEnded(trial):
            line = f"{_describe_trial(trial, metric)} ({_describe_rest(state, now)})"
        case NewBest(number, _, value, parameters):
            best = f"{metric} {render_metric(metric, value)} by trial {number}"
            line = f"new best: {best}: {describe_parameters(parameters)}"
        case CandidateMeasured(candidate):
            line = _describe_candidate(candidate, metric)
        case WarningRaised(message):
            line = f"warning: {message}"
        case TrialStarted() | TrialProgress():
            pass
        case _:
            assert_never(event)
    return line


def describe_parameters(parameters: Mapping[str, Scalar]) -> str:
    """Return a trial's parameters in a line: `train.learningRate 0.003, train.batchSize 64`."""
    return ", ".join(f"{name} {render_scalar(value)}" for name, value in parameters.items())


def _describe_progress(event: StageProgress, metric: str) -> str:
    share = f" {event.done / event.total:.0%}" if event.total else ""
    value = event.metrics.get(metric)
    figure = "" if value is None else f", {metric} {render_metric(metric, value)}"
    return f"{event.stage}{share}: {event.message}{figure}"


def _describe_end(event: StageEnded) -> str:
    message = f": {event.message}" if event.message else ""
    reason = f", {event.reason}" if event.reason else ""
    match event.state:
        case StageState.SKIPPED:
            return f"{event.stage}: skipped{reason}"
        case StageState.CACHED:
            return f"{event.stage}: taken from an earlier start{message}"
        case StageState.FAILED:
            return f"{event.stage}: failed{reason}{message}"
        case StageState.SUCCEEDED | StageState.RUNNING | StageState.WAITING:
            return f"{event.stage}: done in {render_seconds(event.seconds)}{reason}{message}"
        case _:
            assert_never(event.state)


def _describe_trial(trial: TrialReport, metric: str) -> str:
    head = f"trial {trial.number}: "
    if trial.failure is not None:
        return (
            f"{head}{trial.state.lower()}, {trial.failure.failure_class}: {trial.failure.message}"
        )
    if trial.state is TrialState.SUCCEEDED:
        value = render_metric(metric, trial.values.get(metric))
        return f"{head}{metric} {value} in {render_seconds(trial.seconds)}"
    return f"{head}{trial.state.lower()} after {render_seconds(trial.seconds)}"


def _describe_rest(state: RunState, now: float) -> str:
    parts = [f"{state.done:.0f}/{state.total:.0f}" if state.total else f"{state.done:.0f} done"]
    left = state.remaining(now)
    if left:
        parts.append(f"about {render_seconds(left)} left")
    return ", ".join(parts)


def _describe_candidate(candidate: CandidateReport, metric: str) -> str:
    figures = [f"{metric} {render_metric(metric, candidate.metrics.get(metric))}"]
    targets = dict.fromkeys(key.partition("@")[2] for key in candidate.metrics if "@" in key)
    for target in targets:
        own = [
            render_metric(name, candidate.metrics[key]) + (" p50" if "p50" in name else "")
            for name in _SHOWN_ON_TARGET
            if (key := metric_key(name, target)) in candidate.metrics
        ]
        figures.append(f"on {target} {', '.join(own)}")
    verdict = f"rejected: {candidate.rejected}" if candidate.rejected else "accepted"
    return f"candidate {candidate.id}: {'; '.join(figures)}; {verdict}"

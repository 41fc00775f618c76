"""Events of a run as lines of text. Pure.

The plain reporter prints all of them, the live one those that stay above its bars.
"""

from collections.abc import Mapping, Sequence
from typing import assert_never

from trimtab_api.metrics import metric_key
from trimtab_api.reports import CandidateReport, TrialReport
from trimtab_api.stages import StageName, StageState
from trimtab_api.v1alpha1._types import Scalar
from trimtab_api.v1alpha1.status import TrialState
from trimtab_api.wording import (
    name_rejection,
    render_metric,
    render_scalar,
    render_seconds,
    render_share,
)
from trimtab_cli.rendering.run_state import RunState
from trimtab_trainer.reporting._base import (
    CandidateMeasured,
    CheckpointRefused,
    Event,
    NewBest,
    PrecisionFallback,
    ProblemRaised,
    ProblemSolved,
    RunResumed,
    RunStarted,
    SamplesSkipped,
    StageEnded,
    StageProgress,
    StageStarted,
    TrialEnded,
    TrialProgress,
    TrialRetried,
    TrialStarted,
    WarningRaised,
)
from trimtab_trainer.reporting.trial_words import (
    count_things,
    describe_violations,
    name_state,
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
    match event:
        case RunResumed(trials, attempt):
            return f"going on with attempt {attempt}{_describe_known(trials)}"
        case RunStarted():
            return "starting workers"
        case StageStarted():
            return _describe_start(event)
        case StageProgress():
            return _describe_progress(event, metric) if event.message else None
        case StageEnded():
            return _describe_end(event)
        case TrialEnded(trial):
            return f"{_describe_trial(trial, metric)} ({_describe_rest(state, now)})"
        case NewBest(number, _, value, parameters):
            best = f"{metric} {render_metric(metric, value)} by trial {number}"
            return f"new best: {best}: {describe_parameters(parameters)}"
        case CandidateMeasured(candidate):
            return _describe_candidate(candidate, metric)
        case TrialStarted() | TrialProgress():
            return None
        case _:
            return _describe_incident(event)


_Incident = (
    TrialRetried
    | WarningRaised
    | ProblemRaised
    | ProblemSolved
    | SamplesSkipped
    | CheckpointRefused
    | PrecisionFallback
)


def _describe_incident(event: _Incident) -> str:
    match event:
        case TrialRetried(number, _, failure_class, message, action):
            return f"trial {number}: {failure_class}: {message}; runs again ({action})"
        case WarningRaised(message):
            return f"warning: {message}"
        case ProblemRaised(reason, message):
            return f"waiting, {reason}: {message}"
        case ProblemSolved(reason, seconds):
            return f"going on after {render_seconds(seconds)}: {reason} is over"
        case SamplesSkipped(count, names):
            samples = count_things(count, "sample")
            return f"{samples} cannot be read and left out: {_list(names, count)}"
        case CheckpointRefused(message):
            return f"checkpoint refused: {message}"
        case PrecisionFallback(where, from_dtype, to_dtype):
            return f"{where}: {from_dtype} does not hold its numbers, goes on in {to_dtype}"
        case _:
            assert_never(event)


def _list(names: Sequence[str], count: int) -> str:
    return ", ".join(names) + (", …" if count > len(names) else "")


def describe_parameters(parameters: Mapping[str, Scalar]) -> str:
    """Return a trial's parameters in a line: `train.learningRate 0.003, train.batchSize 64`."""
    return ", ".join(f"{name} {render_scalar(value)}" for name, value in parameters.items())


def _describe_known(trials: int) -> str:
    verb = "is" if trials == 1 else "are"
    return f": {count_things(trials, 'trial')} {verb} done already" if trials else ""


def _describe_start(event: StageStarted) -> str:
    if event.stage is StageName.SEARCH and event.total:
        return f"{event.stage}: started, {event.total} trials"
    if event.done:
        of = f" of {event.total}" if event.total else ""
        return f"{event.stage}: going on after epoch {event.done}{of}"
    return f"{event.stage}: started"


def _describe_progress(event: StageProgress, metric: str) -> str:
    share = f" {render_share(event.done / event.total)}" if event.total else ""
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
        return f"{head}{name_state(trial)}, {trial.failure.failure_class}: {trial.failure.message}"
    value = trial.values.get(metric, trial.metrics.get(metric))
    figure = "" if value is None else f"{metric} {render_metric(metric, value)}"
    if trial.state is TrialState.SUCCEEDED:
        text = f"{figure} in {render_seconds(trial.seconds)}"
    elif trial.state is TrialState.STOPPED:
        text = name_state(trial) + (f", {figure}" if figure else "")
    else:
        text = f"{name_state(trial)} after {render_seconds(trial.seconds)}"
    broken = "; ".join(describe_violations(trial))
    return f"{head}{text}" + (f", over the limit: {broken}" if broken else "")


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
    verdict = "accepted"
    if candidate.rejected:
        verdict = f"{name_rejection(candidate)}: {candidate.rejected}"
    return f"candidate {candidate.id}: {'; '.join(figures)}; {verdict}"

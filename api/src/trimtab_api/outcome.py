"""The status of a job, derived whole from what its run reported. Pure.

The trainer calls it for the report of a local run, the operator for a report from a cluster; both
take picks and goals from `summary`. Nothing is patched in place: a lost update heals on the next
pass.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from trimtab_api.defaults import DETECTED_PROFILE, expand_spec
from trimtab_api.margins import MOST_MARGINS, LimitMargin, list_margins
from trimtab_api.metrics import metric_key
from trimtab_api.progress import OutcomeResult, ProgressReport, TargetReport
from trimtab_api.reports import BaselineReport, CandidateReport, TrialReport
from trimtab_api.selection import find_margins
from trimtab_api.stages import STAGE_ORDER, StageName, StageState
from trimtab_api.status_size import fit_status
from trimtab_api.summary import Figures, Place, make_condition, summarize_figures
from trimtab_api.texts import shorten
from trimtab_api.v1alpha1.conditions import (
    CompleteReason,
    ConditionType,
    DegradedReason,
    FailedReason,
)
from trimtab_api.v1alpha1.goals import Direction, Target, TargetDevice
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import (
    BaselineStatus,
    BestTrial,
    BudgetStatus,
    Condition,
    FailureClass,
    FailureCount,
    GpuSeconds,
    JobState,
    ParameterValue,
    PrecisionStatus,
    StageStatus,
    Status,
    TrialCounts,
    TrialState,
)

__all__ = ["RunFacts", "best_trial", "build_status", "measure_margins", "summarize_report"]

# More than any machine has: what a target's Job uses is bounded where it runs.
_ANY_CORES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What is known of a run at one moment."""

    spec: Spec
    """Expanded."""
    attempt: int
    now: str
    """RFC 3339."""
    start_time: str
    stages: tuple[StageStatus, ...]
    trials: Sequence[TrialReport] = ()
    running_trials: int = 0
    cached_trials: int = 0
    """Trials of an earlier job that the search knows."""
    baseline: BaselineReport | None = None
    candidates: Sequence[CandidateReport] = ()
    budget: BudgetStatus | None = None
    precision: PrecisionStatus | None = None
    gpu_seconds: GpuSeconds | None = None
    failure: tuple[FailedReason, str] | None = None
    """Why the job failed; None while it did not."""
    problem: tuple[DegradedReason, str] | None = None
    """What the job waits for now, and the words for people."""
    had_problem: bool = False
    """Whether it ever waited so."""
    finished: bool = False
    """Whether all stages ended and every target was measured."""
    extended: bool = False
    """Whether it was finished before numTrials was raised."""
    node: str | None = None
    """Where targets were measured."""
    proxy: bool = False
    """Whether that is another machine than the target's."""
    devices: Mapping[str, TargetDevice] = field(default_factory=dict)
    """Target → the device that it was measured on."""


def build_status(facts: RunFacts) -> Status:
    """Return the status of a local run that these facts amount to."""
    summary = summarize_figures(_gather(facts), facts.now)
    state = _job_state(facts)
    status = summary.model_copy(
        update={
            "conditions": (*summary.conditions, *_conditions(facts, summary.message or "")),
            "state": state,
            "attempt": facts.attempt,
            "message": _message(facts) or summary.message,
            "start_time": facts.start_time,
            "completion_time": facts.now if state in {JobState.COMPLETE, JobState.FAILED} else None,
        }
    )
    return fit_status(status)


def summarize_report(
    spec: Spec,
    report: ProgressReport | None,
    targets: Mapping[str, TargetReport],
    *,
    finished: bool,
    now: str,
) -> Status:
    """Return what a report from a cluster tells: all of the status but the job's life.

    Its only condition is GoalsMet. The caller adds the others, state, attempt, times, storage and
    cluster, and makes it fit with `fit_status`.

    Args:
        spec: Of a valid job, expanded or not.
        report: The last good one; None before the first.
        targets: What the Jobs of placed targets measured of this attempt's files, by target.
        finished: Whether the driver succeeded and no target is measured any more.
        now: RFC 3339.
    """
    profile = report.profile if report else None
    expanded = expand_spec(spec, cores=_ANY_CORES, detected=profile or DETECTED_PROFILE)
    if report is None:
        return summarize_figures(_figures_before(expanded), now)
    baseline = _add_measured(report.baseline, targets) if report.baseline else None
    primary = expanded.objectives[0].metric
    candidates = _restore(report, targets, primary)
    known = {entry.name: entry for entry in report.stages}
    succeeded = report.outcome is not None and report.outcome.result is OutcomeResult.SUCCEEDED
    figures = Figures(
        spec=expanded,
        stage=report.stage or _current_stage(report.stages),
        stages=tuple(known.get(name, StageStatus(name=name)) for name in STAGE_ORDER),
        trials=report.trials,
        best=report.best,
        baseline=baseline,
        budget=report.budget,
        candidates=[_judge_again(entry, baseline, expanded) for entry in candidates],
        precision=report.precision,
        gpu_seconds=report.gpu_seconds,
        failures=report.failures,
        finished=finished,
        places=_find_places(expanded, report, targets),
        measuring=frozenset(
            entry.name for entry in expanded.targets if entry.is_placed and succeeded
        ),
    )
    summary = summarize_figures(figures, now)
    return summary if finished else summary.model_copy(update={"message": report.message})


def measure_margins(
    spec: Spec, report: ProgressReport, targets: Mapping[str, TargetReport]
) -> tuple[LimitMargin, ...]:
    """Return the distance of each target's pick to its limits.

    The driver tells those of the targets that it measured; the others follow from their own Jobs.

    Args:
        spec: As in `summarize_report`.
        report: The last good one.
        targets: As in `summarize_report`.
    """
    told = tuple(margin for margin in report.margins if margin.target not in targets)
    if not targets or report.baseline is None:
        return told
    profile = report.profile or DETECTED_PROFILE
    expanded = expand_spec(spec, cores=_ANY_CORES, detected=profile)
    own = list_margins(
        _restore(report, targets, expanded.objectives[0].metric),
        _add_measured(report.baseline, targets).metrics,
        expanded,
        [target for target in expanded.targets if target.name in targets],
    )
    return (*told, *own)[:MOST_MARGINS]


def best_trial(trials: Sequence[TrialReport], spec: Spec) -> BestTrial | None:
    """Return the succeeded trial that is best in the primary objective, the first among equals.

    One that is past no limit comes before all that are.
    """
    primary = spec.objectives[0]
    sign = 1 if primary.direction is Direction.MAXIMIZE else -1
    rated = [trial for trial in trials if trial.state is TrialState.SUCCEEDED and trial.values]
    if not rated:
        return None
    best = max(
        rated,
        key=lambda trial: (
            not trial.violations,
            sign * trial.values[primary.metric],
            -trial.number,
        ),
    )
    return BestTrial(
        trial=best.number,
        value=best.values[primary.metric],
        parameters=tuple(
            ParameterValue(name=name, value=value) for name, value in best.parameters.items()
        ),
        metrics=best.metrics,
    )


def _gather(facts: RunFacts) -> Figures:
    return Figures(
        spec=facts.spec,
        stage=_current_stage(facts.stages),
        stages=facts.stages,
        trials=_count_trials(facts),
        best=best_trial(facts.trials, facts.spec),
        baseline=BaselineStatus(artifact=facts.baseline.artifact, metrics=facts.baseline.metrics)
        if facts.baseline
        else None,
        budget=facts.budget,
        candidates=facts.candidates,
        precision=facts.precision,
        gpu_seconds=facts.gpu_seconds,
        failures=tuple(_count_failures(facts.trials)),
        finished=facts.finished,
        places={target.name: _local_place(facts, target) for target in facts.spec.targets},
    )


def _local_place(facts: RunFacts, target: Target) -> Place:
    device = facts.devices.get(target.name)
    return Place(facts.node, device, facts.proxy or device not in {None, target.device})


def _job_state(facts: RunFacts) -> JobState:
    if facts.failure is not None:
        return JobState.FAILED
    return JobState.COMPLETE if facts.finished else JobState.RUNNING


def _current_stage(stages: Sequence[StageStatus]) -> StageName | None:
    started = [
        stage.name
        for stage in stages
        if stage.state not in {StageState.WAITING, StageState.SKIPPED}
    ]
    return started[-1] if started else None


def _conditions(facts: RunFacts, message: str) -> Iterator[Condition]:
    kind = ConditionType.DEGRADED
    if facts.problem is not None:
        reason, text = facts.problem
        yield make_condition(kind, "True", reason, text, facts.now)
    elif facts.had_problem:
        yield make_condition(kind, "False", DegradedReason.RECOVERED, "", facts.now)
    yield from _terminal_conditions(facts, message)


def _terminal_conditions(facts: RunFacts, message: str) -> Iterator[Condition]:
    if facts.failure is not None:
        reason, text = facts.failure
        yield make_condition(ConditionType.FAILED, "True", reason, text, facts.now)
        return
    kind = ConditionType.COMPLETE
    if facts.finished:
        text = _message(facts) or message
        yield make_condition(kind, "True", CompleteReason.FINISHED, text, facts.now)
    elif facts.extended:
        yield make_condition(kind, "False", CompleteReason.STUDY_EXTENDED, "", facts.now)


def _message(facts: RunFacts) -> str:
    """Return what matters more than the figures."""
    trouble = facts.failure or facts.problem
    return shorten(f"{trouble[0]}: {trouble[1]}") if trouble else ""


def _count_trials(facts: RunFacts) -> TrialCounts:
    states = Counter(trial.state for trial in facts.trials)
    search = facts.spec.stages.search
    total = max((search.num_trials or 0) if search else 0, len(facts.trials))
    return TrialCounts(
        summary=f"{len(facts.trials)}/{total}",
        total=total,
        running=facts.running_trials,
        succeeded=states[TrialState.SUCCEEDED],
        failed=states[TrialState.FAILED],
        stopped=states[TrialState.STOPPED],
        infeasible=states[TrialState.INFEASIBLE],
        cached=facts.cached_trials,
    )


def _count_failures(trials: Sequence[TrialReport]) -> Iterator[FailureCount]:
    last: dict[FailureClass, str] = {}
    counts: Counter[FailureClass] = Counter()
    for trial in trials:
        if trial.failure is not None:
            counts[trial.failure.failure_class] += 1
            last[trial.failure.failure_class] = trial.failure.message
    for failure_class, count in sorted(counts.items()):
        yield FailureCount(
            failure_class=failure_class, count=count, last_message=shorten(last[failure_class])
        )


def _figures_before(spec: Spec) -> Figures:
    """Return what is known before the first report."""
    trials = (spec.stages.search.num_trials or 0) if spec.stages.search else 0
    return Figures(
        spec=spec,
        stage=None,
        stages=tuple(StageStatus(name=name) for name in STAGE_ORDER),
        trials=TrialCounts(summary=f"0/{trials}", total=trials),
        best=None,
        baseline=None,
        budget=None,
        candidates=(),
        precision=None,
        gpu_seconds=None,
        failures=(),
        finished=False,
    )


def _restore(
    report: ProgressReport, targets: Mapping[str, TargetReport], primary: str
) -> list[CandidateReport]:
    return [
        _complete(entry.restore(), targets)
        for entry in report.candidates
        if primary in entry.metrics
    ]


def _add_measured(baseline: BaselineStatus, targets: Mapping[str, TargetReport]) -> BaselineStatus:
    measured = {
        metric_key(metric, name): value
        for name, report in targets.items()
        for metric, value in report.baseline.items()
    }
    return baseline.model_copy(update={"metrics": {**baseline.metrics, **measured}})


def _complete(candidate: CandidateReport, targets: Mapping[str, TargetReport]) -> CandidateReport:
    measured = {
        metric_key(metric, name): value
        for name, report in targets.items()
        for metric, value in report.candidates.get(candidate.id, {}).items()
    }
    return candidate.model_copy(update={"metrics": {**candidate.metrics, **measured}})


def _judge_again(
    candidate: CandidateReport, baseline: BaselineStatus | None, spec: Spec
) -> CandidateReport:
    """The driver judged before placed targets were measured; a limit missed there counts too."""
    known = baseline.metrics if baseline else {}
    missed = any(
        not margin.met and margin.value is not None
        for target in spec.targets
        for margin in find_margins(candidate.metrics, known, spec, target.name)
    )
    return candidate.model_copy(update={"feasible": candidate.feasible and not missed})


def _find_places(
    spec: Spec, report: ProgressReport, targets: Mapping[str, TargetReport]
) -> dict[str, Place]:
    places = {
        entry.name: Place(entry.node, entry.device, bool(entry.proxy)) for entry in report.targets
    }
    for target in spec.targets:
        own = targets.get(target.name)
        if own is not None:
            places[target.name] = Place(own.node, own.device, own.device is not target.device)
    return places

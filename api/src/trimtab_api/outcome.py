"""The status of a job, derived whole from what its run reported. Pure.

The trainer calls it for the report of a local run; in a cluster the operator derives the same
status from the progress report. Nothing is patched in place: a lost update heals on the next pass.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from trimtab_api.metrics import metric_key
from trimtab_api.pareto import find_front
from trimtab_api.reports import BaselineReport, CandidateReport, TrialReport
from trimtab_api.selection import (
    Pick,
    describe_constraint,
    file_for,
    pick_candidate,
    worsening,
)
from trimtab_api.stages import StageName, StageState
from trimtab_api.status_size import fit_status
from trimtab_api.v1alpha1.conditions import (
    CompleteReason,
    ConditionType,
    DegradedReason,
    FailedReason,
    GoalsMetReason,
)
from trimtab_api.v1alpha1.goals import Constraint, Direction, Target, TargetDevice
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import (
    BaselineStatus,
    BestTrial,
    BudgetStatus,
    Condition,
    FailureClass,
    FailureCount,
    JobState,
    ParameterValue,
    PrecisionStatus,
    ResultStatus,
    StageStatus,
    Status,
    TargetState,
    TargetStatus,
    TrialCounts,
    TrialState,
)

__all__ = ["RunFacts", "best_trial", "build_status", "shorten"]

_MESSAGE = 256
_PARETO = 10
_TARGET_METRICS = 16


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
    """Return the status that these facts amount to."""
    picks = _pick_for_targets(facts) if facts.finished else {}
    front = find_front(facts.candidates, facts.baseline, facts.spec)
    stage = _current_stage(facts.stages)
    state = _job_state(facts)
    status = Status(
        conditions=tuple(_conditions(facts, list(picks.values()))),
        state=state,
        stage=stage,
        attempt=facts.attempt,
        message=_message(facts, list(picks.values())),
        start_time=facts.start_time,
        completion_time=facts.now if state in {JobState.COMPLETE, JobState.FAILED} else None,
        trials=_count_trials(facts) if facts.spec.stages.search else None,
        best=best_trial(facts.trials, facts.spec),
        baseline=BaselineStatus(artifact=facts.baseline.artifact, metrics=facts.baseline.metrics)
        if facts.baseline
        else None,
        budget=facts.budget,
        pareto=front[:_PARETO],
        pareto_total=len(front),
        stages=facts.stages,
        targets=tuple(
            _target_status(facts, target, picks.get(target.name)) for target in facts.spec.targets
        ),
        result=_result(facts, next(iter(picks.values()))) if picks else None,
        precision=facts.precision,
        failures=tuple(_count_failures(facts.trials)),
    )
    return fit_status(status)


def shorten(message: str) -> str:
    """Return a message in one line of at most 256 characters."""
    line = " ".join(message.split())
    return line if len(line) <= _MESSAGE else line[: _MESSAGE - 1] + "…"


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


def _pick_for_targets(facts: RunFacts) -> dict[str, Pick]:
    baseline = facts.baseline.metrics if facts.baseline else {}
    picks = {
        target.name: pick_candidate(facts.candidates, baseline, facts.spec, target)
        for target in facts.spec.targets
    }
    return {name: pick for name, pick in picks.items() if pick is not None}


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


def _conditions(facts: RunFacts, picks: Sequence[Pick]) -> Iterator[Condition]:
    yield _goals_condition(facts, picks)
    kind = ConditionType.DEGRADED
    if facts.problem is not None:
        reason, message = facts.problem
        yield _condition(kind, "True", reason, message, facts.now)
    elif facts.had_problem:
        yield _condition(kind, "False", DegradedReason.RECOVERED, "", facts.now)
    yield from _terminal_conditions(facts, picks)


def _terminal_conditions(facts: RunFacts, picks: Sequence[Pick]) -> Iterator[Condition]:
    if facts.failure is not None:
        reason, message = facts.failure
        yield _condition(ConditionType.FAILED, "True", reason, message, facts.now)
        return
    kind = ConditionType.COMPLETE
    if facts.finished:
        message = _message(facts, picks)
        yield _condition(kind, "True", CompleteReason.FINISHED, message, facts.now)
    elif facts.extended:
        yield _condition(kind, "False", CompleteReason.STUDY_EXTENDED, "", facts.now)


def _goals_condition(facts: RunFacts, picks: Sequence[Pick]) -> Condition:
    kind = ConditionType.GOALS_MET
    if not facts.finished:
        return _condition(kind, "Unknown", GoalsMetReason.NOT_MEASURED, "", facts.now)
    missed = [pick for pick in picks if not pick.feasible]
    unmeasured = list(_name_unmeasured(facts, picks))
    if unmeasured and not missed:
        reason = GoalsMetReason.TARGET_UNMEASURED
        return _condition(kind, "False", reason, "; ".join(unmeasured), facts.now)
    if not missed:
        text = f"{len(facts.spec.constraints)} limits kept on {len(picks)} target(s)"
        return _condition(kind, "True", GoalsMetReason.ALL_CONSTRAINTS_MET, text, facts.now)
    worst = missed[0].limiting
    reason = (
        GoalsMetReason.ACCURACY_BUDGET_EXCEEDED
        if worst is not None and _is_budget(worst.constraint, facts.spec)
        else GoalsMetReason.CONSTRAINT_MISSED
    )
    text = "; ".join([*_missed(missed), *unmeasured])
    return _condition(kind, "False", reason, text, facts.now)


def _name_unmeasured(facts: RunFacts, picks: Sequence[Pick]) -> Iterator[str]:
    """Yield a note that names the targets for which no candidate has figures, if there are any."""
    measured = {pick.target for pick in picks}
    names = [entry.name for entry in facts.spec.targets if entry.name not in measured]
    if names:
        yield f"no figures on {', '.join(names)}"


def _is_budget(constraint: Constraint, spec: Spec) -> bool:
    return constraint.metric == spec.objectives[0].metric and constraint.chosen() in {
        "max_drop",
        "max_drop_ratio",
    }


def _missed(picks: Sequence[Pick]) -> Iterator[str]:
    for pick in picks:
        if pick.limiting is not None:
            limit = describe_constraint(pick.limiting.constraint, pick.target)
            value = "not measured" if pick.limiting.value is None else f"{pick.limiting.value:.4g}"
            yield f"{limit} missed by {pick.candidate.id}: {value}"


def _condition(kind: ConditionType, status: str, reason: str, message: str, now: str) -> Condition:
    return Condition(
        type=kind,
        status=status,
        reason=str(reason),
        message=shorten(message),
        last_transition_time=now,
    )


def _message(facts: RunFacts, picks: Sequence[Pick]) -> str:
    if facts.failure is not None:
        return shorten(f"{facts.failure[0]}: {facts.failure[1]}")
    if facts.problem is not None:
        return shorten(f"{facts.problem[0]}: {facts.problem[1]}")
    if not facts.finished:
        return ""
    note = _name_unmeasured(facts, picks)
    missed = list(_missed([pick for pick in picks if not pick.feasible]))
    if missed:
        return shorten("; ".join(["nearest candidate shipped", *missed, *note]))
    shipped = [f"{pick.candidate.id} ships for {pick.target}" for pick in picks]
    return shorten("; ".join([*shipped, *note]))


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


def _target_status(facts: RunFacts, target: Target, pick: Pick | None) -> TargetStatus:
    if pick is None:
        state = TargetState.UNMEASURED if facts.finished else TargetState.WAITING
        return TargetStatus(name=target.name, state=state)
    candidate, limiting = pick.candidate, pick.limiting
    file = file_for(candidate, target)
    device = facts.devices.get(target.name)
    return TargetStatus(
        name=target.name,
        state=TargetState.MEASURED,
        candidate=candidate.id,
        format=file.format if file else candidate.format,
        artifact=file.artifact if file else candidate.artifact,
        digest=file.digest if file else candidate.digest,
        metrics=_metrics_on(candidate.metrics, target.name),
        goals_met=pick.feasible,
        limiting_constraint=describe_constraint(limiting.constraint, target.name)
        if limiting
        else None,
        node=facts.node,
        device=device,
        proxy=facts.proxy or device not in {None, target.device},
    )


def _metrics_on(metrics: Mapping[str, float], target: str) -> dict[str, float]:
    """Keep what holds on one target, under plain names."""
    suffix = f"@{target}"
    own = {
        key.removesuffix(suffix): value
        for key, value in metrics.items()
        if "@" not in key or key.endswith(suffix)
    }
    return dict(list(own.items())[:_TARGET_METRICS])


def _result(facts: RunFacts, pick: Pick) -> ResultStatus:
    target = next(entry for entry in facts.spec.targets if entry.name == pick.target)
    file = file_for(pick.candidate, target)
    primary = facts.spec.objectives[0].metric
    metrics = pick.candidate.metrics
    value = metrics[primary]
    reference = facts.baseline.metrics[primary] if facts.baseline else value
    return ResultStatus(
        candidate=pick.candidate.id,
        value=value,
        drop=worsening(primary, value, reference, facts.spec.objectives),
        speedup=metrics.get(metric_key("speedup", pick.target)),
        size_mib=metrics.get(metric_key("size_mib", pick.target)),
        artifact=file.artifact if file else pick.candidate.artifact,
    )

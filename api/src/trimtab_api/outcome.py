"""The status of a job, derived whole from what its run reported. Pure.

The trainer calls it for the report of a local run; in a cluster the operator derives the same
status from the progress report. Nothing is patched in place: a lost update heals on the next pass.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from trimtab_api.metrics import KNOWN_METRICS, MetricScope, metric_key
from trimtab_api.reports import BaselineReport, CandidateReport, TrialReport
from trimtab_api.selection import (
    Pick,
    describe_constraint,
    metric_direction,
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
from trimtab_api.v1alpha1.goals import Constraint, Direction
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
    ParetoPoint,
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


def build_status(facts: RunFacts) -> Status:
    """Return the status that these facts amount to."""
    picks = _pick_for_targets(facts) if facts.finished else {}
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
        pareto=_pareto_front(facts)[:_PARETO],
        pareto_total=len(_pareto_front(facts)),
        stages=facts.stages,
        targets=tuple(_target_status(facts, name, pick) for name, pick in picks.items())
        or tuple(TargetStatus(name=target.name) for target in facts.spec.targets),
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
    return {
        target.name: pick_candidate(facts.candidates, baseline, facts.spec, target)
        for target in facts.spec.targets
    }


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
    if not picks:
        return _condition(kind, "Unknown", GoalsMetReason.NOT_MEASURED, "", facts.now)
    missed = [pick for pick in picks if not pick.feasible]
    if not missed:
        text = f"{len(facts.spec.constraints)} limits kept on {len(picks)} target(s)"
        return _condition(kind, "True", GoalsMetReason.ALL_CONSTRAINTS_MET, text, facts.now)
    worst = missed[0].limiting
    reason = (
        GoalsMetReason.ACCURACY_BUDGET_EXCEEDED
        if worst is not None and _is_budget(worst.constraint, facts.spec)
        else GoalsMetReason.CONSTRAINT_MISSED
    )
    return _condition(kind, "False", reason, "; ".join(_missed(missed)), facts.now)


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
    if not picks:
        return ""
    missed = list(_missed([pick for pick in picks if not pick.feasible]))
    if missed:
        return shorten("nearest candidate shipped; " + "; ".join(missed))
    return shorten("; ".join(f"{pick.candidate.id} ships for {pick.target}" for pick in picks))


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


def _pareto_front(facts: RunFacts) -> tuple[ParetoPoint, ...]:
    keys = list(_pareto_keys(facts.spec))
    baseline = facts.baseline.metrics if facts.baseline else {}
    points = [
        (candidate, [sign * candidate.metrics[key] for key, sign in keys])
        for candidate in facts.candidates
        if all(key in candidate.metrics for key, _ in keys)
    ]
    front = [
        candidate
        for candidate, mine in points
        if not any(_dominates(other, mine) for _, other in points)
    ]
    return tuple(
        ParetoPoint(
            id=candidate.id,
            feasible=candidate.feasible,
            metrics={key: candidate.metrics[key] for key, _ in keys if key in baseline},
        )
        for candidate in front
    )


def _pareto_keys(spec: Spec) -> Iterator[tuple[str, int]]:
    """Yield metric keys with +1 to maximize or -1 to minimize; speed and size if none is named."""
    named = dict.fromkeys(
        [objective.metric for objective in spec.objectives]
        + [constraint.metric for constraint in spec.constraints]
    )
    scopes = {name: KNOWN_METRICS[name].scope for name in named if name in KNOWN_METRICS}
    if MetricScope.TARGET not in scopes.values():
        named |= dict.fromkeys(("latency_p50_ms", "size_mib"))
    first = spec.targets[0].name
    for name in named:
        known = KNOWN_METRICS.get(name)
        target = first if known is not None and known.scope is MetricScope.TARGET else None
        if known is None and name not in {objective.metric for objective in spec.objectives}:
            continue
        direction = metric_direction(name, spec.objectives)
        yield metric_key(name, target), 1 if direction is Direction.MAXIMIZE else -1


def _dominates(other: Sequence[float], mine: Sequence[float]) -> bool:
    pairs = list(zip(other, mine, strict=True))
    return all(theirs >= ours for theirs, ours in pairs) and any(
        theirs > ours for theirs, ours in pairs
    )


def _target_status(facts: RunFacts, name: str, pick: Pick) -> TargetStatus:
    candidate = pick.candidate
    limiting = pick.limiting
    return TargetStatus(
        name=name,
        state=TargetState.MEASURED,
        candidate=candidate.id,
        format=candidate.format,
        artifact=candidate.artifact,
        digest=candidate.digest,
        metrics=_metrics_on(candidate.metrics, name),
        goals_met=pick.feasible,
        limiting_constraint=describe_constraint(limiting.constraint, name) if limiting else None,
        node=facts.node,
        proxy=facts.proxy,
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
        artifact=pick.candidate.artifact,
    )

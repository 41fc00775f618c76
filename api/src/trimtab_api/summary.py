"""What a job's figures amount to: picks, goals, targets, result. Pure.

Called by `outcome`, which gathers the figures from a run or from the driver's report. Whether the
job runs, failed or waits is added there, or by the operator.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from trimtab_api.metrics import metric_key, round_figure
from trimtab_api.pareto import find_front
from trimtab_api.reports import CandidateReport
from trimtab_api.selection import Pick, describe_constraint, file_for, pick_candidate, worsening
from trimtab_api.stages import StageName
from trimtab_api.texts import shorten
from trimtab_api.v1alpha1.conditions import ConditionType, GoalsMetReason
from trimtab_api.v1alpha1.goals import Constraint, Target, TargetDevice
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import (
    METRICS_LIMIT,
    BaselineStatus,
    BestTrial,
    BudgetStatus,
    Condition,
    FailureCount,
    GpuSeconds,
    PrecisionStatus,
    ResultStatus,
    StageStatus,
    Status,
    TargetState,
    TargetStatus,
    TrialCounts,
)

__all__ = ["Figures", "Place", "make_condition", "summarize_figures"]

_PARETO = 10
_TARGET_METRICS = 16


@dataclass(frozen=True, slots=True)
class Place:
    """Where a target was measured."""

    node: str | None
    device: TargetDevice | None
    proxy: bool
    """Whether that is another machine or device than the target's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What is known of a job, whoever gathered it."""

    spec: Spec
    """Expanded."""
    stage: StageName | None
    """The stage that runs or ran last."""
    stages: tuple[StageStatus, ...]
    trials: TrialCounts | None
    best: BestTrial | None
    baseline: BaselineStatus | None
    budget: BudgetStatus | None
    candidates: Sequence[CandidateReport]
    precision: PrecisionStatus | None
    gpu_seconds: GpuSeconds | None
    failures: tuple[FailureCount, ...]
    finished: bool
    """Whether all stages ended and no target is measured any more."""
    places: Mapping[str, Place] = field(default_factory=dict)
    """By target."""
    measuring: frozenset[str] = frozenset()
    """Targets whose own Jobs are due."""


def summarize_figures(figures: Figures, now: str) -> Status:
    """Return the status that these figures amount to, with GoalsMet as its only condition.

    Args:
        figures: What is known.
        now: RFC 3339.
    """
    picks = _pick_for_targets(figures) if figures.finished else []
    front = find_front(figures.candidates, _metrics_of(figures.baseline), figures.spec)
    by_target = {pick.target: pick for pick in picks}
    return Status(
        conditions=(_goals_condition(figures, picks, now),),
        stage=figures.stage,
        message=_message(figures, picks),
        trials=figures.trials if figures.spec.stages.search else None,
        best=_round_best(figures.best) if figures.best else None,
        baseline=_bound_metrics(figures.baseline) if figures.baseline else None,
        budget=figures.budget,
        pareto=front[:_PARETO],
        pareto_total=len(front),
        stages=figures.stages,
        targets=tuple(
            _target_status(figures, target, by_target.get(target.name))
            for target in figures.spec.targets
        ),
        result=_result(figures, picks[0]) if picks else None,
        precision=figures.precision,
        gpu_seconds=figures.gpu_seconds,
        failures=figures.failures,
    )


def make_condition(
    kind: ConditionType, status: str, reason: str, message: str, now: str
) -> Condition:
    """Return a condition that changes now, its message in one line."""
    return Condition(
        type=kind,
        status=status,
        reason=str(reason),
        message=shorten(message),
        last_transition_time=now,
    )


def _metrics_of(baseline: BaselineStatus | None) -> Mapping[str, float]:
    return baseline.metrics if baseline else {}


def _round_best(best: BestTrial) -> BestTrial:
    return best.model_copy(update={"value": round_figure(best.value)})


def _bound_metrics(baseline: BaselineStatus) -> BaselineStatus:
    metrics = dict(list(baseline.metrics.items())[:METRICS_LIMIT])
    return baseline.model_copy(update={"metrics": metrics})


def _pick_for_targets(figures: Figures) -> list[Pick]:
    baseline = _metrics_of(figures.baseline)
    picks = (
        pick_candidate(figures.candidates, baseline, figures.spec, target)
        for target in figures.spec.targets
    )
    return [pick for pick in picks if pick is not None]


def _goals_condition(figures: Figures, picks: Sequence[Pick], now: str) -> Condition:
    kind = ConditionType.GOALS_MET
    if not figures.finished:
        return make_condition(kind, "Unknown", GoalsMetReason.NOT_MEASURED, "", now)
    missed = [pick for pick in picks if not pick.feasible]
    unmeasured = list(_name_unmeasured(figures, picks))
    if unmeasured and not missed:
        reason = GoalsMetReason.TARGET_UNMEASURED
        return make_condition(kind, "False", reason, "; ".join(unmeasured), now)
    if not missed:
        text = f"{len(figures.spec.constraints)} limits kept on {len(picks)} target(s)"
        return make_condition(kind, "True", GoalsMetReason.ALL_CONSTRAINTS_MET, text, now)
    worst = missed[0].limiting
    reason = (
        GoalsMetReason.ACCURACY_BUDGET_EXCEEDED
        if worst is not None and _is_budget(worst.constraint, figures.spec)
        else GoalsMetReason.CONSTRAINT_MISSED
    )
    text = "; ".join([*_missed(missed), *unmeasured])
    return make_condition(kind, "False", reason, text, now)


def _name_unmeasured(figures: Figures, picks: Sequence[Pick]) -> Iterator[str]:
    """Yield a note that names the targets for which no candidate has figures, if there are any."""
    measured = {pick.target for pick in picks}
    names = [entry.name for entry in figures.spec.targets if entry.name not in measured]
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


def _message(figures: Figures, picks: Sequence[Pick]) -> str:
    if not figures.finished:
        return ""
    note = _name_unmeasured(figures, picks)
    missed = list(_missed([pick for pick in picks if not pick.feasible]))
    if missed:
        return shorten("; ".join(["nearest candidate shipped", *missed, *note]))
    shipped = [f"{pick.candidate.id} ships for {pick.target}" for pick in picks]
    return shorten("; ".join([*shipped, *note]))


def _target_status(figures: Figures, target: Target, pick: Pick | None) -> TargetStatus:
    if pick is None:
        return TargetStatus(name=target.name, state=_state_without_pick(figures, target))
    candidate, limiting = pick.candidate, pick.limiting
    file = file_for(candidate, target)
    place = figures.places.get(target.name)
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
        node=place.node if place else None,
        device=place.device if place else None,
        proxy=place.proxy if place else None,
    )


def _state_without_pick(figures: Figures, target: Target) -> TargetState:
    if figures.finished:
        return TargetState.UNMEASURED
    return TargetState.MEASURING if target.name in figures.measuring else TargetState.WAITING


def _metrics_on(metrics: Mapping[str, float], target: str) -> dict[str, float]:
    """Keep what holds on one target, under plain names."""
    suffix = f"@{target}"
    own = {
        key.removesuffix(suffix): value
        for key, value in metrics.items()
        if "@" not in key or key.endswith(suffix)
    }
    return dict(list(own.items())[:_TARGET_METRICS])


def _result(figures: Figures, pick: Pick) -> ResultStatus:
    target = next(entry for entry in figures.spec.targets if entry.name == pick.target)
    file = file_for(pick.candidate, target)
    primary = figures.spec.objectives[0].metric
    metrics = pick.candidate.metrics
    value = metrics[primary]
    reference = _metrics_of(figures.baseline).get(primary, value)
    # They fill columns of kubectl, which prints every digit.
    return ResultStatus(
        candidate=pick.candidate.id,
        value=round_figure(value),
        drop=round_figure(worsening(primary, value, reference, figures.spec.objectives)),
        speedup=_find_rounded(metrics, metric_key("speedup", pick.target)),
        size_mib=_find_rounded(metrics, metric_key("size_mib", pick.target)),
        artifact=file.artifact if file else pick.candidate.artifact,
    )


def _find_rounded(metrics: Mapping[str, float], key: str) -> float | None:
    return round_figure(metrics[key]) if key in metrics else None

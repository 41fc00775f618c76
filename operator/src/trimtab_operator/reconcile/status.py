"""The status of a job, computed whole at each pass; the only writer of conditions.

Called by the reconciler after a plan was carried out. Figures come from the report through
`trimtab_api`; what a cluster adds to them is decided here. Without a report, as after a restart
over one that cannot be read, the figures of the last status stand: nothing goes backwards.
"""

from datetime import UTC, datetime

from trimtab_api.stages import StageState
from trimtab_api.status_size import fit_status
from trimtab_api.texts import shorten
from trimtab_api.v1alpha1.conditions import ConditionType, ScheduledReason
from trimtab_api.v1alpha1.status import ClusterStatus, Condition, JobState, Status
from trimtab_operator.reconcile.conditions import build_conditions, find_problem
from trimtab_operator.reconcile.figures import summarize
from trimtab_operator.reconcile.observed import JobView, Observed, PodRole
from trimtab_operator.reconcile.plan_settings import PlanSettings
from trimtab_operator.reconcile.situation import Situation, assess
from trimtab_operator.reconcile.verdict import Phase, Plan, Problem, Refusal, Verdict
from trimtab_operator.resources.names import attempt_name
from trimtab_operator.resources.places import storage_uri

__all__ = ["next_status"]

_STATES = {
    Phase.REJECTED: JobState.PENDING,
    Phase.BLOCKED: JobState.PENDING,
    Phase.SUSPENDED: JobState.SUSPENDED,
    Phase.STOPPING: JobState.RUNNING,
    Phase.WAITING: JobState.PENDING,
    Phase.STARTING: JobState.STARTING,
    Phase.HELD: JobState.QUEUED,
    Phase.RUNNING: JobState.RUNNING,
    Phase.MEASURING: JobState.RUNNING,
    Phase.COMPLETE: JobState.COMPLETE,
    Phase.FAILED: JobState.FAILED,
}
_WITH_DRIVER = frozenset({Phase.RUNNING, Phase.STOPPING, Phase.MEASURING})
_ENDED = frozenset({Phase.COMPLETE, Phase.FAILED})


def next_status(
    observed: Observed,
    plan: Plan,
    settings: PlanSettings,
    obstacle: Problem | Refusal | None = None,
) -> Status | None:
    """Return the status to write; None where nothing may be written (phase IGNORED).

    Args:
        observed: What the plan was made from.
        plan: What was planned.
        settings: What it was planned with.
        obstacle: Why it was not carried out to its end.
    """
    verdict, now = plan.verdict, _stamp(observed.now)
    if verdict.phase is Phase.IGNORED:
        return None
    situation = assess(observed, settings)
    figures = _settle(_summarize(situation, verdict, now), verdict)
    refused = obstacle.message if isinstance(obstacle, Refusal) else None
    degraded = find_problem(observed, verdict, obstacle if isinstance(obstacle, Problem) else None)
    # An attempt counts once something of it is there: the next pass would take it for deleted.
    made = verdict.attempt if obstacle is None else situation.latest.number
    attempt = max(made, _previous_attempt(observed.job)) or None
    status = figures.model_copy(
        update={
            "observed_generation": observed.job.generation,
            "conditions": (
                *build_conditions(observed, verdict, degraded, now, refused=refused),
                *_keep_times(figures.conditions, observed.job),
            ),
            "state": _STATES[verdict.phase],
            "attempt": attempt,
            **_count(observed.job, verdict, attempt),
            "message": _message(figures, verdict, degraded, refused),
            "start_time": _start_time(observed.job, attempt, now),
            "completion_time": _completion_time(observed.job, verdict, now),
            "storage": _storage_root(situation, verdict),
            "cluster": _describe_cluster(observed, verdict),
        }
    )
    return fit_status(status)


def _summarize(situation: Situation, verdict: Verdict, now: str) -> Status:
    report, previous = situation.observed.report, situation.observed.job.previous
    spec = situation.spec
    if spec is None or (report.progress is None and previous is not None):
        return _figures_of(previous)
    return summarize(spec, report, finished=verdict.phase is Phase.COMPLETE, now=now)


def _settle(figures: Status, verdict: Verdict) -> Status:
    """Return figures in which nothing runs where no driver does; the last report may say so."""
    if verdict.phase in _WITH_DRIVER:
        return figures
    ended = StageState.FAILED if verdict.phase is Phase.FAILED else StageState.WAITING
    stages = tuple(
        stage.model_copy(update={"state": ended}) if stage.state is StageState.RUNNING else stage
        for stage in figures.stages
    )
    trials = figures.trials.model_copy(update={"running": 0}) if figures.trials else None
    return figures.model_copy(update={"stages": stages, "trials": trials})


def _figures_of(previous: Status | None) -> Status:
    if previous is None:
        return Status()
    goals = tuple(entry for entry in previous.conditions if entry.type is ConditionType.GOALS_MET)
    return previous.model_copy(update={"conditions": goals})


def _keep_times(conditions: tuple[Condition, ...], job: JobView) -> tuple[Condition, ...]:
    known = {entry.type: entry for entry in job.previous.conditions} if job.previous else {}
    return tuple(
        entry.model_copy(update={"last_transition_time": known[entry.type].last_transition_time})
        if entry.type in known and known[entry.type].status == entry.status
        else entry
        for entry in conditions
    )


def _count(job: JobView, verdict: Verdict, attempt: int | None) -> dict[str, float | None]:
    """Return what is counted over the whole job up to an attempt; nothing counted is absent."""
    record = verdict.record if verdict.attempt == attempt else None
    if record is not None:
        failures, seconds = record.failures, record.active_seconds
        return {"failed_attempts": failures or None, "active_seconds": seconds or None}
    known = job.previous or Status()
    return {"failed_attempts": known.failed_attempts, "active_seconds": known.active_seconds}


def _message(
    figures: Status, verdict: Verdict, problem: Problem | None, refused: str | None
) -> str | None:
    if verdict.phase is Phase.FAILED:
        return shorten(f"{verdict.failure}: {verdict.message}")
    if problem is not None:
        return shorten(f"{problem.reason}: {problem.message}")
    if refused is not None:
        return shorten(f"{ScheduledReason.PODS_REFUSED}: {refused}")
    return shorten(verdict.message) or figures.message


def _start_time(job: JobView, attempt: int | None, now: str) -> str | None:
    known = job.previous.start_time if job.previous else None
    return known or (now if attempt else None)


def _completion_time(job: JobView, verdict: Verdict, now: str) -> str | None:
    if verdict.phase not in _ENDED:
        return None
    known = job.previous.completion_time if job.previous else None
    return known or now


def _storage_root(situation: Situation, verdict: Verdict) -> str | None:
    """Return the folder of the attempt whose files the figures name."""
    if situation.spec is None or verdict.attempt == 0:
        return None
    root = storage_uri(situation.spec, situation.settings.children.storage_uri)
    if root is None:
        return None
    report, identity = situation.observed.report.progress, situation.identity
    attempt = report.attempt if report else verdict.attempt
    return f"{root.rstrip('/')}/{identity.namespace}/{identity.name}/{identity.uid}/a{attempt}"


def _describe_cluster(observed: Observed, verdict: Verdict) -> ClusterStatus | None:
    """Return the Ray cluster; of one that a queue holds back, no more than its name is sure."""
    rayjob = next((view for view in observed.rayjobs if view.attempt == verdict.attempt), None)
    name = attempt_name(observed.job.meta.name, verdict.attempt) if verdict.attempt else None
    if verdict.phase is Phase.HELD:
        return ClusterStatus(ray_job=name) if name else None
    if rayjob is None:
        # One that is made in this pass has no worker yet; saying so later would cost a write.
        is_due = name and verdict.phase not in _ENDED
        return ClusterStatus(ray_job=name, workers_ready=0) if is_due else None
    return ClusterStatus(
        ray_job=rayjob.meta.name,
        ray_cluster=rayjob.cluster,
        workers_ready=observed.count_ready(PodRole.WORKER, verdict.attempt),
        # While targets elsewhere are measured nobody wants workers any more.
        workers_desired=0 if verdict.end is not None else rayjob.workers_desired,
    )


def _previous_attempt(job: JobView) -> int:
    return (job.previous.attempt or 0) if job.previous else 0


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

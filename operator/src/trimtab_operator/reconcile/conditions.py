"""The conditions of a job, all of them at each pass, from the verdict and what its pods say.

Called by `status`. GoalsMet comes from the figures; a condition that nobody ever needed is absent.
"""

from collections.abc import Iterator
from typing import assert_never

from trimtab_api.labels import QUEUE_LABEL
from trimtab_api.summary import make_condition
from trimtab_api.v1alpha1.conditions import (
    ClusterReadyReason,
    CompleteReason,
    ConditionType,
    DegradedReason,
    QueuedReason,
    ScheduledReason,
    SuspendedReason,
)
from trimtab_api.v1alpha1.status import Condition
from trimtab_operator.reconcile.attempts import AttemptEnd, EndCause
from trimtab_operator.reconcile.failures import (
    KNOWN_DEPLOYMENTS,
    PULL_REASONS,
    quote_rayjob,
    quote_waiting,
)
from trimtab_operator.reconcile.observed import Observed, PodRole, PodView, RayJobView
from trimtab_operator.reconcile.verdict import Phase, Problem, Verdict

__all__ = ["build_conditions", "find_problem"]

_WITH_PODS = frozenset({Phase.STARTING, Phase.RUNNING, Phase.MEASURING})

Said = tuple[str, str, str]
"""Status, reason and message of a condition."""


def build_conditions(
    observed: Observed,
    verdict: Verdict,
    problem: Problem | None,
    now: str,
    *,
    refused: str | None = None,
) -> tuple[Condition, ...]:
    """Return every condition but GoalsMet; one whose status stays keeps the time of its change.

    Args:
        observed: What the verdict is about.
        verdict: Where the job is.
        problem: Why it is degraded; None where it is not.
        now: RFC 3339.
        refused: The API server's words where it does not take a child.
    """
    known = observed.job.previous.conditions if observed.job.previous else ()
    before = {condition.type: condition for condition in known}
    rayjob = _latest_rayjob(observed, verdict)
    said: dict[ConditionType, Said | None] = {
        ConditionType.ACCEPTED: _accepted(verdict),
        ConditionType.QUEUED: _queued(observed, verdict, before),
        ConditionType.SCHEDULED: _scheduled(observed, verdict, rayjob, refused),
        ConditionType.CLUSTER_READY: _cluster_ready(observed, verdict, rayjob),
        ConditionType.SUSPENDED: _suspended(verdict, before),
        ConditionType.DEGRADED: _degraded(problem, before),
        ConditionType.COMPLETE: _complete(verdict, before),
        ConditionType.FAILED: _failed(verdict),
    }
    return tuple(_stamp(said, before, now))


def find_problem(observed: Observed, verdict: Verdict, applying: Problem | None) -> Problem | None:
    """Return why a job is degraded, the most urgent reason first.

    Args:
        observed: With what the driver says of itself.
        verdict: With what the planner found.
        applying: Why the plan could not be carried out.
    """
    if applying is not None or verdict.problem is not None:
        return applying or verdict.problem
    report = observed.report
    if report.invalid is not None:
        return Problem(DegradedReason.REPORT_INVALID, report.invalid)
    told = report.progress.problem if report.progress else None
    if told is None or verdict.phase is not Phase.RUNNING:
        return None
    return Problem(told.reason, told.message)


def _stamp(
    said: dict[ConditionType, Said | None], before: dict[ConditionType, Condition], now: str
) -> Iterator[Condition]:
    for kind, words in said.items():
        if words is None:
            continue
        status, reason, message = words
        old = before.get(kind)
        since = old.last_transition_time if old is not None and old.status == status else now
        yield make_condition(kind, status, reason, message, since)


def _accepted(verdict: Verdict) -> Said:
    acceptance = verdict.acceptance
    return _bool(value=acceptance.accepted), acceptance.reason, acceptance.message


def _queued(
    observed: Observed, verdict: Verdict, before: dict[ConditionType, Condition]
) -> Said | None:
    if verdict.phase is Phase.HELD:
        return "True", QueuedReason.WAITING_FOR_QUOTA, ""
    evicted = verdict.end is not None and verdict.end.cause is EndCause.EVICTED
    if evicted and verdict.phase in {Phase.STOPPING, Phase.WAITING}:
        return "True", QueuedReason.EVICTED, "the queue took the quota back"
    asked = QUEUE_LABEL in observed.job.meta.labels and verdict.attempt > 0
    if asked or ConditionType.QUEUED in before:
        return "False", QueuedReason.ADMITTED, ""
    return None


def _scheduled(
    observed: Observed, verdict: Verdict, rayjob: RayJobView | None, refused: str | None
) -> Said | None:
    if verdict.phase not in _WITH_PODS:
        return None
    pods = _current_pods(observed, verdict)
    stuck = next((pod for pod in pods if pod.unschedulable), None)
    if stuck is not None:
        words = f"{stuck.meta.name}: {stuck.unschedulable}"
        return "False", ScheduledReason.UNSCHEDULABLE, words
    refused = refused or (_refusal(rayjob) if rayjob else None)
    if refused is not None:
        return "False", ScheduledReason.PODS_REFUSED, refused
    placed = sum(1 for pod in pods if pod.node is not None)
    wanted = _count_wanted(observed, verdict, rayjob)
    if wanted and placed >= wanted:
        return "True", ScheduledReason.PODS_SCHEDULED, ""
    return "False", ScheduledReason.PODS_PENDING, f"{placed} of {wanted or '?'} pods have a node"


def _count_wanted(observed: Observed, verdict: Verdict, rayjob: RayJobView | None) -> int:
    """Return how many pods there should be; 0 where nobody knows yet."""
    if verdict.phase is Phase.MEASURING:
        return sum(1 for job in observed.target_jobs if not job.ended)
    desired = rayjob.workers_desired if rayjob else None
    return 0 if desired is None else desired + 1


def _refusal(rayjob: RayJobView) -> str | None:
    """Return the words of the API server where it refuses the pods of a cluster."""
    for condition in rayjob.conditions:
        if condition.type == "ReplicaFailure" and condition.status == "True":
            return condition.message or condition.reason
    return None


def _cluster_ready(observed: Observed, verdict: Verdict, rayjob: RayJobView | None) -> Said | None:
    if verdict.attempt == 0:
        return None
    if verdict.end is not None and verdict.phase is not Phase.STARTING:
        # What a driver said when it had finished stops being true when targets are measured.
        words = "" if verdict.end.cause is EndCause.FINISHED else verdict.end.message
        return "False", _reason_of_end(verdict.end), words
    match verdict.phase:
        case Phase.RUNNING:
            return "True", ClusterReadyReason.WORKERS_READY, ""
        case Phase.STARTING:
            return _starting(observed, verdict, rayjob)
        case _:
            return "False", ClusterReadyReason.STOPPED, ""


def _starting(observed: Observed, verdict: Verdict, rayjob: RayJobView | None) -> Said:
    if rayjob is not None and rayjob.deployment_status not in KNOWN_DEPLOYMENTS:
        return "False", ClusterReadyReason.STATUS_UNKNOWN, quote_rayjob(rayjob)
    for pod in _current_pods(observed, verdict):
        if pod.waiting is None:
            continue
        pulling = pod.waiting.reason in PULL_REASONS
        reason = (
            ClusterReadyReason.IMAGE_PULL_FAILED if pulling else ClusterReadyReason.PODS_WAITING
        )
        return "False", reason, quote_waiting(pod, pod.waiting)
    ready = observed.count_ready(PodRole.WORKER, verdict.attempt)
    desired = rayjob.workers_desired if rayjob else None
    known = f"{ready} of {desired} workers are ready" if desired is not None else ""
    return "False", ClusterReadyReason.PROVISIONING, known


def _reason_of_end(end: AttemptEnd) -> ClusterReadyReason:
    match end.cause:
        case EndCause.HEAD_LOST | EndCause.HEAD_CRASHED:
            return ClusterReadyReason.HEAD_LOST
        case EndCause.SUBMISSION_FAILED | EndCause.SUBMITTER_LOST:
            return ClusterReadyReason.SUBMISSION_FAILED
        case EndCause.APP_FAILED | EndCause.STALLED:
            return ClusterReadyReason.APP_FAILED
        case EndCause.RAY_JOB_INVALID:
            return ClusterReadyReason.RAY_JOB_INVALID
        case EndCause.STATUS_UNKNOWN:
            return ClusterReadyReason.STATUS_UNKNOWN
        case EndCause.IMAGE_PULL_FAILED:
            return ClusterReadyReason.IMAGE_PULL_FAILED
        case EndCause.CONTAINER_FAILED:
            return ClusterReadyReason.PODS_WAITING
        case (
            EndCause.FINISHED
            | EndCause.JOB_FAILED
            | EndCause.SUSPENDED
            | EndCause.STOPPED
            | EndCause.EVICTED
            | EndCause.SPEC_EDITED
            | EndCause.DELETED
            | EndCause.DEADLINE
        ):
            return ClusterReadyReason.STOPPED
        case _:
            assert_never(end.cause)


def _suspended(verdict: Verdict, before: dict[ConditionType, Condition]) -> Said | None:
    if verdict.phase is Phase.SUSPENDED:
        return "True", SuspendedReason.SUSPENDED_BY_SPEC, "spec.suspend is true"
    if verdict.phase is Phase.HELD:
        return "True", SuspendedReason.SUSPENDED_BY_QUEUE, "the queue has not admitted the RayJob"
    return _once(ConditionType.SUSPENDED, SuspendedReason.RESUMED, before)


def _degraded(problem: Problem | None, before: dict[ConditionType, Condition]) -> Said | None:
    if problem is not None:
        return "True", problem.reason, problem.message
    return _once(ConditionType.DEGRADED, DegradedReason.RECOVERED, before)


def _complete(verdict: Verdict, before: dict[ConditionType, Condition]) -> Said | None:
    if verdict.phase is Phase.COMPLETE:
        return "True", CompleteReason.FINISHED, verdict.message
    return _once(ConditionType.COMPLETE, CompleteReason.STUDY_EXTENDED, before)


def _failed(verdict: Verdict) -> Said | None:
    if verdict.phase is not Phase.FAILED or verdict.failure is None:
        return None
    return "True", verdict.failure, verdict.message


def _once(kind: ConditionType, reason: str, before: dict[ConditionType, Condition]) -> Said | None:
    """Return the negation of a condition that was needed before."""
    return ("False", reason, "") if kind in before else None


def _latest_rayjob(observed: Observed, verdict: Verdict) -> RayJobView | None:
    return next((view for view in observed.rayjobs if view.attempt == verdict.attempt), None)


def _current_pods(observed: Observed, verdict: Verdict) -> tuple[PodView, ...]:
    """Return the pods that the phase is about; the submitter comes only when all others are up."""
    roles = {PodRole.TARGET} if verdict.phase is Phase.MEASURING else {PodRole.HEAD, PodRole.WORKER}
    return tuple(
        pod
        for pod in observed.pods
        if pod.attempt == verdict.attempt and pod.role in roles and not pod.meta.deleting
    )


def _bool(*, value: bool) -> str:
    return "True" if value else "False"

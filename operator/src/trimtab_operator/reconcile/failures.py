"""How an attempt ended, from what KubeRay, the head pod and the driver say: one total table.

A Ray job shows no exit code, and KubeRay says SubmissionFailed with RUNNING both for a lost head
and for a lost submitter. So the driver's own outcome comes first, then the rows below in order;
what no row knows is named with its raw words. Measured with KubeRay 1.6.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from trimtab_api.progress import Outcome, OutcomeResult
from trimtab_api.texts import shorten
from trimtab_api.v1alpha1.conditions import FailedReason
from trimtab_operator.reconcile.attempts import AttemptEnd, EndCause
from trimtab_operator.reconcile.observed import (
    PodRole,
    PodView,
    RayJobView,
    WaitingContainer,
)

__all__ = [
    "KNOWN_DEPLOYMENTS",
    "PULL_REASONS",
    "HeadState",
    "classify_end",
    "classify_outcome",
    "classify_waiting",
    "is_cleared",
    "is_over",
    "quote_rayjob",
    "quote_waiting",
]

_CLEARED = frozenset({"Complete", "Failed"})
_OVER = _CLEARED | {"ValidationFailed"}
KNOWN_DEPLOYMENTS = _OVER | {
    "",
    "Initializing",
    "Retrying",
    "Running",
    "Suspended",
    "Suspending",
    "Waiting",
}
"""Values of jobDeploymentStatus that this version knows."""
PULL_REASONS = frozenset(
    {
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RegistryUnavailable",
    }
)
"""Why a container waits whose image cannot be pulled."""
# Another image mends these. What a Secret or a ConfigMap would mend is not among them: the pod
# goes on by itself when it is there.
_RUN_REASONS = frozenset({"CrashLoopBackOff", "CreateContainerError", "RunContainerError"})


class HeadState(StrEnum):
    """What became of the head pod when an attempt ended."""

    CRASHED = "Crashed"
    """Its container ended by itself, for want of memory or in a bug of Ray: that may repeat."""
    LOST = "Lost"
    """It was deleted, or its node is gone."""
    UP = "Up"


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the table; None matches everything."""

    deployment: str | None
    reason: str | None
    job: frozenset[str] | None
    head: HeadState | None
    cause: EndCause
    failure: FailedReason | None = None


_WENT_ON = frozenset({"RUNNING", "PENDING", ""})
_FAILED = frozenset({"FAILED"})
_SUCCEEDED = frozenset({"SUCCEEDED"})
_STOPPED = frozenset({"STOPPED"})

_TABLE = (
    # KubeRay refuses the manifest: it says so in one of two fields.
    _Row("ValidationFailed", None, None, None, EndCause.RAY_JOB_INVALID),
    _Row("Failed", "ValidationFailed", None, None, EndCause.RAY_JOB_INVALID),
    # Its own deadlines; ours are a little earlier while an operator runs.
    _Row(
        "Failed", "DeadlineExceeded", None, None, EndCause.DEADLINE, FailedReason.DEADLINE_EXCEEDED
    ),
    _Row(
        "Failed",
        "PreRunningDeadlineExceeded",
        None,
        None,
        EndCause.DEADLINE,
        FailedReason.PRE_RUNNING_DEADLINE_EXCEEDED,
    ),
    # The Ray job is over and left no outcome: the driver crashed before it could report.
    _Row("Complete", None, _SUCCEEDED | _FAILED, None, EndCause.APP_FAILED),
    _Row("Failed", "AppFailed", _SUCCEEDED | _FAILED, None, EndCause.APP_FAILED),
    _Row("Failed", "SubmissionFailed", _SUCCEEDED | _FAILED, None, EndCause.APP_FAILED),
    # Somebody stopped it through Ray.
    _Row("Complete", None, _STOPPED, None, EndCause.STOPPED),
    _Row("Failed", None, _STOPPED, None, EndCause.STOPPED),
    # KubeRay lost the sight of it: by the head, or by the submitter.
    _Row("Failed", "AppFailed", _WENT_ON, HeadState.CRASHED, EndCause.HEAD_CRASHED),
    _Row("Failed", "AppFailed", _WENT_ON, None, EndCause.HEAD_LOST),
    _Row("Failed", "SubmissionFailed", None, HeadState.CRASHED, EndCause.HEAD_CRASHED),
    _Row("Failed", "SubmissionFailed", None, HeadState.LOST, EndCause.HEAD_LOST),
    _Row("Failed", "SubmissionFailed", frozenset({"RUNNING"}), None, EndCause.SUBMITTER_LOST),
    _Row("Failed", "SubmissionFailed", None, None, EndCause.SUBMISSION_FAILED),
    # The submitter ended and the Ray job never showed an end, or showed one and no more.
    _Row(
        None,
        "JobDeploymentStatusTransitionGracePeriodExceeded",
        None,
        HeadState.CRASHED,
        EndCause.HEAD_CRASHED,
    ),
    _Row(
        None,
        "JobDeploymentStatusTransitionGracePeriodExceeded",
        None,
        HeadState.LOST,
        EndCause.HEAD_LOST,
    ),
    _Row(
        None,
        "JobDeploymentStatusTransitionGracePeriodExceeded",
        None,
        None,
        EndCause.SUBMISSION_FAILED,
    ),
    # Another version of KubeRay.
    _Row(None, None, None, None, EndCause.STATUS_UNKNOWN),
)


def is_over(rayjob: RayJobView) -> bool:
    """Return whether KubeRay will do no more for a RayJob than to clear its cluster."""
    return rayjob.deployment_status in _OVER


def is_cleared(rayjob: RayJobView) -> bool:
    """Return whether KubeRay clears the cluster of a RayJob without being asked.

    One that it refuses, if after its start, keeps its pods: KubeRay touches nothing of it any more.
    """
    return rayjob.deployment_status in _CLEARED


def classify_outcome(outcome: Outcome, now: datetime) -> AttemptEnd:
    """Return how an attempt ended by the driver's own words."""
    failure = None
    match outcome.result:
        case OutcomeResult.SUCCEEDED:
            cause = EndCause.FINISHED
        case OutcomeResult.STOPPED:
            cause = EndCause.STOPPED
        case OutcomeResult.FAILED if outcome.reason in _FINAL:
            cause, failure = EndCause.JOB_FAILED, outcome.reason
        case OutcomeResult.FAILED:
            cause = EndCause.APP_FAILED
    return AttemptEnd(cause=cause, at=now, message=shorten(outcome.message), failure=failure)


def classify_end(rayjob: RayJobView, pods: Iterable[PodView], now: datetime) -> AttemptEnd | None:
    """Return how an attempt ended by KubeRay's words; None while it has not.

    Args:
        rayjob: Of the attempt.
        pods: Of the attempt.
        now: The time of the end where it has.
    """
    if not is_over(rayjob):
        return None
    head = _head_state(rayjob, tuple(pods))
    row = next(row for row in _TABLE if _matches(row, rayjob, head))
    return AttemptEnd(cause=row.cause, at=now, message=quote_rayjob(rayjob), failure=row.failure)


def classify_waiting(pod: PodView, now: datetime) -> AttemptEnd | None:
    """Return the end of an attempt with a pod that has waited for long; None where time may help.

    Args:
        pod: One that does not start.
        now: The time of the end.
    """
    waiting = pod.waiting
    if waiting is None:
        return None
    if waiting.reason in PULL_REASONS:
        cause = EndCause.IMAGE_PULL_FAILED
    elif waiting.reason in _RUN_REASONS:
        cause = EndCause.CONTAINER_FAILED
    else:
        return None
    return AttemptEnd(cause=cause, at=now, message=shorten(quote_waiting(pod, waiting)))


def quote_waiting(pod: PodView, waiting: WaitingContainer) -> str:
    """Return the kubelet's words about a container that does not run."""
    return f"{pod.meta.name}/{waiting.container}: {waiting.reason}: {waiting.message}"


def quote_rayjob(rayjob: RayJobView) -> str:
    """Return KubeRay's words about a RayJob in one line, without the user's logs."""
    first = rayjob.message.strip().splitlines()[:1]
    words = "/".join(filter(None, (rayjob.deployment_status, rayjob.reason, rayjob.job_status)))
    return shorten(": ".join(filter(None, (words, *first))))


# Another attempt would end like this one; of the other reasons the operator is the judge.
_FINAL = frozenset(
    {
        FailedReason.TOO_MANY_FAILED_TRIALS,
        FailedReason.USER_ERROR,
        FailedReason.DATASET_UNAVAILABLE,
        FailedReason.DATASET_INVALID,
        FailedReason.TRIAL_LOG_CORRUPT,
        FailedReason.STUDY_MISMATCH,
    }
)


def _matches(row: _Row, rayjob: RayJobView, head: HeadState) -> bool:
    return (
        row.deployment in {None, rayjob.deployment_status}
        and row.reason in {None, rayjob.reason}
        and (row.job is None or rayjob.job_status in row.job)
        and row.head in {None, head}
    )


def _head_state(rayjob: RayJobView, pods: tuple[PodView, ...]) -> HeadState:
    heads = [pod for pod in pods if pod.role is PodRole.HEAD]
    if any(head.restarts for head in heads):
        return HeadState.CRASHED
    started = rayjob.job_started
    replaced = started is not None and any(head.meta.created > started for head in heads)
    # A submitter whose connection broke has failed; one that was deleted is gone, or goes.
    broken = any(
        pod.role is PodRole.SUBMITTER and pod.phase == "Failed" and not pod.meta.deleting
        for pod in pods
    )
    ran = rayjob.job_status == "RUNNING"
    return HeadState.LOST if replaced or (ran and broken) else HeadState.UP

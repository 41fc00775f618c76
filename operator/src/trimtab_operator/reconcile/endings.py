"""Whether the latest attempt is over, and why: an ordered list of questions.

Called once per pass for an attempt whose end is not on record. The answer is written into the
record before anything follows from it, so that it is given once.
"""

from collections.abc import Callable
from datetime import datetime

from trimtab_api.texts import shorten
from trimtab_api.v1alpha1.conditions import ConditionType, FailedReason
from trimtab_api.v1alpha1.job import Spec
from trimtab_operator.reconcile.attempts import AttemptEnd, EndCause
from trimtab_operator.reconcile.failures import (
    classify_end,
    classify_outcome,
    classify_waiting,
)
from trimtab_operator.reconcile.observed import PodRole
from trimtab_operator.reconcile.situation import Situation, parse_config
from trimtab_operator.resources.rayjob import read_worker_count

__all__ = [
    "active_seconds",
    "find_end",
    "find_late_end",
    "is_held",
    "is_provisioned",
    "waiting_seconds",
    "was_held",
]

Question = Callable[[Situation], AttemptEnd | None]


def find_end(situation: Situation) -> AttemptEnd | None:
    """Return how the latest attempt ended; None while it goes on."""
    found = next(filter(None, (question(situation) for question in _QUESTIONS)), None)
    return None if found is None else _judge(situation, found)


def find_late_end(situation: Situation) -> AttemptEnd | None:
    """Return what ends an attempt whose driver has finished and whose targets are measured."""
    found = _by_suspension(situation) or _by_deadline(situation)
    return None if found is None else _judge(situation, found)


def is_provisioned(situation: Situation) -> bool:
    """Return whether all pods of the latest attempt are ready, or were when its driver started.

    The condition RayClusterProvisioned does not tell: it holds with the head alone where the API
    server refuses the pods of the workers.
    """
    rayjob = situation.latest.rayjob
    if rayjob is None:
        return False
    if rayjob.deployment_status == "Running":
        return True
    observed, number = situation.observed, situation.latest.number
    return observed.count_ready(PodRole.HEAD, number) > 0 and observed.count_ready(
        PodRole.WORKER, number
    ) >= read_worker_count(rayjob.spec)


def is_held(situation: Situation) -> bool:
    """Return whether a queue has not let the latest attempt start yet."""
    rayjob = situation.latest.rayjob
    return rayjob is not None and rayjob.suspended and not _was_let_in(situation)


def was_held(situation: Situation) -> bool:
    """Return whether a queue held the latest attempt back when the status was written last."""
    previous = situation.observed.job.previous
    return (
        situation.latest.known
        and previous is not None
        and any(
            condition.type is ConditionType.QUEUED and condition.status == "True"
            for condition in previous.conditions
        )
    )


def active_seconds(situation: Situation) -> float:
    """Return how long the job has been neither suspended nor held back, over all attempts.

    All moments are stamps of the API server, or were taken by its clock.
    """
    record, end = situation.latest.record, situation.latest.record.end
    start = _let_in_at(situation)
    seconds = record.active_seconds
    if start is not None:
        until = end.at if end else situation.observed.now
        seconds += max(0.0, (until - start).total_seconds())
    if end is not None and end.cause not in {EndCause.SUSPENDED, EndCause.EVICTED}:
        seconds += situation.seconds_since(end.at)
    return seconds


def waiting_seconds(situation: Situation) -> float:
    """Return how long the latest attempt has waited for its workers."""
    start = _let_in_at(situation)
    return 0.0 if start is None else situation.seconds_since(start)


def _by_outcome(situation: Situation) -> AttemptEnd | None:
    """The driver's own words come first: they stand in storage too, whatever happens to Ray."""
    report = situation.observed.report.progress
    if report is None or report.outcome is None or report.attempt != situation.latest.number:
        return None
    return classify_outcome(report.outcome, situation.observed.now)


def _by_deletion(situation: Situation) -> AttemptEnd | None:
    """The operator deletes a RayJob only after the end is on record."""
    rayjob = situation.latest.rayjob
    if rayjob is not None and not rayjob.meta.deleting:
        return None
    if rayjob is None and situation.observed.kuberay_problem is not None:
        return None  # nobody can say
    return _end(situation, EndCause.DELETED, "the RayJob was deleted")


def _by_rayjob(situation: Situation) -> AttemptEnd | None:
    rayjob = situation.latest.rayjob
    if rayjob is None:
        return None
    number = situation.latest.number
    pods = [pod for pod in situation.observed.pods if pod.attempt == number]
    return classify_end(rayjob, pods, situation.observed.now)


def _by_suspension(situation: Situation) -> AttemptEnd | None:
    if situation.spec is None or not situation.spec.suspend:
        return None
    return _end(situation, EndCause.SUSPENDED, "spec.suspend is true")


def _by_deadline(situation: Situation) -> AttemptEnd | None:
    spec = situation.spec
    limit = spec.active_deadline_seconds if spec else None
    if limit is None or active_seconds(situation) < limit:
        return None
    return _end(
        situation,
        EndCause.DEADLINE,
        f"the job was active for {limit} s, as long as spec.activeDeadlineSeconds allows",
        FailedReason.DEADLINE_EXCEEDED,
    )


def _by_eviction(situation: Situation) -> AttemptEnd | None:
    rayjob = situation.latest.rayjob
    if rayjob is None or not rayjob.suspended or is_held(situation):
        return None
    return _end(situation, EndCause.EVICTED, "the RayJob was suspended after its start")


def _by_pre_running(situation: Situation) -> AttemptEnd | None:
    spec = situation.spec
    if spec is None or is_held(situation) or is_provisioned(situation):
        return None
    limit = spec.pre_running_deadline_seconds
    if waiting_seconds(situation) < limit:
        return None
    return _end(
        situation,
        EndCause.DEADLINE,
        f"the workers were not ready within the {limit} s of spec.preRunningDeadlineSeconds",
        FailedReason.PRE_RUNNING_DEADLINE_EXCEEDED,
    )


def _by_waiting(situation: Situation) -> AttemptEnd | None:
    """A mistyped image is not to hold machines until the deadline; the kubelet has tried often."""
    if is_provisioned(situation):
        return None
    for pod in situation.live_pods():
        late = (
            pod.attempt == situation.latest.number
            and pod.placed is not None
            and situation.seconds_since(pod.placed) >= situation.settings.start_patience
        )
        end = classify_waiting(pod, situation.observed.now) if late else None
        if end is not None:
            return end
    return None


def _by_edit(situation: Situation) -> AttemptEnd | None:
    """So an impossible manifest recovers as soon as it is mended."""
    record = situation.latest.record
    if (
        is_provisioned(situation)
        or not record.fingerprint
        or not situation.acceptance.accepted
        or situation.fingerprint == record.fingerprint
    ):
        return None
    return _end(situation, EndCause.SPEC_EDITED, "the manifest changed before the workers came")


def _by_silence(situation: Situation) -> AttemptEnd | None:
    rayjob, limit = situation.latest.rayjob, situation.settings.abandoned_after
    silent = situation.observed.silent_seconds
    if rayjob is None or rayjob.job_status != "RUNNING" or silent < limit:
        return None
    return _end(situation, EndCause.STALLED, f"the driver reported nothing for {silent:.0f} s")


_QUESTIONS: tuple[Question, ...] = (
    # What is done is done, even if it is suspended or deleted in the same moment.
    _by_outcome,
    # Then what happened to the attempt,
    _by_deletion,
    _by_rayjob,
    # what the user wants,
    _by_suspension,
    # how long it may take,
    _by_deadline,
    # what a queue wants,
    _by_eviction,
    _by_pre_running,
    # and what another attempt would do better.
    _by_edit,
    _by_waiting,
    _by_silence,
)


def _judge(situation: Situation, end: AttemptEnd) -> AttemptEnd:
    """Add what only the job can tell: how many trials it wants, and whether it may try again."""
    spec = situation.spec
    judged = end.model_copy(update={"num_trials": _count_asked(situation)})
    failures = situation.latest.record.failures + 1
    if spec is None or not end.cause.counts or failures <= spec.backoff_limit:
        return judged
    message = f"{failures} failed attempts, the last by {end.cause}: {end.message}"
    return judged.model_copy(
        update={
            "failure": FailedReason.BACKOFF_LIMIT_EXCEEDED,
            "message": shorten(message),
        }
    )


def _count_asked(situation: Situation) -> int | None:
    """Return how many trials the driver was asked for; a raise may come when it has just ended.

    A report may say less than was asked for in vain once, and not again by the next attempt.
    """
    asked = _num_trials(situation.spec)
    report, made = situation.observed.report.progress, parse_config(situation.latest.config)
    if asked is None or made is None or report is None or report.trials is None:
        return asked
    if report.attempt != situation.latest.number:
        return asked
    return max(report.trials.total, min(asked, _num_trials(made.spec) or 0))


def _num_trials(spec: Spec | None) -> int | None:
    search = spec.stages.search if spec else None
    return search.num_trials if search else None


def _end(
    situation: Situation, cause: EndCause, message: str, failure: FailedReason | None = None
) -> AttemptEnd:
    return AttemptEnd(
        cause=cause, at=situation.observed.now, message=shorten(message), failure=failure
    )


def _let_in_at(situation: Situation) -> datetime | None:
    """Return since when the latest attempt may run: time in a queue counts for no deadline."""
    admitted = situation.latest.record.admitted
    queued = situation.is_queued_job or is_held(situation) or was_held(situation)
    if admitted is not None or queued:
        return admitted
    return situation.latest.started


def _was_let_in(situation: Situation) -> bool:
    """Return whether a queue let the latest attempt start, by anything that tells."""
    latest, observed = situation.latest, situation.observed
    report, previous = observed.report.progress, observed.job.previous
    if latest.record.admitted is not None:
        return True
    if report is not None and report.attempt == latest.number:
        return True
    return (
        latest.known
        and previous is not None
        and previous.cluster is not None
        and previous.cluster.ray_cluster is not None
    )

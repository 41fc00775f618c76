"""What ends a pass before the attempt is looked at: an ordered list, the first that holds wins.

Called by `plan`; `phases` uses `rest` for a job that comes to its end. Order is policy here, so
each row says why it stands where it does.
"""

from collections.abc import Callable

from trimtab_api.labels import ANNOTATION_PAUSED, OPERATOR
from trimtab_api.v1alpha1.conditions import ConditionType, FailedReason
from trimtab_api.v1alpha1.status import Status
from trimtab_operator.reconcile.actions import DeleteJob
from trimtab_operator.reconcile.attempts import EndCause
from trimtab_operator.reconcile.situation import Situation
from trimtab_operator.reconcile.verdict import Phase, Plan, Verdict
from trimtab_operator.reconcile.views import parse_time

__all__ = ["check_guards", "is_extended", "rest"]

Guard = Callable[[Situation], Plan | None]


def check_guards(situation: Situation) -> Plan | None:
    """Return the plan of the first guard that holds; None where the attempt decides."""
    return next(filter(None, (guard(situation) for guard in _GUARDS)), None)


def rest(situation: Situation, verdict: Verdict) -> Plan:
    """Return the plan of a job that has ended: nothing, until its time to live is over."""
    job, meta = situation.observed.job.job, situation.observed.job.meta
    ttl = job.spec.ttl_seconds_after_finished if job else None
    if ttl is None:
        return Plan(actions=(), verdict=verdict, requeue_after=None)
    left = ttl - _seconds_since_completion(situation)
    if left > 0:
        return Plan(actions=(), verdict=verdict, requeue_after=left)
    deletion = DeleteJob(name=meta.name, uid=meta.uid, resource_version=meta.resource_version)
    return Plan(actions=(deletion,), verdict=verdict, requeue_after=None)


def is_extended(situation: Situation) -> bool:
    """Return whether a job that is complete is asked for more trials than it was then."""
    spec, end = situation.spec, situation.latest.record.end
    search = spec.stages.search if spec else None
    previous = situation.observed.job.previous
    if search is None or search.num_trials is None:
        return False
    if end is not None:
        done = end.num_trials
    else:
        done = previous.trials.total if previous and previous.trials else None
    return done is not None and search.num_trials > done


def _deleting(situation: Situation) -> Plan | None:
    return _ignore(situation) if situation.observed.job.meta.deleting else None


def _foreign(situation: Situation) -> Plan | None:
    return _ignore(situation) if situation.observed.job.managed_by != OPERATOR else None


def _paused(situation: Situation) -> Plan | None:
    annotations = situation.observed.job.meta.annotations
    return _ignore(situation) if annotations.get(ANNOTATION_PAUSED) == "true" else None


def _complete(situation: Situation) -> Plan | None:
    """A result stands, whatever becomes of the children that made it."""
    previous, end = situation.observed.job.previous, situation.latest.record.end
    if not _has_condition(previous, ConditionType.COMPLETE) or is_extended(situation):
        return None
    if situation.latest.number != (previous.attempt if previous else None):
        return None
    if end is not None and end.cause is not EndCause.FINISHED:
        return None
    return rest(
        situation,
        Verdict(
            phase=Phase.COMPLETE,
            acceptance=situation.acceptance,
            attempt=situation.latest.number,
            end=end,
            record=situation.latest.record,
        ),
    )


def _failed(situation: Situation) -> Plan | None:
    """A failure stands too once its record is gone; with the record, `phases` clears up first."""
    previous, latest = situation.observed.job.previous, situation.latest
    conditions = previous.conditions if previous else ()
    failed = [entry for entry in conditions if entry.type is ConditionType.FAILED]
    if not failed or latest.config is not None or latest.rayjob is not None or not latest.known:
        return None
    verdict = Verdict(
        phase=Phase.FAILED,
        acceptance=situation.acceptance,
        attempt=latest.number,
        message=failed[0].message,
        failure=_read_reason(failed[0].reason),
        record=latest.record,
    )
    return rest(situation, verdict)


def _lost(situation: Situation) -> Plan | None:
    """Neither the job nor its latest attempt can be read: there is nothing to go by."""
    if situation.spec is not None:
        return None
    verdict = Verdict(
        phase=Phase.REJECTED,
        acceptance=situation.acceptance,
        attempt=situation.latest.number,
        message=situation.acceptance.message,
        record=situation.latest.record,
    )
    return Plan(actions=(), verdict=verdict, requeue_after=None)


_GUARDS: tuple[Guard, ...] = (
    # Owner references clear up; whatever is made now would be one more thing to clear.
    _deleting,
    # Another controller runs the job, perhaps in another cluster.
    _foreign,
    # A person wants to look at it as it is.
    _paused,
    # It has its result. Only more trials, or the end of its time, call for anything.
    _complete,
    # It failed, and somebody deleted all that was left of it.
    _failed,
    # Its manifest is invalid, and there is no attempt to go on with.
    _lost,
)


def _ignore(situation: Situation) -> Plan:
    verdict = Verdict(
        phase=Phase.IGNORED, acceptance=situation.acceptance, attempt=situation.latest.number
    )
    return Plan(actions=(), verdict=verdict, requeue_after=None)


def _read_reason(text: str) -> FailedReason:
    """A word of a newer operator cannot be said again; that it failed must be."""
    known = {str(reason): reason for reason in FailedReason}
    return known.get(text, FailedReason.BACKOFF_LIMIT_EXCEEDED)


def _has_condition(status: Status | None, kind: ConditionType) -> bool:
    return status is not None and any(
        condition.type is kind and condition.status == "True" for condition in status.conditions
    )


def _seconds_since_completion(situation: Situation) -> float:
    previous = situation.observed.job.previous
    completed = parse_time(previous.completion_time) if previous else None
    return 0.0 if completed is None else situation.seconds_since(completed)

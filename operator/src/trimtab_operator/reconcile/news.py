"""Events that the operator posts by itself: what changed since the last status, and how it ended.

Called by `plan`. The driver's own events come in its report; how often one is posted is decided
where events are written.
"""

from collections.abc import Iterator

from trimtab_api.events import EventReason
from trimtab_api.v1alpha1.conditions import ConditionType, GoalsMetReason
from trimtab_api.v1alpha1.status import Status, TargetState
from trimtab_operator.reconcile.actions import PostEvent
from trimtab_operator.reconcile.attempts import AttemptEnd
from trimtab_operator.reconcile.conditions import find_problem
from trimtab_operator.reconcile.figures import summarize
from trimtab_operator.reconcile.observed import Observed, RayJobView
from trimtab_operator.reconcile.verdict import Phase, Verdict

__all__ = ["list_news", "report_end"]

_LONGEST = 1000
_MISSED = frozenset({GoalsMetReason.ACCURACY_BUDGET_EXCEEDED, GoalsMetReason.CONSTRAINT_MISSED})
_LOG_LINES = 5


def list_news(observed: Observed, verdict: Verdict) -> Iterator[PostEvent]:
    """Yield an event for each condition that the verdict turns."""
    if verdict.phase is Phase.IGNORED:
        return
    previous = observed.job.previous
    yield from _acceptance(previous, verdict)
    yield from _holding(previous, verdict)
    problem = find_problem(observed, verdict, None)
    if problem is not None and not _held(previous, ConditionType.DEGRADED):
        text = f"{problem.reason}: {problem.message}"
        yield PostEvent(EventReason.DEGRADED, text)
    if verdict.phase is Phase.COMPLETE and not _held(previous, ConditionType.COMPLETE):
        yield from _goals(observed)
        yield PostEvent(EventReason.COMPLETED, "all stages ended and there is a result")
    if verdict.phase is Phase.FAILED and not _held(previous, ConditionType.FAILED):
        yield PostEvent(EventReason.FAILED, f"{verdict.failure}: {verdict.message}")


def report_end(rayjob: RayJobView | None, end: AttemptEnd) -> Iterator[PostEvent]:
    """Yield an event for an attempt that ended without a result, with the last words of its log."""
    if not end.cause.is_trouble:
        return
    lines = rayjob.message.strip().splitlines()[1:][-_LOG_LINES:] if rayjob else []
    text = "\n".join([f"{end.cause}: {end.message}", *lines])
    yield PostEvent(EventReason.CLUSTER_FAILED, text[:_LONGEST])


def _acceptance(previous: Status | None, verdict: Verdict) -> Iterator[PostEvent]:
    before = _find(previous, ConditionType.ACCEPTED)
    if verdict.acceptance.accepted:
        if before != "True":
            yield PostEvent(EventReason.ACCEPTED, "the manifest is valid and can run here")
    elif before != "False":
        text = f"{verdict.acceptance.reason}: {verdict.acceptance.message}"
        yield PostEvent(EventReason.INVALID_SPEC, text)


def _holding(previous: Status | None, verdict: Verdict) -> Iterator[PostEvent]:
    suspended = _held(previous, ConditionType.SUSPENDED)
    match verdict.phase:
        case Phase.SUSPENDED if not suspended:
            yield PostEvent(EventReason.SUSPENDED, "no machines are held; the study is kept")
        case Phase.HELD if not _held(previous, ConditionType.QUEUED):
            yield PostEvent(EventReason.QUEUED, "the RayJob waits for quota")
        case Phase.STARTING | Phase.RUNNING if suspended:
            yield PostEvent(EventReason.RESUMED, f"attempt {verdict.attempt} goes on")
        case _:
            pass
    if verdict.phase is Phase.STARTING and _held(previous, ConditionType.COMPLETE):
        yield PostEvent(EventReason.STUDY_EXTENDED, "the study goes on: numTrials was raised")


def _goals(observed: Observed) -> Iterator[PostEvent]:
    """Yield what a job that ended well did not reach."""
    if observed.job.job is None or observed.report.progress is None:
        return
    figures = summarize(observed.job.job.spec, observed.report, finished=True, now="")
    silent = [entry.name for entry in figures.targets if entry.state is TargetState.UNMEASURED]
    if silent:
        yield PostEvent(EventReason.TARGET_UNMEASURED, f"no figures on {', '.join(silent)}")
    for entry in figures.conditions:
        if entry.type is ConditionType.GOALS_MET and entry.reason in _MISSED:
            yield PostEvent(EventReason.CONSTRAINT_MISSED, entry.message)


def _held(status: Status | None, kind: ConditionType) -> bool:
    return _find(status, kind) == "True"


def _find(status: Status | None, kind: ConditionType) -> str | None:
    conditions = status.conditions if status else ()
    return next((entry.status for entry in conditions if entry.type is kind), None)

"""What comes next in the life of a job: an attempt, its clearing, the targets, the end.

Called by `plan` for a job that no guard stops. Each function returns a whole plan; a plan may be
cut short after any action, because the next pass reads where it was.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from trimtab_api.events import EventReason
from trimtab_api.labels import LABEL_TARGET
from trimtab_api.v1alpha1.conditions import ConditionType, DegradedReason, ScheduledReason
from trimtab_api.v1alpha1.job import Spec
from trimtab_operator.reconcile.actions import Action, Apply, Kind, PostEvent
from trimtab_operator.reconcile.attempts import (
    AttemptEnd,
    AttemptRecord,
    EndCause,
    pause_before_next,
)
from trimtab_operator.reconcile.deadlines import seconds_to_next_change
from trimtab_operator.reconcile.endings import (
    active_seconds,
    find_late_end,
    is_held,
    is_provisioned,
    was_held,
)
from trimtab_operator.reconcile.failures import is_cleared
from trimtab_operator.reconcile.guards import is_extended, rest
from trimtab_operator.reconcile.keeping import (
    apply_record,
    clear_older,
    clear_targets,
    delete,
    find_conflict,
    find_target_conflict,
    keep_attempt,
    keep_shared,
    make_attempt,
)
from trimtab_operator.reconcile.situation import Situation
from trimtab_operator.reconcile.verdict import Phase, Plan, Problem, Verdict
from trimtab_operator.resources.children import build_targets

__all__ = ["follow_end", "keep_running", "start_next"]

Manifest = Mapping[str, Any]

# These drivers end by themselves, and want a moment to write a checkpoint or to leave Ray.
_END_BY_THEMSELVES = frozenset(
    {
        EndCause.APP_FAILED,
        EndCause.FINISHED,
        EndCause.JOB_FAILED,
        EndCause.STOPPED,
        EndCause.SUSPENDED,
    }
)


def start_next(situation: Situation, spec: Spec) -> Plan:
    """Return the plan that starts an attempt, or says why it is not time yet."""
    latest, end = situation.latest, situation.latest.record.end
    if spec.suspend:
        return _plan(situation, Phase.SUSPENDED)
    if not situation.acceptance.accepted:
        return _plan(situation, Phase.REJECTED, message=situation.acceptance.message)
    missing = situation.observed.kuberay_problem
    if missing is not None:
        return _blocked(situation, Problem(DegradedReason.KUBERAY_MISSING, missing))
    left = _pause_left(situation)
    if left > 0:
        due = situation.observed.now + timedelta(seconds=left)
        message = f"attempt {latest.number + 1} starts at {due:%H:%M:%S} UTC"
        return _plan(situation, Phase.WAITING, message=message, within=left)
    number = latest.number + 1
    conflict = find_conflict(situation, spec, number)
    if conflict is not None:
        return _blocked(situation, conflict)
    news: list[Action] = []
    if end is not None and end.cause.counts:
        message = f"attempt {number} follows {latest.number}, which ended by {end.cause}"
        news.append(PostEvent(EventReason.RETRYING, message))
    record = _next_record(situation)
    actions = [*make_attempt(situation, spec, number, record), *news]
    verdict = Verdict(
        phase=Phase.STARTING, acceptance=situation.acceptance, attempt=number, record=record
    )
    poll = situation.settings.poll_interval
    return Plan(actions=tuple(actions), verdict=verdict, requeue_after=poll)


def keep_running(situation: Situation, spec: Spec) -> Plan:
    """Return the plan of an attempt that goes on."""
    latest = situation.latest
    actions = [*keep_shared(situation, spec, stop=False), *keep_attempt(situation)]
    if latest.config is not None and latest.rayjob is not None:
        actions += clear_older(situation)
        if _is_let_in_now(situation):
            admitted = latest.record.model_copy(update={"admitted": situation.observed.now})
            actions.append(apply_record(situation, admitted))
    conflict = find_conflict(situation, spec, latest.number)
    phase = Phase.HELD
    if not is_held(situation):
        phase = Phase.RUNNING if is_provisioned(situation) else Phase.STARTING
    # No watch shows when a foreign object gives a name free.
    within = seconds_to_next_change(situation) if conflict is None else None
    problem = conflict or _find_problem(situation)
    return _plan(situation, phase, actions, problem=problem, within=within)


def follow_end(situation: Situation, spec: Spec, end: AttemptEnd) -> Plan:
    """Return the plan of an attempt that is over, without what writes the end down.

    Args:
        situation: With the end in the record.
        spec: Expanded.
        end: The same end.
    """
    clearing = _clear(situation, spec, end)
    if clearing.waits is not None:
        return _plan(
            situation,
            Phase.STOPPING,
            clearing.actions,
            problem=clearing.problem,
            within=clearing.waits,
        )
    if end.failure is not None and not _is_retried(situation):
        plan = _fail(situation, end)
    elif end.cause is EndCause.FINISHED and not is_extended(situation):
        plan = _measure(situation, spec)
    else:
        plan = start_next(situation, spec)
    return replace(plan, actions=(*clearing.actions, *plan.actions))


@dataclass(frozen=True, slots=True)
class _Clearing:
    """How far the last attempt is from being gone."""

    actions: tuple[Action, ...]
    waits: float | None
    """Seconds until it is worth a look; None where nothing is left."""
    problem: Problem | None = None


def _clear(situation: Situation, spec: Spec, end: AttemptEnd) -> _Clearing:
    """Return what frees the machines of an attempt that is over."""
    rayjob, settings = situation.latest.rayjob, situation.settings
    passed = situation.seconds_since(end.at)
    actions: list[Action] = []
    # It may have ended before any pass saw it run.
    actions += clear_older(situation)
    if end.cause is not EndCause.FINISHED:
        actions += clear_targets(situation, before=situation.latest.number + 1)
    if rayjob is not None and not is_cleared(rayjob):
        if rayjob.meta.deleting:
            patient = passed < settings.kuberay_patience
            problem = None if patient else _waits_for_kuberay(rayjob.meta.name)
            return _Clearing(tuple(actions), settings.poll_interval, problem)
        left = settings.stop_grace - passed
        if end.cause in _END_BY_THEMSELVES and rayjob.job_status == "RUNNING" and left > 0:
            if end.cause is EndCause.SUSPENDED:
                actions += keep_shared(situation, spec, stop=True)
            return _Clearing(tuple(actions), left)
        actions += delete(Kind.RAY_JOB, rayjob.meta)
        return _Clearing(tuple(actions), settings.poll_interval)
    left = settings.pods_grace - passed
    # A pod on a lost node stays for ever; the fence in storage keeps its driver out.
    return _Clearing(tuple(actions), left if left > 0 and situation.live_pods() else None)


def _measure(situation: Situation, spec: Spec) -> Plan:
    """Return the plan of a job whose placed targets are measured, or are all done with."""
    number = situation.latest.number
    wanted = build_targets(situation.inputs_for(number, spec))
    open_jobs = [manifest for manifest in wanted if not _is_settled(situation, manifest)]
    if not open_jobs:
        return rest(situation, _verdict(situation, Phase.COMPLETE))
    late = find_late_end(situation)
    if late is not None:
        ended = situation.with_end(late)
        plan = follow_end(ended, spec, late)
        return replace(plan, actions=(apply_record(ended, ended.latest.record), *plan.actions))
    actions: list[Action] = [*keep_shared(situation, spec, stop=False)]
    actions += clear_targets(situation, before=number)
    present = {job.meta.name for job in situation.observed.target_jobs}
    problem = find_target_conflict(situation, wanted)
    if problem is None:
        actions += [Apply(job) for job in open_jobs if job["metadata"]["name"] not in present]
    return _plan(situation, Phase.MEASURING, actions, problem=problem)


def _is_settled(situation: Situation, manifest: Manifest) -> bool:
    """Return whether a target has figures of this run, or will not have any."""
    name, target = manifest["metadata"]["name"], manifest["metadata"]["labels"][LABEL_TARGET]
    number = situation.latest.number
    report = situation.observed.report.targets.get(target)
    if report is not None and report.attempt == number:
        return True
    jobs = [job for job in situation.observed.target_jobs if job.meta.name == name]
    if any(job.attempt == number for job in jobs):
        return any(job.attempt == number and job.ended for job in jobs)
    return _is_given_up(situation)


def _is_given_up(situation: Situation) -> bool:
    """Return whether the API server has refused a target's Job for as long as it might run."""
    spec, end, previous = (
        situation.spec,
        situation.latest.record.end,
        situation.observed.job.previous,
    )
    if spec is None or end is None or previous is None:
        return False
    refused = any(
        entry.type is ConditionType.SCHEDULED and entry.reason == ScheduledReason.PODS_REFUSED
        for entry in previous.conditions
    )
    return refused and situation.seconds_since(end.at) >= spec.stages.benchmark.timeout_seconds


def _fail(situation: Situation, end: AttemptEnd) -> Plan:
    verdict = _verdict(situation, Phase.FAILED, message=end.message)
    return rest(situation, replace(verdict, failure=end.failure))


def _is_retried(situation: Situation) -> bool:
    return situation.retry not in {"", situation.latest.record.retry}


def _pause_left(situation: Situation) -> float:
    record = situation.latest.record
    if record.end is None or _is_retried(situation):
        return 0.0
    if record.fingerprint and situation.fingerprint != record.fingerprint:
        # What failed was mended.
        return 0.0
    pause = pause_before_next(record, situation.settings)
    return pause - situation.seconds_since(record.end.at)


def _next_record(situation: Situation) -> AttemptRecord:
    record, end = situation.latest.record, situation.latest.record.end
    fresh = AttemptRecord(retry=situation.retry, fingerprint=situation.fingerprint)
    if end is None or end.failure is not None:
        return fresh
    return fresh.model_copy(
        update={
            "failures": record.failures_after,
            "active_seconds": round(active_seconds(situation), 3),
        }
    )


def _is_let_in_now(situation: Situation) -> bool:
    """Return whether a queue has let the attempt start since the last pass."""
    latest = situation.latest
    if latest.rayjob is None or latest.rayjob.suspended or latest.record.admitted is not None:
        return False
    return situation.is_queued_job or was_held(situation)


def _find_problem(situation: Situation) -> Problem | None:
    rayjob, settings = situation.latest.rayjob, situation.settings
    missing = situation.observed.kuberay_problem
    if missing is not None:
        return Problem(DegradedReason.KUBERAY_MISSING, missing)
    if rayjob is None:
        return None
    silent = situation.observed.silent_seconds
    if rayjob.job_status == "RUNNING" and silent >= settings.stalled_after:
        message = f"the driver has reported nothing for {settings.stalled_after:.0f} s"
        return Problem(DegradedReason.DRIVER_STALLED, message)
    age = situation.seconds_since(rayjob.meta.created)
    if not rayjob.deployment_status and not rayjob.suspended and age >= settings.kuberay_patience:
        return _waits_for_kuberay(rayjob.meta.name)
    return None


def _waits_for_kuberay(rayjob: str) -> Problem:
    message = (
        f"KubeRay has not acted on RayJob {rayjob}: look whether its operator runs"
        " (kubectl get pods -A -l app.kubernetes.io/component=kuberay-operator)"
    )
    return Problem(DegradedReason.KUBERAY_MISSING, message)


def _blocked(situation: Situation, problem: Problem) -> Plan:
    return _plan(situation, Phase.BLOCKED, message=problem.message, problem=problem)


def _plan(
    situation: Situation,
    phase: Phase,
    actions: Iterable[Action] = (),
    *,
    message: str = "",
    problem: Problem | None = None,
    within: float | None = None,
) -> Plan:
    verdict = _verdict(situation, phase, message=message, problem=problem)
    # The API server's stamps are whole seconds: look just after a moment, not just before.
    due = situation.settings.poll_interval if within is None else max(0.0, within) + 0.05
    requeue = None if phase is Phase.SUSPENDED else due
    return Plan(actions=tuple(actions), verdict=verdict, requeue_after=requeue)


def _verdict(
    situation: Situation, phase: Phase, *, message: str = "", problem: Problem | None = None
) -> Verdict:
    return Verdict(
        phase=phase,
        acceptance=situation.acceptance,
        attempt=situation.latest.number,
        message=message,
        problem=problem,
        end=situation.latest.record.end,
        record=situation.latest.record,
    )

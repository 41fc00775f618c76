"""The next step of a job, decided from what was observed of it.

Called by the reconciler at each pass. Guards first, then the end of the latest attempt if it has
one, then what its phase asks for. Nothing here reads a clock or keeps anything between passes.
"""

from dataclasses import replace

from trimtab_operator.reconcile.endings import find_end
from trimtab_operator.reconcile.guards import check_guards
from trimtab_operator.reconcile.keeping import apply_record
from trimtab_operator.reconcile.news import list_news, report_end
from trimtab_operator.reconcile.observed import Observed
from trimtab_operator.reconcile.phases import follow_end, keep_running, start_next
from trimtab_operator.reconcile.plan_settings import PlanSettings
from trimtab_operator.reconcile.situation import Situation, assess
from trimtab_operator.reconcile.verdict import Plan

__all__ = ["plan"]


def plan(observed: Observed, settings: PlanSettings) -> Plan:
    """Return what to do about a job now.

    Args:
        observed: The job and its children, as they are.
        settings: Defaults of children, and times.
    """
    situation = assess(observed, settings)
    found = check_guards(situation) or _next_step(situation)
    news = list_news(observed, found.verdict)
    return replace(found, actions=(*found.actions, *news))


def _next_step(situation: Situation) -> Plan:
    spec, latest = situation.spec, situation.latest
    if spec is None:
        raise ValueError(f"job {situation.identity.name} has no spec to plan for")
    if latest.number == 0:
        return start_next(situation, spec)
    if latest.record.end is not None:
        return follow_end(situation, spec, latest.record.end)
    end = find_end(situation)
    if end is None:
        return keep_running(situation, spec)
    ended = situation.with_end(end)
    following = follow_end(ended, spec, end)
    written = apply_record(ended, ended.latest.record)
    events = report_end(latest.rayjob, end)
    return replace(following, actions=(written, *following.actions, *events))

"""What the reports tell of a job, as the part of its status that has no life cycle in it.

Called for the status, and for the events that say how a job ended. Decides only which reports
count: those of the attempt that the driver's report is of.
"""

from trimtab_api.outcome import summarize_report
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import Status
from trimtab_operator.reconcile.observed import ReportView

__all__ = ["summarize"]


def summarize(spec: Spec, report: ReportView, *, finished: bool, now: str) -> Status:
    """Return the figures, with the condition GoalsMet.

    Args:
        spec: The job's.
        report: What was told; nothing yet is right too.
        finished: No figure comes any more.
        now: RFC 3339.
    """
    told = report.progress.attempt if report.progress else 0
    targets = {name: entry for name, entry in report.targets.items() if entry.attempt == told}
    return summarize_report(spec, report.progress, targets, finished=finished, now=now)

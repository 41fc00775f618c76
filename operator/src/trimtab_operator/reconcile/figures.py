"""What the reports tell of a job, as the part of its status that has no life cycle in it.

Called for the status, the metrics, and the events that say how a job ended. Decides only which
reports count: those of the attempt that the driver's report is of.
"""

from collections.abc import Mapping

from trimtab_api.margins import LimitMargin
from trimtab_api.outcome import measure_margins, summarize_report
from trimtab_api.progress import TargetReport
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import Status
from trimtab_operator.reconcile.observed import ReportView

__all__ = ["summarize", "summarize_margins"]


def summarize(spec: Spec, report: ReportView, *, finished: bool, now: str) -> Status:
    """Return the figures, with the condition GoalsMet.

    Args:
        spec: The job's.
        report: What was told; nothing yet is right too.
        finished: No figure comes any more.
        now: RFC 3339.
    """
    return summarize_report(
        spec, report.progress, _find_targets(report), finished=finished, now=now
    )


def summarize_margins(spec: Spec, report: ReportView) -> tuple[LimitMargin, ...]:
    """Return how far what would ship for each target is from its limits."""
    if report.progress is None:
        return ()
    return measure_margins(spec, report.progress, _find_targets(report))


def _find_targets(report: ReportView) -> Mapping[str, TargetReport]:
    told = report.progress.attempt if report.progress else 0
    return {name: entry for name, entry in report.targets.items() if entry.attempt == told}

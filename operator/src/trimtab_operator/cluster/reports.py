"""From the report ConfigMap to a `ReportView`, with no trust in who wrote it.

Whoever runs code in the job's pods can write the ConfigMap. What is of another job, of an older
attempt or was seen before is dropped; what cannot be read leaves the last good report in place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from trimtab_api.labels import KEY_PROGRESS, stage_key, target_key
from trimtab_api.progress import (
    ProgressReport,
    ReportInvalidError,
    StageEntry,
    TargetReport,
    parse_progress,
    parse_stage,
    parse_target,
)
from trimtab_api.stages import StageName
from trimtab_operator.reconcile.observed import ReportView

__all__ = ["ReportReading", "read_report"]


@dataclass(frozen=True, slots=True)
class ReportReading:
    """What a ConfigMap told.

    Attributes:
        view: What counts.
        stale: Why something was dropped as old or foreign; None where nothing was.
    """

    view: ReportView
    stale: str | None = None


def read_report(
    data: Mapping[str, str],
    *,
    uid: str,
    targets: tuple[str, ...],
    newest: int,
    last: ProgressReport | None,
) -> ReportReading:
    """Return what a report ConfigMap tells of a job.

    Args:
        data: Of the ConfigMap.
        uid: Of the job.
        targets: Names of the targets whose own Jobs report.
        newest: The latest attempt that was made; nobody can report for a later one.
        last: The progress that counted last; None at the start.
    """
    reading = _read_progress(data.get(KEY_PROGRESS), uid, newest, last)
    view = replace(
        reading.view,
        targets=_read_targets(data, uid, targets),
        stages=_read_stages(data, uid),
    )
    return replace(reading, view=view)


def _read_progress(
    text: str | None, uid: str, newest: int, last: ProgressReport | None
) -> ReportReading:
    if not text:
        return ReportReading(ReportView(progress=last))
    try:
        report = parse_progress(text)
    except ReportInvalidError as error:
        return ReportReading(ReportView(progress=last, invalid=str(error)))
    stale = _why_stale(report, uid, newest, last)
    if stale is not None:
        return ReportReading(ReportView(progress=last), stale)
    return ReportReading(ReportView(progress=report))


def _why_stale(
    report: ProgressReport, uid: str, newest: int, last: ProgressReport | None
) -> str | None:
    if report.uid != uid:
        return f"a report of another job, {report.uid}, was dropped"
    if report.attempt > newest:
        return f"a report of attempt {report.attempt} was dropped: the latest is {newest}"
    if last is None or report == last:
        return None
    if report.attempt < last.attempt:
        return f"a report of attempt {report.attempt} was dropped: {last.attempt} has reported"
    if report.attempt == last.attempt and report.sequence <= last.sequence:
        return f"report {report.sequence} was dropped: {last.sequence} came before it"
    return None


def _read_targets(
    data: Mapping[str, str], uid: str, targets: tuple[str, ...]
) -> dict[str, TargetReport]:
    found = {}
    for name in targets:
        text = data.get(target_key(name))
        report = _parse_target(text) if text else None
        if report is not None and report.uid == uid:
            found[name] = report
    return found


def _parse_target(text: str) -> TargetReport | None:
    try:
        return parse_target(text)
    except ReportInvalidError:
        # The target stays unmeasured, which its condition says.
        return None


def _read_stages(data: Mapping[str, str], uid: str) -> tuple[StageEntry, ...]:
    found = []
    for stage in StageName:
        text = data.get(stage_key(stage))
        entry = _parse_stage(text) if text else None
        if entry is not None and entry.uid == uid and entry.stage.name is stage:
            found.append(entry)
    return tuple(found)


def _parse_stage(text: str) -> StageEntry | None:
    try:
        return parse_stage(text)
    except ReportInvalidError:
        # The progress report tells the same; this copy is for people.
        return None

"""From the report ConfigMap to a `ReportView`, with no trust in who wrote it.

Whoever runs code in the job's pods can write the ConfigMap. What is of another job, of an older
attempt or was seen before is dropped; what cannot be read leaves the last good report in place.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

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

__all__ = ["KeptReport", "ReportReading", "go_on_from", "read_report"]

# The last ones, for looks that follow each other; parsed they take twenty times the memory.
_PARSED = 16


@lru_cache(maxsize=_PARSED)
def _parse_progress(text: str) -> ProgressReport:
    return parse_progress(text)


@dataclass(frozen=True, slots=True)
class KeptReport:
    """A progress report that counted, as small as it can be kept for each job."""

    attempt: int
    sequence: int
    packed: bytes

    def read(self) -> ProgressReport:
        """Return the report."""
        return _parse_progress(zlib.decompress(self.packed).decode())


def _keep(report: ProgressReport, text: str) -> KeptReport:
    return KeptReport(report.attempt, report.sequence, zlib.compress(text.encode(), level=1))


@dataclass(frozen=True, slots=True)
class ReportReading:
    """What a ConfigMap told.

    Attributes:
        view: What counts.
        kept: Its progress, to be given as the last one at the next reading.
        stale: Why something was dropped as old or foreign; None where nothing was.
    """

    view: ReportView
    kept: KeptReport | None
    stale: str | None = None


def read_report(
    data: Mapping[str, str],
    *,
    uid: str,
    targets: tuple[str, ...],
    newest: int,
    last: KeptReport | None,
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
    text: str | None, uid: str, newest: int, last: KeptReport | None
) -> ReportReading:
    if not text:
        return go_on_from(last)
    try:
        report = _parse_progress(text)
    except ReportInvalidError as error:
        return go_on_from(last, invalid=str(error))
    stale = _why_stale(report, uid, newest, last)
    if stale is not None:
        return go_on_from(last, stale=stale)
    return ReportReading(ReportView(progress=report), _keep(report, text))


def go_on_from(
    last: KeptReport | None, *, invalid: str | None = None, stale: str | None = None
) -> ReportReading:
    """Return a reading of which the progress is the last that counted.

    Args:
        last: That one; None at the start.
        invalid: What is wrong with a later one.
        stale: Why a later one was dropped.
    """
    progress = last.read() if last else None
    return ReportReading(ReportView(progress=progress, invalid=invalid), last, stale)


def _why_stale(
    report: ProgressReport, uid: str, newest: int, last: KeptReport | None
) -> str | None:
    if report.uid != uid:
        return f"a report of another job, {report.uid}, was dropped"
    if report.attempt > newest:
        return f"a report of attempt {report.attempt} was dropped: the latest is {newest}"
    if last is None:
        return None
    if report.attempt < last.attempt:
        return f"a report of attempt {report.attempt} was dropped: {last.attempt} has reported"
    is_same = (report.attempt, report.sequence) == (last.attempt, last.sequence)
    if is_same and report == last.read():
        return None
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

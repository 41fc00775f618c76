"""What the HTML report says about the run: verdict, what it waits for, stages. Pure.

Called by `html`; sections about one stage or one target have views of their own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trimtab_api.reports import RunReport
from trimtab_api.v1alpha1.conditions import CompleteReason, ConditionType
from trimtab_api.v1alpha1.status import Condition, StageStatus, Status
from trimtab_api.verdict import Verdict, find_verdict
from trimtab_api.wording import render_scalar, render_seconds

__all__ = [
    "Headline",
    "StageRow",
    "build_headline",
    "describe_recovery",
    "list_facts",
    "list_stage_rows",
    "make_rows",
]

_MINUTE = 60
_TITLES = {
    Verdict.GOALS_MET: ("Goals met", "good"),
    Verdict.GOALS_MISSED: ("Goals missed", "warn"),
    Verdict.FAILED: ("Failed", "bad"),
    Verdict.UNFINISHED: ("Not finished", "open"),
}


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict at the top."""

    title: str
    tone: str
    """A CSS class."""
    message: str


@dataclass(frozen=True, slots=True)
class StageRow:
    """A stage in the table of stages."""

    name: str
    state: str
    time: str
    message: str


def build_headline(report: RunReport) -> Headline:
    """Return the verdict in a word and what the status says to it."""
    verdict = find_verdict(report.status)
    title, tone = _TITLES[verdict]
    message = report.status.message or ""
    if verdict is Verdict.UNFINISHED:
        return _describe_unfinished(report.status, title, tone)
    return Headline(title, tone, "" if verdict is Verdict.GOALS_MET else message)


def _describe_unfinished(status: Status, title: str, tone: str) -> Headline:
    waiting = _find_condition(status, ConditionType.DEGRADED)
    if waiting is not None and waiting.status == "True":
        return Headline("Waiting", "warn", f"{waiting.reason}: {waiting.message}")
    parts = [f"stopped or still running in stage {status.stage}"] if status.stage else []
    complete = _find_condition(status, ConditionType.COMPLETE)
    if complete is not None and complete.reason == CompleteReason.STUDY_EXTENDED:
        parts.append("numTrials was raised after the end: the study goes on")
    return Headline(title, tone, "; ".join(parts))


def describe_recovery(report: RunReport) -> str:
    """Return what the run waited for and has again; empty where there was nothing."""
    degraded = _find_condition(report.status, ConditionType.DEGRADED)
    if degraded is None or degraded.status == "True":
        return ""
    return "The run had to wait for something outside it, and went on."


def _find_condition(status: Status, kind: ConditionType) -> Condition | None:
    return next((entry for entry in status.conditions if entry.type is kind), None)


def _clock(time: str) -> str:
    return time.replace("T", " ").replace("Z", " UTC")


def list_facts(report: RunReport) -> dict[str, str]:
    """Return what fits into a line under the title."""
    status = report.status
    facts = {"started": _clock(status.start_time or "")}
    time = _elapsed(status.start_time, status.completion_time)
    if time:
        facts["took"] = time
    if status.attempt and status.attempt > 1:
        facts["attempt"] = str(status.attempt)
    if status.trials and status.trials.total:
        facts["trials"] = status.trials.summary
    if status.precision:
        emulated = ", emulated" if status.precision.emulated else ""
        facts["precision"] = status.precision.dtype + emulated
    return {name: value for name, value in facts.items() if value}


def _elapsed(start: str | None, end: str | None) -> str:
    if start is None or end is None:
        return ""
    # Both are whole seconds: a decimal would pretend to more.
    seconds = round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())
    if seconds < 1:
        return "< 1 s"
    return f"{seconds} s" if seconds < _MINUTE else render_seconds(seconds)


def list_stage_rows(stages: Sequence[StageStatus]) -> Iterator[StageRow]:
    """Yield the stages in their order."""
    for stage in stages:
        reason = f", {stage.reason}" if stage.reason else ""
        yield StageRow(
            name=stage.name,
            state=f"{stage.state}{reason}",
            time=_elapsed(stage.start_time, stage.completion_time),
            message=stage.message,
        )


def make_rows(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested plain data as rows of a name and a text."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from make_rows(value, f"{prefix}{name} ")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{name}", ", ".join(str(item) for item in value)
        else:
            yield f"{prefix}{name}", render_scalar(value)

"""Builds the reports of a driver and of targets' Jobs, with the figures of `report_builder`."""

from typing import Any

from candidate_builder import TARGET
from report_builder import ReportParts, make_parts
from trimtab_api.candidates import summarize_candidate
from trimtab_api.events import EventReason
from trimtab_api.progress import (
    Outcome,
    OutcomeResult,
    ProgressReport,
    ReportEvent,
    RunningTrial,
    TargetReport,
)
from trimtab_api.reports import RunReport
from trimtab_api.v1alpha1.goals import TargetDevice
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import TargetState, TargetStatus

__all__ = ["UID", "make_event", "make_progress", "make_target_report", "summarize_run"]

UID = "7b0e4c0e-3f5e-4a43-9a3e-2f1f6f0f3a55"


def make_progress(**changes: Any) -> ProgressReport:
    """Return the report of a driver that succeeded; `changes` replace its fields."""
    progress = summarize_run(make_parts())
    return progress.model_copy(update=changes)


def summarize_run(parts: ReportParts) -> ProgressReport:
    """Return what a driver in a cluster reports of a run."""
    report = parts.build()
    status = report.status
    return ProgressReport(
        uid=UID,
        attempt=1,
        sequence=7,
        time="2026-11-24T10:04:31Z",
        stage=status.stage,
        message="measures edge",
        outcome=Outcome(result=OutcomeResult.SUCCEEDED) if parts.finished else None,
        trials=status.trials,
        best=status.best,
        baseline=status.baseline,
        budget=status.budget,
        candidates=_summarize_candidates(report),
        stages=status.stages,
        targets=(
            TargetStatus(
                name=TARGET,
                state=TargetState.MEASURED,
                node="bench-host",
                device=TargetDevice.CPU,
                proxy=True,
            ),
        ),
        precision=status.precision,
        gpu_seconds=status.gpu_seconds,
        failures=status.failures,
        running=(RunningTrial(slot=0, trial=12, epoch=3, epochs=12, metrics={"accuracy": 0.9}),),
        events=(make_event(1, "trial 3 is the best"),),
    )


def _summarize_candidates(report: RunReport) -> Any:
    spec = Spec.model_validate(report.spec)
    return tuple(summarize_candidate(entry, spec) for entry in report.candidates)


def make_event(number: int, message: str) -> ReportEvent:
    """Return an event of the ring."""
    reason = EventReason.NEW_BEST
    return ReportEvent(id=number, type=reason.type, reason=reason, message=message)


def make_target_report(**changes: Any) -> TargetReport:
    """Return what the Job of a target measured: the pruned int8 model is 3 times as fast."""
    report = TargetReport(
        uid=UID,
        attempt=1,
        node="pi-1",
        device=TargetDevice.CPU,
        baseline={"latency_p50_ms": 3.0, "latency_p95_ms": 3.3},
        candidates={
            "dense": {"latency_p50_ms": 3.0, "latency_p95_ms": 3.3, "speedup": 1.0},
            "pruned": {"latency_p50_ms": 2.0, "latency_p95_ms": 2.2, "speedup": 1.5},
            "pruned-int8": {"latency_p50_ms": 1.0, "latency_p95_ms": 1.1, "speedup": 3.0},
        },
    )
    return report.model_copy(update=changes)

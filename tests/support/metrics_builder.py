"""Builds what the series of a job are made from, and reads the page back as Prometheus does."""

from typing import Any

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from candidate_builder import TARGET
from progress_builder import make_progress
from report_builder import make_manifest
from trimtab_api.margins import LimitKind, LimitMargin
from trimtab_api.outcome import summarize_report
from trimtab_api.progress import Counters, GpuSaving, LastTrial, ProgressReport, RunningTrial
from trimtab_api.stages import STAGE_ORDER, StageName
from trimtab_api.v1alpha1.status import (
    ClusterStatus,
    FailureClass,
    GpuSeconds,
    JobState,
    PrecisionStatus,
    TrialState,
)
from trimtab_api.validation import parse_job
from trimtab_operator.telemetry.job_series import JobFacts
from trimtab_operator.telemetry.metrics import JobBoard, OperatorHealth, PassLog, render_metrics

__all__ = ["Values", "make_facts", "make_full_report", "make_health", "read_page", "render"]

Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def make_full_report(**changes: Any) -> ProgressReport:
    """Return a report in which every field is set that a series is made from."""
    fields: dict[str, Any] = {
        "precision": PrecisionStatus(dtype="fp16", loss_scale=1024.0, overflows=5, fallbacks=1),
        "gpu_seconds": GpuSeconds(used=120.5, saved=30.25),
        "running": tuple(
            RunningTrial(
                slot=slot,
                trial=20 + slot,
                epoch=3,
                epochs=12,
                metrics={"accuracy": 0.9, "loss": 0.3},
                loss_scale=2048.0,
            )
            for slot in range(4)
        ),
        "last_trial": LastTrial(
            trial=19, state=TrialState.SUCCEEDED, metrics={"accuracy": 0.875, "loss": 0.5}
        ),
        "hypervolume": 1.75,
        "margins": (
            LimitMargin(metric="accuracy", target=TARGET, limit=LimitKind.MAX_DROP, value=0.004),
            LimitMargin(metric="speedup", target=TARGET, limit=LimitKind.MIN, value=-0.5),
        ),
        "counters": Counters(
            stage_seconds={StageName.SEARCH: 61.5, StageName.TRAIN: 7.0},
            gpu_seconds_saved={GpuSaving.EARLY_STOPPING: 30.25},
            retries={FailureClass.NODE_LOST: 3},
            precision_fallbacks={"fp16:bf16": 1},
        ),
    }
    return make_progress(**{**fields, **changes})


def make_facts(
    report: ProgressReport | None = None, *, name: str = "digits", **changes: Any
) -> JobFacts:
    """Return the facts of a job that ended, with its full report unless another is given."""
    spec = parse_job(make_manifest()).spec
    report = report or make_full_report()
    figures = summarize_report(spec, report, {}, finished=True, now="2026-11-24T10:05:00Z")
    status = figures.model_copy(
        update={
            "state": JobState.RUNNING,
            "stage": STAGE_ORDER[0],
            "attempt": 2,
            "cluster": ClusterStatus(ray_job=f"{name}-a2", workers_ready=1, workers_desired=2),
        }
    )
    fields: dict[str, Any] = {
        "namespace": "team",
        "name": name,
        "status": status,
        "spec": spec,
        "report": report,
        "margins": report.margins,
        "reported_at": 100.0,
    }
    return JobFacts(**{**fields, **changes})


def make_health(passes: PassLog | None = None) -> OperatorHealth:
    """Return how an operator is that waits for nothing; of its two passes one failed."""
    if passes is None:
        passes = PassLog()
        passes.note(0.2, None)
        passes.note(45.0, "Conflict")
    return OperatorHealth(passes, lambda: 3, lambda: {"pods": 12.5})


def render(board: JobBoard, health: OperatorHealth | None = None) -> bytes:
    """Return the page at second 107.5."""
    return render_metrics(board, health or make_health(), monotonic=lambda: 107.5)


def read_page(page: bytes) -> tuple[dict[str, Metric], Values]:
    """Return the families by name, and every value by sample and labels.

    Raises:
        ValueError: The page is not what Prometheus reads.
    """
    families = {family.name: family for family in text_string_to_metric_families(page.decode())}
    values: Values = {}
    for family in families.values():
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            if key in values:
                raise ValueError(f"{key} is there twice")
            values[key] = sample.value
    return families, values

"""The dashboard of the Ray clusters: workers that are wanted and there, and what GPUs do."""

from grafana_foundation_sdk.models import dashboard as models

from trimtab_codegen.dashboards.board import JOB_LINK, BoardFacts, Choice, Row, build_board
from trimtab_codegen.dashboards.panels import (
    FULL_WIDTH,
    Column,
    Frame,
    Labels,
    Query,
    draw_bars,
    draw_lines,
    show_number,
    show_table,
)
from trimtab_codegen.dashboards.queries import (
    JOB_LABELS,
    SOME_JOBS,
    gpu_time,
    gpu_time_saved,
    maximum,
    no_gpus,
    select,
    total,
)
from trimtab_operator.telemetry import catalogue

__all__ = ["build_cluster"]

_TILE = (6, 4)
_DESIRED = SOME_JOBS | {"state": '="desired"'}
_READY = SOME_JOBS | {"state": '="ready"'}
_BUSY_WINDOW = "30m"
"""Time of GPUs is told when a trial ends, so that a shorter one shows the ends of trials."""


def build_cluster() -> models.Dashboard:
    """Return the dashboard."""
    facts = BoardFacts(
        uid="trimtab-cluster",
        title="Trimtab / Cluster and GPU time",
        text="Ray workers of all jobs, and what time of GPUs they used and saved.",
        choice=Choice.JOBS,
    )
    return build_board(facts, _show_now(), _show_workers(), _show_gpus(), _list_jobs())


def _show_now() -> Row:
    # Jobs that wait or ended have no cluster, and no workers.
    none = f"0 * {total(catalogue.JOB_ATTEMPT, SOME_JOBS)}"
    desired, ready = (
        f"({total(catalogue.CLUSTER_WORKERS, where)} or {none})" for where in (_DESIRED, _READY)
    )
    used = total(catalogue.GPU_SECONDS, SOME_JOBS)
    saved = total(catalogue.GPU_SECONDS_SAVED, SOME_JOBS)
    panels = [
        show_number(Frame("Ready workers", "Ray workers that are there.", *_TILE), ready),
        show_number(
            Frame("Missing workers", "Ray workers that are wanted and not ready.", *_TILE),
            f"{desired} - {ready}",
            steps=((None, "text"), (1, "orange")),
        ),
        show_number(
            Frame("GPU time used", "By ended trials, training and pruning.", *_TILE, unit="s"),
            gpu_time(SOME_JOBS),
        ),
        show_number(
            Frame(
                "GPU time saved",
                "Share of the time that would have been used otherwise, estimated.",
                *_TILE,
                unit="percentunit",
            ),
            f"{saved} / ({saved} + {used} > 0) or {no_gpus(SOME_JOBS)}",
        ),
    ]
    return Row("Now", panels)


def _show_workers() -> Row:
    by_state = total(catalogue.CLUSTER_WORKERS, SOME_JOBS, by=("state",))
    ready = total(catalogue.CLUSTER_WORKERS, _READY, by=("job_namespace", "job_name"))
    panels = [
        draw_lines(
            Frame("Workers", "Wanted and ready Ray workers of all chosen jobs.", 12),
            Query(by_state, "{{state}}"),
        ),
        draw_lines(
            Frame("Ready workers by job", "Ray workers that are there.", 12),
            Query(ready, "{{job_namespace}}/{{job_name}}"),
            is_stacked=True,
        ),
    ]
    return Row("Workers", panels)


def _show_gpus() -> Row:
    rates = f"rate({select(catalogue.GPU_SECONDS, SOME_JOBS)}[{_BUSY_WINDOW}])"
    none = no_gpus(SOME_JOBS, by=("job_namespace",))
    panels = [
        draw_bars(
            Frame("GPU time by job", "Used by the jobs that there are.", 8, unit="s"),
            Query(
                gpu_time(SOME_JOBS, by=JOB_LABELS),
                "{{job_namespace}}/{{job_name}}",
            ),
        ),
        draw_lines(
            Frame(
                "GPUs in use",
                "On average over half an hour: time is told when a trial or stage ends.",
                8,
                unit="none",
            ),
            Query(f"sum by (job_namespace) ({rates}) or {none}", "{{job_namespace}}"),
            is_stacked=True,
        ),
        draw_lines(
            Frame(
                "GPU time saved by reason",
                "Estimate of what early stopping, limits and earlier trainings spared.",
                8,
                unit="s",
            ),
            Query(gpu_time_saved(SOME_JOBS), "{{reason}}"),
            is_stacked=True,
        ),
    ]
    return Row("GPU time", panels)


def _list_jobs() -> Row:
    table = show_table(
        Frame("Jobs", "Workers and GPU time of each job. A click opens it.", FULL_WIDTH),
        Labels({"job_namespace": "Namespace", "job_name": "Job"}),
        Column("Wanted workers", maximum(catalogue.CLUSTER_WORKERS, _DESIRED, by=JOB_LABELS)),
        Column("Ready workers", maximum(catalogue.CLUSTER_WORKERS, _READY, by=JOB_LABELS)),
        Column("GPU time used", gpu_time(SOME_JOBS, by=JOB_LABELS), "s"),
        Column("GPU time saved", total(catalogue.GPU_SECONDS_SAVED, SOME_JOBS, by=JOB_LABELS), "s"),
        link=JOB_LINK,
    )
    return Row("Jobs", [table])

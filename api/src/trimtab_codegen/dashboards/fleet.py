"""The dashboard of all jobs: how many there are in which state, what fails, what they cost."""

from grafana_foundation_sdk.models import dashboard as models

from trimtab_codegen.dashboards.board import JOB_LINK, BoardFacts, Choice, Row, build_board
from trimtab_codegen.dashboards.panels import (
    FULL_WIDTH,
    REPORT_AGE_STEPS,
    Column,
    Frame,
    Labels,
    Panel,
    Query,
    draw_bars,
    draw_lines,
    show_number,
    show_table,
)
from trimtab_codegen.dashboards.queries import (
    ENDED,
    JOB_LABELS,
    SOME_NAMESPACES,
    gpu_time,
    gpu_time_saved,
    maximum,
    present,
    total,
)
from trimtab_operator.telemetry import catalogue

__all__ = ["build_fleet"]

_TILE = (4, 4)


def build_fleet() -> models.Dashboard:
    """Return the dashboard."""
    facts = BoardFacts(
        uid="trimtab-fleet",
        title="Trimtab / Fleet",
        text="All optimization jobs: states, failures, GPU time and best values.",
        choice=Choice.NAMESPACES,
    )
    return build_board(facts, _show_now(), _show_jobs(), _show_search(), _show_costs())


def _count(states: str) -> str:
    return total(catalogue.JOBS, {**SOME_NAMESPACES, "state": f'=~"{states}"'})


def _show_now() -> Row:
    panels = [
        show_number(
            Frame("Running", "Jobs whose driver runs in a Ray cluster.", *_TILE),
            _count("Running"),
            steps=((None, "text"), (1, "blue")),
        ),
        show_number(
            Frame("Waiting", "Jobs that wait for their turn or for their Ray cluster.", *_TILE),
            _count("Pending|Queued|Starting"),
            steps=((None, "text"), (1, "yellow")),
        ),
        show_number(
            Frame("Complete", "Jobs that ended with a result and are not deleted yet.", *_TILE),
            _count("Complete"),
            steps=((None, "text"), (1, "green")),
        ),
        show_number(
            Frame("Failed", "Jobs that ended without a result and are not deleted yet.", *_TILE),
            _count("Failed"),
            steps=((None, "text"), (1, "red")),
        ),
        show_number(
            Frame("Failed trials", "Trials that failed, of all jobs that there are.", *_TILE),
            total(catalogue.FAILURES, SOME_NAMESPACES),
            steps=((None, "text"), (1, "orange")),
        ),
        show_number(
            Frame(
                "GPU time used",
                "Time of GPUs held by ended trials, training and pruning, of all jobs.",
                *_TILE,
                unit="s",
            ),
            gpu_time(SOME_NAMESPACES),
        ),
    ]
    return Row("Now", panels)


def _show_jobs() -> Row:
    by_state = total(catalogue.JOBS, SOME_NAMESPACES, by=("state",))
    by_namespace = total(catalogue.JOBS, SOME_NAMESPACES, by=("job_namespace",))
    panels = [
        draw_lines(
            Frame("Jobs by state", "Jobs that there are; one leaves when it is deleted.", 16),
            Query(by_state, "{{state}}"),
            is_stacked=True,
        ),
        draw_bars(
            Frame("Jobs by namespace", "Jobs that there are now.", 8),
            Query(by_namespace, "{{job_namespace}}"),
        ),
        _list_jobs(),
    ]
    return Row("Jobs", panels)


def _list_jobs() -> Panel:
    labels = Labels(
        {"job_namespace": "Namespace", "job_name": "Job", "state": "State", "stage": "Stage"},
        hidden=("Value #A", "Value #B"),
    )
    return show_table(
        Frame(
            "Jobs", "One row for each job that there is. A click opens its dashboard.", FULL_WIDTH
        ),
        labels,
        Column("In state", present(catalogue.JOB_STATE, SOME_NAMESPACES, "state")),
        Column("In stage", present(catalogue.JOB_STAGE, SOME_NAMESPACES, "stage")),
        Column("Attempt", maximum(catalogue.JOB_ATTEMPT, SOME_NAMESPACES, by=JOB_LABELS)),
        Column("Ended trials", total(catalogue.TRIALS, SOME_NAMESPACES | ENDED, by=JOB_LABELS)),
        Column("GPU time", gpu_time(SOME_NAMESPACES, by=JOB_LABELS), "s"),
        Column(
            "Report age",
            maximum(catalogue.JOB_REPORT_AGE, SOME_NAMESPACES, by=JOB_LABELS),
            "s",
            REPORT_AGE_STEPS,
        ),
        link=JOB_LINK,
    )


def _show_search() -> Row:
    best = maximum(catalogue.BEST_OBJECTIVE, SOME_NAMESPACES, by=(*JOB_LABELS, "metric"))
    ended = total(catalogue.TRIALS, SOME_NAMESPACES | ENDED, by=("state",))
    panels = [
        draw_lines(
            Frame(
                "Best value of each job",
                "Value of the best trial so far, by objective.",
                12,
                unit="none",
            ),
            Query(best, "{{job_namespace}}/{{job_name}} {{metric}}"),
            floor=None,
        ),
        draw_lines(
            Frame("Ended trials by state", "Of all jobs that there are.", 12),
            Query(ended, "{{state}}"),
            is_stacked=True,
        ),
    ]
    return Row("Search", panels)


def _show_costs() -> Row:
    failed = total(catalogue.FAILURES, SOME_NAMESPACES, by=("class",))
    used = gpu_time(SOME_NAMESPACES, by=("job_namespace",))
    saved = gpu_time_saved(SOME_NAMESPACES)
    panels = [
        draw_lines(
            Frame("Failed trials by class", "In the last reports of all jobs, by what it was.", 8),
            Query(failed, "{{class}}"),
            is_stacked=True,
        ),
        draw_lines(
            Frame("GPU time by namespace", "Used by the jobs that there are.", 8, unit="s"),
            Query(used, "{{job_namespace}}"),
            is_stacked=True,
        ),
        draw_lines(
            Frame(
                "GPU time saved by reason",
                "Estimate of what early stopping, limits and earlier trainings spared.",
                8,
                unit="s",
            ),
            Query(saved, "{{reason}}"),
            is_stacked=True,
        ),
    ]
    return Row("Failures and GPU time", panels)

"""The dashboard of one job: what its search finds, what compression costs, and what went wrong."""

from collections.abc import Iterator

from grafana_foundation_sdk.models import dashboard as models

from trimtab_api.stages import STAGE_ORDER
from trimtab_codegen.dashboards.board import JOB_UID, BoardFacts, Choice, Row, build_board
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
    draw_timeline,
    show_number,
    show_table,
    show_word,
)
from trimtab_codegen.dashboards.queries import (
    ENDED,
    ONE_JOB,
    gpu_time,
    gpu_time_saved,
    maximum,
    present,
    total,
)
from trimtab_operator.telemetry import catalogue
from trimtab_operator.telemetry.catalogue import Series

__all__ = ["build_job"]

_TILE = (4, 4)
_BEFORE_AND_AFTER = ("metric", "target")


def build_job() -> models.Dashboard:
    """Return the dashboard."""
    facts = BoardFacts(
        uid=JOB_UID,
        title="Trimtab / One job",
        text="One optimization job: its search, its budget, its result and its failures.",
        choice=Choice.ONE_JOB,
        since="now-3h",
    )
    return build_board(
        facts,
        _show_now(),
        _show_stages(),
        _show_search(),
        _show_budget(),
        _show_result(),
        _show_trouble(),
        _show_cluster(),
    )


def _of_job(series: Series, *by: str) -> str:
    return maximum(series, ONE_JOB, by=by)


def _show_now() -> Row:
    panels = [
        show_word(
            Frame("State", "State of the job in one word.", *_TILE),
            Query(present(catalogue.JOB_STATE, ONE_JOB, "state"), "{{state}}"),
        ),
        show_word(
            Frame("Stage", "The stage that runs or ran last.", *_TILE),
            Query(present(catalogue.JOB_STAGE, ONE_JOB, "stage"), "{{stage}}"),
        ),
        show_number(
            Frame("Attempt", "More than 1: the job began anew.", *_TILE),
            _of_job(catalogue.JOB_ATTEMPT),
            steps=((None, "text"), (2, "orange")),
        ),
        show_number(
            Frame("Ended trials", "Of all attempts, however they ended.", *_TILE),
            total(catalogue.TRIALS, ONE_JOB | ENDED),
        ),
        show_number(
            Frame("Failed trials", "Of all attempts.", *_TILE),
            total(catalogue.FAILURES, ONE_JOB),
            steps=((None, "text"), (1, "orange")),
        ),
        show_number(
            Frame("Hypervolume", "Of the front of trade-offs; 1 is the dense model alone.", *_TILE),
            _of_job(catalogue.PARETO_HYPERVOLUME),
        ),
    ]
    return Row("Now", panels)


def _show_stages() -> Row:
    # The stage that ran last stays the job's stage when nothing runs any more.
    is_running = maximum(catalogue.JOB_STATE, ONE_JOB | {"state": '="Running"'})
    panels = [
        draw_timeline(
            Frame("Stages", "When each stage ran.", 16),
            *_list_stages(catalogue.JOB_STAGE, f" * {is_running}"),
            word="runs",
        ),
        draw_bars(
            Frame("Time by stage", "Of stages that ended, over all attempts.", 8, unit="s"),
            *_list_stages(catalogue.STAGE_DURATION),
        ),
    ]
    return Row("Stages", panels)


def _list_stages(series: Series, factor: str = "") -> Iterator[Query]:
    """Yield a query for each stage in their order; Prometheus would sort them by name."""
    for stage in STAGE_ORDER:
        yield Query(maximum(series, ONE_JOB | {"stage": f'="{stage}"'}) + factor, str(stage))


def _show_search() -> Row:
    panels = [
        draw_lines(
            Frame(
                "Objectives",
                "Running trials by slot, the trial that ended last, and the best one so far."
                " A running trial shows its last epoch; best counts succeeded trials only,"
                " and first those within the limits.",
                16,
                unit="none",
            ),
            Query(_of_job(catalogue.TRIAL_OBJECTIVE, "slot", "metric"), "slot {{slot}} {{metric}}"),
            Query(_of_job(catalogue.LAST_TRIAL_OBJECTIVE, "metric"), "last {{metric}}"),
            Query(_of_job(catalogue.BEST_OBJECTIVE, "metric"), "best {{metric}}"),
            floor=None,
        ),
        draw_lines(
            Frame("Trials by state", "Running and ended trials of all attempts.", 8),
            Query(_of_job(catalogue.TRIALS, "state"), "{{state}}"),
            is_stacked=True,
        ),
        draw_lines(
            Frame(
                "Progress of running trials",
                "Share of its epochs that the trial in a slot has done.",
                8,
                unit="percentunit",
            ),
            Query(_of_job(catalogue.TRIAL_PROGRESS, "slot"), "slot {{slot}}"),
        ),
        draw_lines(
            Frame("Running trial by slot", "Number of the trial that a slot runs.", 8),
            Query(_of_job(catalogue.TRIAL_NUMBER, "slot"), "slot {{slot}}"),
        ),
        draw_lines(
            Frame(
                "Front of trade-offs",
                "Candidates that no other beats in every metric, by whether they keep the limits.",
                8,
            ),
            Query(
                f"sum by (feasible) ({_of_job(catalogue.PARETO_POINTS, 'feasible')})",
                "keeps limits: {{feasible}}",
            ),
            is_stacked=True,
        ),
    ]
    return Row("Search", panels)


def _show_budget() -> Row:
    panels = [
        draw_lines(
            Frame(
                "Budget of the primary metric",
                "Drop that is allowed in all, and what the stages spent of it.",
                12,
                unit="none",
            ),
            Query(_of_job(catalogue.BUDGET_ALLOWED), "allowed"),
            Query(_of_job(catalogue.BUDGET_SPENT, "stage"), "spent by {{stage}}"),
        ),
        show_table(
            Frame("Margins to the limits", "Of what would ship; negative is a missed limit.", 12),
            Labels({"metric": "Metric", "target": "Target", "limit": "Limit"}),
            Column(
                "Margin",
                _of_job(catalogue.CONSTRAINT_MARGIN, "metric", "target", "limit"),
                "none",
                ((None, "red"), (0, "green")),
            ),
        ),
    ]
    return Row("Budget and limits", panels)


def _show_result() -> Row:
    before, after = _compare_baseline(), _of_job(catalogue.RESULT_METRIC, *_BEFORE_AND_AFTER)
    panels = [
        show_table(
            Frame(
                "Before and after",
                "The dense model and what ships for each target; there once the job has ended.",
                FULL_WIDTH,
                # Has room for all metrics that Trimtab knows, on two targets.
                height=24,
            ),
            Labels({"metric": "Metric", "target": "Target"}),
            Column("Before", before, "none"),
            Column("After", after, "none"),
            Column("After ÷ before", f"{after} / {before}", "none"),
        ),
    ]
    return Row("Result", panels)


def _compare_baseline() -> str:
    """Return the dense model's metrics by target, also those that are the same on all targets."""
    label = {"target": '=""'}
    everywhere = maximum(catalogue.BASELINE_METRIC, ONE_JOB | label, by=("metric",))
    on_targets = maximum(
        catalogue.BASELINE_METRIC, ONE_JOB | {"target": '!=""'}, by=_BEFORE_AND_AFTER
    )
    result = _of_job(catalogue.RESULT_METRIC, *_BEFORE_AND_AFTER)
    return f"({on_targets} or 0 * {result} + on (metric) group_left () {everywhere})"


def _show_trouble() -> Row:
    retries = total(catalogue.RETRIES, ONE_JOB, by=("class",))
    fallbacks = total(catalogue.PRECISION_FALLBACKS, ONE_JOB, by=("from", "to"))
    panels = [
        draw_lines(
            Frame("Failed trials by class", "What it was that failed, of all attempts.", 6),
            Query(total(catalogue.FAILURES, ONE_JOB, by=("class",)), "{{class}}"),
            is_stacked=True,
        ),
        draw_lines(
            Frame("Retries by class", "Failures of trials that ran again.", 6),
            Query(retries, "{{class}}"),
            is_stacked=True,
        ),
        draw_lines(
            Frame("Overflows and fallbacks", "Skipped steps, and trainings in another type.", 6),
            Query(total(catalogue.LOSS_SCALE_OVERFLOWS, ONE_JOB), "overflows"),
            Query(fallbacks, "{{from}} → {{to}}"),
        ),
        draw_lines(
            Frame("Loss scale", "Of the trial in each slot; only training in fp16 has one.", 6),
            Query(_of_job(catalogue.LOSS_SCALE, "slot"), "slot {{slot}}"),
        ),
    ]
    return Row("Failures and numerics", panels)


def _show_cluster() -> Row:
    panels = [
        draw_lines(
            Frame("Workers", "Ray workers of the attempt, wanted and ready.", 8),
            Query(_of_job(catalogue.CLUSTER_WORKERS, "state"), "{{state}}"),
        ),
        draw_lines(
            Frame("GPU time", "Used, and what was spared by reason, estimated.", 8, unit="s"),
            Query(gpu_time(ONE_JOB), "used"),
            Query(gpu_time_saved(ONE_JOB), "saved: {{reason}}"),
        ),
        _show_report_age(),
    ]
    return Row("Cluster", panels)


def _show_report_age() -> Panel:
    return draw_lines(
        Frame(
            "Age of the report",
            "Time since the driver's report changed; it is renewed every 15 seconds.",
            8,
            unit="s",
        ),
        Query(_of_job(catalogue.JOB_REPORT_AGE), "age"),
        steps=REPORT_AGE_STEPS,
    )

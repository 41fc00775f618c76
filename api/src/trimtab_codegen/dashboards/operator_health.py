"""The dashboard of the operator itself: whether it is there, its passes, its queue, its watches."""

from grafana_foundation_sdk.models import dashboard as models

from trimtab_codegen.dashboards.board import BoardFacts, Choice, Row, build_board
from trimtab_codegen.dashboards.panels import (
    Frame,
    Query,
    Steps,
    draw_lines,
    show_number,
    show_word,
)
from trimtab_codegen.dashboards.queries import (
    maximum,
    of_operator,
    quantile,
    rate,
    total,
)
from trimtab_codegen.limits import WATCH_AGE_LIMIT
from trimtab_operator.telemetry import catalogue

__all__ = ["build_operator_health"]

_TILE = (4, 4)
_FAILED = {"outcome": '="Failed"'}
_SLOW_PASS: Steps = ((None, "text"), (10, "red"))
_WATCH_AGE_STEPS: Steps = (
    (None, "text"),
    (120, "yellow"),
    (WATCH_AGE_LIMIT, "red"),
)


def build_operator_health() -> models.Dashboard:
    """Return the dashboard."""
    facts = BoardFacts(
        uid="trimtab-operator",
        title="Trimtab / Operator",
        text="The operator: passes over jobs, errors, queue and watches.",
        choice=Choice.NONE,
    )
    return build_board(facts, _show_now(), _show_passes(), _show_watches(), _show_page())


def _show_now() -> Row:
    panels = [
        show_number(
            Frame("Operators", "Operators that Prometheus reads.", *_TILE),
            # An operator that is down tells no version, and so is none of those that are summed.
            f"sum({of_operator('up')}) or vector(0)",
            steps=((None, "red"), (1, "green")),
        ),
        show_word(
            Frame("Version", "Of the operator that runs.", *_TILE),
            Query(maximum(catalogue.BUILD_INFO, by=("version",)), "{{version}}"),
        ),
        show_number(
            Frame("Jobs", "Jobs that it knows, ended ones among them.", *_TILE),
            total(catalogue.JOBS),
        ),
        show_number(
            Frame("Queue", "Jobs whose pass is due and waits for a worker.", *_TILE),
            total(catalogue.QUEUE_DEPTH),
            steps=((None, "text"), (10, "orange")),
        ),
        show_number(
            Frame(
                "Oldest watch", "Since the worst watch was seen to be current.", *_TILE, unit="s"
            ),
            maximum(catalogue.WATCH_AGE),
            steps=_WATCH_AGE_STEPS,
        ),
        show_number(
            Frame("Failed passes", "Since the start of the operator.", *_TILE),
            f'sum({catalogue.RECONCILE_DURATION.name}_count{{outcome="Failed"}})',
            steps=((None, "text"), (1, "orange")),
        ),
    ]
    return Row("Now", panels)


def _show_passes() -> Row:
    duration, errors = catalogue.RECONCILE_DURATION, catalogue.RECONCILE_ERRORS
    panels = [
        draw_lines(
            Frame("Time of a pass", "Quantiles of the passes over jobs.", 8, unit="s"),
            *(
                Query(quantile(share, duration), f"p{share * 100:.0f}")
                for share in (0.5, 0.9, 0.99)
            ),
            steps=_SLOW_PASS,
        ),
        draw_lines(
            Frame("Passes per second", "By how they ended.", 8, unit="ops"),
            Query(rate(duration, by=("outcome",), part="_count"), "{{outcome}}"),
            is_stacked=True,
        ),
        draw_lines(
            Frame(
                "Failed passes per second",
                "All, and by reason. A failed pass is tried again, later each time.",
                8,
                unit="ops",
            ),
            Query(rate(duration, _FAILED, by=(), part="_count"), "all"),
            Query(rate(errors, by=("reason",)), "{{reason}}"),
        ),
    ]
    return Row("Passes", panels)


def _show_watches() -> Row:
    panels = [
        draw_lines(
            Frame("Queue", "Jobs whose pass is due and waits for a worker.", 6),
            Query(total(catalogue.QUEUE_DEPTH), "waiting"),
        ),
        draw_lines(
            Frame(
                "Age of the watches",
                "Since each was seen to be current; they are compared every 30 seconds.",
                12,
                unit="s",
            ),
            Query(maximum(catalogue.WATCH_AGE, by=("resource",)), "{{resource}}"),
            steps=_WATCH_AGE_STEPS,
        ),
        draw_lines(
            Frame("Jobs by state", "Jobs that it knows.", 6),
            Query(total(catalogue.JOBS, by=("state",)), "{{state}}"),
            is_stacked=True,
        ),
    ]
    return Row("Queue and watches", panels)


def _show_page() -> Row:
    panels = [
        draw_lines(
            Frame("Time of a scrape", "That Prometheus waits for the page.", 12, unit="s"),
            Query(f"max by (instance) ({of_operator('scrape_duration_seconds')})", "{{instance}}"),
        ),
        draw_lines(
            Frame("Samples of a scrape", "About 120 for each job.", 12),
            Query(f"max by (instance) ({of_operator('scrape_samples_scraped')})", "{{instance}}"),
            is_stacked=True,
        ),
    ]
    return Row("Scrapes", panels)

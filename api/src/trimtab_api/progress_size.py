"""A report kept small enough for its ConfigMap. Pure.

Called by the driver for each report, as `status_size` is by the operator for each status.
"""

from collections.abc import Callable, Iterator

from trimtab_api.metrics import round_figure
from trimtab_api.progress import PROGRESS_LIMIT, Counters, ProgressReport
from trimtab_api.v1alpha1.status import MetricMap

__all__ = ["render_progress"]


def render_progress(report: ProgressReport) -> str:
    """Return the report as key progress.json, without as many details as it takes to fit.

    Trials in progress, events and margins go first, then figures that the stored report has in
    full. What the picks of targets need goes last, and how the driver is, never.
    """
    cuts = _iter_cuts()
    while len(text := _dump(report)) > PROGRESS_LIMIT:
        cut = next(cuts, None)
        if cut is None:
            break
        report = cut(report)
    return text.decode()


def _dump(report: ProgressReport) -> bytes:
    return report.model_dump_json(by_alias=True, exclude_none=True).encode()


def _iter_cuts() -> Iterator[Callable[[ProgressReport], ProgressReport]]:
    """Yield what takes details away, the most expendable first."""
    yield lambda report: report.model_copy(update={"running": ()})
    yield lambda report: report.model_copy(update={"events": ()})
    yield lambda report: report.model_copy(update={"margins": (), "last_trial": None})
    yield _empty_stages
    yield _empty_best
    yield _round_figures
    yield lambda report: report.model_copy(update={"best": None})
    yield lambda report: report.model_copy(update={"failures": (), "counters": Counters()})
    yield lambda report: report.model_copy(update={"stages": ()})
    yield _leave_out_results


def _empty_stages(report: ProgressReport) -> ProgressReport:
    stages = tuple(stage.model_copy(update={"metrics": {}}) for stage in report.stages)
    return report.model_copy(update={"stages": stages})


def _empty_best(report: ProgressReport) -> ProgressReport:
    best = report.best.model_copy(update={"metrics": {}}) if report.best else None
    return report.model_copy(update={"best": best})


def _round_figures(report: ProgressReport) -> ProgressReport:
    """Keep six digits of what was measured on targets, the others as they are."""
    candidates = tuple(
        entry.model_copy(update={"metrics": _round_measured(entry.metrics)})
        for entry in report.candidates
    )
    return report.model_copy(update={"candidates": candidates})


def _round_measured(metrics: MetricMap) -> MetricMap:
    return {name: round_figure(value) if "@" in name else value for name, value in metrics.items()}


def _leave_out_results(report: ProgressReport) -> ProgressReport:
    """Keep how the driver is: no set of figures may silence it."""
    return ProgressReport(
        uid=report.uid,
        attempt=report.attempt,
        sequence=report.sequence,
        time=report.time,
        stage=report.stage,
        message=report.message,
        outcome=report.outcome,
        problem=report.problem,
    )

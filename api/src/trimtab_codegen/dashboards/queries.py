"""PromQL over the series that the operator exports: names and labels are those of its catalogue.

Called by the dashboards and the alerts. A label that a series does not have is refused here, so
that no query asks for what is never there.
"""

from collections.abc import Iterable

from trimtab_operator.telemetry.catalogue import (
    BUILD_INFO,
    GPU_SECONDS,
    GPU_SECONDS_SAVED,
    JOB_LABELS,
    TRIALS,
    Series,
)

__all__ = [
    "ENDED",
    "JOB_LABELS",
    "ONE_JOB",
    "SOME_JOBS",
    "SOME_NAMESPACES",
    "Where",
    "aggregate",
    "gpu_time",
    "gpu_time_saved",
    "maximum",
    "no_gpus",
    "of_operator",
    "present",
    "quantile",
    "rate",
    "select",
    "total",
]

Where = dict[str, str]
"""Label → operator and value, such as `="Running"`."""

SOME_NAMESPACES: Where = {"job_namespace": '=~"$job_namespace"'}
"""The namespaces that the reader chose, or all."""
SOME_JOBS: Where = {**SOME_NAMESPACES, "job_name": '=~"$job_name"'}
"""The jobs that the reader chose, or all."""
ONE_JOB: Where = {"job_namespace": '="$job_namespace"', "job_name": '="$job_name"'}
"""The job that the reader chose."""
ENDED: Where = {"state": '!="Running"'}
"""Trials that ended."""

_WINDOW = "$__rate_interval"


def select(series: Series, where: Where | None = None, *, part: str = "") -> str:
    """Return a selector.

    Args:
        series: Of the catalogue.
        where: What its labels must be.
        part: Of a histogram: `_bucket`, `_count` or `_sum`.

    Raises:
        ValueError: The series has no such label.
    """
    where = where or {}
    _check(series, where)
    inside = ",".join(f"{label}{matcher}" for label, matcher in where.items())
    return f"{series.name}{part}{{{inside}}}" if inside else f"{series.name}{part}"


def maximum(series: Series, where: Where | None = None, *, by: Iterable[str] = ()) -> str:
    """Return a gauge by its own labels, without those of the scrape, which change at a restart."""
    return aggregate("max", series, where, by=by)


def present(series: Series, where: Where, label: str) -> str:
    """Return the jobs with the one value of a label for which a series is 1."""
    _check(series, (label,))
    return f"max by ({', '.join((*JOB_LABELS, label))}) ({select(series, where)} == 1)"


def total(series: Series, where: Where | None = None, *, by: Iterable[str] = ()) -> str:
    """Return the sum of a series by labels of its own."""
    return aggregate("sum", series, where, by=by)


def aggregate(how: str, series: Series, where: Where | None = None, *, by: Iterable[str]) -> str:
    """Return an aggregation of a series by labels of its own.

    Raises:
        ValueError: The series has no such label.
    """
    labels = tuple(by)
    _check(series, labels)
    return f"{how}{_by(labels)} ({select(series, where)})"


def rate(series: Series, where: Where | None = None, *, by: Iterable[str], part: str = "") -> str:
    """Return how much a counter grows per second, by labels of its own."""
    labels = tuple(by)
    _check(series, labels)
    return f"sum{_by(labels)} (rate({select(series, where, part=part)}[{_WINDOW}]))"


def quantile(share: float, series: Series) -> str:
    """Return a quantile of a histogram over the last moments."""
    return f"histogram_quantile({share}, {rate(series, by=('le',), part='_bucket')})"


def gpu_time(where: Where, *, by: Iterable[str] = ()) -> str:
    """Return the time of GPUs by labels of jobs: 0 for those that run without GPUs."""
    labels = tuple(by)
    return f"{total(GPU_SECONDS, where, by=labels)} or {no_gpus(where, by=labels)}"


def gpu_time_saved(where: Where) -> str:
    """Return the time of GPUs that was saved, by reason: `nothing yet` where none was told."""
    none = f'label_replace({no_gpus(where)}, "reason", "nothing yet", "", "")'
    known = total(GPU_SECONDS_SAVED, where, by=("reason",))
    return f"{known} or {none} unless on () {select(GPU_SECONDS_SAVED, where)}"


def no_gpus(where: Where, *, by: Iterable[str] = ()) -> str:
    """Return 0 for jobs that have told of trials: what they used where they told of no GPUs."""
    return f"0 * {total(TRIALS, where, by=by)}"


def of_operator(scrape_series: str) -> str:
    """Return a series that Prometheus makes at each scrape, of operators only."""
    return f"{scrape_series} * on (job, instance) group_left () {select(BUILD_INFO)}"


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""


def _check(series: Series, labels: Iterable[str]) -> None:
    unknown = set(labels) - {*series.labels, "le"}
    if unknown:
        raise ValueError(f"{series.name} has the labels {series.labels}, not {sorted(unknown)}")

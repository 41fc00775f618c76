"""Every series that the operator exports: name, type, labels and meaning. Pure data.

Read by whoever makes samples and by the generator of `docs/reference/metrics.md`. A label is never
added to a series that there is, and has values of a closed set or of the spec only.
"""

from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "BASELINE_METRIC",
    "BEST_OBJECTIVE",
    "BUDGET_ALLOWED",
    "BUDGET_SPENT",
    "BUILD_INFO",
    "CATALOGUE",
    "CLUSTER_WORKERS",
    "CONSTRAINT_MARGIN",
    "FAILURES",
    "GPU_SECONDS",
    "GPU_SECONDS_SAVED",
    "JOBS",
    "JOB_ATTEMPT",
    "JOB_LABELS",
    "JOB_REPORT_AGE",
    "JOB_STAGE",
    "JOB_STATE",
    "LAST_TRIAL_OBJECTIVE",
    "LOSS_SCALE",
    "LOSS_SCALE_OVERFLOWS",
    "PARETO_HYPERVOLUME",
    "PARETO_POINTS",
    "PRECISION_FALLBACKS",
    "QUEUE_DEPTH",
    "RECONCILE_DURATION",
    "RECONCILE_ERRORS",
    "RESULT_METRIC",
    "RETRIES",
    "STAGE_DURATION",
    "TRIALS",
    "TRIAL_NUMBER",
    "TRIAL_OBJECTIVE",
    "TRIAL_PROGRESS",
    "WATCH_AGE",
    "Series",
    "SeriesType",
]

JOB_LABELS = ("job_namespace", "job_name")
"""Which job; `namespace` and `job` belong to the scrape."""


class SeriesType(StrEnum):
    """What the value of a series is."""

    GAUGE = "gauge"
    """A figure of now."""
    COUNTER = "counter"
    """A total that grows."""
    HISTOGRAM = "histogram"
    """How often a figure was below each of some bounds."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One name of the page; there is one object of each.

    Attributes:
        name: As it is queried.
        type: What its value is.
        labels: All of them, in the order in which their values are given.
        meaning: Its help text.
    """

    name: str
    type: SeriesType
    labels: tuple[str, ...]
    meaning: str


_ALL: list[Series] = []


def _add(type_: SeriesType, name: str, meaning: str, *labels: str) -> Series:
    series = Series(name, type_, labels, meaning)
    _ALL.append(series)
    return series


def _job(name: str, meaning: str, *labels: str) -> Series:
    return _add(SeriesType.GAUGE, name, meaning, *JOB_LABELS, *labels)


def _total(name: str, meaning: str, *labels: str) -> Series:
    return _add(SeriesType.COUNTER, name, meaning, *JOB_LABELS, *labels)


JOB_STATE = _job("trimtab_job_state", "1 for the state of the job, else 0", "state")
JOB_STAGE = _job("trimtab_job_stage", "1 for the stage that runs or ran last, else 0", "stage")
JOB_ATTEMPT = _job("trimtab_job_attempt", "Number of the attempt, counted from 1")
JOB_REPORT_AGE = _job(
    "trimtab_job_report_age_seconds",
    "Time since the driver's report was last seen to change; absent without a driver",
)
STAGE_DURATION = _job(
    "trimtab_stage_duration_seconds",
    "Time that a stage took which ended, over all attempts",
    "stage",
)
TRIALS = _job("trimtab_trials", "Trials by state", "state")
TRIAL_OBJECTIVE = _job(
    "trimtab_trial_objective",
    "Last value of the trial that runs in a slot, by objective",
    "slot",
    "metric",
)
TRIAL_NUMBER = _job("trimtab_trial_number", "Number of the trial that runs in a slot", "slot")
TRIAL_PROGRESS = _job(
    "trimtab_trial_progress_ratio", "Share of its epochs that the trial in a slot has done", "slot"
)
LOSS_SCALE = _job("trimtab_loss_scale", "Loss scale of the trial that runs in a slot", "slot")
LAST_TRIAL_OBJECTIVE = _job(
    "trimtab_last_trial_objective", "Value of the trial that ended last, by objective", "metric"
)
BEST_OBJECTIVE = _job("trimtab_best_objective", "Value of the best trial, by objective", "metric")
PARETO_POINTS = _job(
    "trimtab_pareto_points",
    "Candidates that no other beats in every metric, by whether they keep every limit",
    "feasible",
)
PARETO_HYPERVOLUME = _job(
    "trimtab_pareto_hypervolume",
    "Volume that the front dominates, as shares of the dense model's metrics: 1 = that alone",
)
BASELINE_METRIC = _job(
    "trimtab_baseline_metric",
    "Metric of the dense model; target is empty where it holds on all",
    "metric",
    "target",
)
RESULT_METRIC = _job(
    "trimtab_result_metric", "Metric of what ships for a target", "metric", "target"
)
CONSTRAINT_MARGIN = _job(
    "trimtab_constraint_margin",
    "Distance of what would ship for a target to a limit; negative = missed",
    "metric",
    "target",
    "limit",
)
BUDGET_ALLOWED = _job(
    "trimtab_budget_allowed", "Drop of the primary metric that is allowed in all, in its unit"
)
BUDGET_SPENT = _job(
    "trimtab_budget_spent", "Drop of the primary metric by stage, in its unit", "stage"
)
GPU_SECONDS = _total(
    "trimtab_gpu_seconds_total", "Time of GPUs held by trials that ended, training and pruning"
)
GPU_SECONDS_SAVED = _total(
    "trimtab_gpu_seconds_saved_total", "Time of GPUs that was not needed, estimated", "reason"
)
FAILURES = _total("trimtab_failures_total", "Failed trials by class", "class")
RETRIES = _total("trimtab_retries_total", "Failures of trials that ran again, by class", "class")
LOSS_SCALE_OVERFLOWS = _total(
    "trimtab_loss_scale_overflows_total", "Steps skipped because a gradient overflowed"
)
PRECISION_FALLBACKS = _total(
    "trimtab_precision_fallbacks_total",
    "Times that a training went on in another type",
    "from",
    "to",
)
CLUSTER_WORKERS = _job("trimtab_cluster_workers", "Ray workers of the attempt", "state")
JOBS = _add(
    SeriesType.GAUGE, "trimtab_jobs", "Jobs by namespace and state", "job_namespace", "state"
)
BUILD_INFO = _add(
    SeriesType.GAUGE, "trimtab_build_info", "1, with the operator's version", "version"
)
RECONCILE_DURATION = _add(
    SeriesType.HISTOGRAM,
    "trimtab_reconcile_duration_seconds",
    "Time of a pass over a job, by how it ended",
    "outcome",
)
RECONCILE_ERRORS = _add(
    SeriesType.COUNTER, "trimtab_reconcile_errors_total", "Passes that failed, by reason", "reason"
)
QUEUE_DEPTH = _add(
    SeriesType.GAUGE, "trimtab_queue_depth", "Jobs whose pass is due and waits for a worker"
)
WATCH_AGE = _add(
    SeriesType.GAUGE,
    "trimtab_watch_age_seconds",
    "Time since a watch was last seen to be current: by an event, or a list without news",
    "resource",
)

CATALOGUE: tuple[Series, ...] = tuple(_ALL)
"""All of them, those of jobs first."""

"""The series of one job, from its status and its last report. Pure.

Called by the reconciler after each pass. The report is untrusted: names that become labels must be
in a closed set or in the spec, and what is left is bounded.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from trimtab_api.margins import LimitMargin
from trimtab_api.metrics import KNOWN_METRICS
from trimtab_api.progress import GpuSaving, ProgressReport
from trimtab_api.stages import STAGE_ORDER
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.status import FailureClass, JobState, Status, TrialState
from trimtab_api.v1alpha1.train import PrecisionDtype
from trimtab_operator.telemetry import catalogue
from trimtab_operator.telemetry.catalogue import Series

__all__ = ["MOST_SAMPLES", "JobFacts", "JobPage", "Sample", "build_page"]

MOST_SAMPLES = 1000
"""Of one job."""
_MOST_METRICS = 20
_MOST_SHARED = 64
_MOST_SLOTS = 16
_MOST_FALLBACKS = 16
_TYPES = frozenset(map(str, PrecisionDtype))


class Sample(NamedTuple):
    """One value of a series; the labels of the job come before these."""

    series: Series
    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """What the series of a job are made from."""

    namespace: str
    name: str
    status: Status
    spec: Spec | None = None
    """None where the manifest is not valid."""
    report: ProgressReport | None = None
    """The last good one."""
    margins: tuple[LimitMargin, ...] = ()
    """Of all targets."""
    reported_at: float | None = None
    """When the report changed last, in monotonic seconds; None where no driver reports."""


_Names = tuple[tuple[Series, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class JobPage:
    """What is exported of one job; never changed, so that any thread may read it."""

    namespace: str
    name: str
    state: JobState | None
    reported_at: float | None
    names: _Names
    values: "array[float]"

    @property
    def samples(self) -> Iterator[Sample]:
        """Yield the values with their names."""
        for (series, labels), value in zip(self.names, self.values, strict=True):
            yield Sample(series, labels, value)


def build_page(facts: JobFacts) -> JobPage:
    """Return the series of a job; where its report has a label twice, the last one counts."""
    unique = {(entry.series, entry.labels): entry.value for entry in _list_samples(facts)}
    return JobPage(
        namespace=facts.namespace,
        name=facts.name,
        state=facts.status.state,
        reported_at=facts.reported_at,
        names=_share(tuple(unique)[:MOST_SAMPLES]),
        values=array("d", list(unique.values())[:MOST_SAMPLES]),
    )


@lru_cache(maxsize=_MOST_SHARED)
def _share(names: _Names) -> _Names:
    """Return names that are equal to these: most jobs have the same, and hold only values."""
    return names


def _list_samples(facts: JobFacts) -> Iterator[Sample]:
    yield from _list_life(facts.status)
    yield from _list_figures(facts.status)
    if facts.spec is not None:
        yield from _list_objectives(facts, facts.spec)
        yield from _list_metrics(facts, facts.spec)
    if facts.report is not None:
        yield from _list_slots(facts.report)
        yield from _list_stages(facts.report)
        # Before its first stage a driver has not read the study, and its totals are none.
        if facts.report.stage is not None:
            yield from _list_totals(facts.status, facts.report)


def _list_life(status: Status) -> Iterator[Sample]:
    for state in JobState:
        yield Sample(catalogue.JOB_STATE, (state,), state is status.state)
    for stage in STAGE_ORDER:
        yield Sample(catalogue.JOB_STAGE, (stage,), stage is status.stage)
    if status.attempt is not None:
        yield Sample(catalogue.JOB_ATTEMPT, (), status.attempt)
    if status.cluster is not None:
        workers = {"desired": status.cluster.workers_desired, "ready": status.cluster.workers_ready}
        for state_of_workers, count in workers.items():
            if count is not None:
                yield Sample(catalogue.CLUSTER_WORKERS, (state_of_workers,), count)


def _list_figures(status: Status) -> Iterator[Sample]:
    trials = status.trials
    if trials is not None:
        for state in TrialState:
            yield Sample(catalogue.TRIALS, (state,), getattr(trials, state.lower()))
    for feasible in (True, False) if status.pareto else ():
        count = sum(point.feasible is feasible for point in status.pareto)
        yield Sample(catalogue.PARETO_POINTS, (str(feasible).lower(),), count)
    budget = status.budget
    if budget is not None:
        yield Sample(catalogue.BUDGET_ALLOWED, (), budget.allowed)
        for stage in STAGE_ORDER:
            if stage in budget.spent:
                yield Sample(catalogue.BUDGET_SPENT, (stage,), budget.spent[stage])


def _list_objectives(facts: JobFacts, spec: Spec) -> Iterator[Sample]:
    names = [objective.metric for objective in spec.objectives]
    best, report = facts.status.best, facts.report
    if best is not None:
        yield from _pick(catalogue.BEST_OBJECTIVE, names, {names[0]: best.value, **best.metrics})
    if report is None:
        return
    if report.last_trial is not None:
        yield from _pick(catalogue.LAST_TRIAL_OBJECTIVE, names, report.last_trial.metrics)
    for trial in report.running:
        if trial.slot < _MOST_SLOTS:
            slot = str(trial.slot)
            yield from _pick(catalogue.TRIAL_OBJECTIVE, names, trial.metrics, slot)


def _pick(
    series: Series, names: Iterable[str], metrics: Mapping[str, float], *labels: str
) -> Iterator[Sample]:
    for name in names:
        if name in metrics:
            yield Sample(series, (*labels, name), metrics[name])


def _list_metrics(facts: JobFacts, spec: Spec) -> Iterator[Sample]:
    status = facts.status
    names = _list_names(spec)
    targets = [target.name for target in spec.targets]
    baseline = status.baseline.metrics if status.baseline else {}
    for key, value in baseline.items():
        name, _, target = key.partition("@")
        if name in names and target in {"", *targets}:
            yield Sample(catalogue.BASELINE_METRIC, (name, target), value)
    for entry in status.targets:
        for name in names:
            if name in entry.metrics and entry.name in targets:
                yield Sample(catalogue.RESULT_METRIC, (name, entry.name), entry.metrics[name])
    for margin in facts.margins:
        if margin.metric in names and margin.target in targets:
            labels = (margin.metric, margin.target, margin.limit)
            yield Sample(catalogue.CONSTRAINT_MARGIN, labels, margin.value)
    if facts.report is not None and facts.report.hypervolume is not None:
        yield Sample(catalogue.PARETO_HYPERVOLUME, (), facts.report.hypervolume)


def _list_names(spec: Spec) -> tuple[str, ...]:
    """Return the metrics that may be labels: what the spec names before what Trimtab knows."""
    objectives = [entry.metric for entry in spec.objectives]
    limited = [entry.metric for entry in spec.constraints]
    return tuple(dict.fromkeys((*objectives, *limited, *KNOWN_METRICS)))[:_MOST_METRICS]


def _list_slots(report: ProgressReport) -> Iterator[Sample]:
    for trial in report.running:
        if trial.slot >= _MOST_SLOTS:
            continue
        slot = (str(trial.slot),)
        yield Sample(catalogue.TRIAL_NUMBER, slot, trial.trial)
        if trial.epochs:
            yield Sample(catalogue.TRIAL_PROGRESS, slot, min(1.0, trial.epoch / trial.epochs))
        if trial.loss_scale is not None:
            yield Sample(catalogue.LOSS_SCALE, slot, trial.loss_scale)


def _list_stages(report: ProgressReport) -> Iterator[Sample]:
    for stage, seconds in report.counters.stage_seconds.items():
        yield Sample(catalogue.STAGE_DURATION, (stage,), seconds)


def _list_totals(status: Status, report: ProgressReport) -> Iterator[Sample]:
    failed = {entry.failure_class: entry.count for entry in status.failures}
    totals = [
        *((catalogue.FAILURES, (kind,), failed.get(kind, 0)) for kind in FailureClass),
        *(
            (catalogue.RETRIES, (kind,), report.counters.retries.get(kind, 0))
            for kind in FailureClass
        ),
        *_list_numerics(status, report),
    ]
    if status.gpu_seconds is not None:
        saved = report.counters.gpu_seconds_saved
        totals.append((catalogue.GPU_SECONDS, (), status.gpu_seconds.used))
        totals += (
            (catalogue.GPU_SECONDS_SAVED, (reason,), saved.get(reason, 0.0)) for reason in GpuSaving
        )
    # A total below nothing is a forged one.
    yield from (Sample(*entry) for entry in totals if entry[2] >= 0)


def _list_numerics(
    status: Status, report: ProgressReport
) -> Iterator[tuple[Series, tuple[str, ...], float]]:
    if status.precision is not None:
        yield catalogue.LOSS_SCALE_OVERFLOWS, (), status.precision.overflows
    known = [
        ((first, second), count)
        for pair, count in report.counters.precision_fallbacks.items()
        for first, _, second in (pair.partition(":"),)
        if {first, second} <= _TYPES
    ]
    for types, count in known[:_MOST_FALLBACKS]:
        yield catalogue.PRECISION_FALLBACKS, types, count

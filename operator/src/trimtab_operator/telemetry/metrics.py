"""What is exported to Prometheus: the jobs that were seen last, and how the operator itself is.

The reconciler and the queue write from the event loop, scrapes read in threads of their own. What
is shared is copied in one step, or replaced and never changed. SEAM: the only importer of
prometheus_client.
"""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from itertools import accumulate
from typing import final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from trimtab_api.v1alpha1.status import JobState
from trimtab_operator.telemetry import catalogue
from trimtab_operator.telemetry.catalogue import CATALOGUE, Series
from trimtab_operator.telemetry.job_series import JobPage, Sample
from trimtab_operator.telemetry.logs import get_logger

__all__ = ["OUTCOMES", "JobBoard", "OperatorHealth", "PassLog", "render_metrics"]

logger = get_logger(__name__)

_BOUNDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
OUTCOMES = ("Succeeded", "Failed")
"""How a pass ended."""


@final
class JobBoard:
    """What is exported of each job; one for the whole process."""

    def __init__(self) -> None:
        self._pages: dict[tuple[str, str], JobPage] = {}

    def show(self, page: JobPage) -> None:
        """Export a job from now on as given."""
        self._pages[page.namespace, page.name] = page

    def drop(self, namespace: str, name: str) -> None:
        """Export a job no longer."""
        self._pages.pop((namespace, name), None)

    def pages(self) -> tuple[JobPage, ...]:
        """Return all jobs; safe in any thread."""
        # The copy is one step of the interpreter, in which no other thread shows a job.
        return tuple(self._pages.values())


@final
class PassLog:
    """How many passes took how long, and why some failed."""

    def __init__(self) -> None:
        self._seconds: Mapping[str, tuple[tuple[int, ...], float]] = {
            outcome: ((0,) * (len(_BOUNDS) + 1), 0.0) for outcome in OUTCOMES
        }
        self._errors: Mapping[str, int] = {}

    def note(self, seconds: float, error: str | None) -> None:
        """Count a pass.

        Args:
            seconds: That it took.
            error: The kind of its error, one word of a closed set; None where it succeeded.
        """
        outcome = OUTCOMES[error is not None]
        counts, total = self._seconds[outcome]
        index = bisect_left(_BOUNDS, seconds)
        counts = tuple(count + (place == index) for place, count in enumerate(counts))
        self._seconds = {**self._seconds, outcome: (counts, total + seconds)}
        if error is not None:
            self._errors = {**self._errors, error: self._errors.get(error, 0) + 1}

    def errors(self) -> Mapping[str, int]:
        """Return how many passes failed, by kind."""
        return self._errors

    def durations(self) -> Iterator[tuple[str, list[tuple[str, float]], float]]:
        """Yield for each outcome how many took up to each bound, and their seconds in all."""
        for outcome, (counts, total) in self._seconds.items():
            bounds = (*map(str, _BOUNDS), "+Inf")
            yield outcome, list(zip(bounds, accumulate(counts), strict=True)), total


@dataclass(frozen=True, slots=True)
class OperatorHealth:
    """How the operator is, asked for in the thread of a scrape.

    Attributes:
        passes: What was noted of passes.
        queue_depth: Gives how many jobs wait for a pass.
        watch_ages: Gives for each resource how long ago its watch was seen to be current.
    """

    passes: PassLog
    queue_depth: Callable[[], int]
    watch_ages: Callable[[], Mapping[str, float]]


def render_metrics(
    board: JobBoard, health: OperatorHealth, *, monotonic: Callable[[], float] = time.monotonic
) -> bytes:
    """Return the page that Prometheus reads, in its text format; safe in any thread."""
    registry = CollectorRegistry()
    registry.register(_Snapshot(board.pages(), health, monotonic()))
    return generate_latest(registry)


@final
class _Snapshot(Collector):
    """All series of one moment."""

    def __init__(self, pages: tuple[JobPage, ...], health: OperatorHealth, now: float) -> None:
        self._pages = pages
        self._health = health
        self._now = now

    @override
    def collect(self) -> Iterable[Metric]:
        families = {series.name: _make_family(series) for series in CATALOGUE}
        for name, labels, value in self._list_values():
            family = name if name in families else name.rpartition("_")[0]
            families[family].add_sample(name, labels, value)
        return list(families.values())

    def _list_values(self) -> Iterator[tuple[str, dict[str, str], float]]:
        for page in self._pages:
            for sample in page.samples:
                yield _complete(sample, page.namespace, page.name)
            if page.reported_at is not None:
                age = max(0.0, self._now - page.reported_at)
                sample = Sample(catalogue.JOB_REPORT_AGE, (), age)
                yield _complete(sample, page.namespace, page.name)
        for sample in self._list_health():
            yield _complete(sample)
        yield from self._list_durations()

    def _list_health(self) -> Iterator[Sample]:
        states = Counter((page.namespace, page.state) for page in self._pages)
        for namespace in sorted({page.namespace for page in self._pages}):
            for state in JobState:
                yield Sample(catalogue.JOBS, (namespace, state), states[namespace, state])
        yield Sample(catalogue.BUILD_INFO, (version("trimtab-operator"),), 1)
        yield Sample(catalogue.QUEUE_DEPTH, (), self._health.queue_depth())
        for reason, count in self._health.passes.errors().items():
            yield Sample(catalogue.RECONCILE_ERRORS, (reason,), count)
        for resource, age in self._health.watch_ages().items():
            yield Sample(catalogue.WATCH_AGE, (resource,), age)

    def _list_durations(self) -> Iterator[tuple[str, dict[str, str], float]]:
        name = catalogue.RECONCILE_DURATION.name
        for outcome, buckets, total in self._health.passes.durations():
            labels = {"outcome": outcome}
            for bound, count in buckets:
                yield f"{name}_bucket", {**labels, "le": bound}, count
            yield f"{name}_count", labels, buckets[-1][1]
            yield f"{name}_sum", labels, total


def _make_family(series: Series) -> Metric:
    return Metric(series.name.removesuffix("_total"), series.meaning, series.type)


def _complete(sample: Sample, *job: str) -> tuple[str, dict[str, str], float]:
    series = sample.series
    labels = dict(zip(series.labels, (*job, *sample.labels), strict=True))
    return series.name, labels, sample.value

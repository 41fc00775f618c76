"""The operator's metrics: right after a restart, gone with their job, and never in its way."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from cluster.access import Cluster
from cluster.fixtures import NamespaceMaker
from cluster.processes import wait_until
from cluster.watched_job import WatchedJob, make_job
from metrics_builder import Values, make_full_report, read_page
from operator_process import PATIENT, OperatorProcess, running_operator
from trimtab_api.margins import LimitKind, LimitMargin
from trimtab_api.progress import ProgressReport, RunningTrial
from trimtab_operator.telemetry.catalogue import CATALOGUE

pytestmark = [pytest.mark.cluster_a, pytest.mark.slow]

SECONDS = 90.0
JOBS = 42
TARGETS = [f"target-{index}" for index in range(8)]
SCRAPES = 96
STATE = "trimtab_job_state"
CHANGING = ("trimtab_job_report_age_seconds", "trimtab_result_metric")
"""What ages by itself, and what is told once the job ended."""


@pytest.fixture
def operator(ray_api_server: Cluster, tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator of the test's own: what it exports is of all jobs."""
    with running_operator(ray_api_server, tmp_path, PATIENT) as operator:
        yield operator
        assert "Traceback" not in operator.read_log()


@pytest.fixture
def namespace(ray_api_server: Cluster, make_namespace: NamespaceMaker) -> str:
    return make_namespace(ray_api_server)


def start_job(cluster: Cluster, namespace: str, name: str = "digits") -> WatchedJob:
    targets = [{"name": name, "profile": "cpu-edge"} for name in ("edge", *TARGETS[1:])]
    job = WatchedJob.create(cluster, make_job(namespace, name, targets=targets))
    job.wait(lambda: job.rayjob() is not None, SECONDS)
    job.play_start()
    return job


def tell(job: WatchedJob, report: ProgressReport, sequence: int = 1) -> None:
    """Report as a driver that runs."""
    told = report.model_dump(
        mode="json",
        by_alias=True,
        exclude_none=True,
        exclude={"schema_version", "uid", "attempt", "sequence", "outcome"},
    )
    job.report(sequence=sequence, **told)


def make_wide_report() -> ProgressReport:
    """Return a report of as many slots and margins as there can be."""
    margins = [
        LimitMargin(metric=metric, target=target, limit=kind, value=0.5)
        for metric in ("size_mib", "speedup", "latency_p50_ms")
        for target in TARGETS[1:]
        for kind in LimitKind
    ]
    slots = [
        RunningTrial(
            slot=slot,
            trial=slot,
            epoch=1,
            epochs=9,
            metrics={"accuracy": 0.5},
            loss_scale=2.0,
        )
        for slot in range(16)
    ]
    return make_full_report(running=tuple(slots), margins=tuple(margins))


def read(operator: OperatorProcess) -> Values:
    return read_page(operator.scrape())[1]


def of(values: Values, job: WatchedJob) -> Values:
    """Return the values of a job."""
    whose = {("job_name", job.name), ("job_namespace", job.namespace)}
    return {key: value for key, value in values.items() if whose <= set(key[1])}


def is_told(values: Values, job: WatchedJob) -> bool:
    own = of(values, job)
    states = {dict(labels)["state"] for (name, labels), on in own.items() if name == STATE and on}
    return states == {"Running"} and any(name == "trimtab_pareto_hypervolume" for name, _ in own)


def lasting(values: Values) -> Values:
    return {key: value for key, value in values.items() if key[0] not in CHANGING}


def test_f74_the_series_of_a_job_outlive_the_operator_and_not_the_job(
    ray_api_server: Cluster, operator: OperatorProcess, namespace: str
) -> None:
    job = start_job(ray_api_server, namespace)
    tell(job, make_full_report())
    assert wait_until(lambda: is_told(read(operator), job), SECONDS)
    before = of(read(operator), job)
    of_jobs = {series.name for series in CATALOGUE if "job_name" in series.labels}
    assert {name for name, _ in before} == of_jobs - {"trimtab_result_metric"}
    operator.kill()
    operator.start()
    assert wait_until(lambda: is_told(read(operator), job), SECONDS)
    assert lasting(of(read(operator), job)) == lasting(before)
    ray_api_server.api.delete("OptimizationJob", job.name, namespace)
    assert wait_until(lambda: not of(read(operator), job), SECONDS)


def test_f74_a_storm_and_slow_scrapers_on_10_000_series_keep_no_job_waiting(
    ray_api_server: Cluster, operator: OperatorProcess, namespace: str
) -> None:
    report = make_wide_report()
    with ThreadPoolExecutor(8) as pool:
        names = [f"job-{number}" for number in range(JOBS)]
        jobs = list(pool.map(lambda name: start_job(ray_api_server, namespace, name), names))
        list(pool.map(lambda job: tell(job, report), jobs))

    def are_told() -> bool:
        values = read(operator)
        return all(is_told(values, job) for job in jobs)

    assert wait_until(are_told, SECONDS)
    values = read(operator)
    assert len(values) > 10_000
    known = {label for series in CATALOGUE for label in series.labels} | {"le"}
    assert {label for _, labels in values for label, _ in labels} <= known

    with ExitStack() as slow, ThreadPoolExecutor(SCRAPES // 2) as scrapers:
        for number in range(20):
            one = slow.enter_context(socket.create_connection(operator.metrics_address))
            if number % 2:
                one.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        answers = [scrapers.submit(operator.scrape) for _ in range(SCRAPES)]
        job = jobs[0]
        trials = {"total": 40, "succeeded": 33}
        job.report(sequence=2, stage="search", trials=trials)
        job.wait(lambda: job.status().get("trials", {}).get("succeeded") == 33, SECONDS)
        assert operator.is_healthy()
        for answer in answers:
            assert answer.result().count(b"trimtab_job_attempt{") == JOBS


def test_f74_an_exporter_that_cannot_start_stops_no_job(
    ray_api_server: Cluster, tmp_path: Path, namespace: str
) -> None:
    with socket.create_server(("", 0)) as taken:
        port = str(taken.getsockname()[1])
        with running_operator(
            ray_api_server, tmp_path, TRIMTAB_OPERATOR_METRICS_PORT=port
        ) as operator:
            start_job(ray_api_server, namespace)
            assert "the metrics are not served" in operator.read_log()

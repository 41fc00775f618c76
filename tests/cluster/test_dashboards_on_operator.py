"""Every query of the dashboards and alerts, asked of a real Prometheus that scrapes a real operator."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.access import Cluster
from cluster.chaosproxy import ChaosProxy
from cluster.faults import Answer, Fault, has_path
from cluster.fixtures import NamespaceMaker
from cluster.processes import wait_until
from cluster.prometheus import SCRAPE_JOB, PrometheusServer, running_prometheus
from cluster.watched_job import WatchedJob, make_job
from dashboards import (
    RULES,
    Panel,
    Span,
    fill,
    has_data,
    list_alerts,
    list_boards,
    list_panels,
    list_variables,
)
from metrics_builder import make_full_report
from operator_process import operator_behind
from trimtab_api.progress import Counters, OutcomeResult, ProgressReport
from trimtab_api.v1alpha1.conditions import FailedReason

pytestmark = [pytest.mark.cluster_a, pytest.mark.slow]

SECONDS = 90.0
LIMITS = [
    {"metric": "accuracy", "maxDrop": 0.01},
    {"metric": "speedup", "target": "edge", "min": 1.5},
]


@dataclass(frozen=True, slots=True)
class Watched:
    """What Prometheus saw of some jobs."""

    server: PrometheusServer
    span: Span
    namespace: str
    job: str

    def fill(self, board: str, expression: str) -> str:
        """Return a query for the one job on its dashboard, and for all on the others."""
        if board == "job":
            return fill(expression, job_namespace=self.namespace, job_name=self.job)
        return fill(expression, job_namespace=".*", job_name=".*")


def start_job(cluster: Cluster, namespace: str, name: str) -> WatchedJob:
    targets = [{"name": "edge", "profile": "cpu-edge"}]
    manifest = make_job(namespace, name, targets=targets, constraints=LIMITS)
    job = WatchedJob.create(cluster, manifest)
    job.wait(lambda: job.rayjob() is not None, SECONDS)
    job.play(
        jobDeploymentStatus="Running",
        jobStatus="RUNNING",
        rayClusterName=f"{name}-a1-x",
        rayClusterStatus={"desiredWorkerReplicas": 2, "availableWorkerReplicas": 2},
    )
    return job


def dump(report: ProgressReport) -> dict[str, object]:
    """Return what a driver would report, without its end and what is of the attempt."""
    own = {"schema_version", "uid", "attempt", "sequence", "outcome"}
    return report.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=own)


@pytest.fixture(scope="module")
def watched(
    ray_api_server: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    """A job that ran and ended, one that failed and one that waits, and a pass that failed."""
    folder = tmp_path_factory.mktemp("dashboards")
    cluster = ray_api_server
    namespace = "watched"
    named = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    cluster.api.create(named)
    with ChaosProxy(cluster) as proxy, operator_behind(proxy, folder) as operator:
        with running_prometheus(folder / "prometheus", operator.metrics_address, RULES) as server:
            start = time.time()
            good = start_job(cluster, namespace, "digits")
            bad = start_job(cluster, namespace, "broken")
            WatchedJob.create(cluster, make_job(namespace, "waiting"))
            proxy.add(Fault(has_path("/status", "PATCH"), Answer(503), times=2))
            report = make_full_report()
            good.report(sequence=1, **dump(report))
            wait_for(server, "trimtab_pareto_hypervolume")
            wait_for(server, "trimtab_reconcile_errors_total")
            counters = report.counters.model_copy(update={"stage_seconds": {"search": 70.0}})
            assert isinstance(counters, Counters)
            good.end(sequence=3, **dump(report))
            bad.end(result=OutcomeResult.FAILED, reason=FailedReason.TRIALS_FAILED, message="all")
            wait_for(server, "trimtab_result_metric")
            wait_for(server, 'trimtab_jobs{state="Failed"} == 1')
            # Rates need two samples.
            time.sleep(5)
            yield Watched(server, Span(start, time.time()), namespace, "digits")
    cluster.api.delete_all("OptimizationJob", namespace)


def wait_for(server: PrometheusServer, expression: str) -> None:
    assert wait_until(lambda: bool(server.ask(expression)), SECONDS), expression


@pytest.mark.parametrize(
    "panel", list_panels(), ids=lambda panel: f"{panel.board}: {panel.title}"
)
def test_each_query_of_a_panel_has_data(watched: Watched, panel: Panel) -> None:
    for target in panel.targets:
        expression = watched.fill(panel.board, target.expression)
        assert has_data(watched.server, expression, watched.span), expression
